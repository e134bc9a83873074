"""Exports opened by another process, and forged ones."""
import json, os, pickle, subprocess, sys
import pytest, torch
from pathlib import Path
from PIL import Image
from safetensors import safe_open
from torch import nn
from wholegame.data.block import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wholegame.data.datablock import DataBlock
from wholegame.data.transforms import parent_label
from wholegame.export import load_learner
from wholegame.files import load_tree, save_tree
from wholegame.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat
from wholegame.vision.augment import Normalize, aug_transforms
from wholegame.vision.core import ImageBlock, RandomResizedCrop, Resize
from wholegame.vision.learner import vision_learner
from wholegame.vision.models import vision_model

@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    "Eight red and eight blue pictures of different sizes"
    path = tmp_path_factory.mktemp('photos')
    for i in range(16):
        kind = 'red' if i%2 else 'blue'
        (path/kind).mkdir(exist_ok=True)
        Image.new('RGB', (40+i, 48), (200+i,20,10) if i%2 else (10,20,200+i)).save(path/kind/f'{i}.png')
    return path

def make(photos, tmp_path, y=CategoryBlock, get_y=parent_label, loss=CrossEntropyLossFlat, item_tfms=None, batch_tfms=None, arch='test_resnet', mode='RGB', **kw):
    block = DataBlock((ImageBlock(mode),y), get_items=lambda p: sorted(p.glob('*/*.png')), get_y=get_y, splitter=lambda o: (range(4,len(o)), range(4)),
        item_tfms=item_tfms or Resize(32), batch_tfms=batch_tfms)
    torch.manual_seed(0)
    return vision_learner(block.dataloaders(photos, path=tmp_path, bs=4, seed=0), arch, pretrained=False, loss_func=loss(), **kw).no_bar()

asker = '''
import json, socket, sys
def no(*args, **kw): raise RuntimeError('asked the network')
socket.socket.connect = socket.create_connection = socket.getaddrinfo = no
from wholegame.export import load_learner
files = sys.argv[2:]
for f in json.loads(sys.argv[1]):
    learn = load_learner(f)
    print(json.dumps([str(learn.predict(files[0])[0]), learn.get_preds(dl=learn.dls.test_dl(files))[0].tolist()]))
'''

kinds = {
    'one label': {},
    'several labels': dict(y=MultiCategoryBlock, get_y=lambda o: [o.parent.name, 'even'] if int(o.stem)%4 else [o.parent.name], loss=lambda: BCEWithLogitsLossFlat(thresh=0.4)),
    'numbers': dict(y=RegressionBlock, get_y=lambda o: int(o.stem)/16, loss=MSELossFlat, y_range=(0,1)),
    'random crops': dict(item_tfms=RandomResizedCrop(32), batch_tfms=aug_transforms(size=24), ps=0.1, lin_ftrs=[16]),
    'pads, own stats': dict(item_tfms=Resize((64,48), method='pad', pad_mode='zeros'), batch_tfms=[Normalize([0.2]*3, [0.3]*3)], arch='test_convnext'),
    'a transformer': dict(arch='test_vit', img_size=32)}

def test_elsewhere(photos, tmp_path):
    "What a process of its own makes of the files, in another folder and without a network"
    learns = {k: make(photos, tmp_path, **kw) for k,kw in kinds.items()}
    for k,o in learns.items(): o.fit(1)
    exports = [str(o.export(f'out/{i}.safetensors')) for i,o in enumerate(learns.values())]
    files = learns['one label'].dls.valid_ds.items
    out = subprocess.run([sys.executable, '-W', 'error', '-c', asker, json.dumps(exports), *map(str, files)], capture_output=True, text=True,
        cwd=tmp_path/'out', env={**os.environ, 'WHOLEGAME_OFFLINE':''})
    assert out.returncode==0, out.stderr[-3000:]
    for (k,learn),line in zip(learns.items(), out.stdout.splitlines()):
        word,preds = json.loads(line)
        if k!='numbers': assert word==str(learn.predict(files[0])[0]), k
        want = learn.get_preds(dl=learn.dls.test_dl(files))[0]
        assert torch.tensor(preds).allclose(want, atol=2e-2), (k, preds, want)

def test_in_a_folder_and_as_pkl(photos, tmp_path, capsys):
    learn = make(photos, tmp_path)
    learn.export('export.pkl')
    assert "holds data (safetensors), not a pickle" in capsys.readouterr().out
    got = load_learner(tmp_path)
    assert got.dls.vocab==['blue','red'] and got.model_desc==learn.model_desc
    again = load_learner(got.export('again.safetensors'))
    assert all(a.equal(b) for a,b in zip(again.model.state_dict().values(), learn.bare.state_dict().values()))

def brighten(img): return img.point(lambda v: min(255, v+20))

def test_functions(photos, tmp_path):
    learn = make(photos, tmp_path, item_tfms=[Resize(32), brighten])
    with pytest.warns(UserWarning, match='named, not stored: brighten'): f = learn.export()
    with pytest.raises(ValueError, match="'brighten', which is code and not stored. Pass all item_tfms again"): load_learner(f)
    got = load_learner(f, item_tfms=[Resize(32), brighten])
    files = learn.dls.valid_ds.items
    assert got.get_preds(dl=got.dls.test_dl(files))[0].allclose(learn.get_preds()[0], atol=1e-4)

def test_own_head(photos, tmp_path):
    def head(): return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96,2))
    learn = make(photos, tmp_path, custom_head=head())
    with pytest.warns(UserWarning, match=r'load_learner\(file, model=...\)'): f = learn.export()
    with pytest.raises(ValueError, match='Pass the same model'): load_learner(f)
    m = vision_model('test_resnet', 2, False, custom_head=head())
    assert load_learner(f, model=m).get_preds(dl=learn.dls.valid)[0].allclose(learn.get_preds()[0], atol=1e-4)

@pytest.fixture(scope='module')
def exported(photos, tmp_path_factory): return make(photos, tmp_path_factory.mktemp('exp')).export()

def change(exported, tmp_path, **kw):
    tree,d = load_tree(exported)
    for path,v in kw.items():
        *ks,last = path.split('__')
        o = d
        for k in ks: o = o[int(k) if k.isdigit() else k]
        o[last] = v
    return save_tree(tree, tmp_path/'forged.safetensors', d)

bad = [dict(model__builder='subprocess'), dict(model__arch='hf-hub:someone/model'), dict(model__arch='hf_hub:someone/model'), dict(model__arch='../../etc'),
    dict(model__arch='local-dir:/tmp/x'), dict(model__source='torchvision', model__arch='get_model'), dict(model__source='os', model__arch='system'),
    dict(model__source='torchvision', model__arch='list_models'), dict(model__n_out=10**9), dict(model__n_out='2'), dict(model__n_in=10**7), dict(model__n_in=0), dict(model__n_out=10**6),
    dict(model__head={'lin_ftrs':[10**6,10**6]}), dict(model__head={'init':'os.system'}), dict(model__arch_args={'checkpoint_path':'/etc/passwd'}),
    dict(model__arch_args={'pretrained':True}), dict(model__arch_args={'pretrained_cfg':{'url':'http://x'}}), dict(model__arch_args={'img_size':10**6}), dict(model__cut='os.system'), dict(model=3),
    dict(model__y_range='ab'), dict(blocks=[]), dict(blocks=[{'kind':'Path'}]), dict(blocks=3), dict(blocks__0__item_tfms=[{'kind':'Resize', 'size':10**9}]),
    dict(blocks__0__item_tfms=[{'kind':'eval', 'x':1}]), dict(blocks__0__item_tfms=[{'kind':'Resize', 'nope':1}]), dict(batch_tfms=[{'kind':'DeviceCrop', 'size':10**9}]),
    dict(batch_tfms=[{'kind':'system'}]), dict(batch_tfms='x'), dict(n_inp='x'), dict(format=2), dict(loss=7), dict(metrics=9), dict(blocks__1__vocab=None),
    dict(n_inp=float('inf')), dict(bs=float('inf')), dict(loss={'kind':['x']}), dict(batch_tfms__0__mean=[None]), dict(batch_tfms__0__std={'a':1}), dict(batch_tfms=torch.ones(2)),
    dict(blocks__0__item_tfms__0__size=19_999), dict(blocks__0__item_tfms__0__size=[19_999]*2), dict(batch_tfms=[{'kind':'DeviceCrop', 'size':19_999}])]

@pytest.mark.parametrize('kw', bad, ids=lambda o: ', '.join(f'{k}={str(v)[:30]}' for k,v in o.items()))
def test_forged(exported, tmp_path, kw, monkeypatch):
    "Anything but our own descriptions ends in a ValueError, and never asks the network"
    import socket
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *a, **k: pytest.fail('asked the network'))
    monkeypatch.setenv('WHOLEGAME_OFFLINE', '')
    with pytest.raises(ValueError): load_learner(change(exported, tmp_path, **kw))

class Evil:
    def __reduce__(self): return os.system, ('touch pwned',)

def test_pickles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('export.pkl').write_bytes(pickle.dumps(Evil()))
    torch.save(Evil(), 'model.pth')
    torch.save(nn.Linear(1,1).state_dict(), 'three.pth')
    for o,msg in (('export.pkl','opening it can run any code'), ('.','opening it can run any code'), ('model.pth','holds more than weights'), ('three.pth','holds weights')):
        with pytest.raises(ValueError, match=msg): load_learner(o)
    assert not Path('pwned').exists()

def test_plain_loaders(tmp_path):
    from wholegame.data.loaders import DataLoaders
    from wholegame.learner import Learner
    dl = [(torch.zeros(2,3), torch.zeros(2,1))]
    with pytest.raises(ValueError, match="don't say what the data are"): Learner(DataLoaders(dl, dl), nn.Linear(3,1), nn.MSELoss(), path=tmp_path).export()


def test_sizes_are_lists(exported):
    "Any program that reads JSON reads sizes"
    with safe_open(exported, 'pt') as f: text = f.metadata()['wholegame']
    assert '!tuple' not in text and '"size": [32, 32]' in text

def test_forged_axis(exported, tmp_path, photos):
    "What is of the wrong kind is left out, so that predicting works"
    for axis in (True, [1], 1.5): assert load_learner(change(exported, tmp_path, loss__axis=axis)).predict(next(photos.glob('*/*.png')))[0] in ('red','blue')

"Notebooks of 2018: their very lines run, and each old name does what the line of today does."
import tarfile
import numpy as np
import pytest
import torch
from pathlib import Path

import wholegame.v1 as v1
from wholegame.data.pets import draw_pet
from wholegame.data.samples import draw_digit
from wholegame.vision.all import *

torch.set_num_threads(1) # two of them fight when tests run side by side

# ---- the archives that the lines ask for, with a few small pictures in each

def pack(folder, file):
    with tarfile.open(file, 'w:gz') as t: t.add(folder, folder.name)

def draw_pets(path, breeds=('Bombay','pug'), n=6):
    for b in breeds:
        for i in range(n):
            f = path/'images'/f'{b}_{i}.jpg'
            f.parent.mkdir(parents=True, exist_ok=True)
            draw_pet(b, i, (100,80)).save(f)
    (path/'annotations').mkdir()
    (path/'annotations'/'list.txt').write_text('')

def draw_digits(path, n=dict(train=12, valid=4)):
    rows = [(f'{part}/{d}/{100*d+i+50*(part=="valid")}.png', d) for part,k in n.items() for d in (3,7) for i in range(k)]
    for name,d in rows:
        (path/name).parent.mkdir(parents=True, exist_ok=True)
        draw_digit(d, int(Path(name).stem)).save(path/name)
    (path/'labels.csv').write_text('name,label\n' + ''.join(f'{name},{int(d==7)}\n' for name,d in rows))

@pytest.fixture(scope='module')
def mirror(tmp_path_factory):
    "A folder with the two archives, for `untar_data` to find"
    path = tmp_path_factory.mktemp('mirror')
    for name,draw in ('oxford-iiit-pet',draw_pets), ('mnist_sample',draw_digits):
        draw(path/name)
        pack(path/name, path/f'{name}.tgz')
    return path

@pytest.fixture(autouse=True)
def surroundings(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv('WHOLEGAME_MIRROR', str(mirror))
    monkeypatch.setenv('WHOLEGAME_HOME', str(tmp_path/'home'))
    monkeypatch.chdir(tmp_path)
    yield
    plt.close('all')

# ---- the lines

pets = r"""
path = untar_data(URLs.PETS); path
help(untar_data); path.ls()
path_anno = path/'annotations'; path_img = path/'images'
fnames = get_image_files(path_img); fnames[:5]
np.random.seed(2); pat = r'/([^/]+)_\d+.jpg$'
data = ImageDataBunch.from_name_re(path_img, fnames, pat, ds_tfms=get_transforms(), size=224, bs=bs).normalize(imagenet_stats)
data.show_batch(rows=3, figsize=(7,6)); print(data.classes); len(data.classes),data.c
learn = ConvLearner(data, models.resnet34, metrics=error_rate)      # also create_cnn, cnn_learner
learn.fit_one_cycle(4); learn.save('stage-1')
interp = ClassificationInterpretation.from_learner(learn)
interp.plot_top_losses(9, figsize=(15,11)); doc(interp.plot_top_losses)
interp.plot_confusion_matrix(figsize=(12,12), dpi=60); interp.most_confused(min_val=2)
learn.unfreeze(); learn.fit_one_cycle(1)
learn.load('stage-1'); learn.lr_find(); learn.recorder.plot()
learn.unfreeze(); learn.fit_one_cycle(2, max_lr=slice(1e-6,1e-4))
data = ImageDataBunch.from_name_re(path_img, fnames, pat, ds_tfms=get_transforms(), size=320, bs=bs//2); data.normalize(imagenet_stats)
learn = ConvLearner(data, models.resnet50, metrics=error_rate); learn.fit_one_cycle(8, max_lr=slice(1e-3))
"""

digits = r"""
path = untar_data(URLs.MNIST_SAMPLE); tfms = get_transforms(do_flip=False)
data = ImageDataBunch.from_folder(path, ds_tfms=tfms, size=26)
learn.fit(2)
df = pd.read_csv(path/'labels.csv')
data = ImageDataBunch.from_csv(path, ds_tfms=tfms, size=28); data.classes
data = ImageDataBunch.from_df(path, df, ds_tfms=tfms, size=24)
fn_paths = [path/name for name in df['name']]
data = ImageDataBunch.from_name_re(path, fn_paths, pat=r"/(\d)/\d+\.png$", ds_tfms=tfms, size=24)
data = ImageDataBunch.from_name_func(path, fn_paths, ds_tfms=tfms, size=24, label_func=lambda x: '3' if '/3/' in str(x) else '7')
labels = [('3' if '/3/' in str(x) else '7') for x in fn_paths]
data = ImageDataBunch.from_lists(path, fn_paths, labels=labels, ds_tfms=tfms, size=24)
"""

def run(lines, ns, seen=None):
    "Run each line as a cell; `seen` notes `data` and `learn` after each"
    for line in lines.strip().splitlines():
        exec(line, ns)
        if seen is not None: seen.append({k:ns.get(k) for k in ('data','learn','interp')})
        plt.close('all')
    return ns

@pytest.mark.filterwarnings('ignore:bs=64 but only')
def test_the_lines_of_2018(capsys):
    "Word for word, after one import line in place of the two of 2018"
    ns,seen = {},[]
    exec('from wholegame.v1 import *', ns)
    run(pets, ns | {'bs':4}, seen)
    first,last = seen[5]['data'],seen[-1]['data']
    assert first.classes==['Bombay','pug'] and first.c==2 and len(first.valid_ds)==2 and first.train_dl.bs==4
    assert first.one_batch()[0].shape==(4,3,224,224) and last.one_batch()[0].shape==(2,3,320,320)
    learn = seen[-3]['learn']
    assert [len(o.recorder.history) for o in (learn, seen[-1]['learn'])]==[7,8]
    assert learn.recorder.finder.suggestions and (Path(learn.path)/'models').is_dir()
    out = capsys.readouterr().out
    assert 'untar_data(' in out and "['Bombay', 'pug']" in out

@pytest.mark.filterwarnings('ignore:bs=64 but only')
def test_the_lines_about_digits():
    ns = {}
    exec('from wholegame.v1 import *', ns)
    exec("learn = ConvLearner(ImageDataBunch.from_folder(untar_data(URLs.MNIST_SAMPLE), size=26, bs=8), models.resnet18, metrics=accuracy)", ns)
    seen = []
    run(digits, ns, seen)
    kinds = [o['data'].classes for o in seen[4:]]
    assert kinds[0]==kinds[1]==[0,1] and kinds[3]==kinds[4]==kinds[6]==['3','7']
    assert [seen[i]['data'].one_batch()[0].shape[-1] for i in (1,4,5,-1)]==[26,28,24,24]
    assert seen[1]['data'].valid_ds.items[0].parts[-3]=='valid' and len(seen[-1]['data'].valid_ds)==6

# ---- table of old and new: each line of 2018 beside the one of today

@pytest.fixture
def path(): return untar_data(URLs.MNIST_SAMPLE)

@pytest.fixture
def files(path): return get_image_files(path)

def same(old, new):
    "The same items in both parts, the same classes, batches of the same shape"
    assert [list(map(str, o.dataset.items)) for o in old]==[list(map(str, o.dataset.items)) for o in new]
    assert (old.classes,old.c)==(new.vocab,new.c)
    assert old.one_batch()[0].shape==new.one_batch()[0].shape and repr(old.batch_tfms)==repr(new.batch_tfms)
    assert repr(old.blocks[0].tfms)==repr(new.blocks[0].tfms)

def now(**kw): return dict(item_tfms=Resize(24), batch_tfms=aug_transforms(do_flip=False), bs=8, **kw)
def then(**kw): return dict(size=24, ds_tfms=v1.get_transforms(do_flip=False), bs=8, **kw)

@pytest.mark.parametrize('order', [('v1',), ('vision','v1'), ('v1','vision'), ('v1','vision.all')])
def test_import_lines(order):
    ns = {}
    for o in order: exec(f'from wholegame.{o} import *', ns)
    names = 'ImageDataBunch get_transforms ConvLearner create_cnn cnn_learner open_image DatasetType DataBunch vision_learner error_rate np plt pd Path'
    assert all(k in ns for k in names.split())
    assert ns['models'].resnet34 is models.resnet34 and ns['models'].densenet121 is models.densenet121

def test_vision_alone_does_not_know_2018():
    import subprocess, sys
    code = 'import wholegame.vision.all as v, sys; print("wholegame.v1" in sys.modules, hasattr(v, "ImageDataBunch"), hasattr(v.Learner, "TTA"))'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout=='False False False\n'

def test_from_folder(path):
    same(v1.ImageDataBunch.from_folder(path, **then()), ImageDataLoaders.from_folder(path, **now()))
    same(v1.ImageDataBunch.from_folder(path, train='.', valid_pct=0.2, seed=1, **then()), ImageDataLoaders.from_folder(path, valid_pct=0.2, seed=1, **now()))
    same(v1.ImageDataBunch.from_folder(path, valid_pct=0.25, seed=1, **then()), ImageDataLoaders.from_folder(path/'train', valid_pct=0.25, seed=1, **now()))
    data = v1.ImageDataBunch.from_folder(path, test='valid/3', **then())
    assert list(data.test_ds.items)==list(get_image_files(path/'valid'/'3'))
    assert type(data).__name__=='ImageDataBunch' and isinstance(data, v1.DataBunch) and isinstance(data, DataLoaders)

def test_from_name_re_sees_the_path(path, files):
    pat = r'/(\d)/\d+\.png$'
    same(v1.ImageDataBunch.from_name_re(path, files, pat, seed=1, **then()), ImageDataLoaders.from_path_re(path, files, pat, seed=1, **now()))
    with pytest.raises(ValueError, match='from_path_re'): ImageDataLoaders.from_name_re(path, files, pat)
    with pytest.raises(ValueError, match='does not match'): v1.ImageDataBunch.from_name_re(path, files, r'^(\d+)\.png$')

def test_from_name_func_sees_the_path(path, files):
    f = lambda o: o.parent.name
    same(v1.ImageDataBunch.from_name_func(path, files, f, seed=1, **then()), ImageDataLoaders.from_path_func(path, files, f, seed=1, **now()))

def test_from_csv(path):
    (path/'other.csv').write_text((path/'labels.csv').read_text().replace(',0', ',three').replace(',1', ',seven'))
    data = v1.ImageDataBunch.from_csv(path, csv_labels='other.csv', seed=1, **then())
    same(data, ImageDataLoaders.from_csv(path, 'other.csv', seed=1, **now()))
    assert data.classes==['seven','three']
    pd.DataFrame({'name': [o.stem for o in get_image_files(path/'train'/'3')], 'tags': ['a b','a','b']*4}).to_csv(path/'many.csv', index=False)
    data = v1.ImageDataBunch.from_csv(path, folder='train/3', sep=' ', csv_labels='many.csv', suffix='.png', seed=1, size=24, bs=4)
    same(data, ImageDataLoaders.from_csv(path, 'many.csv', folder='train/3', label_delim=' ', suff='.png', seed=1, item_tfms=Resize(24), bs=4))
    with pytest.raises(FileNotFoundError, match='nope.csv'): v1.ImageDataBunch.from_csv(path, csv_labels='nope.csv')

def test_from_df_has_the_folder_first(path):
    df = pd.read_csv(path/'labels.csv')
    same(v1.ImageDataBunch.from_df(path, df, seed=1, **then()), ImageDataLoaders.from_df(df, path, seed=1, **now()))
    with pytest.raises(TypeError, match='Swapped'): ImageDataLoaders.from_df(path, df)

def test_from_lists(path, files):
    labels = [o.parent.name for o in files]
    same(v1.ImageDataBunch.from_lists(path, files, labels, seed=1, **then()), ImageDataLoaders.from_lists(path, files, labels, seed=1, **now()))

def test_get_image_files(path, files): assert len(files)==32 and list(files)==sorted(files) and files[:5] and len(path.ls())==len(list(path.ls()))

def test_numpy_repeats_the_split(path, files):
    def split(f, **kw): np.random.seed(2); return list(map(str, f(path, files, r'/(\d)/', **kw).valid_ds.items))
    assert split(v1.ImageDataBunch.from_name_re, bs=8)==split(v1.ImageDataBunch.from_name_re, bs=8)
    assert split(v1.ImageDataBunch.from_name_re, bs=8, seed=1)==split(ImageDataLoaders.from_path_re, bs=8, seed=1)

def test_size_and_transforms(path):
    data = v1.ImageDataBunch.from_folder(path, size=(20,16), resize_method='pad', padding_mode='zeros', bs=8)
    same(data, ImageDataLoaders.from_folder(path, item_tfms=Resize((20,16), method='pad', pad_mode='zeros'), bs=8))
    args = dict(do_flip=False, max_rotate=20., max_zoom=1.2, max_lighting=0.1, max_warp=0.3, p_affine=0.5, p_lighting=0.4)
    assert repr(v1.get_transforms(**args)[0])==repr(aug_transforms(**args))
    assert repr(v1.get_transforms(False, True)[0])==repr(aug_transforms(do_flip=False, flip_vert=True))
    with pytest.raises(ValueError, match='Validation pictures are only resized'): v1.ImageDataBunch.from_folder(path, ds_tfms=([], aug_transforms()))

def test_normalize_show_batch_classes(path):
    data = v1.ImageDataBunch.from_folder(path, **then())
    assert data.normalize(imagenet_stats) is data and repr(data.batch_tfms)==repr(ImageDataLoaders.from_folder(path, **now()).normalize(imagenet_stats).batch_tfms)
    data.show_batch(rows=2, figsize=(4,4))
    assert len(plt.gcf().axes)==4
    data.show_batch(3)
    assert len(plt.gcf().axes)==9
    dls = ImageDataLoaders.from_folder(path, **now())
    dls.show_batch(rows=2)
    assert (dls.classes,dls.c)==(data.classes,data.c)==(['3','7'],2)
    assert data.train_dl is data.train and data.valid_dl is data.valid and data.dl(v1.DatasetType.Valid) is data.valid and data.batch_size==8

def test_unknown_arguments(path):
    with pytest.raises(TypeError, match=r"ImageDataBunch.from_folder\(\) got an unknown argument 'sizes'. Did you mean 'size'"): v1.ImageDataBunch.from_folder(path, sizes=3)
    with pytest.raises(TypeError, match='belongs to ImageDataLoaders.from_lists'): v1.ImageDataBunch.from_lists(path, [], [], item_tfms=Resize(3))

@pytest.fixture
def learn(path):
    torch.manual_seed(1)
    return v1.cnn_learner(v1.ImageDataBunch.from_folder(path, test='valid/3', **then()), 'test_resnet', metrics=[error_rate,accuracy], pretrained=False).no_bar()

def test_the_three_names_of_a_learner(path, learn):
    assert v1.ConvLearner is v1.create_cnn is v1.cnn_learner
    torch.manual_seed(1)
    new = vision_learner(ImageDataLoaders.from_folder(path, **now()), 'test_resnet', metrics=error_rate, pretrained=False)
    assert all(torch.equal(a, b) for a,b in zip(learn.model.state_dict().values(), new.model.state_dict().values()))
    assert isinstance(learn, Learner) and learn.lr==slice(3e-3) and new.lr==1e-3
    with pytest.raises(TypeError, match="Did you mean 'metrics'"): v1.create_cnn(learn.data, 'test_resnet', metric=error_rate)

def test_one_cycle_then_and_now(learn):
    learn.fit_one_cycle(5, max_lr=1e-2)
    lrs,moms = learn.recorder.lrs,learn.recorder.moms
    n = len(lrs)
    assert n==15 and np.argmax(lrs) in (4,5) and lrs[0]==pytest.approx(1e-2/25) and (moms[0],min(moms))==pytest.approx((0.95,0.85), abs=2e-3)
    learn.fit_one_cycle(cyc_len=1, max_lr=slice(1e-3), div_factor=10, pct_start=0.1, moms=(0.9,0.8), wd=0.1)
    assert learn.recorder.lrs[n]==pytest.approx(1e-4) and learn.recorder.moms[n]==pytest.approx(0.9)
    new = Learner(learn.dls, learn.model).no_bar()
    new.fit_one_cycle(cyc_len=1, max_lr=1e-2, div_factor=10)
    assert new.recorder.lrs[0]==pytest.approx(1e-3)

def test_slices_are_a_tenth(learn):
    learn.fit(1, slice(1e-3))
    learn.create_opt()
    learn.set_hypers(lr=slice(1e-3))
    assert [g['lr'] for g in learn.opt.param_groups][::len(learn.opt.param_groups)-1]==pytest.approx([1e-4,1e-3])

def test_recorder_and_finder(learn):
    learn.fit(1)
    learn.lr_find(num_it=8)
    assert not plt.get_fignums()
    assert len(learn.recorder.plot().lines)>1
    for f in 'plot_losses plot_lr plot_metrics'.split(): getattr(learn.recorder, f)()

def test_interpretation(learn):
    interp = ClassificationInterpretation.from_learner(learn, ds_type=v1.DatasetType.Valid)
    assert torch.equal(interp.preds, ClassificationInterpretation.from_learner(learn, ds_idx=1).preds) and torch.equal(interp.preds, learn.interpret().preds)
    i = int(interp.top_losses(1)[1])
    interp.plot_top_losses(1)
    assert f'{interp.preds[i, interp.targs[i]]:.2f}' in plt.gca().get_title(), 'the fourth number is the probability of the actual class'
    assert all(type(o[2]) is int for o in interp.most_confused(min_val=1))

def test_predict_and_parts(learn, files):
    old,new = learn.predict(v1.open_image(files[0])),learn.predict(files[0])
    assert old[0]==new[0] in ('3','7') and torch.equal(old[1], new[1]) and torch.equal(old[2], new[2])
    assert v1.open_image(files[0]).mode=='RGB' and v1.open_image(files[0], 'L').mode=='L'
    assert learn.data is learn.dls
    for a,b in ((v1.DatasetType.Valid,1), (v1.DatasetType.Train,0), (v1.DatasetType.Fix,0), (v1.DatasetType.Test,2)):
        assert torch.equal(learn.get_preds(a)[0], learn.get_preds(ds_idx=b)[0]) and torch.equal(learn.get_preds(ds_type=a)[0], learn.get_preds(a)[0])
    assert learn.get_preds(v1.DatasetType.Test)[0].shape==(4,2)
    preds,y = learn.TTA()
    assert torch.allclose(preds, learn.tta(n=8, beta=0.4)[0], atol=1e-3) and len(y)==8

def test_larger_pictures(path, learn):
    learn.data = v1.ImageDataBunch.from_folder(path, size=28, bs=8)
    assert learn.dls.one_batch()[0].shape[-1]==28 and 'Normalize' in repr(learn.dls.batch_tfms)
    learn.fit_one_cycle(1)

def test_export_and_open(learn, files, tmp_path):
    learn.path = tmp_path
    learn.export('export.pkl')
    want = learn.predict(files[0])[2]
    for args in ((tmp_path,), (tmp_path,'export.pkl'), (tmp_path/'export.pkl',)): assert torch.allclose(load_learner(*args).predict(files[0])[2], want, atol=1e-3)
    with pytest.raises(FileNotFoundError, match='other.pkl'): load_learner(tmp_path, 'other.pkl')

def test_untar_data_with_dest(tmp_path):
    assert untar_data(URLs.MNIST_SAMPLE, dest=tmp_path/'here')==tmp_path/'here'/'mnist_sample'

def test_an_app_of_2018(learn, path, files, tmp_path):
    learn.path = tmp_path
    learn.save('stage-2')
    data2 = v1.ImageDataBunch.single_from_classes(path, learn.data.classes, tfms=v1.get_transforms(), size=24).normalize(imagenet_stats)
    app = v1.create_cnn(data2, 'test_resnet', pretrained=False)
    app.path = tmp_path
    app.load('stage-2', with_opt=False)
    assert app.predict(v1.open_image(files[0]))[0] in ('3','7')

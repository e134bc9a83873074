"""What a course's code gets wrong with pictures without a word, or with the wrong one: one test a fault.

Mistakes with folders, labels and keywords are in test_errors_data.py, with arguments and training in test_errors_training.py, with masks and several labels in tests of their own."""
import inspect, io, subprocess, sys, warnings
from contextlib import redirect_stdout
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from wholegame.vision.all import *
from wholegame.data.samples import draw_bird

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings('error')

@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close('all')

def message(error, f, *args, **kw):
    with pytest.raises(error) as e: f(*args, **kw)
    return str(e.value)

def loaders(photos, size=32, bs=8, **kw): return ImageDataLoaders.from_folder(photos, valid_pct=0.25, seed=1, item_tfms=Resize(size), bs=bs, **kw)

@pytest.fixture
def learn(photos, tmp_path): return vision_learner(loaders(photos), 'test_resnet', pretrained=False, metrics=accuracy, path=tmp_path).no_bar()

# Small data

def test_a_batch_that_was_too_large_works_everywhere(photos, tmp_path):
    "It is made smaller, and so there is something to show, to search and to train with"
    with pytest.warns(UserWarning, match='using bs=36'): dls = loaders(photos, bs=999)
    dls.show_batch(max_n=4)
    learn = vision_learner(dls, 'test_resnet', pretrained=False, path=tmp_path).no_bar()
    assert learn.lr_find(num_it=4, show_plot=False).valley>0
    learn.fit(1)
    assert np.isfinite(learn.recorder.values[0]).all()

# Records

def test_looking_does_not_erase_the_record(learn, photos):
    learn.fit(2)
    before = (list(learn.recorder.losses), [list(o) for o in learn.recorder.values], len(learn.recorder.plot_loss().lines[0].get_xdata()))
    learn.show_results(max_n=2); learn.predict(get_image_files(photos)[0]); learn.validate(); learn.get_preds(); learn.tta(n=1); learn.interpret().plot_top_losses(2)
    assert (learn.recorder.losses, [list(o) for o in learn.recorder.values], len(learn.recorder.plot_loss().lines[0].get_xdata()))==before
    assert len(before[1])==2

def test_top_losses_show_the_actual_class(learn):
    interp = learn.interpret()
    i = int(interp.top_losses(1).idxs[0])
    interp.plot_top_losses(1)
    last = plt.gca().get_title().split('/')[-1].strip()
    assert last==f'{interp.preds[i][interp.targs[i]]:.2f}' and interp.preds[i][interp.targs[i]]<=0.5

# Starting later

def groups_that_learned(learn, f):
    before = [[p.clone() for p in g] for g in learn.layer_groups]
    f()
    return [any(not torch.equal(a, b) for a,b in zip(old, new)) for old,new in zip(before, learn.layer_groups)]

def test_fine_tune_from_a_later_epoch(learn):
    "One epoch is left of two, with all groups learning"
    assert groups_that_learned(learn, lambda: learn.fine_tune(2, start_epoch=1))==[True]*3
    assert [o['epoch'] for o in learn.recorder.history]==[1]

@pytest.mark.parametrize('fit', ['fit_flat_cos','fit_one_cycle'])
def test_fit_from_a_later_epoch(learn, fit):
    "Half of the schedule, not all of it"
    getattr(learn, fit)(2, start_epoch=1)
    a = list(learn.recorder.lrs)
    learn.recorder.lrs.clear()
    getattr(learn, fit)(2)
    assert a==learn.recorder.lrs[len(a):] and len(a)*2==len(learn.recorder.lrs)

# Models

def test_cut_is_honoured(photos):
    full,cut = (vision_learner(loaders(photos), resnet18, pretrained=False, cut=o).model[0] for o in (None,-3))
    assert (len(full),len(cut))==(8,7) and sum(p.numel() for p in cut.parameters())<sum(p.numel() for p in full.parameters())/2

def test_random_weights_are_normalised_for_too(photos):
    x = loaders(photos).one_batch()[0]
    learn = vision_learner(loaders(photos), resnet18, pretrained=False)
    assert any(isinstance(o, Normalize) for o in learn.dls.batch_tfms) and 0<=x.min() and learn.dls.one_batch()[0].min()<-0.5
    assert not any(isinstance(o, Normalize) for o in vision_learner(loaders(photos), resnet18, pretrained=False, normalize=False).dls.batch_tfms)

@pytest.mark.parametrize('arch', [resnet18, 'test_resnet'])
def test_grey_pictures_and_a_model_for_colours(photos, arch):
    "The number of channels comes from the data"
    learn = vision_learner(loaders(photos, img_cls=PILImageBW), arch, pretrained=False).no_bar()
    assert next(o for o in learn.model.modules() if isinstance(o, nn.Conv2d)).in_channels==1
    learn.fit(1)
    assert learn.predict(get_image_files(photos)[0])[0] in learn.dls.vocab

def test_compiled_model(learn):
    "The wrapper of torch.compile hides nothing from groups, freezing and saving"
    plain = len(learn.layer_groups)
    learn.model = torch.compile(learn.model, backend='eager')
    learn.freeze()
    assert len(learn.layer_groups)==plain
    assert groups_that_learned(learn, lambda: learn.fit(1))==[False,False,True]
    learn.save('one'); learn.load('one'); learn.get_preds()

def test_half_precision_on_a_cpu(learn, photos):
    "It computes in half precision, or says that it can't; no switch without effect"
    x = torch.rand(2,3,32,32)
    seen = []
    h = next(o for o in learn.model.modules() if isinstance(o, nn.Conv2d)).register_forward_hook(lambda m,i,o: seen.append(o.dtype))
    for to in learn.to_bf16, learn.to_fp32: list(to().eval_pass([(x,)]))
    h.remove()
    assert seen==[torch.bfloat16,torch.float32] and 'bfloat16' in repr(learn.to_bf16())
    learn.fit(1)

def test_transformer_of_torchvision(photos):
    "Built, cut into groups, and it says which size of picture it takes"
    learn = vision_learner(loaders(photos, size=64), models.vit_b_16, pretrained=False, img_size=64)
    assert len(learn.layer_groups)>=2 and next(learn.eval_pass([(torch.rand(1,3,64,64),)]))[2].shape==(1,2)
    with pytest.raises(ValueError, match='Resize'): list(vision_learner(loaders(photos, size=64), models.vit_b_16, pretrained=False).eval_pass([(torch.rand(1,3,64,64),)]))

def test_channels_last_features():
    "A Swin's features come with their channels last, and the head must not notice"
    from wholegame.vision.models import vision_model
    m = vision_model('swin_tiny_patch4_window7_224', 2, False).eval()
    with torch.no_grad(): assert m(torch.rand(1,3,224,224)).shape==(1,2)

def test_plain_loaders_predict():
    "PyTorch's own loaders train, validate and predict"
    ds = [(torch.rand(3,8,8), i%2) for i in range(8)]
    learn = Learner(DataLoaders(*[torch.utils.data.DataLoader(ds, 4)]*2), nn.Sequential(nn.Flatten(), nn.Linear(192,2)), loss_func=nn.CrossEntropyLoss()).no_bar()
    learn.fit(1)
    assert learn.predict(ds[0][0])[2].shape==(2,) and learn.get_preds()[0].shape==(8,2)

# Loading

def test_workers_take_lambdas(photos):
    "Under any way to start processes, since they are threads"
    code = f'''
import multiprocessing as mp
mp.set_start_method('spawn')
from wholegame.vision.all import *
dls = DataBlock((ImageBlock,CategoryBlock), get_items=get_image_files, get_y=lambda o: o.parent.name, item_tfms=[Resize(32), lambda im: im]).dataloaders({str(photos)!r}, bs=8, num_workers=3)
print(sum(len(o[1]) for o in dls.train))'''
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout=='32\n'

def test_order_does_not_depend_on_workers(photos):
    def batches(n):
        dls = loaders(photos, num_workers=n, batch_tfms=aug_transforms())
        dls.train.seed = 5
        return torch.cat([o[0] for o in dls.train])
    assert all(torch.equal(batches(0), batches(n)) for n in (1,3))

def test_pictures_of_every_mode_and_turned(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    for i,k in enumerate('ab'*6):
        (tmp_path/k).mkdir(exist_ok=True)
        img = Image.new('RGB', (40,30), (i*20,90,200-i*10))
        img.convert(('L','RGBA','P','1','LA','CMYK')[i//2]).save(tmp_path/k/f'{i}.{"tif" if i//2==5 else "png"}')
    Image.new('RGB', (100,50)).save(tmp_path/'a'/'turned.jpg', exif=exif)
    assert PILImage.create(tmp_path/'a'/'turned.jpg').size==(50,100)
    dls = ImageDataLoaders.from_folder(tmp_path, valid_pct=0.3, seed=0, item_tfms=Resize(16), bs=4)
    assert all(o[0].shape[1]==3 for o in dls.train)

# Downloads

@pytest.fixture
def server():
    "Pictures by their number after the question mark, and nothing for number 3"
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args): pass
        def do_GET(self):
            i,buf = int(self.path.partition('id=')[2]),io.BytesIO()
            draw_bird(i, 32).convert('RGB').save(buf, 'JPEG')
            self.send_response(404 if i==3 else 200)
            self.end_headers()
            if i!=3: self.wfile.write(buf.getvalue())
    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as s:
        Thread(target=s.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{s.server_port}'
        s.shutdown()

def test_downloads_that_fail_are_named_and_questions_are_kept(server, tmp_path, capsys):
    urls = [f'{server}/get?id={i}' for i in range(5)]
    failed = download_images(tmp_path/'birds', urls=urls)
    assert list(failed)==[urls[3]] and len(get_image_files(tmp_path/'birds'))==4
    out = capsys.readouterr().out
    assert '4 of 5' in out and '1 failed' in out and '404' in out
    assert len({o.read_bytes() for o in get_image_files(tmp_path/'birds')})==4, 'the part behind the question mark decides which picture'

# Warnings and words: everything in this file runs with warnings as errors

def test_nothing_warns(photos, tmp_path):
    "What a lesson calls, from data to an opened export"
    dls = loaders(photos, batch_tfms=aug_transforms())
    dls.show_batch(max_n=4)
    learn = vision_learner(dls, 'test_resnet', pretrained=False, metrics=[accuracy,error_rate], path=tmp_path).no_bar()
    learn.lr_find(num_it=4); learn.fine_tune(1); learn.save('one'); learn.load('one'); learn.show_results(max_n=4); learn.recorder.plot_loss()
    interp = ClassificationInterpretation.from_learner(learn)
    interp.plot_confusion_matrix(); interp.plot_top_losses(4); interp.most_confused()
    load_learner(learn.export()).predict(get_image_files(photos)[0])

def test_from_csv_does_not_warn(photos, tmp_path):
    fs = get_image_files(photos)
    pd.DataFrame({'name': list(map(str, fs)), 'label': [o.parent.name for o in fs]}).to_csv(tmp_path/'labels.csv', index=False)
    assert ImageDataLoaders.from_csv(tmp_path, seed=1, item_tfms=Resize(32), bs=8).vocab==['bird','forest']

def test_misspelt_attributes_name_the_class(learn):
    assert "'Learner' has no attribute 'fine_tun'. Did you mean 'fine_tune'?" in message(AttributeError, getattr, learn, 'fine_tun')
    assert "'DataLoaders' object has no attribute 'shwo_batch'" in message(AttributeError, getattr, learn.dls, 'shwo_batch')

def test_signatures_are_complete():
    for k in 'from_folder from_name_func from_path_func from_name_re from_path_re from_df from_csv from_lists'.split():
        ps = inspect.signature(getattr(ImageDataLoaders, k)).parameters
        assert {'valid_pct','seed','item_tfms','batch_tfms','bs'} <= ps.keys() and 'kwargs' not in ps, k

def test_things_say_what_they_are(photos):
    dls = loaders(photos)
    assert repr(dls).startswith('DataLoaders: items: 36 for training, 12 for validation; classes: 2 (bird, forest); batch: 8 items')
    assert '<td' in dls._repr_html_()
    block = repr(DataBlock((ImageBlock,CategoryBlock), get_items=get_image_files, get_y=parent_label, item_tfms=Resize(32)))
    assert all(o in block for o in ('ImageBlock, CategoryBlock','get_image_files','parent_label','Resize'))

def test_star_brings_no_modules_of_python():
    ns = {}
    exec('from wholegame.vision.all import *', ns)
    assert not {'run','test','time','os','sys','re','json','random','groupby','cycle','equals','dispatch'} & set(ns) and len(ns)<250

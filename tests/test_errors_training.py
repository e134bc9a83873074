"Mistakes people make in training and prediction: each is answered with what was found and what to do"
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn
from torchvision.models import resnet18

from wholegame.callbacks import CSVLogger, EarlyStoppingCallback, GradientAccumulation, GradientClip, MixUp, ReduceLROnPlateau, SaveModelCallback
from wholegame.data.block import CategoryBlock, RegressionBlock
from wholegame.data.datablock import DataBlock
from wholegame.data.loaders import DataLoaders
from wholegame.data.transforms import RandomSplitter, get_image_files, parent_label
from wholegame.events import Callback
from wholegame import inference, schedule # each adds methods to Learner
from wholegame.learner import Learner
from wholegame.metrics import accuracy, accuracy_multi, error_rate
from wholegame.optimizer import SGD
from wholegame.vision.core import ImageBlock
from wholegame.vision.resize import Resize
from wholegame.vision.learner import vision_learner

torch.set_num_threads(1)


def draw(f, kind, size=32):
    im = Image.new('RGB', (size,size), 'white')
    getattr(ImageDraw.Draw(im), 'ellipse' if kind=='circle' else 'rectangle')([8,8,24,24], fill='navy')
    im.save(f)


def photos(path, kinds=('circle','square'), n=10):
    for k in kinds:
        (path/k).mkdir(parents=True, exist_ok=True)
        for i in range(n): draw(path/k/f'{i}.png', k)
    return path


def vision_dls(path, kinds=('circle','square'), y_block=CategoryBlock, get_y=parent_label, size=32):
    return DataBlock(blocks=(ImageBlock,y_block), get_items=get_image_files, get_y=get_y, item_tfms=Resize(size),
                     splitter=RandomSplitter(0.3, seed=1)).dataloaders(photos(path, kinds), path=path, bs=4)


def tiny(n_out=2): return nn.Sequential(nn.Conv2d(3,4,3,stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,n_out))


@pytest.fixture(scope='module')
def path(tmp_path_factory): return photos(tmp_path_factory.mktemp('shapes'))


@pytest.fixture(scope='module')
def dls(path): return vision_dls(path)


@pytest.fixture
def learn(dls): return Learner(dls, tiny(), metrics=accuracy).no_bar()


def line_learner(path=None, **kw):
    x = torch.linspace(-1,1,16)[:,None]
    return Learner(DataLoaders([(x,3*x)]*4, [(x,3*x)]), nn.Linear(1,1), path=path, **{'loss_func':nn.MSELoss(), **kw}).no_bar()


def raises(err, *parts):
    "Every part has to be in the message"
    return pytest.raises(err, match=''.join(f'(?=.*{re.escape(o)})' for o in parts) + '(?s:.*)')


# --- vision_learner's arguments

def test_misspelt_argument(dls):
    with raises(TypeError, "vision_learner() got an unknown argument 'metric'", "Did you mean 'metrics'?"):
        vision_learner(dls, resnet18, metric=error_rate, pretrained=False)


def test_swapped_arguments(dls):
    with raises(TypeError, 'vision_learner(dls, arch)', 'resnet18', 'DataLoaders', 'swapped'): vision_learner(resnet18, dls)


def test_model_instead_of_architecture(dls):
    with raises(TypeError, 'Pass the architecture itself (resnet18), not a model (resnet18()).'): vision_learner(dls, resnet18())


def test_unknown_timm_name(dls):
    with raises(ValueError, 'resnet19d', "Did you mean", 'resnet18d'): vision_learner(dls, 'resnet19d', pretrained=False)


def test_vit_with_wrong_size(dls):
    learn = None
    with raises(ValueError, '32', '224', 'Resize(224)'):
        learn = vision_learner(dls, 'vit_tiny_patch16_224', pretrained=False, metrics=error_rate).no_bar()
        learn.fit(1)


def test_weights_cannot_be_downloaded(dls, monkeypatch, tmp_path):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setenv('HF_HOME', str(tmp_path))
    monkeypatch.setenv('WHOLEGAME_OFFLINE', '0')
    import socket
    def no_network(*a, **k): raise OSError('Temporary failure in name resolution')
    monkeypatch.setattr(socket, 'getaddrinfo', no_network)
    torch.hub.set_dir(str(tmp_path/'hub'))
    try:
        with raises((RuntimeError,FileNotFoundError,OSError), 'resnet18-f37072fd.pth', 'pretrained=False'): vision_learner(dls, resnet18)
        tries = []
        monkeypatch.setattr(socket, 'getaddrinfo', lambda *a, **k: tries.append(a) or no_network())
        with raises(RuntimeError, 'weights of resnet26t', 'pretrained=False', 'name resolution'): vision_learner(dls, 'resnet26t')
        assert len(tries)==1 # asked once, not for a minute
    finally: torch.hub._hub_dir = None


# --- losses and metrics

def test_no_loss_function():
    x = torch.zeros(4,1)
    with raises(ValueError, 'loss_func', 'nn.'): Learner(DataLoaders([(x,x)], [(x,x)]), nn.Linear(1,1))


def test_metric_of_the_wrong_kind(dls):
    learn = Learner(dls, tiny(), metrics=accuracy_multi).no_bar()
    with raises(ValueError, 'accuracy_multi', '(4, 2)', '(4,)', 'use accuracy'): learn.fit(1)


def test_error_rate_on_masks():
    x,y = torch.rand(4,1,8,8), torch.zeros(4,8,8).long()
    learn = Learner(DataLoaders([(x,y)], [(x,y)]), nn.Conv2d(1,2,1), loss_func=nn.CrossEntropyLoss(), metrics=error_rate).no_bar()
    with raises(ValueError, 'error_rate', 'foreground_acc', 'DiceMulti'): learn.fit(1)


# --- callbacks

@pytest.mark.parametrize('cb', [EarlyStoppingCallback, SaveModelCallback, ReduceLROnPlateau])
def test_monitor_is_not_recorded(learn, cb):
    before = [o.clone() for o in learn.model.parameters()]
    with raises(ValueError, "monitor='acc' is not recorded; recorded: train_loss, valid_loss, accuracy."):
        learn.fit(1, cbs=cb(monitor='acc'))
    assert all(torch.equal(a,b) for a,b in zip(before, learn.model.parameters())), 'no training before the check'
    assert not learn.recorder.values


def test_error_without_arguments_in_a_callback():
    class Bad(Callback):
        def after_batch(self): raise KeyError
    with pytest.raises(KeyError): line_learner().fit(1, cbs=Bad())


def test_misspelt_method(learn):
    with raises(AttributeError, 'Learner', 'fine_tun', 'fine_tune'): learn.fine_tun


# --- saved files

def test_load_with_other_classes(learn, path, tmp_path):
    learn.path = tmp_path
    learn.save('two')
    three = Learner(vision_dls(tmp_path/'three', ('circle','square','tri')), tiny(3), path=tmp_path).no_bar()
    with raises((ValueError,RuntimeError), 'circle', 'square', 'tri', 'saved for', 'this learner has'): three.load('two')


def test_load_learner_on_weights(learn, tmp_path):
    learn.path = tmp_path
    load_learner = pytest.importorskip('wholegame.export').load_learner
    f = learn.save('three')
    with raises(ValueError, f.name, 'holds weights', "learn.load('three')"): load_learner(f)


# --- prediction

def test_predict_missing_file(learn):
    with raises(FileNotFoundError, 'nothing_here.png'): learn.predict('nothing_here.png')


def test_predict_url(learn, path):
    handler = partial(SimpleHTTPRequestHandler, directory=str(path))
    handler.log_message = lambda *a: None
    with ThreadingHTTPServer(('127.0.0.1',0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        got = learn.predict(f'http://127.0.0.1:{server.server_port}/circle/0.png')
        server.shutdown()
    assert torch.equal(got[2], learn.predict(path/'circle/0.png')[2])


def test_predict_unreachable_url(learn, monkeypatch):
    with raises((OSError,RuntimeError), 'http://127.0.0.1:9/x.png'): learn.predict('http://127.0.0.1:9/x.png')


def test_predict_list(learn, path):
    with raises(TypeError, 'predict_batch', 'test_dl'): learn.predict(get_image_files(path))


def test_predict_tensor_and_array(learn, path):
    im = Image.open(path/'circle/0.png').convert('RGB')
    by_file,*others = [learn.predict(o)[2] for o in (path/'circle/0.png', im, np.array(im), torch.from_numpy(np.array(im)).permute(2,0,1))]
    for o in others: assert torch.allclose(by_file, o, atol=1e-4)


def test_predict_with_plain_loaders():
    learn = line_learner()
    learn.fit(1)
    _,y,_ = learn.predict(torch.tensor([0.5]))
    assert y.shape==(1,)


def test_inference_leaves_history_mode_and_luck_alone(learn, path):
    learn.fit(1)
    before = list(learn.recorder.losses), [list(o) for o in learn.recorder.values]
    learn.model.train()
    state = torch.get_rng_state()
    learn.validate(); learn.get_preds(); learn.predict(path/'circle/0.png')
    assert (list(learn.recorder.losses), [list(o) for o in learn.recorder.values])==before
    assert learn.model.training and torch.equal(state, torch.get_rng_state())


def test_show_results_of_regression(path, tmp_path):
    dls = vision_dls(tmp_path, y_block=RegressionBlock, get_y=lambda o: float(o.stem))
    learn = Learner(dls, tiny(1)).no_bar()
    learn.show_results(max_n=2)


# --- interruption

class Stop(Callback):
    "Press Ctrl-C in the middle of an epoch"
    order = 100
    def __init__(self, at): self.at = at
    def after_batch(self):
        if self.training and self.learn.train_iter==self.at: raise KeyboardInterrupt


def test_interrupted_fit_says_how_to_go_on(tmp_path, capsys):
    learn = line_learner(tmp_path)
    try: learn.fit_one_cycle(4, cbs=Stop(6))
    except KeyboardInterrupt as e: text = str(e)
    else: text = ''
    text += capsys.readouterr().out
    assert not learn.model.training and learn.opt.param_groups[-1]['lr']==learn.lr
    for o in ('Stopped in epoch', 'of 4', 'batch', 'resume=True', 'interrupted'): assert o in text, text
    assert list((tmp_path/'models').glob('interrupted*'))


def test_callbacks_survive_an_interruption(tmp_path):
    "Interrupted and resumed in a new learner: the same numbers and the same log as in one go"
    def fit(path, *extra, **kw):
        torch.manual_seed(1)
        learn = line_learner(path)
        cbs = [MixUp(), GradientAccumulation(48), GradientClip(1.), CSVLogger(), SaveModelCallback(), EarlyStoppingCallback(patience=3), *extra]
        learn.fit_one_cycle(3, 0.05, cbs=cbs, **kw)
        return learn.recorder.values, (path/'history.csv').read_text()
    once = fit(tmp_path/'once')
    fit(tmp_path/'twice', Stop(4*1+2))
    assert fit(tmp_path/'twice', resume=True)==once


def test_interrupted_lr_find_restores_weights(tmp_path):
    learn = line_learner(tmp_path)
    before = [o.clone() for o in learn.model.parameters()]
    state = torch.get_rng_state()
    learn.add_cb(Stop(6))
    try: learn.lr_find(show_plot=False)
    except KeyboardInterrupt: pass
    assert all(torch.equal(a,b) for a,b in zip(before, learn.model.parameters()))
    assert torch.equal(state, torch.get_rng_state())
    assert not [o for o in tmp_path.rglob('*') if o.is_file()]


def test_lr_find_does_not_change_what_follows(dls):
    def fit(find):
        torch.manual_seed(7)
        learn = Learner(vision_dls(dls.path), tiny(), opt_func=SGD).no_bar()
        if find: learn.lr_find(num_it=5, show_plot=False)
        learn.fit(1)
        return learn.recorder.values[-1]
    assert fit(True)==fit(False)


# --- what a failure leaves behind

class Fail(Callback):
    "Raise `error` in `event` of one batch of training"
    run_valid = False
    def __init__(self, error, event, at=1, order=0):
        self.order,self.error,self.at = order,error,at
        setattr(self, event, self._fail)
    def _fail(self):
        if self.learn.train_iter in (self.at-1,self.at) and not self.__dict__.get('over'):
            self.over = True
            raise self.error


def norm_learner(path=None, n=4, valid=None, **kw):
    torch.manual_seed(0)
    x = torch.randn(16,3)
    model = nn.Sequential(nn.Linear(3,4), nn.BatchNorm1d(4), nn.Linear(4,2))
    return Learner(DataLoaders([(x,(x[:,0]>0).long())]*n, [(x,(x[:,0]>0).long())] if valid is None else valid), model, nn.CrossEntropyLoss(), path=path, **kw).no_bar()


def test_failed_batch_leaves_norm_layers_alone(tmp_path):
    "A batch that fails half way may not change how fast running statistics move from then on"
    learn = norm_learner(tmp_path)
    with pytest.raises(RuntimeError, match='oops'): learn.fit(1, cbs=Fail(RuntimeError('oops'), 'after_loss', 1))
    assert learn.model[1].momentum==0.1

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


def record(learn):
    r = learn.recorder
    return r.values,list(r.losses),r.lrs,r.iters,[o['epoch'] for o in r.history]

@pytest.mark.parametrize('error', [KeyboardInterrupt(), RuntimeError('oops')], ids=['stopped','failed'])
@pytest.mark.parametrize('event', ['after_batch','after_epoch'])
@pytest.mark.parametrize('order', [-50,0,200])
def test_record_is_whole_whoever_is_interrupted(tmp_path, error, event, order):
    "An interrupt or an error in any callback, before or after the recorder: going on gives the record of one go"
    once = norm_learner(tmp_path/'once')
    once.fit(3)
    learn = norm_learner(tmp_path)
    try: learn.fit(3, cbs=Fail(error, event, 6 if event=='after_batch' else 8, order))
    except RuntimeError as e: assert str(e)=='oops'
    learn.fit(3, resume=True)
    assert record(learn)==record(once)
    assert all(a.equal(b) for a,b in zip(learn.model.state_dict().values(), once.model.state_dict().values()))


def test_interrupt_after_a_checkpoint_repeats_no_epoch(tmp_path):
    once = norm_learner(tmp_path/'once')
    once.fit(3)
    learn = norm_learner(tmp_path)
    learn.fit(3, cbs=Fail(KeyboardInterrupt(), 'after_epoch', 8, 200), checkpoint=True)
    learn.fit(3, resume=True)
    assert record(learn)==record(once)


def test_two_callbacks_of_one_class_resume_as_themselves(tmp_path):
    def cbs(): return [SaveModelCallback('valid_loss', fname='a'), SaveModelCallback('accuracy', fname='b'), *[GradientAccumulation(n) for n in (16,32)]]
    learn = norm_learner(tmp_path, metrics=accuracy)
    first,again = cbs(),cbs()
    learn.fit(3, cbs=[*first, Fail(KeyboardInterrupt(), 'after_batch', 6, 200)])
    best = [o.best for o in first[:2]]
    assert best[0]!=best[1]
    seen = []
    class Look(Callback):
        def before_epoch(self): seen.append([o.best for o in again[:2]])
    learn.fit(3, cbs=[*again, Look], resume=True)
    assert seen[0]==best


def test_what_stopping_says(tmp_path, capsys):
    learn = norm_learner(tmp_path)
    learn.fit(2, cbs=Fail(KeyboardInterrupt(), 'after_epoch', 8, 200))
    assert 'Stopped after epoch 2 of 2' in capsys.readouterr().out
    learn.fit(2, resume=True)
    assert 'Resuming after epoch 2 of 2' in capsys.readouterr().out and len(learn.recorder.values)==2


# --- what is given in unusual ways

def test_validation_without_targets(tmp_path):
    x = torch.randn(8,3)
    learn = norm_learner(tmp_path, valid=[(x,)])
    with raises(ValueError, 'validation batches hold no targets'): learn.fit(1)


def test_one_loader_is_enough():
    x = torch.randn(8,3)
    learn = Learner(DataLoaders([(x,x[:,0]>0)]), nn.Sequential(nn.Linear(3,1), nn.Flatten(0)), lambda p,t: nn.functional.mse_loss(p, t.float())).no_bar()
    learn.fit(1)
    assert learn.recorder.value_names==['train_loss'] and len(learn.recorder.values)==1


@pytest.mark.parametrize('name', ['Model','Opt','Metrics','Fit','Dls'])
def test_callback_that_would_hide_the_learners_own(name):
    cb = type(name, (Callback,), {})
    with raises(ValueError, f"callback '{name}' would be kept as learn.{name.lower()}", 'another name'): line_learner().add_cb(cb)


def test_callbacks_and_metrics_in_an_L():
    from fastcore.foundation import L
    learn = line_learner(metrics=L(nn.functional.l1_loss, nn.functional.mse_loss), cbs=L(Callback()))
    learn.fit(1, cbs=L(Callback))
    assert len(learn.recorder.values[0])==4 and [o.name for o in learn.cbs].count('callback')==1


def test_two_of_one_name():
    a,b = Callback(),Callback()
    learn = line_learner(cbs=[a,b])
    learn.remove_cb(b)
    assert learn.callback is a


def test_silence_in_silence():
    learn = Learner(DataLoaders([], []), nn.Linear(1,1), nn.MSELoss())
    with learn.no_bar():
        with learn.no_bar(): pass
        assert not hasattr(learn, 'progress')
    assert learn.progress in learn.cbs


def test_one_item_and_batch_norm(tmp_path):
    "torch says 'Expected more than 1 value per channel'"
    x = torch.randn(9,3)
    dl = torch.utils.data.DataLoader(list(zip(x, (x[:,0]>0).long())), 4)
    learn = norm_learner(tmp_path)
    learn.dls = DataLoaders(dl, dl)
    with raises(ValueError, 'atch 3 of epoch 1 holds one item', 'drop_last=True'): learn.fit(1)


class Named(torch.utils.data.Dataset):
    "Five items whose input is a dictionary; the last one is wrong by 10"
    def __len__(self): return 5
    def __getitem__(self, i): return {'a':torch.zeros(3), 'b':torch.zeros(3)}, torch.tensor([10. if i==4 else 0.])

class Zero(nn.Module):
    def __init__(self): super().__init__(); self.w = nn.Parameter(torch.zeros(()))
    def forward(self, x): return x['a'].sum(1, keepdim=True) + self.w


def test_inputs_in_dictionaries_count_by_item():
    "Four items and one: the mean is over five items, whatever the batches hold"
    dl = torch.utils.data.DataLoader(Named(), 4)
    learn = Learner(DataLoaders(dl, dl), Zero(), nn.MSELoss(), lr=0.).no_bar()
    learn.fit(1)
    assert learn.recorder.values[0][1]==pytest.approx(20.)==learn.validate()[0]


class Skip(Callback):
    run_valid = False
    def __init__(self, error, order): self.error,self.order = error,order
    def before_step(self):
        if self.learn.iter==1: raise self.error

@pytest.mark.parametrize('order', [-10,0])
def test_skipped_steps_and_scaled_losses(order):
    "A step that is skipped leaves the scaler of fp16 ready; gradients that are kept add up as without it"
    from wholegame.events import CancelBatchException, CancelStepException
    from wholegame.precision import LossScaler
    def fit(error, scaled):
        torch.manual_seed(0)
        learn = line_learner(opt_func=SGD, lr=0.1, cbs=Skip(error, order))
        if scaled:
            learn.scaler = torch.amp.GradScaler('cpu', init_scale=1024.)
            learn.add_cb(LossScaler())
        learn.fit(1)
        return learn.model.weight
    for error in (CancelStepException(), CancelBatchException()): torch.testing.assert_close(fit(error, True), fit(error, False))


def test_compiled_once_for_training_and_once_for_use(tmp_path):
    "What changes from batch to batch may not be built into the compiled model"
    from torch._dynamo.utils import counters
    torch._dynamo.reset()
    counters.clear()
    plain,learn = norm_learner(tmp_path, n=6),norm_learner(tmp_path, n=6)
    learn.model = torch.compile(learn.model, backend='eager')
    for o in (plain,learn): o.fit(2)
    assert counters['stats']['unique_graphs']<=2
    for a,b in zip(plain.model.state_dict().values(), learn.bare.state_dict().values()): torch.testing.assert_close(a, b)
    torch._dynamo.reset()


# --- numbers that make no sense

@pytest.mark.parametrize('lr', [slice(0,1e-3), slice(-1e-4,1e-3), slice(1e-4,-1e-3), slice(None)], ids=str)
def test_rates_that_are_none(lr):
    with raises(ValueError, "Can't read the learning rates", 'slice(first, last)', 'above 0'): line_learner(splitter=lambda m: [[m.weight],[m.bias]]).fit(1, lr)


@pytest.mark.parametrize('n', [-1,1.5,'2'])
def test_epochs_that_are_none(n):
    with raises(ValueError, 'n_epoch is a whole number'): line_learner().fit(n)


def test_epochs_of_numpy():
    learn = line_learner()
    learn.fit(np.int64(2))
    learn.fit(1.0)
    assert len(learn.recorder.values)==3


def test_export_into_a_folder(path, tmp_path):
    from wholegame.export import load_learner
    learn = vision_learner(vision_dls(path), 'test_resnet', pretrained=False, path=tmp_path).no_bar()
    (tmp_path/'out').mkdir()
    assert learn.export('out')==tmp_path/'out'/'export.safetensors' and load_learner(tmp_path/'out').predict(next(path.rglob('*.png')))

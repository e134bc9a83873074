"""Batch normalisation whose statistics fell behind: looked at again after an epoch, cheaply, and without a trace in anything else."""
import pytest
import torch
from torch import nn

from wholegame.core import set_seed
from wholegame.data.loaders import DataLoaders
from wholegame.events import Callback
from wholegame.learner import Learner
from wholegame.norms import WarmNorm, keep_norms
from wholegame.optimizer import Adam
from wholegame.resume import rng_state

torch.set_num_threads(1)

def deep(n=8, width=32):
    "Blocks that start small and grow fast, as those of a new decoder do"
    net = nn.Sequential(*[o for _ in range(n) for o in (nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU())], nn.Dropout(0.1), nn.Linear(width, 2))
    for o in net[::3]:
        if isinstance(o, nn.Linear): nn.init.normal_(o.weight, std=.004)
    return net

class Passes(Callback):
    "Forward passes of the model, with and without gradients"
    def before_fit(self):
        self.n,self.free = 0,0
        self.handle = self.learn.bare.register_forward_hook(self.count)
    def count(self, *args):
        self.n += 1
        self.free += not torch.is_grad_enabled()
    def after_fit(self): self.handle.remove()

def learner(valid=True, look_again=4, **kw):
    set_seed(1) # for data, weights and what follows
    x = torch.randn(12*32,32)
    y = (x[:,0]>0).long()
    train = torch.utils.data.DataLoader(list(zip(x, y)), 32, shuffle=True)
    dls = DataLoaders(train, [(x[:64],y[:64])] if valid else None)
    args = dict(loss_func=nn.CrossEntropyLoss(), opt_func=Adam, lr=2e-3, mixed=False, cbs=[WarmNorm(look_again=look_again), Passes()])
    return Learner(dls, deep(), **{**args, **kw}).no_bar()

def both(n=1):
    "Two trainings that differ in whether they look again"
    res = learner(look_again=0),learner()
    for o in res:
        set_seed(2)
        o.fit(n)
    return res

def stats(learn): return {k:v.clone() for k,v in learn.model.state_dict().items() if 'running' in k}

def test_validation_is_right_after_one_epoch():
    old,new = both()
    assert torch.equal(old.model[0].weight, new.model[0].weight)
    assert new.recorder.losses==old.recorder.losses
    assert new.recorder.values[-1][1] < old.recorder.values[-1][1]
    x = torch.randn(512,32)
    with torch.no_grad():
        seen = new.model[:-2].train()(x).std()
        assert abs(new.model[:-2].eval()(x).std()/seen-1) < abs(old.model[:-2].eval()(x).std()/seen-1)

def test_it_costs_four_passes_without_gradients():
    old,new = both()
    assert (old.passes.n, old.passes.free)==(13, 1)
    assert (new.passes.n, new.passes.free)==(17, 5)

def test_it_costs_nothing_once_weights_rest():
    learn = learner()
    learn.fit(2)
    n = learn.passes.n
    learn.fit(2, lr=1e-7)
    assert learn.passes.n<=26+4 and n<=26+8 # the first of them may still have to catch up
    learn.fit(1, lr=1e-7)
    assert learn.passes.n==13

def test_luck_and_order_stay():
    "The batches, dropout and all random numbers afterwards are those of a training that doesn't look again"
    old,new,rng = learner(look_again=0),learner(),[]
    for o in old,new:
        set_seed(2)
        o.fit(2)
        rng.append(rng_state()['torch'])
    assert torch.equal(*rng) and old.recorder.losses==new.recorder.losses

def test_without_validation_too():
    new = learner(valid=False)
    new.fit(1)
    assert new.passes.n==16 and not new.model.training

def test_kept_and_frozen_layers_stay():
    learn = learner()
    for o in learn.model[:6].modules():
        if isinstance(o, nn.BatchNorm1d): o.running_mean.fill_(-.01)
    keep_norms(learn)
    before = stats(learn)
    learn.fit(1)
    same = [k for k,v in stats(learn).items() if torch.equal(v, before[k])]
    assert same==['1.running_mean','1.running_var','4.running_mean','4.running_var']

def test_variance_is_never_negative():
    learn = learner(look_again=0)
    learn.fit(1)
    assert all((v>=0).all() for k,v in stats(learn).items() if 'var' in k)

class Stop(Callback):
    order = 99
    def __init__(self, at, training): self.at,self.of = at,training
    def after_batch(self):
        if self.learn.training==self.of and self.learn.epoch==0 and (not self.of or self.learn.done==self.at): raise KeyboardInterrupt

@pytest.mark.parametrize('at,training', [(5,True), (12,True), (0,False)], ids=['amid the epoch','after its last batch','in validation'])
def test_goes_on_to_the_same_bits(at, training, tmp_path):
    whole = learner(path=tmp_path)
    set_seed(2)
    whole.fit(2)
    stopped = learner(path=tmp_path)
    set_seed(2)
    stopped.fit(2, cbs=Stop(at, training))
    again = learner(path=tmp_path)
    again.fit(2, resume=True)
    for (k,a),b in zip(whole.model.state_dict().items(), again.model.state_dict().values()): assert k.endswith('tracked') or torch.equal(a, b), k

def test_half_precision_and_compiled_wrapper():
    learn = learner(mixed=torch.bfloat16)
    plain,learn.model = learn.model,nn.Module()
    learn.model._orig_mod,learn.model.forward = plain,plain.forward
    learn.fit(1)
    assert learn.bare is plain and learn.passes.free==4 and all(m.momentum==0.1 for m in plain.modules() if isinstance(m, nn.BatchNorm1d))

"""Temperatures and counts: every kind of loss and target, damage, and what a file keeps for another process."""
import json, subprocess, sys, warnings
import numpy as np, pandas as pd, pytest, torch
from torch import nn
from torch.nn import functional as F
from wholegame.balance import CombinedLoss, DiceLoss, FocalLossFlat
from wholegame.calibration import brier, ece, ece_luck, fit_temperature, reliability
from wholegame.counts import CountBlock, PoissonLossFlat, poisson_deviance
from wholegame.data.block import Block, CategoryBlock, MultiCategoryBlock, RegressionBlock
from wholegame.data.datablock import DataBlock
from wholegame.data.loaders import DataLoaders
from wholegame.export import load_learner
from wholegame.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, LabelSmoothingCrossEntropy
from wholegame.schedule import Learner

class Four(Block):
    "Four numbers, given as a tuple"
    def accepts(self, o): return isinstance(o, tuple)

def drawn(n=200):
    "Scores of three classes, and classes drawn from them"
    g = torch.Generator().manual_seed(0)
    z = torch.randn(n, 3, generator=g)
    return z,(z-torch.rand(n, 3, generator=g).log().neg().log()).argmax(1)

class Times(nn.Module):
    "A model that knows the scores, and shouts"
    def __init__(self, axis=1):
        super().__init__()
        self.by,self.axis = nn.Parameter(torch.tensor(4.)),axis
    def forward(self, x): return (self.by*x).movedim(1, self.axis)

def shouting(x, y, loss, axis=1): return Learner(DataLoaders([(x,y)], [(x,y)]), Times(axis), loss_func=loss).no_bar()

@pytest.mark.parametrize('loss', [CrossEntropyLossFlat(), LabelSmoothingCrossEntropy(), FocalLossFlat(), F.cross_entropy, nn.CrossEntropyLoss(label_smoothing=0.1)], ids=lambda o: getattr(o, '__name__', type(o).__name__))
def test_losses(loss):
    "Whatever the loss of classes, the temperature undoes the shouting and nothing else"
    x,y = drawn(2000)
    learn = shouting(x, y, loss)
    before = learn.get_preds(with_decoded=True)[2]
    train_loss = learn.validate()[0]
    df = learn.calibrate()
    assert 3.2<df.loc['after','temperature']<4.8 and df.loc['after','ECE']<0.04<df.loc['before','ECE']
    assert (learn.get_preds(with_decoded=True)[2]==before).all()
    assert torch.allclose(learn.get_preds()[0], (4*x/df.loc['after','temperature']).softmax(1), atol=1e-4)
    assert learn.validate()[0]==train_loss # training is left alone
    assert getattr(loss, 'temperature', 1.)==1. # and so is the loss that was passed

def test_pixels_and_words():
    "Classes on any axis, and targets that don't count"
    x,y = drawn(1800)
    x,y = x.reshape(50,6,6,3).movedim(-1,1),y.reshape(50,6,6).clone()
    want = fit_temperature(x[:,:,1:]*4, y[:,1:])
    for ignore in -100,255:
        y[:,0] = ignore
        assert shouting(x, y, CrossEntropyLossFlat(ignore_index=ignore)).calibrate().loc['after','temperature']==pytest.approx(want, rel=1e-4)
    y[:,0] = -100
    assert shouting(x, y, CrossEntropyLossFlat(axis=-1), -1).calibrate().loc['after','temperature']==pytest.approx(want, rel=1e-4)
    assert ece((x*4).softmax(1), y)==pytest.approx(ece((x*4).softmax(1)[:,:,1:], y[:,1:]))

@pytest.mark.parametrize('shape', [(-1,),(-1,1)])
def test_one_yes_or_no(shape):
    "A single output, with targets in either shape"
    x,_ = drawn(2000)
    y = (torch.rand(2000, generator=torch.Generator().manual_seed(1))<x[:,0].sigmoid()).float()
    df = shouting(x[:,:1], y.reshape(shape), BCEWithLogitsLossFlat()).calibrate()
    assert 3<df.loc['after','temperature']<5 and df['right'].nunique()==1

def test_half_precision():
    "Scores of 16 bits give probabilities of 32"
    x,y = drawn()
    learn = shouting(x.bfloat16(), y, CrossEntropyLossFlat())
    learn.model.bfloat16()
    learn.calibrate()
    assert learn.get_preds()[0].dtype==torch.float32

@pytest.mark.parametrize('loss', [DiceLoss(), nn.NLLLoss(), lambda p,t: F.cross_entropy(p, t)], ids=['dice','nll','own'])
def test_no_temperature(loss):
    x,y = drawn()
    with pytest.raises(TypeError, match='has no temperature'): shouting(x, y, loss).calibrate()

def test_numpy_and_saturated():
    "Arrays are as good as tensors, and probabilities of exactly 0 and 1 fall into bins"
    p,y = np.array([0,0,1,1,1.]),np.array([0,0,1,1,0])
    assert ece(p, y)==pytest.approx(0.2) and reliability(p, y)['items'].sum()==5 and ece_luck(p, y)==0
    assert brier(p, y)==pytest.approx(0.2)
    for bad in (np.array([.5,np.nan]),np.array([.5,1.1])):
        with pytest.raises(ValueError, match='from 0 to 1'): ece(bad, np.array([0,1]))

# ---- what a file keeps

def four(y_block, targets):
    "Loaders of two hundred items with four numbers each"
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    items = [tuple(o) for o in x.tolist()]
    known = dict(zip(items, targets))
    return DataBlock((Four,y_block), get_y=known.get, splitter=lambda o: (range(100), range(100,200))).dataloaders(items, bs=50, seed=1),items

asker = '''
import json, sys
from torch import nn
from wholegame.data.block import Block
class Four(Block):
    def accepts(self, o): return isinstance(o, tuple)
from wholegame.export import load_learner
for f,n,item in json.loads(sys.argv[1]):
    learn = load_learner(f, model=nn.Linear(4, n))
    print(json.dumps([learn.predict(tuple(item))[2].tolist(), type(learn.loss_func).__name__]))
'''

def exported(tmp_path, name, learn):
    learn.path = tmp_path
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return str(learn.export(f'{name}.safetensors'))

def test_a_file_keeps_it(tmp_path):
    "A process that knows neither counts nor calibration reads the same answers from a file"
    _,y = drawn()
    tags = [['ab'[i] for i in range(2) if k!=i] for k in y.tolist()]
    todo,want = [],[]
    for name,block,targets,loss,n in (('classes',CategoryBlock,y.tolist(),None,3), ('focal',CategoryBlock,y.tolist(),FocalLossFlat(),3), ('torch',CategoryBlock,y.tolist(),nn.CrossEntropyLoss(),3),
        ('tags',MultiCategoryBlock,tags,BCEWithLogitsLossFlat(thresh=[.3,.6]),2), ('counts',CountBlock,y.tolist(),None,1), ('rates',RegressionBlock,y.tolist(),PoissonLossFlat(),1)):
        dls,items = four(block, targets)
        learn = Learner(dls, nn.Linear(4, n), loss_func=loss).no_bar()
        learn.fit(8, 0.05)
        if n>1: learn.loss_func = learn._reader; learn.loss_func.temperature = 2.5
        todo.append((exported(tmp_path, name, learn), n, items[0]))
        want.append(learn.predict(items[0])[2].tolist())
    out = subprocess.run([sys.executable, '-W', 'error', '-c', asker, json.dumps(todo)], capture_output=True, text=True)
    assert out.returncode==0, out.stderr[-3000:]
    for line,w,(f,*_) in zip(out.stdout.splitlines(), want, todo, strict=True): assert np.allclose(json.loads(line)[0], w, atol=1e-4), f

def test_calibrated_then_exported(tmp_path):
    "The whole way, with thresholds"
    luck = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    dls,items = four(MultiCategoryBlock, [[c for c,o in zip('ab', row) if o] for row in (x[:,:2]+0.7*luck>0).tolist()])
    learn = Learner(dls, nn.Sequential(nn.Linear(4,32), nn.ReLU(), nn.Linear(32,2)), loss_func=BCEWithLogitsLossFlat(thresh=0.3)).no_bar()
    learn.fit(40, 0.02)
    was = learn.predict_batch(items[100:])
    assert learn.calibrate().loc['after','temperature']>1
    again = load_learner(exported(tmp_path, 'tags', learn), model=nn.Sequential(nn.Linear(4,32), nn.ReLU(), nn.Linear(32,2)))
    assert again.loss_func.temperature==learn.loss_func.temperature and again.loss_func.thresh==pytest.approx(learn.loss_func.thresh)
    for a,b,c in zip(was, learn.predict_batch(items[100:]), again.predict_batch(items[100:])):
        assert a[0]==b[0]==c[0] and torch.allclose(b[2], c[2], atol=1e-5)

@pytest.mark.parametrize('t', [0, -1, 'hot', None, [1,2], True, float('nan'), 1e400])
def test_forged_temperature(tmp_path, t):
    "A file that asks for a temperature that can't be one is read without it"
    from wholegame.export import _make_loss
    assert _make_loss({'kind':'CrossEntropyLossFlat', 'temperature':t}, []).temperature==1

# ---- counts in tables

def test_table_of_counts(tmp_path):
    "A column of counts, in a table: train, look, ask, export"
    from wholegame.tabular.all import Categorify, Normalize, TabularDataLoaders, tabular_learner
    rng = np.random.default_rng(0)
    df = pd.DataFrame({'day':rng.choice(['we','wd'], 600), 'temp':rng.uniform(0, 30, 600)})
    df['bikes'] = rng.poisson(np.exp(1+df.temp/10+0.5*(df.day=='we')))
    kw = dict(cat_names=['day'], cont_names=['temp'], procs=[Categorify,Normalize], y_names='bikes', y_block=CountBlock, seed=0)
    learn = tabular_learner(TabularDataLoaders.from_df(df, **kw), metrics=poisson_deviance).no_bar()
    learn.fit_one_cycle(12, 3e-2)
    assert learn.recorder.values[-1][-1]<1.5 and type(learn.loss_func) is PoissonLossFlat
    row = {'day':'we', 'temp':25}
    said,num,mean = learn.predict(row)
    assert 0.7<float(mean)/np.exp(4)<1.4
    learn.show_results(max_n=3)
    learn.path = tmp_path
    assert torch.allclose(load_learner(learn.export()).predict(row)[2], mean, atol=1e-3)
    for bad in (2.5,-1):
        with pytest.raises(ValueError, match="CountBlock wants whole numbers, 0 or more"): TabularDataLoaders.from_df(df.assign(bikes=df.bikes.where(df.index!=7, bad)), **kw)

"Training well on pictures: mixing, erasing, growing, asking several times, with every kind of target and loss"
import inspect
import re

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn
from torch.nn import functional as F

from wholegame.balance import FocalLossFlat
from wholegame.callbacks import CutMix, GradientAccumulation, MixUp
from wholegame.core import set_seed
from wholegame.data.block import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wholegame.data.datablock import DataBlock
from wholegame.data.transforms import IndexSplitter
from wholegame.events import Callback
from wholegame.export import load_learner
from wholegame.learner import Learner
from wholegame.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, LabelSmoothingCrossEntropy
from wholegame.metrics import accuracy, error_rate
from wholegame.vision.all import (BBoxBlock, BBoxLblBlock, ImageBlock, MaskBlock, PointBlock, RandomErasing, RandomResizedCrop, Resize, aug_transforms,
    vision_learner)

torch.set_num_threads(1)


def raises(err, *parts): return pytest.raises(err, match=''.join(f'(?=.*{re.escape(o)})' for o in parts) + '(?s:.*)')


def picture(i, size=(64,48)):
    img = Image.new('RGB', size, (230,225,215))
    x,y = 4+3*(i%8),4+2*(i%8)
    getattr(ImageDraw.Draw(img), 'ellipse' if i%2 else 'rectangle')((x,y,x+20,y+20), fill=(30,40,120))
    return img


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    path = tmp_path_factory.mktemp('shapes')
    for i in range(16): picture(i).save(path/f'{i:02}.png')
    return sorted(path.glob('*.png'))


def number(f): return int(f.stem)
def codes(f): return (np.array(Image.open(f).convert('L'))<150).astype(np.uint8)
def centre(f): return np.argwhere(codes(f)).mean(0)[::-1]
def box(f):
    at = np.argwhere(codes(f))
    return [(*at.min(0)[::-1], *(at.max(0)[::-1]+1))]


def kind(f): return 'round' if number(f)%2 else 'square'


def data(files, y=CategoryBlock, get_y=kind, item_tfms=Resize(32), bs=4, **kw):
    return DataBlock((ImageBlock,y), get_y=get_y, splitter=IndexSplitter([3,8,13]), item_tfms=item_tfms, **kw).dataloaders(files, bs=bs, seed=1)


def net(n_out=2): return nn.Sequential(nn.Conv2d(3,8,3,stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32,n_out))
def maps(n_out=2): return nn.Sequential(nn.Conv2d(3,8,3,padding=1), nn.ReLU(), nn.Conv2d(8,n_out,1))


class Spy(Callback):
    order,run_valid = 100,False
    def after_loss(self): self.seen = self.xb, self.pred.detach(), self.yb, self.learn.loss.detach(), self.learn.loss_grad.detach()


# --- mixing

losses = {'cross-entropy': (CategoryBlock, kind, 2, CrossEntropyLossFlat()),
    'class weights': (CategoryBlock, kind, 2, CrossEntropyLossFlat(weight=[1.,3.])),
    'label smoothing': (CategoryBlock, kind, 2, LabelSmoothingCrossEntropy()),
    'focal': (CategoryBlock, kind, 2, FocalLossFlat()),
    'a function': (CategoryBlock, kind, 2, F.cross_entropy),
    'several labels': (MultiCategoryBlock, lambda f: [kind(f), 'early' if number(f)<8 else 'late'], 4, BCEWithLogitsLossFlat()),
    'numbers': (RegressionBlock, lambda f: float(number(f)), 1, None)}


@pytest.mark.parametrize('cb', [MixUp, CutMix])
@pytest.mark.parametrize('name', losses)
def test_any_loss(files, cb, name):
    y,get_y,n_out,f = losses[name]
    set_seed(1)
    cb,spy = cb(),Spy()
    learn = Learner(data(files, y, get_y), net(n_out), loss_func=f, mixed=False).no_bar()
    learn.fit(1, cbs=[cb,spy])
    xb,pred,(yb,),loss,grad = spy.seen
    want = cb.lam*learn.loss_func(pred, yb) + (1-cb.lam)*learn.loss_func(pred, yb[cb.perm])
    assert 0<=cb.lam<=1 and torch.allclose(loss, want, atol=1e-5) and torch.equal(loss, grad)


def test_masks_are_cut_with_their_pictures(files):
    learn,cb,spy = Learner(data(files, MaskBlock(['paper','thing']), codes), maps(), mixed=False).no_bar(),CutMix(),Spy()
    set_seed(2)
    learn.fit(1, cbs=[cb,spy])
    (xb,),pred,(yb,),loss,_ = spy.seen
    assert cb.in_place and ((xb.mean(1)<0.6).long()==yb).float().mean()>0.97
    assert torch.allclose(loss, learn.loss_func(pred, yb), atol=1e-6)


def test_masks_are_blended_by_their_losses(files):
    learn,cb,spy = Learner(data(files, MaskBlock(['paper','thing']), codes), maps(), mixed=False).no_bar(),MixUp(),Spy()
    learn.fit(1, cbs=[cb,spy])
    _,pred,(yb,),loss,_ = spy.seen
    assert torch.allclose(loss, cb.lam*learn.loss_func(pred, yb) + (1-cb.lam)*learn.loss_func(pred, yb[cb.perm]), atol=1e-5)


@pytest.mark.parametrize('y,get_y,n_out', [(PointBlock,centre,2), (BBoxBlock,box,4)])
def test_places_are_not_cut(files, y, get_y, n_out):
    learn = Learner(data(files, y, get_y), net(n_out), loss_func=lambda p,t: (p.flatten()-t.flatten()).square().mean()).no_bar()
    with raises(TypeError, 'CutMix cuts things in two', y.__name__, 'Use MixUp'): learn.fit(1, cbs=CutMix())


@pytest.mark.parametrize('cb', [MixUp, CutMix])
def test_validation_sees_what_there_is(files, cb):
    "Loss and metrics of validation are those of the plain pictures and their own targets"
    learn = Learner(data(files), net(), metrics=[accuracy,error_rate], mixed=False).no_bar()
    set_seed(3)
    learn.fit(1, cbs=cb())
    assert learn.recorder.values[-1][1:]==pytest.approx(list(learn.validate()), abs=1e-6)
    learn.add_cb(cb)
    assert list(learn.validate())==pytest.approx(learn.recorder.values[-1][1:], abs=1e-6)


def test_small_bites_of_mixtures(files):
    set_seed(1)
    learn = Learner(data(files), net()).no_bar()
    learn.fit(1, cbs=[MixUp(),GradientAccumulation(8)])
    assert len(learn.recorder.losses)==3


@pytest.mark.parametrize('cb', [MixUp, CutMix])
@pytest.mark.parametrize('y,get_y', [(CategoryBlock,kind), (MaskBlock(['paper','thing']),codes), (RegressionBlock,lambda f: float(number(f)))])
def test_see_mixtures(files, cb, y, get_y):
    import matplotlib.pyplot as plt
    set_seed(4)
    cb(5.).show_batch(data(files, y, get_y, bs=12), max_n=8)
    titles = [o.get_title() for o in plt.gcf().axes if o.get_title()]
    assert any('%' in o for o in titles) or (cb is CutMix and isinstance(y, MaskBlock))
    plt.close('all')


def test_see_mixtures_of_a_learner(files):
    import matplotlib.pyplot as plt
    learn = Learner(data(files), net(), cbs=MixUp())
    learn.mix_up.show_batch(max_n=2)
    plt.close('all')


# --- erasing

def test_erasing_is_for_training_only(files, tmp_path):
    dls = data(files, batch_tfms=[RandomErasing(1., 0.2, 0.3)])
    plain = data(files)
    assert not torch.equal(dls.one_batch()[0], plain.one_batch()[0])
    assert torch.equal(dls.valid.one_batch()[0], plain.valid.one_batch()[0])
    learn = vision_learner(dls, 'test_resnet', pretrained=False, path=tmp_path).no_bar()
    other = load_learner(learn.export())
    assert [type(o).__name__ for o in other.dls.batch_tfms]==['Normalize']
    assert torch.allclose(other.predict(files[0])[2], learn.predict(files[0])[2], atol=1e-2)
    assert torch.allclose(learn.tta(beta=0.)[0], learn.get_preds()[0], atol=1e-2)


def test_erasing_leaves_targets_alone(files):
    for y,get_y in ((MaskBlock(['paper','thing']),codes), (PointBlock,centre)):
        a,b = (data(files, y, get_y, batch_tfms=aug_transforms(xtra_tfms=x)).one_batch() for x in ([],RandomErasing(1.)))
        assert torch.equal(a[1], b[1]) and not torch.equal(a[0], b[0])


def test_erasing_comes_after_normalising(files):
    dls = data(files, batch_tfms=[RandomErasing(1., 0.3, 0.3)]).normalize(([0.5]*3, [0.1]*3))
    same = dls.copy()
    same.batch_tfms = same.batch_tfms[1:]
    x,plain = dls.one_batch()[0],same.one_batch()[0]
    noise = x.permute(0,2,3,1)[(x!=plain).any(1)]
    assert abs(noise.mean())<0.1 and abs(noise.std()-1)<0.1


# --- aug_transforms

def test_arguments_are_those_that_people_know():
    names = '''mult do_flip flip_vert max_rotate min_zoom max_zoom max_lighting max_warp p_affine p_lighting xtra_tfms size mode pad_mode align_corners
        batch min_scale'''.split()
    assert list(inspect.signature(aug_transforms).parameters)==names


@pytest.mark.parametrize('kw', [dict(mode='bicubic'), dict(mode='nearest'), dict(align_corners=True), dict(batch=True), dict(pad_mode='zeros'), dict(size=24),
    dict(min_scale=0.5), dict(flip_vert=True), dict(min_zoom=0.7, max_zoom=2.), dict(p_affine=1., p_lighting=0.), dict(mult=3.)])
def test_pictures_masks_and_points_stay_together(files, kw):
    tfms = aug_transforms(**{'max_lighting':0., **kw})
    xb,yb = data(files, MaskBlock(['paper','thing']), codes, Resize(48, 'squish'), batch_tfms=tfms).one_batch()
    inner = (slice(None),slice(2,-2),slice(2,-2))
    agree = ((xb.mean(1)<0.55)==(yb==1))[inner]
    if kw.get('pad_mode')=='zeros': agree = agree[(yb>=0)[inner]]
    assert agree.float().mean()>0.96
    if kw.get('pad_mode')=='zeros' or 'mult' in kw or 'min_zoom' in kw: return
    xb,yb = data(files, PointBlock, centre, Resize(48, 'squish'), batch_tfms=aug_transforms(**{'max_lighting':0., 'max_warp':0., 'max_zoom':1., **kw})).one_batch()
    dark,n = (xb.mean(1)<0.55).float(),xb.shape[-1]
    at = (torch.arange(n)*2+1)/n-1
    found = torch.stack([(dark*w).sum((1,2))/dark.sum((1,2)) for w in (at, at[:,None])], 1)
    whole = dark[:,0].sum(1)+dark[:,-1].sum(1)+dark[...,0].sum(1)+dark[...,-1].sum(1)==0 # nothing is cut off
    assert whole.any() and (found-yb)[whole].abs().max()<0.06


# --- growing

@pytest.mark.parametrize('tfm', [Resize(32), Resize(32,'squish'), Resize(32,'pad'), RandomResizedCrop(32, min_scale=0.5)])
def test_another_size_of_the_same_data(files, tfm):
    dls = data(files, item_tfms=tfm, batch_tfms=aug_transforms())
    list(dls.train)
    big = dls.resized(48, bs=6)
    assert big.train_ds.items is dls.train_ds.items and big.valid_ds.items is dls.valid_ds.items
    assert big.vocab==dls.vocab and torch.equal(big.train_ds.targets[1], dls.train_ds.targets[1])
    assert big.one_batch()[0].shape==(6,3,48,48) and dls.one_batch()[0].shape==(4,3,32,32)
    assert big.valid.bs==3 and big.batch_tfms==dls.batch_tfms and big.device==dls.device
    assert [o.tolist() for o in big.resized(32, bs=4).train.batch_idxs(0)]==[o.tolist() for o in dls.train.batch_idxs(0)]


def test_boxes_grow_with_their_pictures(files):
    dls = DataBlock((ImageBlock,BBoxBlock,BBoxLblBlock), get_y=[box,lambda f: [kind(f)]], n_inp=1, splitter=IndexSplitter([3,8,13]),
        item_tfms=Resize(32,'squish')).dataloaders(files, bs=4, seed=1)
    a,b = dls.valid.one_batch(),dls.resized(64).valid.one_batch()
    assert b[0].shape[-2:]==(64,64) and torch.allclose(a[1], b[1], atol=1e-5) and torch.equal(a[2], b[2])


def test_a_learner_goes_on(files):
    learn = vision_learner(data(files), 'test_resnet', pretrained=False, metrics=error_rate).no_bar()
    learn.fit(1)
    norm = learn.dls.batch_tfms
    for dls in learn.dls.resized(48), data(files).resized(64):
        learn.dls = dls
        learn.fit(1)
        assert [o.mean for o in learn.dls.batch_tfms]==[o.mean for o in norm]
    assert len(learn.recorder.values)==3 and learn.dls.one_batch()[0].shape[-1]==64


def test_other_classes_are_refused(files):
    learn = vision_learner(data(files), 'test_resnet', pretrained=False)
    with raises(ValueError, 'made for the classes round, square', 'early, late'): learn.dls = data(files, get_y=lambda f: 'early' if number(f)<9 else 'late')


# --- asking several times

def test_average_of_masks_is_in_place(files):
    class Dark(nn.Module):
        def __init__(self): super().__init__(); self.k = nn.Parameter(torch.tensor(30.))
        def forward(self, x): return torch.stack([torch.zeros_like(x[:,0]), (0.55-x.mean(1))*self.k], 1)
    for tfms in aug_transforms(max_lighting=0.), aug_transforms(max_lighting=0., size=40, min_scale=0.6), aug_transforms(flip_vert=True, max_lighting=0.), []:
        learn = Learner(data(files, MaskBlock(['paper','thing']), codes, Resize(48), batch_tfms=tfms), Dark(), mixed=False).no_bar()
        plain,targs = learn.get_preds()
        for kw in {}, dict(use_max=True), dict(beta=0.):
            preds,_ = learn.tta(n=6, **kw)
            assert not preds.isnan().any() and (preds.argmax(1)==targs).float().mean()>0.97, (tfms, kw)
        assert torch.allclose(learn.tta(beta=1.)[0], plain)


def test_formula(files):
    learn = Learner(data(files, batch_tfms=aug_transforms()), net(), mixed=False).no_bar()
    plain = learn.get_preds()[0]
    ones = [learn.tta(n=k, beta=0.)[0]*k for k in (1,2,3)]
    versions = [ones[0], ones[1]-ones[0], ones[2]-ones[1]]
    assert torch.allclose(learn.tta(n=3, beta=0.4)[0], 0.6*sum(versions)/3 + 0.4*plain, atol=1e-5)
    assert torch.allclose(learn.tta(n=3, use_max=True)[0], torch.stack([plain,*versions]).amax(0), atol=1e-5)


def test_new_pictures_several_times(files):
    learn = vision_learner(data(files, batch_tfms=aug_transforms()), 'test_resnet', pretrained=False).no_bar()
    preds,targs = learn.tta(dl=learn.dls.test_dl(files[:5]))
    assert preds.shape==(5,2) and targs is None and torch.allclose(preds.sum(1), torch.ones(5), atol=1e-3)


@pytest.mark.parametrize('kw', [dict(n=0), dict(beta=1.5), dict(beta=-0.1)])
def test_averages_that_make_no_sense(files, kw):
    with raises(ValueError, 'tta takes n of at least 1 and beta from 0 to 1'): Learner(data(files), net()).tta(**kw)

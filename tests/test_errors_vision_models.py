"Mistakes with models for pictures, and what went wrong without a word elsewhere"
import re

import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn
from torchvision import models
from torchvision.models import resnet18, vit_b_16

from wholegame.data.block import CategoryBlock
from wholegame.data.datablock import DataBlock
from wholegame.data.loaders import DataLoaders
from wholegame.data.transforms import RandomSplitter, get_image_files, parent_label
from wholegame.vision.core import ImageBlock, PILImageBW, Resize
from wholegame.vision.learner import vision_learner
from wholegame.vision.models import create_body, vision_model

torch.set_num_threads(1)


def raises(err, *parts):
    "Every part has to be in the message"
    return pytest.raises(err, match=''.join(f'(?=.*{re.escape(o)})' for o in parts) + '(?s:.*)')


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp('shapes')
    for kind in 'circle','square':
        (path/kind).mkdir()
        for i in range(8):
            im = Image.new('RGB', (64,64), 'white')
            getattr(ImageDraw.Draw(im), 'ellipse' if kind=='circle' else 'rectangle')([8+i,8,40+i,40], fill='navy')
            im.save(path/kind/f'{i}.png')
    return path


def shapes(path, block=ImageBlock, size=64, **kw):
    return DataBlock((block,CategoryBlock), get_items=get_image_files, get_y=parent_label, item_tfms=Resize(size),
        splitter=RandomSplitter(0.25, seed=1), **kw).dataloaders(path, path=path, bs=4)


@pytest.fixture(scope='module')
def dls(path): return shapes(path)


def learner(dls, arch, **kw): return vision_learner(dls, arch, pretrained=False, **kw).no_bar()


# --- sizes

@pytest.mark.parametrize('arch', ['vit_tiny_patch16_224', 'swin_tiny_patch4_window7_224', vit_b_16, 'mixer_s32_224'])
def test_wrong_size_says_both_ways_out(dls, arch):
    with raises(ValueError, '224 by 224', '64 by 64', 'Resize(224)', 'img_size=64'): learner(dls, arch).validate()


@pytest.mark.parametrize('arch', ['vit_tiny_patch16_224', 'swin_tiny_patch4_window7_224'])
def test_img_size_builds_it_for_these(dls, arch):
    learn = learner(dls, arch, img_size=64)
    learn.fit(1)
    assert len(learn.layer_groups)==3 and learn.get_preds()[0].shape==(4,2)


def test_torchvision_vit_trains(dls):
    learn = learner(dls, vit_b_16, img_size=64)
    learn.fit(1)
    assert len(learn.layer_groups)==3 and learn.model[1][-1].out_features==2


@pytest.mark.parametrize('arch', [resnet18, 'resnet18d'])
def test_img_size_for_a_model_that_has_none(dls, arch):
    with raises(ValueError, 'pictures of any size', 'leave img_size out'): learner(dls, arch, img_size=64)


def test_img_size_that_cannot_be_had(dls):
    with raises(ValueError, 'efficientformer_l1', 'img_size=64', 'leave it out', 'Resize(224)'): learner(dls, 'efficientformer_l1', img_size=64)


def test_pictures_that_are_not_square(path):
    dls = shapes(path, size=(64,96))
    with raises(ValueError, '64 by 96'): learner(dls, 'vit_tiny_patch16_224', img_size=64).validate()
    assert learner(dls, 'vit_tiny_patch16_224', img_size=(64,96)).get_preds()[0].shape==(4,2)


# --- names and arguments

def test_unknown_name(dls):
    with raises(ValueError, "No architecture is called 'resnet19d'", "Did you mean 'resnet18d'"): learner(dls, 'resnet19d')
    with raises(ValueError, "'vit_tiny_patch16_225'", "'vit_tiny_patch16_224'"): learner(dls, 'vit_tiny_patch16_225')


def test_unknown_tag(dls):
    with raises(ValueError, "resnet18 has no weights called 'a1_in2k'", "Did you mean 'a1_in1k'"): learner(dls, 'resnet18.a1_in2k')


def test_model_instead_of_architecture(dls):
    for m in resnet18(), nn.Linear(2,2):
        with raises(TypeError, 'Pass the architecture itself (resnet18), not a model (resnet18())', type(m).__name__): learner(dls, m)


def test_swapped(dls):
    for arch,what in (resnet18,'a function (resnet18)'), ('resnet18d','a str'):
        with raises(TypeError, 'vision_learner(dls, arch)', what, 'swapped?'): vision_learner(arch, dls)


@pytest.mark.parametrize('arch', [None, 18, ['resnet18']])
def test_no_architecture_at_all(dls, arch):
    with raises(TypeError, "a torchvision function (resnet18) or a timm name ('resnet18d'), not"): learner(dls, arch)


def test_not_a_classifier(dls):
    with raises(ValueError, "fcn_resnet50 doesn't classify pictures"): learner(dls, models.segmentation.fcn_resnet50)


# --- cut

def test_cut_is_honoured():
    "(fastai ignores it: eight parts with -3 as with -2)"
    whole,short = (create_body(resnet18, False, cut=o) for o in (None,-3))
    assert (len(whole),len(short))==(8,7)
    with torch.no_grad(): assert [o.eval()(torch.zeros(1,3,64,64)).shape[1] for o in (whole,short)]==[512,256]
    assert vision_model(resnet18, 2, False, cut=-3)(torch.zeros(2,3,64,64)).shape==(2,2)


def test_cut_by_a_function():
    body = create_body('resnet18d', False, cut=lambda m: nn.Sequential(m.conv1, m.bn1, m.act1, m.maxpool, m.layer1))
    assert body(torch.zeros(1,3,64,64)).shape==(1,64,16,16)


@pytest.mark.parametrize('cut,err,parts', [(-30,ValueError,('leaves nothing','10 parts')), ('layer3',TypeError,('a number of parts',"'layer3'"))])
def test_cut_that_makes_no_sense(cut, err, parts):
    with raises(err, *parts): vision_model(resnet18, 2, False, cut=cut)


def test_cut_of_a_transformer():
    with raises(ValueError, 'cut=-3', 'vit_tiny_patch16_224', 'Leave cut out'): vision_model('vit_tiny_patch16_224', 2, False, cut=-3)


# --- normalisation

def test_random_weights_keep_the_normalisation(dls):
    learn = learner(dls, resnet18)
    norm, = learn.dls.batch_tfms
    assert norm.mean==pytest.approx([0.485,0.456,0.406]) and not dls.batch_tfms
    assert learn.dls.one_batch()[0].min()<-0.5
    plain = learner(dls, resnet18, normalize=False)
    assert not plain.dls.batch_tfms and plain.dls.one_batch()[0].min()>=0


def test_each_family_has_its_own_statistics(dls):
    assert learner(dls, 'vit_tiny_patch16_224', img_size=64).dls.batch_tfms[0].mean==[0.5]*3


# --- channels

@pytest.mark.parametrize('arch', [resnet18, 'resnet10t', 'vit_tiny_patch16_224'])
def test_one_channel(path, arch):
    "The number of channels is known from the data"
    for block in ImageBlock(cls=PILImageBW), ImageBlock('L'):
        dls = shapes(path, block)
        assert dls.one_batch()[0].shape[1]==1
        learn = learner(dls, arch, **({'img_size':64} if 'vit' in str(arch) else {}))
        learn.fit(1)
        assert learn.predict(path/'circle/0.png')[0] in ('circle','square')


def test_filters_of_three_colours_added_up(path, tmp_path):
    full = resnet18()
    torch.save(full.state_dict(), tmp_path/'w.pth')
    learn = vision_learner(shapes(path, ImageBlock('L')), resnet18, pretrained=tmp_path/'w.pth')
    assert torch.allclose(learn.model[0][0].weight, full.conv1.weight.sum(1, keepdim=True), atol=1e-6)


# --- the model in disguise

def test_compiled_before_training(dls):
    learn = learner(dls, resnet18)
    learn.model = torch.compile(learn.model, backend='eager')
    learn.fit(1, slice(1e-5,1e-3))
    assert len(learn.layer_groups)==3 and len(learn.recorder.values)==1


def test_channels_last_features(dls):
    "Swin gives (bs, h, w, features)"
    body = create_body('swin_tiny_patch4_window7_224', False, arch_args={'img_size':64})
    assert body(torch.zeros(1,3,64,64)).shape==(1,768,2,2)


@pytest.mark.parametrize('arch', [models.swin_t, models.convnext_tiny, models.mobilenet_v3_small, models.regnet_y_400mf])
def test_torchvision_families(dls, arch):
    learn = learner(dls, arch)
    learn.fit(1)
    assert len(learn.layer_groups)==3

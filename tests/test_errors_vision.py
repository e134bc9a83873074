"Mistakes with pictures that are learnt from pixel by pixel: each is answered before training, with what was found and what to do"
import re
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models
from torchvision.models import resnet18

from wholegame.balance import CombinedLoss, DiceLoss, FocalLossFlat
from wholegame.data.transforms import get_image_files
from wholegame.losses import CrossEntropyLossFlat, LabelSmoothingCrossEntropy
from wholegame.metrics import DiceMulti, accuracy, error_rate, foreground_acc
from wholegame.overlap import Dice, JaccardCoeff, JaccardCoeffMulti
from wholegame.vision.learner import vision_learner
from wholegame.vision.segmentation import SegmentationDataLoaders
from wholegame.vision.unet import unet_learner

torch.set_num_threads(1)


# ---- Masks

@pytest.fixture(scope='module')
def path(tmp_path_factory):
    "Ten squares, codes 0 to 2"
    path = tmp_path_factory.mktemp('masks')
    for o in 'images','labels': (path/o).mkdir()
    for i in range(10):
        a = np.zeros((40,40), np.uint8)
        a[5+i:20, 10:30],a[25:35, :10+i] = 1,2
        Image.fromarray(a*100).convert('RGB').save(path/'images'/f'{i}.png')
        Image.fromarray(a).save(path/'labels'/f'{i}_P.png')
    return path


codes = ['back','box','bar']
def mask_of(o): return o.parent.parent/'labels'/f'{o.stem}_P.png'
def read(o): return np.array(Image.open(mask_of(o)))

def build(path, label_func=mask_of, codes=codes, **kw):
    return SegmentationDataLoaders.from_label_func(path, get_image_files(path/'images'), label_func, codes=codes, bs=4, seed=1, **kw)

def learner(path, metrics=None, loss_func=None, **kw): return unet_learner(build(path, **kw), 'test_resnet', pretrained=False, metrics=metrics, loss_func=loss_func).no_bar()

def says(*words):
    "A ValueError with all of `words`"
    return pytest.raises(ValueError, match='(?s)' + ''.join(f'(?=.*{re.escape(w)})' for w in words))


def test_black_and_white(path):
    with says('Masks hold code 255, but there are 2 codes (0 to 1)', '//255'): build(path, lambda o: (read(o)>0)*255, ['no','yes'])
    learner(path, label_func=lambda o: (read(o)>0)*255//255, codes=['no','yes']).fit(1)

def test_too_few_codes(path):
    with says('Masks hold code 2, but there are 2 codes (0 to 1)', 'pass all `codes`', '_P.png'): build(path, codes=codes[:2])

def test_a_rare_code_in_a_later_mask(path):
    "A code that is in none of the masks that were looked at is still named with its file, when it is read"
    def rare(o): return read(o) + 7*(o.stem=='3')
    with says('Masks hold code 9, but there are 3 codes'): list(build(path, rare).train) + list(build(path, rare).valid)

def test_codes_forgotten(path):
    with says('Pass codes= (the class names)', 'values 0-2'): learner(path, codes=None)

def test_sizes_differ(path):
    with says('Picture 40x40, mask 20x20', 'A mask needs the size of its picture'): build(path, lambda o: Image.open(mask_of(o)).resize((20,20)))

def test_colour_mask(path):
    with says('3 channels', 'expected one channel of codes'): build(path, lambda o: o)

def test_mask_missing(path):
    with pytest.raises(FileNotFoundError, match=r"10 of 10 masks are missing \(first: '.*x_0.png' for '.*0.png'\)"): build(path, lambda o: path/'labels'/f'x_{o.name}')

def test_unknown_rim(path):
    "255 for what nobody knows: said how, and then left out of loss and metrics"
    def rim(o): return np.where(read(o)==2, 255, read(o))
    with says('unknown=255'): build(path, rim, codes[:2])
    learn = learner(path, [foreground_acc,DiceMulti,JaccardCoeffMulti], label_func=rim, codes=codes[:2], unknown=255)
    learn.fit(1)
    assert all(np.isfinite(v) for v in learn.recorder.values[-1])


# ---- Metrics and losses of masks

@pytest.mark.parametrize('m', [error_rate, accuracy])
def test_metric_for_whole_pictures(path, m):
    with says(f'{m.__name__} compares shapes', 'for masks use foreground_acc or DiceMulti'): learner(path, m).fit(1)

@pytest.mark.parametrize('m,instead', [(Dice,'DiceMulti'), (JaccardCoeff,'JaccardCoeffMulti')])
def test_metric_for_two_codes(path, m, instead):
    with says(f'{m.__name__} is for masks of two codes, and there are 3: use {instead}'): learner(path, m()).fit(1)
    learn = learner(path, m(), label_func=lambda o: (read(o)>0)*1, codes=['no','yes'])
    learn.fit(1)
    assert 0<=learn.recorder.values[-1][-1]<=1

losses = [CrossEntropyLossFlat, FocalLossFlat, DiceLoss, LabelSmoothingCrossEntropy, lambda **kw: CombinedLoss(CrossEntropyLossFlat(**kw), DiceLoss())]

@pytest.mark.parametrize('make', losses)
def test_weights_of_classes(path, make):
    "As many weights as codes train, another number is refused at the first batch"
    learn = learner(path, loss_func=make(weight=[1.,2.,5.]))
    learn.fit(1)
    assert np.isfinite(learn.recorder.values[-1][1]) and learn.predict(path/'images'/'0.png')[1].shape==(40,40)
    with says('2', '3', 'weight'): learner(path, loss_func=make(weight=[1.,2.])).fit(1)


# ---- U-Nets

def test_unet_arguments(path):
    dls = build(path)
    with pytest.raises(TypeError, match='unet_learner.*swapped'): unet_learner(resnet18, dls)
    with pytest.raises(TypeError, match='not a model'): unet_learner(dls, resnet18())
    with pytest.raises(TypeError, match="unknown argument 'metric'. Did you mean 'metrics'"): unet_learner(dls, resnet18, metric=None)
    with says("Did you mean 'resnet18d'"): unet_learner(dls, 'resnet19d')

def test_body_without_maps(path):
    dls = build(path)
    with says('vit_b_16 gives no maps of features', "'swin_tiny_patch4_window7_224'"), torch.device('meta'): unet_learner(dls, models.vit_b_16, pretrained=False)

def test_target_is_a_label(photos):
    from wholegame.vision.data import ImageDataLoaders
    from wholegame.vision.core import Resize
    dls = ImageDataLoaders.from_folder(photos, valid_pct=0.2, seed=1, item_tfms=Resize(32), bs=8)
    with says('unet_learner answers for every pixel, but the target is a CategoryBlock. Use vision_learner'): unet_learner(dls, resnet18)

def test_masks_in_vision_learner(path):
    with says('the target is a MaskBlock', 'use unet_learner'): vision_learner(build(path), resnet18, pretrained=False)

"U-Nets on the bodies of many families: they train, answer for every pixel, have three layer groups, and are built again from their description"
import json
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision import models

from wholegame.data.transforms import get_image_files
from wholegame.export import load_learner
from wholegame.files import load_weights
from wholegame.vision.core import PILImageBW
from wholegame.vision.models import vision_splitter
from wholegame.vision.segmentation import SegmentationDataLoaders
from wholegame.vision.unet import unet_from_desc, unet_learner, unet_model

torch.set_num_threads(1)
tv = 'resnet18 resnet34 mobilenet_v2 mobilenet_v3_large convnext_tiny densenet121 efficientnet_b0 regnet_y_400mf googlenet shufflenet_v2_x0_5 squeezenet1_1 alexnet swin_t'.split()
timms = '''resnet18d convnext_atto efficientnet_lite0 swin_tiny_patch4_window7_224 mobilevit_xxs edgenext_xx_small hrnet_w18_small
    vit_tiny_patch16_224 dla34 pvt_v2_b0 poolformer_s12 xcit_nano_12_p16_224 repvgg_a0 mambaout_femto ghostnet_050'''.split()


def arch_of(o): return getattr(models, o[3:]) if o.startswith('tv:') else o


@pytest.mark.parametrize('name', [f'tv:{o}' for o in tv] + timms)
def test_family(name):
    "One step of training on an odd size, the size kept, every weight reached, three groups, the same model from its description"
    torch.manual_seed(1)
    size = (67,90)
    m = unet_model(arch_of(name), 5, pretrained=False, img_size=size)
    x,y = torch.randn(2,3,*size),torch.randint(5, (2,*size))
    pred = m(x)
    assert pred.shape==(2,5,*size)
    F.cross_entropy(pred, y).backward()
    late = [n for n,p in m[1].named_parameters() if p.grad is None]
    early = [p for p in m[0].parameters() if p.grad is not None]
    assert not late and len(early)>0.9*len(list(m[0].parameters()))
    gs = vision_splitter(m)
    assert len(gs)==3 and sum(map(len, gs))==len(list(m.parameters()))
    with torch.device('meta'):
        try: shapes = {k:v.shape for k,v in unet_from_desc(json.loads(json.dumps(m.desc))).state_dict().items()}
        except NotImplementedError: return # computes its widths from numbers
    assert shapes=={k:v.shape for k,v in m.state_dict().items()}


@pytest.mark.parametrize('arch', [models.vgg16_bn, models.wide_resnet50_2, 'convnext_base', 'efficientnetv2_rw_s', 'maxvit_pico_rw_256'])
def test_large_on_paper(arch):
    "Large ones have the right shapes; no numbers are needed for that"
    with torch.device('meta'):
        m = unet_model(arch, 12, pretrained=False, img_size=(180,240))
        assert m(torch.zeros(1,3,180,240)).shape==(1,12,180,240)


@pytest.fixture(scope='module')
def streets(tmp_path_factory):
    "Twelve pictures of 50 by 37 pixels, light where the code is 1"
    path = tmp_path_factory.mktemp('streets')
    for o in 'images','labels': (path/o).mkdir()
    for i in range(12):
        a = np.zeros((37,50), np.uint8)
        a[5+i:20+i, 10:30] = 1
        Image.fromarray(a*150+50).convert('RGB').save(path/'images'/f'{i}.png')
        Image.fromarray(a).save(path/'labels'/f'{i}.png')
    return path


def loaders(path, **kw):
    return SegmentationDataLoaders.from_label_func(path, get_image_files(path/'images'), lambda o: path/'labels'/o.name, codes=['dark','light'], bs=4, seed=1, **kw)


def test_weights_freeze_export(streets, tmp_path):
    "Weights from a file, a frozen body, both phases, the finder, an export that answers the same"
    torch.manual_seed(1)
    torch.save(models.mobilenet_v2().state_dict(), tmp_path/'w.pth')
    learn = unet_learner(loaders(streets), models.mobilenet_v2, pretrained=tmp_path/'w.pth', path=tmp_path).no_bar()
    w = load_weights(tmp_path/'w.pth')['features.0.0.weight']
    assert learn.model[0].body[0][0].weight.equal(w)
    assert not any(p.requires_grad for p in learn.model[0].parameters()) and all(p.requires_grad for p in learn.model[1].parameters())
    found = learn.lr_find(num_it=6, show_plot=False)
    assert learn.model[0].body[0][0].weight.equal(w) and found.valley>0
    learn.fine_tune(2)
    f = streets/'images'/'0.png'
    mask,codes,probs = learn.predict(f)
    again = load_learner(learn.export(tmp_path/'e.safetensors')).predict(f)
    assert codes.shape==(37,50) and torch.allclose(probs, again[2], atol=1e-2)


@pytest.mark.parametrize('mixed', [torch.bfloat16, False])
def test_precision(streets, mixed):
    torch.manual_seed(1)
    learn = unet_learner(loaders(streets), 'test_resnet', pretrained=False, mixed=mixed).no_bar()
    learn.fit_one_cycle(15, 5e-3)
    assert learn.recorder.values[-1][1]<0.5


def test_channels(streets):
    "One channel by the data, five by argument"
    learn = unet_learner(loaders(streets, img_cls=PILImageBW), models.resnet18, pretrained=False).no_bar()
    learn.fit(1)
    assert next(learn.model.parameters()).shape[1]==1
    assert unet_model('convnext_atto', 2, False, n_in=5)(torch.zeros(2,5,40,40)).shape==(2,2,40,40)


def test_one_size(streets):
    "A transformer for one size is built for that of the data, rounded up, and refuses others"
    learn = unet_learner(loaders(streets), 'test_vit', pretrained=False).no_bar()
    assert learn.model[0].size==(64,64) and learn.get_preds()[0].shape==(2,2,37,50)
    with pytest.raises(ValueError, match='takes pictures of 64 by 64, and these are 100 by 40'): learn.model(torch.zeros(1,3,100,40))


def test_other_sizes_later(streets):
    "A trained U-Net takes pictures of any size"
    learn = unet_learner(loaders(streets), models.resnet18, pretrained=False).no_bar()
    learn.fit(1)
    assert learn.predict(np.zeros((61,33,3), np.uint8))[1].shape==(61,33)


def test_plain_torch(streets):
    "Without the data's help: plain loaders, number of outputs by argument"
    ds = torch.utils.data.TensorDataset(torch.randn(8,3,32,32), torch.randint(3, (8,32,32)))
    from wholegame.data.loaders import DataLoaders
    dl = torch.utils.data.DataLoader(ds, 4)
    learn = unet_learner(DataLoaders(dl, dl), 'test_resnet', pretrained=False, n_out=3, loss_func=nn.CrossEntropyLoss()).no_bar()
    learn.fit(1)
    assert learn.get_preds()[0].shape==(8,3,32,32)


def test_own_architecture(streets):
    "A function of one's own is cut where the size changes"
    def own(): return nn.Sequential(nn.Conv2d(3,8,3,2,1), nn.ReLU(), nn.Conv2d(8,16,3,2,1), nn.ReLU())
    learn = unet_learner(loaders(streets), own, pretrained=False).no_bar()
    assert learn.model[0].levels==[(8,2),(16,4)] and learn.model_desc is None
    learn.fit(1)


def test_scores_by_hand():
    "Six pixels, one of them unknown: Dice and IoU of each code, counted on paper"
    from wholegame.metrics import DiceMulti, foreground_acc
    from wholegame.overlap import JaccardCoeffMulti
    said,true = torch.tensor([[[0,1,1],[2,2,0]]]),torch.tensor([[[0,1,2],[2,0,-100]]])
    scores = F.one_hot(said, 4).movedim(-1, 1).float() # code 3 neither occurs nor is said
    assert abs(DiceMulti()(scores, true) - (2/3 + 2/3 + 2/4)/3)<1e-6 # twice the hits over said and true
    assert abs(JaccardCoeffMulti()(scores, true) - (1/2 + 1/2 + 1/3)/3)<1e-6
    assert abs(foreground_acc(scores, true) - 2/3)<1e-6 # of the pixels that are 1 or 2
    assert abs(foreground_acc(scores, true, bkg_idx=2) - 2/3)<1e-6 # of those that are 0 or 1

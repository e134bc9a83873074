"Looking into models: heat maps, filters, features and summaries over many architectures, small and with random weights"
import matplotlib.pyplot as plt
import pytest
import timm
import torch
from PIL import Image, ImageDraw
from torch import nn
from torchvision import models

from wholegame.data.block import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wholegame.data.datablock import DataBlock
from wholegame.data.loaders import DataLoaders
from wholegame.data.transforms import RandomSplitter, get_image_files, parent_label
from wholegame.export import load_learner
from wholegame.hooks import ActivationStats, hook_output, untouched
from wholegame.learner import Learner
from wholegame.vision.core import ImageBlock, Resize
from wholegame.vision.features import Features
from wholegame.vision.filters import first_filters, plot_filters, plot_top_patches, receptive_field, top_patches
from wholegame.vision.heatmaps import feature_maps, grad_cam, map_layer
from wholegame.vision.learner import vision_learner
from wholegame.vision.models import vision_model

torch.set_num_threads(1)

# (architecture, size of picture, arguments, rows and columns of its map)
archs = [(models.resnet18, 96, {}, 3), (models.mobilenet_v2, 96, {}, 3), (models.densenet121, 96, {}, 3), (models.convnext_tiny, 64, {}, 2),
    (models.vit_b_16, 64, dict(img_size=64), 4), (models.swin_t, 64, {}, 2), ('test_resnet', 96, {}, 3), ('convnext_atto', 96, {}, 3),
    ('vit_tiny_patch16_224', 64, dict(img_size=64), 4), ('deit_tiny_distilled_patch16_224', 64, dict(img_size=64), 4),
    ('swin_tiny_patch4_window7_224', 224, {}, 7), ('mixer_s32_224', 224, {}, 7), ('xcit_nano_12_p16_224', 64, dict(img_size=64), 4), ('efficientformer_l1', 224, {}, 7)]
names = [getattr(o[0], '__name__', o[0]) for o in archs]


@pytest.mark.parametrize('arch,size,args,n', archs, ids=names)
def test_heat_map_of(arch, size, args, n):
    "A map of the right grid from 0 to 1, and a model that is as it was, in every bit"
    torch.manual_seed(0)
    m = vision_model(arch, 3, pretrained=False, arch_args=args)
    m.train(); m[0].eval()
    for p in m[0].parameters(): p.requires_grad_(False)
    x = torch.randn(2,3,size,size)
    was = [o.training for o in m.modules()],[p.requires_grad for p in m.parameters()],{k:v.clone() for k,v in m.state_dict().items()},torch.get_rng_state()
    heat,small = grad_cam(m, x, torch.tensor([0,2])),grad_cam(m, x, 1, resize=False)
    assert heat.shape==(2,size,size) and small.shape==(2,n,n)
    assert heat.isfinite().all() and heat.min()>=0 and heat.max()<=1
    assert was[0]==[o.training for o in m.modules()] and was[1]==[p.requires_grad for p in m.parameters()] and torch.equal(was[3], torch.get_rng_state())
    assert all(torch.equal(v, was[2][k]) for k,v in m.state_dict().items()) and all(p.grad is None for p in m.parameters())
    assert not any(o._forward_hooks or o._forward_pre_hooks for o in m.modules())


@pytest.mark.parametrize('arch,size,args,n', archs, ids=names)
def test_map_lies_as_the_picture_does(arch, size, args, n):
    "Change one corner of the picture: the map changes most there, so its rows and columns are the picture's, and no class token is among them"
    torch.manual_seed(0)
    m = vision_model(arch, 3, pretrained=False, arch_args=args)
    x = torch.rand(1,3,size,size)
    layer = m.get_submodule(map_layer(m, x))
    for rows,cols in ((slice(0,size//n),slice(size-size//n,size)), (slice(size-size//n,size),slice(0,size//n))):
        x2 = x.clone()
        x2[...,rows,cols] += torch.randn(1,3,size//n,size//n)*2
        with untouched(m), torch.no_grad(), hook_output(layer) as h:
            a = feature_maps((m(x), h.stored)[1], (size,size))
            b = feature_maps((m(x2), h.stored)[1], (size,size))
        change = (a-b).abs().sum(1)[0]
        there,opposite = (change[0,-1],change[-1,0]) if rows.start==0 else (change[-1,0],change[0,-1])
        assert there>opposite, change
        if arch not in (models.resnet18,models.mobilenet_v2): assert there==change.max(), change # their units see nearly all


@pytest.mark.parametrize('shape', [(96,128),(128,96),(100,75)])
def test_oblong_pictures(shape):
    m = vision_model('test_resnet', 2, pretrained=False)
    assert grad_cam(m, torch.rand(1,3,*shape)).shape==(1,*shape)
    vit = vision_model('vit_tiny_patch16_224', 2, pretrained=False, arch_args=dict(img_size=(96,64)))
    assert grad_cam(vit, torch.rand(1,3,96,64), resize=False).shape==(1,6,4)


def test_a_map_of_one_place_is_passed_over():
    "Pictures so small that the last map is 1 by 1 get theirs from an earlier layer"
    m = vision_model(models.resnet18, 2, pretrained=False)
    small = grad_cam(m, torch.rand(1,3,32,32), resize=False)
    assert small.shape[1]>1


def test_shared_and_in_place_layers():
    relu = nn.ReLU(inplace=True)
    m = nn.Sequential(nn.Conv2d(3,4,3), relu, nn.Conv2d(4,4,3), relu, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4,2))
    assert grad_cam(m, torch.rand(2,3,12,12)).shape==(2,12,12)
    assert grad_cam(m, torch.rand(2,3,12,12), 0, layer='2').shape==(2,12,12)


@pytest.fixture(autouse=True)
def tidy():
    yield
    plt.close('all')


def draw(f, kind):
    im = Image.new('RGB', (40,32), 'white')
    getattr(ImageDraw.Draw(im), 'ellipse' if kind=='circle' else 'rectangle')([8,8,24,24], fill='navy')
    im.save(f)


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp('shapes')
    for k in 'circle','square':
        (path/k).mkdir()
        for i in range(10): draw(path/k/f'{i}.png', k)
    return path


def loaders(path, y=CategoryBlock, get_y=parent_label, block=ImageBlock):
    return DataBlock((block,y), get_image_files, RandomSplitter(0.4, seed=1), get_y=get_y, item_tfms=Resize(32)).dataloaders(path, path=path, bs=4)


@pytest.fixture(scope='module')
def learn(path): return vision_learner(loaders(path), 'test_resnet', pretrained=False).no_bar()


def test_heat_map_of_anything_that_predict_takes(learn, path):
    f = path/'circle'/'0.png'
    want = learn.heatmap(f)
    for o in str(f), f.read_bytes(), Image.open(f): assert torch.equal(learn.heatmap(o), want)
    assert torch.equal(learn.heatmap(f, 0), learn.heatmap(f, 'circle'))


def test_heat_map_of_other_answers(path):
    f = path/'circle'/'0.png'
    several = vision_learner(loaders(path, MultiCategoryBlock, lambda f: [parent_label(f),'shape']), 'test_resnet', pretrained=False)
    number = vision_learner(loaders(path, RegressionBlock, lambda f: 1.*(parent_label(f)=='circle')), 'test_resnet', pretrained=False, y_range=(0,1))
    grey = vision_learner(loaders(path, block=ImageBlock('L')), 'test_resnet', pretrained=False)
    for o in several,number,grey: assert o.heatmap(f).shape==(32,32)
    several.interpret().plot_top_losses(2, heatmap=True)
    plot_filters(grey)


def test_heat_map_after_training_export_and_half_precision(path):
    learn = vision_learner(loaders(path), 'test_resnet', pretrained=False).no_bar()
    learn.to_bf16().fit(1)
    f = path/'square'/'1.png'
    want = learn.heatmap(f, 'square')
    learn.export(path/'x.safetensors')
    assert torch.allclose(load_learner(path/'x.safetensors').heatmap(f, 'square'), want, atol=1e-4)
    learn.model = torch.compile(learn.model, backend='eager')
    assert torch.allclose(learn.heatmap(f, 'square'), want, atol=1e-4)
    learn.fit(1) # it still trains


def test_errors_say_what_to_do(learn, path):
    f = path/'circle'/'0.png'
    for kw,what in (dict(target='circel'),"Did you mean 'circle'"), (dict(target=7),'gives 2'), (dict(layer='0.layr1'),"Did you mean '0.layer1'"), (dict(layer='1'),'no map'):
        with pytest.raises(ValueError, match=what): learn.heatmap(f, **kw)
    with pytest.raises(ValueError, match='no Conv2d'): plot_filters(nn.Linear(2,2))
    with pytest.raises(ValueError, match="Did you mean"): plot_top_patches(learn, '0.layr1')
    with pytest.raises(ValueError, match='No channel 999'): top_patches(learn, '0.layer1', channels=[999])
    with pytest.raises(TypeError, match='one score of a row'): grad_cam(nn.Conv2d(3,2,1), torch.rand(1,3,8,8))


@pytest.mark.parametrize('make,n,k', [(models.resnet18,64,7), (models.vit_b_16,768,16), (models.swin_t,96,4), (models.convnext_tiny,96,4),
    (lambda: timm.create_model('vit_tiny_patch16_224'),192,16), (lambda: timm.create_model('convnext_atto', in_chans=5),40,4)])
def test_first_filters_of(make, n, k):
    m = make()
    assert first_filters(m).shape[0]==n and first_filters(m).shape[2:]==(k,k)
    plot_filters(m)


def test_receptive_fields_by_formula():
    "Each layer adds (kernel-1) times the product of the steps before it"
    torch.manual_seed(0)
    for spec in [(3,1),(3,1)], [(5,2),(3,2),(3,1)], [(7,2),(3,2),(3,1),(3,1)]:
        m,field,step = nn.Sequential(),1,1
        for i,(k,s) in enumerate(spec):
            m.append(nn.Sequential(nn.Conv2d(3,3,k,stride=s,padding=k//2), nn.ReLU()))
            field,step = field+(k-1)*step,step*s
        assert receptive_field(m, str(len(spec)-1), (96,96))==(field,field)


def test_patches_and_features_of_a_transformer(path):
    learn = vision_learner(loaders(path), 'vit_tiny_patch16_224', pretrained=False, img_size=32).no_bar()
    found = top_patches(learn, '0.body.blocks.3', channels=2, k=3)
    assert len(found)==2 and all(len(o)==3 for o in found)
    feats = learn.features()
    assert isinstance(feats, Features) and feats.x.shape==(8,192)
    assert learn.features(layer='0.body.blocks.3').x.shape==(8,192)


@pytest.mark.parametrize('arch,args', [('test_resnet',{}), ('vit_tiny_patch16_224',dict(img_size=32)), (models.vit_b_16,dict(img_size=32)), (models.swin_t,{}), (models.densenet121,{}), ('xcit_nano_12_p16_224',dict(img_size=32))])
def test_summary_counts_every_weight_once(path, arch, args):
    learn = vision_learner(loaders(path), arch, pretrained=False, arch_args=args).no_bar()
    n = sum(p.numel() for p in learn.model.parameters())
    for depth in None,0,1,2,3:
        s = learn.summary(depth)
        assert sum(r[3] for r in s.rows)==n and f'{n:,} weights' in repr(s) and f'{n:,} weights' in s._repr_html_()


def test_statistics_survive_an_error_and_two_fits():
    data = [(torch.rand(4,3,8,8), torch.arange(4)%2)]*3
    m = nn.Sequential(nn.Conv2d(3,4,3), nn.ReLU(), nn.Flatten(), nn.Linear(144,2))
    learn,stats = Learner(DataLoaders(data, data), m, loss_func=nn.CrossEntropyLoss()).no_bar(),ActivationStats(with_hist=True)
    learn.fit(1, cbs=stats); learn.fit(1, cbs=stats)
    assert [o for o,_ in stats.steps]==list(range(6)) and stats.hist('0').shape==(40,6)
    bad = Learner(DataLoaders([*data,(torch.rand(4,1),)*2], data), m, loss_func=nn.CrossEntropyLoss()).no_bar()
    with pytest.raises(Exception): bad.fit(1, cbs=stats)
    assert not any(o._forward_hooks for o in m.modules())
    stats.plot_layer_stats(); stats.color_dim()

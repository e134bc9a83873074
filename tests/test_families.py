"Thirty families of timm: each builds, trains a step, and is cut into layer groups by depth"
import pytest
import timm
import torch
from torch import nn

from wholegame.vision.families import small_archs, try_arch
from wholegame.vision.groups import layer_units, vision_splitter
from wholegame.vision.models import _resolve, vision_model

torch.set_num_threads(1)


def test_enough():
    families = {timm.models.model_entrypoint(o).__module__ for o in small_archs}
    assert len(small_archs)>=30 and len(families)>=15


@pytest.mark.parametrize('name,size', small_archs.items())
def test_trains_a_step(name, size):
    row = try_arch(name, size, bs=2)
    early,late,head = row['groups']
    assert head==7 and early>0 and late>0 and row['features']>1 and row['seconds']>0
    assert 0.28<early/(early+late)<0.66


def on_meta(f):
    "`f()` without memory, or with it where building computes"
    try:
        with torch.device('meta'): return f()
    except NotImplementedError: return f()


def first_calls(m, x):
    "Modules with parameters of their own, in the order in which a picture reaches them"
    seen,own = {},[o for o in m.modules() if list(o.parameters(recurse=False))]
    hooks = [o.register_forward_pre_hook(lambda o,_: seen.setdefault(o) and None) for o in own]
    with torch.no_grad(): m.eval()(x)
    for h in hooks: h.remove()
    return list(seen)


@pytest.mark.parametrize('name', small_archs)
def test_groups_follow_the_picture(name):
    "No layer of the late group is used before one of the early group, and no block is divided"
    body = on_meta(lambda: timm.create_model(name, num_classes=0))
    groups = vision_splitter(nn.Sequential(body, nn.Linear(1,1)))
    early,late = ({id(p) for p in g} for g in groups[:2])
    assert early|late=={id(p) for p in body.parameters()} and not early&late
    x = torch.zeros(1, *body.pretrained_cfg['input_size'], device=next(body.parameters()).device)
    order = [id(next(o.parameters(recurse=False))) in late for o in first_calls(body, x)]
    assert order==sorted(order)
    for unit in layer_units(body): assert {id(p) for p in unit}<=early or {id(p) for p in unit}<=late


@pytest.mark.parametrize('name', ['vit_tiny_patch16_224','deit_tiny_distilled_patch16_224','eva02_tiny_patch14_224','cait_xxs24_224','xcit_nano_12_p16_224','hiera_tiny_224'])
def test_embeddings_first_last_norm_last(name):
    body = on_meta(lambda: timm.create_model(name, num_classes=0))
    early,late,_ = vision_splitter(nn.Sequential(body, nn.Linear(1,1)))
    at = {id(p):k for k,g in enumerate((early,late)) for p in g}
    for k,p in body.named_parameters():
        if k in ('cls_token','pos_embed','dist_token','reg_token') or k.startswith(('patch_embed','stem')): assert at[id(p)]==0, k
        if k.startswith(('norm.','fc_norm.','head')): assert at[id(p)]==1, k


def test_head_is_the_last_group():
    for arch in 'resnet10t','vit_tiny_patch16_224':
        m = vision_model(arch, 2, False)
        assert [id(p) for p in vision_splitter(m)[-1]]==[id(p) for p in m[1].parameters()]


@pytest.mark.parametrize('name', ['resnet34','resnet50','resnext50_32x4d','wide_resnet50_2'])
def test_resnets_are_cut_where_everybody_cuts_them(name):
    "Between the second and the third stage"
    m = on_meta(lambda: timm.create_model(name, num_classes=0))
    early,late,_ = vision_splitter(nn.Sequential(m, nn.Linear(1,1)))
    assert late[0] is next(m.layer3.parameters()) and early[-1] is list(m.layer2.parameters())[-1]


def test_as_many_groups_as_asked():
    m = on_meta(lambda: nn.Sequential(timm.create_model('convnext_atto', num_classes=0), nn.Linear(1,1)))
    for n in 2,3,4,8,14: assert len(vision_splitter(m, n))==n
    assert sum(map(len, vision_splitter(m, 100)))==len(list(m.parameters()))


def test_names_resolve():
    assert [_resolve(o)[0] for o in small_archs]==['timm']*len(small_archs)

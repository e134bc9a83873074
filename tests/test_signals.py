"""Sounds, series, tracks and volumes: exports opened by another process, damaged files, forged descriptions, signatures."""
import inspect, json, os, subprocess, sys
import numpy as np
import pytest
from torch import nn
from wholegame.data.block import Block, CategoryBlock, block_from
from wholegame.data.datablock import DataBlock
from wholegame.data.signals import signal_sets
from wholegame.data.transforms import RandomSplitter, get_files, parent_label
from wholegame.learner import Learner
from wholegame.vision.learner import vision_learner
from wholegame.vision.series import GramianBlock
from wholegame.vision.sound import AudioBlock, SpecAugment
from wholegame.vision.strokes import StrokesBlock
from wholegame.vision.volumes import VolumeBlock

kinds = {'calls':(AudioBlock(n_mels=32), '.wav'), 'motion':(GramianBlock(32, per_series=False), '.csv'), 'mouse':(StrokesBlock(32), '.csv'), 'scans':(VolumeBlock((8,16,16)), '.npy')}

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "All four data sets"
    path = tmp_path_factory.mktemp('signals')
    for k in kinds: signal_sets[f'{k}.tgz'](path/k)
    return path

def loaders(folder, k, **kw):
    block,suffix = kinds[k]
    return DataBlock((block,CategoryBlock), lambda p: get_files(p, suffix), RandomSplitter(0.5, seed=1), get_y=parent_label, **kw).dataloaders(folder/k, path=folder, bs=16, seed=1)

def flat(n_out): return nn.Sequential(nn.Flatten(), nn.LazyLinear(n_out))

asker = '''
import json, sys
from torch import nn
from wholegame.export import load_learner
for f,k,item in json.loads(sys.argv[1]):
    model = None if k!='scans' else nn.Sequential(nn.Flatten(), nn.Linear(8*16*16, 2))
    print(json.dumps(load_learner(f, model=model).predict(item)[2].tolist()))
'''

def test_elsewhere(folder):
    "A process that has imported none of the blocks predicts the same from a file"
    todo,want = [],[]
    for k in kinds:
        dls = loaders(folder, k, batch_tfms=SpecAugment() if k=='calls' else None)
        learn = (Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(8*16*16, 2))) if k=='scans' else vision_learner(dls, 'test_resnet', pretrained=False)).no_bar()
        learn.fit(1)
        item = str(dls.valid_ds.items[0])
        if k=='scans':
            with pytest.warns(UserWarning, match='your own code'): file = learn.export(f'{k}.safetensors')
        else: file = learn.export(f'{k}.safetensors')
        todo.append((str(file), k, item))
        want.append(learn.predict(item)[2].tolist())
    out = subprocess.run([sys.executable, '-W', 'error', '-c', asker, json.dumps(todo)], capture_output=True, text=True)
    assert out.returncode==0, out.stderr[-3000:]
    for line,w in zip(out.stdout.splitlines(), want, strict=True): assert np.allclose(json.loads(line), w, atol=2e-2)

@pytest.mark.parametrize('k', kinds)
def test_damage(folder, tmp_path, k):
    "A file cut short, an empty one, and one of something else are refused with an error that names them"
    block,suffix = kinds[k]
    block = loaders(folder, k).blocks[0]
    data = get_files(folder/k, suffix)[0].read_bytes()
    for name,b in ('short',data[:20]), ('empty',b''), ('page',b'<html>Not found</html>'):
        f = tmp_path/f'{name}{suffix}'
        f.write_bytes(b)
        with pytest.raises((OSError,ValueError)) as e: block.encode(f)
        assert not isinstance(e.value, FileNotFoundError)
        assert f.name in str(e.value), (name, e.value)
    with pytest.raises(FileNotFoundError, match='none'): block.encode(tmp_path/f'none{suffix}')

def test_cut_wav(folder, tmp_path):
    "What is left of a recording whose end is missing can be heard"
    f = tmp_path/'cut.wav'
    f.write_bytes(get_files(folder/'calls', '.wav')[0].read_bytes()[:9000])
    block = AudioBlock(1.)
    assert block.finish(block.encode(f)).shape==(1,64,63)

@pytest.mark.parametrize('d', [{'kind':'AudioBlock', 'hop':1e-9}, {'kind':'AudioBlock', 'seconds':1e9}, {'kind':'GramianBlock', 'size':20000}, {'kind':'StrokesBlock', 'size':20000},
    {'kind':'VolumeBlock', 'size':[20000]*3}, {'kind':'AudioBlock', 'seconds':-1}, {'kind':'VolumeBlock', 'size':[0,1,1]}], ids=str)
def test_forged(d):
    "No description makes a block that exhausts memory"
    with pytest.raises(ValueError): block_from({**d, 'item_tfms':[]})

@pytest.mark.parametrize('block', [o for o,_ in kinds.values()], ids=lambda o: type(o).__name__)
def test_signature(block):
    "Shift-Tab shows every argument; each is kept, and goes through JSON and back"
    ps = inspect.signature(type(block)).parameters
    assert not any(p.kind==p.VAR_KEYWORD for p in ps.values())
    d = json.loads(json.dumps(block.describe()))
    assert set(ps) <= set(d)
    assert json.loads(json.dumps(block_from(d).describe()))==d
    assert Block.registry[d['kind']] is type(block)

def test_wrong_items(folder):
    "Pictures where sounds are expected"
    with pytest.raises((OSError,ValueError,TypeError)): AudioBlock(1.).encode(np.zeros((4,4)))
    with pytest.raises(TypeError, match='choose it by size'): loaders(folder, 'scans', item_tfms=lambda o: o)

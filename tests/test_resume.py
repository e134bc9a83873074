"""A training that is killed goes on in another process, with the same pictures in the same order, to the very same weights."""
import signal, subprocess, sys, textwrap, time

import pytest
import torch

from wholegame.files import load_tree

script = textwrap.dedent('''
    import sys, time
    import torch
    from torch import nn
    from PIL import Image
    from wholegame.vision.all import *

    slow,resume,name = float(sys.argv[1]),sys.argv[2]=='1',sys.argv[3]

    def look(i): return Image.new('RGB', (20,20), (i*5 % 256, 100, 255-i*5 % 256))
    block = DataBlock((ImageBlock, CategoryBlock), get_x=look, get_y=lambda i: 'ab'[i%3==0], splitter=IndexSplitter(range(8)),
        item_tfms=Resize(16), batch_tfms=aug_transforms())
    class Slow(Callback):
        run_valid = False
        def after_batch(self): print('batch', flush=True); time.sleep(slow)

    set_seed(1)
    dls = block.dataloaders(range(40), bs=8, seed=3)
    net = nn.Sequential(nn.Conv2d(3,4,3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(4,2))
    learn = Learner(dls, net, metrics=accuracy, cbs=Slow(), mixed=False)
    with learn.no_bar(): learn.fit_one_cycle(3, 1e-2, checkpoint=1, resume=resume)
    learn.save(name, with_opt=False)
    print(len(learn.recorder.values), len(learn.recorder.losses))
''')

@pytest.fixture
def train(tmp_path):
    (tmp_path/'train.py').write_text(script)
    def start(slow, resume, name): return subprocess.Popen([sys.executable, 'train.py', str(slow), str(int(resume)), name], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    return start

def weights(path, name): return load_tree(path/'models'/f'{name}.safetensors')[0]['model']

def test_killed_training_goes_on(train, tmp_path):
    whole = train(0, False, 'whole')
    out,_ = whole.communicate(timeout=120)
    assert whole.returncode==0 and out.split()[-2:]==['3','12']
    p = train(0.2, False, 'never')
    for _ in range(6): p.stdout.readline()
    p.send_signal(signal.SIGKILL)
    p.wait(timeout=30)
    assert p.returncode!=0 and (tmp_path/'models'/'interrupted.safetensors').exists()
    again = train(0, True, 'again')
    out,_ = again.communicate(timeout=120)
    assert again.returncode==0 and out.count('batch\n')<12 and out.split()[-2:]==['3','12']
    a,b = weights(tmp_path, 'whole'),weights(tmp_path, 'again')
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not (tmp_path/'models'/'interrupted.safetensors').exists()

def test_ctrl_c_says_how_to_go_on(train, tmp_path):
    p = train(0.2, False, 'never')
    for _ in range(5): p.stdout.readline()
    p.send_signal(signal.SIGINT)
    out,_ = p.communicate(timeout=60)
    assert 'Stopped in epoch 2 of 3, batch' in out and 'models/interrupted' in out and 'resume=True' in out
    assert p.returncode==0

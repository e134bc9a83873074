"""Damage that a page should not show: killed savers, cut and forged files, two at once."""
import json, os, pickle, signal, stat, subprocess, sys, time
import numpy as np, pytest, torch
from pathlib import Path
from safetensors.torch import load_file, save_file
from wholegame.files import atomic_path, load_tree, load_weights, refuse_pickle, save_tree

saver = '''
import sys, torch
from wholegame.files import save_tree
print('ready', flush=True)
i = 1
while True:
    save_tree({'w': torch.full((2_000_000,), float(i)), 'i': i}, sys.argv[1])
    i += 1
'''

def test_killed_while_saving(tmp_path):
    "Whenever a saver is killed, a whole file is there: the old one or the new one"
    f = save_tree({'w': torch.zeros(2_000_000), 'i': 0}, tmp_path/'m.safetensors')
    for wait in (0.02, 0.11, 0.3):
        p = subprocess.Popen([sys.executable, '-c', saver, str(f)], stdout=subprocess.PIPE)
        p.stdout.readline()
        time.sleep(wait)
        p.kill()
        p.wait()
        tree,_ = load_tree(f)
        assert tree['w'].unique().tolist()==[float(tree['i'])]

def test_two_savers(tmp_path):
    "Two processes that save to one name don't mix their bytes"
    f = tmp_path/'m.safetensors'
    ps = [subprocess.Popen([sys.executable, '-c', saver, str(f)], stdout=subprocess.PIPE) for _ in range(2)]
    for p in ps: p.stdout.readline()
    time.sleep(0.5)
    for p in ps:
        p.kill()
        p.wait()
    tree,_ = load_tree(f)
    assert tree['w'].unique().tolist()==[float(tree['i'])]

def test_every_cut(tmp_path):
    "A file cut anywhere is refused with one sentence"
    f = save_tree({'a': torch.arange(20.), 'b': [1, {'c': torch.ones(2,2)}]}, tmp_path/'m.safetensors')
    whole = f.read_bytes()
    for n in range(0, len(whole), 7):
        f.write_bytes(whole[:n])
        with pytest.raises(ValueError, match='empty|cut short|not a safetensors|damaged'): load_tree(f)
    f.write_bytes(whole)
    load_tree(f)

def forge(path, head):
    save_file({'t': torch.ones(2)}, path, metadata={'wholegame': head if isinstance(head, str) else json.dumps(head)})
    return path

@pytest.mark.parametrize('tree', [{'!tensor':'nope'}, {'!run':'os.system'}, {'!tuple':3}, {'!dict':[[[1],2]]}, {'!float':'x'}, {'!channels_last':'t'}])
def test_forged_tree(tmp_path, tree):
    with pytest.raises(ValueError, match="description in"): load_tree(forge(tmp_path/'m.safetensors', {'format':1, 'tree':tree, 'meta':{}}))

@pytest.mark.parametrize('head', ['', '{', '[]', '{"format":2,"tree":1,"meta":{}}', '{"format":1}', '['*100_000])
def test_forged_head(tmp_path, head):
    with pytest.raises(ValueError, match="description in"): load_tree(forge(tmp_path/'m.safetensors', head))

class Evil:
    def __reduce__(self): return os.system, ('touch pwned',)

@pytest.mark.parametrize('protocol', range(2, pickle.HIGHEST_PROTOCOL+1))
def test_pickle_is_not_opened(tmp_path, protocol, monkeypatch):
    monkeypatch.chdir(tmp_path)
    f = tmp_path/'export.pkl'
    f.write_bytes(pickle.dumps(Evil(), protocol=protocol))
    for o in (load_tree, refuse_pickle):
        with pytest.raises(ValueError, match='is a pickle: opening it can run any code'): o(f)
    torch.save({'w': Evil()}, tmp_path/'w.pth')
    torch.save({'w': Evil()}, tmp_path/'old.pth', _use_new_zipfile_serialization=False)
    for o in (f, tmp_path/'w.pth', tmp_path/'old.pth'):
        with pytest.raises(ValueError, match='holds more than weights|damaged'): load_weights(o)
    assert not (tmp_path/'pwned').exists()

def test_shared_and_odd(tmp_path):
    "Views, overlaps, empty and non-contiguous tensors, names that collide, subclasses"
    a = torch.arange(12.)
    tree = {'a':a, 'b':a[:6], 'c':a.view(3,4), 'd':a.view(3,4).t(), 'e':torch.empty(0,3), 'f':torch.nn.Parameter(a[6:]), 'x.y':a[:1].clone(),
        'x':{'y':a[1:2].clone()}, '__metadata__':a[2:3], 'same':a, '':a[:2]}
    f = save_tree(tree, tmp_path/'m.safetensors')
    got,_ = load_tree(f)
    assert all(got[k].equal(v.detach()) for k,v in tree.items() if k!='x') and got['x']['y'].item()==1
    assert got['same'] is got['a'] and len(load_file(f))==10

@pytest.mark.parametrize('o', [torch.empty(2, device='meta'), torch.eye(2).to_sparse(), {(1,2):3}, {1.5:2}, object(), Path('x'), [lambda: 0]])
def test_refused(tmp_path, o):
    with pytest.raises(TypeError, match="Can't save deep.0"): save_tree({'deep':[o]}, tmp_path/'m.safetensors')
    assert not list(tmp_path.iterdir())

def test_optimizer_goes_on(tmp_path):
    "An optimizer that was saved and loaded takes the same next step"
    def step(m, opt): opt.zero_grad(); m(torch.ones(1,3,8,8)).square().sum().backward(); opt.step()
    m = torch.nn.Conv2d(3,4,3).to(memory_format=torch.channels_last)
    opt = torch.optim.Adam(m.parameters())
    step(m, opt)
    tree,_ = load_tree(save_tree({'model':m.state_dict(), 'opt':opt.state_dict()}, tmp_path/'m.safetensors'))
    m2 = torch.nn.Conv2d(3,4,3).to(memory_format=torch.channels_last)
    m2.load_state_dict(tree['model'])
    opt2 = torch.optim.Adam(m2.parameters())
    opt2.load_state_dict(tree['opt'])
    assert opt2.state_dict()['state'][0]['exp_avg'].stride()==opt.state_dict()['state'][0]['exp_avg'].stride()
    for o in ((m,opt), (m2,opt2)): step(*o)
    assert m.weight.equal(m2.weight)

@pytest.mark.skipif(os.name=='nt', reason='links need rights on Windows')
def test_through_a_link(tmp_path):
    real = tmp_path/'real.txt'
    real.write_text('old')
    (tmp_path/'link.txt').symlink_to(real)
    with atomic_path(tmp_path/'link.txt') as p: p.write_text('new')
    assert real.read_text()=='new' and (tmp_path/'link.txt').is_symlink()


def raw(path, head, data=b'abcd'):
    b = head if isinstance(head, bytes) else json.dumps(head).encode()
    path.write_bytes(len(b).to_bytes(8, 'little') + b + data)
    return path

@pytest.mark.parametrize('head', [b'{"a":' + b'['*200_000, {'a':{'dtype':'F32', 'shape':[1], 'data_offsets':[]}}, {'a':{'dtype':'F32', 'shape':[1], 'data_offsets':[0,'x']}},
    {'a':[]}, {'__metadata__':[1]}, {'a':{'dtype':'U8', 'shape':[2**62], 'data_offsets':[0,2**62]}}, {'a':{'dtype':'U8', 'shape':[4], 'data_offsets':[-4,0]}}, b'{"\xff":1}'],
    ids=lambda o: str(o)[:40])
def test_forged_safetensors(tmp_path, head):
    "Tables of contents that no writer makes"
    with pytest.raises(ValueError, match='cut short|damaged'): load_tree(raw(tmp_path/'m.safetensors', head))

def test_names_that_look_like_ours(tmp_path):
    "A key may look like the name that a second tensor of the same path is given"
    tree = {'a.b':torch.tensor(0), 'a.b#2':torch.tensor(1), 'a':{'b':torch.tensor(2)}}
    got,_ = load_tree(save_tree(tree, tmp_path/'m.safetensors'))
    assert [got['a.b'].item(), got['a.b#2'].item(), got['a']['b'].item()]==[0,1,2]

def test_odd_keys(tmp_path):
    tree = {np.int64(3):torch.tensor(1), 'half a letter \udc80':torch.tensor(2)}
    got,_ = load_tree(save_tree(tree, tmp_path/'m.safetensors'))
    assert {k:v.item() for k,v in got.items()}=={3:1, 'half a letter \udc80':2}

@pytest.mark.parametrize('name', ['鳥'*80, 'b'*250, 'ein Vogel, kein Wald – 🐦'])
def test_long_and_foreign_names(tmp_path, name):
    f = save_tree({'a':torch.ones(1)}, tmp_path/f'{name}.st')
    assert load_tree(f)[0]['a'].item()==1 and [o.name for o in tmp_path.iterdir()]==[f.name]

@pytest.mark.skipif(os.name=='nt', reason='folders are not synced there')
def test_folders_that_cannot_be_synced(tmp_path, monkeypatch):
    "Network and cloud drives may refuse it; the file is in place by then"
    real = os.fsync
    def sync(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode): raise OSError(22, 'Invalid argument')
        real(fd)
    monkeypatch.setattr(os, 'fsync', sync)
    assert load_tree(save_tree({'a':1}, tmp_path/'m.safetensors'))[0]=={'a':1}

def test_no_such_drive(monkeypatch):
    "On Windows the parent of a drive is the drive: looking upwards has to end there"
    from wholegame.data.transforms import get_image_files
    for o in ('is_dir','exists','is_file'): monkeypatch.setattr(Path, o, lambda self: False)
    with pytest.raises(FileNotFoundError, match='No file'): load_tree('/z/models/m.safetensors')
    with pytest.raises(FileNotFoundError, match='No such folder'): get_image_files('/z/photos')

def test_advice_on_pickles_is_true(tmp_path):
    "The reader that the refusal recommends had holes in older versions, and the message says so"
    (tmp_path/'w.pth').write_bytes(pickle.dumps([1], protocol=2))
    with pytest.raises(ValueError, match=r'2\.10') as e: refuse_pickle(tmp_path/'w.pth')
    assert 'CVE-2025-32434' in str(e.value) and 'safely' not in str(e.value)

"""A lesson on a simulated Kaggle: our wheel, inputs attached in two layouts and read-only, no network. `make hosts` does it with oldest and newest versions."""
import subprocess, sys
from pathlib import Path
import pytest
from pages import root
from test_checks import code, md, write
from test_package import sh

sys.path.insert(0, str(root/'tools'))
import hosts

@pytest.fixture(scope='session')
def exe(tmp_path_factory):
    "The Python of an environment with our wheel in it; what it depends on is borrowed from this one"
    import torch
    tmp = tmp_path_factory.mktemp('host')
    wheel, res = hosts.make_wheel(tmp/'wheel'), tmp/'env'/'bin'/'python'
    sh(sys.executable, '-m', 'venv', '--without-pip', tmp/'env', cwd=tmp)
    sh(sys.executable, '-m', 'pip', '--python', res, 'install', '--no-deps', '--no-index', wheel, cwd=tmp)
    site = Path(sh(res, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))', cwd=tmp).strip())
    (site/'borrowed.pth').write_text(str(Path(torch.__file__).parent.parent)+'\n')
    return res

@pytest.fixture(scope='session')
def attached(exe, tmp_path_factory): return hosts.make_attached(exe, tmp_path_factory.mktemp('attached')/'files')

@pytest.fixture
def kaggle(exe, attached, tmp_path):
    "Run a notebook, or cells, on a simulated Kaggle; None, or what went wrong"
    def run(what, place):
        file = what if isinstance(what, Path) else write(tmp_path, [md('# A lesson'), *what])
        return hosts.run_lesson(exe, file, tmp_path/'host', hosts.make_kaggle(attached, tmp_path/'host', place), timeout=300)
    yield run
    hosts.lock(tmp_path/'host', False)

flat, deep = hosts.places

uses_inputs = code('''from wholegame.vision.all import *
path = untar_data(URLs.MNIST_TINY)
dls = ImageDataLoaders.from_folder(path, bs=8, item_tfms=Resize(28))
learn = vision_learner(dls, resnet18)
learn.save('mine')
setup()''')

@pytest.mark.parametrize('what,place', [(root/'course'/'00_jupyter_101.ipynb', flat), ([uses_inputs], deep)], ids=['first lesson','attached data and weights'])
def test_lesson_runs(what, place, kaggle, tmp_path):
    assert kaggle(what, place) is None
    ran = next((tmp_path/'host'/'kaggle'/'working').glob('*.ipynb')).read_text()
    assert 'Host:    Kaggle' in ran and 'no weights for' not in ran

@pytest.mark.parametrize('src,what', [('!touch $WHOLEGAME_INPUT/new.txt', 'the inputs were changed'), ('import warnings\nwarnings.warn("hm")', 'hm'),
    ('import sys\nsys.path.insert(0, ROOT)\nimport wholegame', 'AssertionError')], ids=['writes by shell','warns','source tree'])
def test_what_a_lesson_must_not_do(src, what, kaggle): assert what in kaggle([code(src.replace('ROOT', repr(str(root/'lib_package'))))], flat)

@pytest.mark.parametrize('src,what', [
    ('import os\nopen(os.environ["WHOLEGAME_INPUT"]+"/new.txt", "w")', 'Read-only file system'), ('import os\nos.mkdir(os.environ["WHOLEGAME_INPUT"]+"/new")', 'Read-only file system'),
    ('import os, shutil\nshutil.rmtree(os.environ["WHOLEGAME_INPUT"])', 'Read-only file system'), ('import socket\nsocket.create_connection(("192.0.2.1", 80))', 'unreachable'),
    ('from urllib.request import urlopen\nurlopen("http://example.com/x")', 'name resolution'),
    ('import os, socket, pathlib\nopen("kept.txt", "w").close()\nsocket.socket().bind(("127.0.0.1", 0))\npathlib.Path(os.environ["WHOLEGAME_INPUT"]).mkdir(exist_ok=True)\n'
     'open(next(pathlib.Path(os.environ["WHOLEGAME_INPUT"]).rglob("*.tgz")), "rb").read()', '')],
    ids=['writes','makes','deletes','address','name','good'])
def test_what_the_guard_refuses(src, what, attached, tmp_path):
    env = hosts.make_kaggle(attached, tmp_path/'host', deep)
    r = subprocess.run([sys.executable, '-c', src], env=env, cwd=tmp_path/'host'/'kaggle'/'working', capture_output=True, text=True)
    hosts.lock(tmp_path/'host', False)
    assert (what in r.stderr and r.returncode) if what else not r.returncode, r.stderr

can_unplug = hosts.alone([])!=[]

@pytest.mark.skipif(not can_unplug, reason='this system gives no network of its own to a process')
def test_without_internet_the_error_says_what_to_do(kaggle):
    ask = 'import os\nos.environ.pop("WHOLEGAME_OFFLINE")\nfrom wholegame.vision.all import *\n'
    tried = 'try: {}\nexcept RuntimeError as e: assert "WHOLEGAME_OFFLINE=1" in str(e), str(e)\nelse: assert False'
    assert kaggle([code(ask), code(tried.format('search_images("bird", 1)')), code(tried.format('untar_data(URLs.PETS)'))], deep) is None

def test_oldest():
    assert hosts.oldest(['torch>=2.4', 'wheel'])==['torch==2.4']
    assert [o for o in hosts.wanted('old', 'w.whl') if o.startswith('torch')]==hosts.oldest([o for o in hosts.lines('requirements') if o.startswith('torch')])
    assert hosts.wanted('new', 'w.whl')[0]=='w.whl' and not [o for o in hosts.wanted('new', 'w.whl') if '==' in o]

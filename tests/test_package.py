"""The wheel, installed where the repository is not: it trains, imports quietly, and brings only the names it should."""
import builtins, configparser, os, subprocess, sys, tarfile, zipfile
from pathlib import Path
import pytest
from pages import root

heavy = ['pandas','matplotlib.pyplot','sklearn','scipy','IPython.display'] # each takes longer to import than our whole package
taken = 'run test time os sys re json random math io copy glob shutil subprocess warnings operator string cycle groupby equals dispatch'.split()

def sh(*cmd, cwd, **env):
    "Run `cmd`; return what it printed, or fail with it"
    full = {**{k:v for k,v in os.environ.items() if k not in ('PYTHONPATH','VIRTUAL_ENV')}, **env}
    r = subprocess.run([str(o) for o in cmd], cwd=cwd, env=full, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert r.returncode==0, f"{' '.join(map(str, cmd))[:300]}\n{r.stdout[-3000:]}\n{r.stderr[-3000:]}"
    return r.stdout + r.stderr

@pytest.fixture(scope='session')
def metadata():
    config = configparser.ConfigParser(delimiters=['='], interpolation=None)
    config.read(root/'settings.ini', encoding='utf-8')
    return config['DEFAULT']

@pytest.fixture(scope='session')
def built(tmp_path_factory):
    "Folder with the sdist, and the wheel that was built from that sdist alone"
    from test_hygiene import project_files
    src, dest = tmp_path_factory.mktemp('src'), tmp_path_factory.mktemp('dist')
    for f in project_files():
        (src/f.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
        (src/f.relative_to(root)).write_bytes(f.read_bytes())
    sh(sys.executable, '-m', 'build', '--no-isolation', '--outdir', dest, src, cwd=src)
    return dest

@pytest.fixture(scope='session')
def python(built, tmp_path_factory):
    "The Python of an environment with our wheel in it; what it depends on is borrowed from this one"
    env = tmp_path_factory.mktemp('env')/'venv'
    sh(sys.executable, '-m', 'venv', '--without-pip', env, cwd=env.parent)
    exe = env/'bin'/'python'
    sh(sys.executable, '-m', 'pip', '--python', exe, 'install', '--no-deps', '--no-index', *built.glob('*.whl'), cwd=env.parent)
    site = Path(sh(exe, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))', cwd=env).strip())
    # A path in a .pth file is searched after site-packages, and .pth files in it (our own editable install) are not read
    import torch
    (site/'borrowed.pth').write_text(str(Path(torch.__file__).parent.parent)+'\n')
    return exe

@pytest.fixture
def empty(tmp_path):
    "A folder with nothing in it, which is where the package is used"
    (tmp_path/'here').mkdir()
    return tmp_path/'here'

def test_sdist_and_wheel(built, metadata):
    sdist, wheel = next(built.glob('*.tar.gz')), next(built.glob('*.whl'))
    assert wheel.name==f"{metadata['name']}-{metadata['version']}-py3-none-any.whl"
    inside = {n.partition('/')[2] for n in tarfile.open(sdist).getnames()}
    assert {'settings.ini','setup.py','pyproject.toml','README.md','LICENSE','CHANGELOG.md'} <= inside
    names = zipfile.ZipFile(wheel).namelist()
    modules = {str(f.relative_to(root/'lib_package')) for f in (root/'lib_package'/'wholegame').rglob('*.py')}
    assert {n for n in names if '.dist-info/' not in n}==modules
    assert any(n.endswith('LICENSE') for n in names)

def test_installed_outside_the_repository(python, empty, metadata):
    ask = "import wholegame, importlib.metadata as m; print(wholegame.__file__, m.version('wholegame'), len(m.requires('wholegame')))"
    file, version, n = sh(python, '-c', ask, cwd=empty).split()
    assert str(python.parent.parent) in file and str(root/'lib_package') not in file
    assert version==metadata['version']
    assert int(n)==sum(len(v.split('\n'))-1 for k,v in metadata.items() if k=='requirements' or k.endswith('_requirements'))

lesson = '''
from wholegame.vision.all import *
set_seed(1)
searches, path = ('forest','bird'), Path('bird_or_not')
for o in searches:
    dest = path/o
    dest.mkdir(exist_ok=True, parents=True)
    download_images(dest, urls=search_images(f'{o} photo', max_images=120))
    resize_images(dest, max_size=400, dest=dest)
failed = verify_images(get_image_files(path))
failed.map(Path.unlink)
dls = DataBlock(blocks=(ImageBlock, CategoryBlock), get_items=get_image_files, splitter=RandomSplitter(valid_pct=0.2, seed=42),
    get_y=parent_label, item_tfms=[Resize(96, method='squish')]).dataloaders(path, bs=16)
learn = vision_learner(dls, resnet18, metrics=error_rate)
learn.fine_tune(3)
is_bird,_,probs = learn.predict(get_image_files(path/'bird')[0])
print('RESULT', is_bird, float(probs.sum()), learn.recorder.history[-1]['error_rate'])
'''

def test_first_lesson_from_an_empty_folder(python, empty, tmp_path):
    (tmp_path/'lesson.py').write_text(lesson)
    out = sh(python, tmp_path/'lesson.py', cwd=empty, WHOLEGAME_HOME=str(tmp_path/'home'))
    label, total, wrong = out.split('RESULT ')[1].split()
    assert label in ('bird','forest') and abs(float(total)-1)<1e-3
    assert float(wrong)<=0.25, f'{float(wrong):.0%} wrong after three epochs on drawn birds and forests'

def test_import_is_silent(python, empty):
    assert sh(python, '-W', 'error', '-c', 'from wholegame.vision.all import *', cwd=empty)==''
    assert not list(empty.iterdir())

names = '''
import sys, types
ns = {}
exec('from wholegame.vision.all import *', ns)
for k,v in ns.items(): print(k, v.__name__ if isinstance(v, types.ModuleType) else '-')
'''

def test_star_import_brings_no_surprise(python, empty):
    got = dict(l.split(' ', 1) for l in sh(python, '-c', names, cwd=empty).splitlines())
    got.pop('__builtins__')
    bad = [k for k in got if k in taken or hasattr(builtins, k)] + [k for k,m in got.items() if m.partition('.')[0] in sys.stdlib_module_names]
    assert not bad, f'the star import brings {bad}'
    wanted = 'L Path partial first torch nn F np pd plt Image DataBlock ImageBlock CategoryBlock vision_learner resnet18 error_rate untar_data URLs'.split()
    assert not [k for k in wanted if k not in got]

modules = 'import sys, time; start = time.time(); {}; print(time.time()-start, *[m for m in %r if m in sys.modules])' % heavy

def imported(python, what, cwd, n=2):
    "Seconds that `what` takes, the best of `n`, and which of the heavy modules it brings"
    runs = [sh(python, '-c', modules.format(what), cwd=cwd).split() for _ in range(n)]
    return min(float(r[0]) for r in runs), set(runs[0][1:])

def library_modules():
    "Every module but those for `import *`"
    fs = sorted((root/'lib_package').rglob('*.py'))
    return ['.'.join(f.relative_to(root/'lib_package').with_suffix('').parts) for f in fs if f.stem not in ('__init__','_modidx','all')]

def test_import_is_light(python, empty, capsys):
    base, theirs = imported(python, 'import torch, torchvision, timm', empty)
    _, library = imported(python, 'import '+', '.join(library_modules()), empty, n=1)
    assert not library-theirs, f'the library imports {sorted(library-theirs)}'
    mine, star = imported(python, 'from wholegame.vision.all import *', empty)
    with capsys.disabled(): print(f' wholegame.vision.all: {mine:.1f} s, {mine/base:.2f} times torch, torchvision and timm ', end='')
    assert not star-theirs, f'importing wholegame.vision.all also imports {sorted(star-theirs)}'

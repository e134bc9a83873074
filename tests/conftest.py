"""The surroundings of every test: offline, a home of its own, and a folder of photos."""
import os, shutil, sys, tempfile, time
from pathlib import Path
import pytest

home = Path(tempfile.mkdtemp(prefix='wholegame-tests-'))
# Nothing is fetched, and nothing that this machine happens to have in a cache is found
os.environ.update(WHOLEGAME_OFFLINE='1', WHOLEGAME_HOME=str(home/'wholegame'), TORCH_HOME=str(home/'torch'), HF_HOME=str(home/'hf'),
    JUPYTER_PREFER_ENV_PATH='1', MPLBACKEND='agg')
os.environ.pop('WHOLEGAME_MIRROR', None)
# Side by side, each gets one core: with more they wait for each other, and in a container the machine tells of cores that are not ours
if int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', 1))>1: os.environ['OMP_NUM_THREADS'] = '1'
started = time.time()

sys.path.insert(0, str(Path(__file__).parent))

@pytest.fixture(scope='session')
def photos(
): # folder with bird/ and forest/, 24 small photos each
    "Drawn photos of two kinds, the same in every run"
    from wholegame.data.samples import draw_bird, draw_forest
    dest = home/'photos'
    for kind,draw in ('bird',draw_bird), ('forest',draw_forest):
        (dest/kind).mkdir(parents=True)
        for i in range(24): draw(i, 64).convert('RGB').save(dest/kind/f'{i:02}.jpg')
    return dest

@pytest.fixture
def nbs_tree(tmp_path):
    "A copy of what notebooks, package and README.md are made of, to be changed at will"
    from pages import root
    for d in 'nbs','course','lib_package','docs','tools':
        if (root/d).exists(): shutil.copytree(root/d, tmp_path/d, ignore=shutil.ignore_patterns('__pycache__','.ipynb_checkpoints','*.egg-info','_*.ipynb'))
    for f in 'settings.ini','setup.py','pyproject.toml','MANIFEST.in','LICENSE','CHANGELOG.md','README.md':
        if (root/f).exists(): shutil.copy(root/f, tmp_path/f)
    return tmp_path

@pytest.fixture(scope='module')
def browser():
    "A real Chromium or Chrome, without a window"
    exe = next(filter(None, map(shutil.which, ('chromium','chromium-browser','google-chrome','google-chrome-stable'))), None)
    if not exe: pytest.skip('no Chromium or Chrome here: apt install chromium')
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=exe, args=['--no-sandbox'])
        yield b
        b.close()

def is_long(item):
    "Does it run a lesson, or lines that train large models?"
    file = getattr(getattr(item, 'callspec', None), 'params', {}).get('file')
    return getattr(getattr(file, 'parent', None), 'name', '')=='course' and item.name.startswith('test_notebook') or item.name=='test_the_lines_of_2018'

def pytest_collection_modifyitems(items):
    "What takes long comes first, so that one worker isn't left with it when the other has nothing more to do"
    items.sort(key=lambda o: not is_long(o))

def pytest_sessionfinish(session): shutil.rmtree(home, ignore_errors=True)

def pytest_unconfigure(config):
    "The last lines: did it pass, how much, how long"
    reporter = config.pluginmanager.get_plugin('terminalreporter')
    if reporter is None or hasattr(config, 'workerinput') or config.option.collectonly: return
    n = {k:len(reporter.stats.get(k, [])) for k in ('passed','failed','error','skipped')}
    bad, mins = n['failed']+n['error'], (time.time()-started)/60
    if bad: reporter.write_line(f"{bad} of {bad+n['passed']} checks FAILED in {mins:.1f} minutes: they are listed above.", red=True, bold=True)
    elif n['passed']: reporter.write_line(f"All {n['passed']} checks passed in {mins:.1f} minutes ({n['skipped']} skipped).", green=True, bold=True)
    else: reporter.write_line('No check ran.', red=True, bold=True)

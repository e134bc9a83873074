"""Run lessons as Kaggle runs them, with the oldest and the newest versions we support: `python tools/hosts.py [--hosts old,new] [NOTEBOOK ...]`

Each host is a virtual environment in .venv-hosts with our wheel in it, never the source tree: `old` has the lower bounds of
settings.ini, `new` the newest of everything. Installing them downloads gigabytes, once. Each lesson runs alone in the working folder
of a simulated Kaggle: inputs attached under each of the two layouts, read-only, and no network. Prints a table and writes it to
build/hosts/table.md. Standard library only, but for what runs inside a host.
"""
import argparse, configparser, errno, hashlib, json, os, re, shutil, socket, struct, subprocess, sys, time
from pathlib import Path

root = Path(__file__).resolve().parent.parent
places = {'input/NAME':'{name}', 'input/datasets/OWNER/NAME':'datasets/somebody/{name}'} # both are in use on Kaggle
told = 'torch torchvision timm numpy pandas fastcore ipython'.split() # versions worth a line

def settings():
    config = configparser.ConfigParser(delimiters=['='], interpolation=None)
    config.read(root/'settings.ini', encoding='utf-8')
    return config['DEFAULT']

def lines(key): return [o.strip() for o in settings()[key].splitlines() if o.strip()]

def oldest(reqs):
    "Each `name>=version` as `name==version`"
    return [re.sub(r'>=', '==', o) for o in reqs if '>=' in o]

runner = 'nbclient ipykernel'.split() # a host needs these to run a notebook; Kaggle and Colab have them

def wanted(host, wheel):
    "What pip installs for `host`"
    dev = [o for o in lines('dev_requirements') if re.match(r'[\w-]+', o)[0] in runner]
    return [str(wheel), *(oldest(lines('requirements') + dev) if host=='old' else dev)]

def sh(*cmd, **kw):
    r = subprocess.run([str(o) for o in cmd], capture_output=True, text=True, stdin=subprocess.DEVNULL, **kw)
    if r.returncode: sys.exit(f"{' '.join(map(str, cmd))[:300]}\n{r.stdout[-3000:]}\n{r.stderr[-3000:]}")
    return r.stdout

def make_wheel(dest):
    "The wheel of this source tree, in folder `dest`"
    shutil.rmtree(dest, ignore_errors=True)
    src = dest/'source' # building leaves files behind: not in the tree
    for f in 'settings.ini','setup.py','pyproject.toml','README.md','LICENSE','MANIFEST.in':
        src.mkdir(parents=True, exist_ok=True)
        if (root/f).exists(): shutil.copy(root/f, src)
    shutil.copytree(root/'lib_package'/'wholegame', src/'lib_package'/'wholegame', ignore=shutil.ignore_patterns('__pycache__'))
    sh(sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '--disable-pip-version-check', '-w', dest, src)
    return next(dest.glob('*.whl'))

def make_env(host, folder, wheel):
    "The Python of `host`, made or updated; pip leaves what fits"
    exe = folder/'bin'/'python'
    if not exe.exists(): sh(sys.executable, '-m', 'venv', folder)
    pip = [exe, '-m', 'pip', 'install', '-q', '--disable-pip-version-check']
    sh(*pip, *(['--upgrade','--upgrade-strategy','eager'] if host=='new' else []), *wanted(host, wheel))
    sh(*pip, '--force-reinstall', '--no-deps', wheel) # the version may be the same and the code not
    return exe

# ---- the simulated Kaggle

guard = r'''"""Loaded by every Python of a simulated host: no network, and nothing is written among the inputs"""
import errno, os, re, socket, sys
inputs = os.path.realpath(os.environ['WHOLEGAME_INPUT'])
writing = os.O_WRONLY|os.O_RDWR|os.O_CREAT|os.O_TRUNC|os.O_APPEND
changing = {'os.mkdir','os.remove','os.rename','os.rmdir','os.symlink','os.link','os.truncate','os.chmod','os.chown','os.utime'}
here = {'localhost','127.0.0.1','::1','0.0.0.0','::','',None}

def is_input(p):
    try: return (os.path.realpath(os.fsdecode(p))+os.sep).startswith(inputs+os.sep)
    except TypeError: return False # an open file, or an argument that is no path

def is_here(host): return host in here or str(host).startswith('127.')
def is_number(host): return bool(re.fullmatch(r'[\d.]+|[\da-f:]*:[\da-f:.]*', str(host)))

def refuse(event, args):
    if event=='open' and isinstance(args[2], int) and args[2] & writing and is_input(args[0]): raise OSError(errno.EROFS, 'Read-only file system', args[0])
    if event in changing and any(is_input(o) for o in args[:2]) and not (event=='os.mkdir' and os.path.exists(args[0])):
        raise OSError(errno.EROFS, 'Read-only file system', args[0])
    if event in ('socket.connect','socket.sendto') and isinstance(args[1], tuple) and not is_here(args[1][0]): raise OSError(errno.ENETUNREACH, 'Network is unreachable')
    if event in ('socket.getaddrinfo','socket.gethostbyname') and not (is_here(args[0]) or is_number(args[0])): raise socket.gaierror(socket.EAI_AGAIN, 'Temporary failure in name resolution')

sys.addaudithook(refuse)
'''

attach = '''import sys, tarfile, torch
from pathlib import Path
from wholegame.data.samples import make_sample
from wholegame.vision.models import _weight_files
from torchvision.models import resnet18
folder = Path(sys.argv[1])
with tarfile.open(folder/'mnist_tiny.tgz', 'w:gz') as t: t.add(make_sample('mnist_tiny.tgz', folder/'drawn'), 'mnist_tiny')
torch.manual_seed(1)
torch.save(resnet18().state_dict(), folder/_weight_files('torchvision', 'resnet18')[0])
'''

probe = '''import os, socket, wholegame
from pathlib import Path
from wholegame.data.external import URLs, find_weights, untar_data
from wholegame.vision.models import _weight_files
inputs = Path(os.environ['WHOLEGAME_INPUT'])
assert 'site-packages' in wholegame.__file__, wholegame.__file__
assert Path.cwd()==inputs.parent/'working', Path.cwd()
f = find_weights(_weight_files('torchvision', 'resnet18')[0])
assert inputs in f.parents, f
assert 'samples' not in untar_data(URLs.MNIST_TINY).parts, 'the attached archive was not used'
for act in (f.parent/'new.txt').touch, (f.parent/'new').mkdir, f.unlink:
    try: act()
    except OSError: pass
    else: raise AssertionError(f'{act} changed the inputs')
for host in '192.0.2.1','example.com':
    try: socket.create_connection((host, 80), timeout=3).close()
    except OSError: pass
    else: raise AssertionError(f'reached {host}')
'''

def contents(folder):
    "Relative name -> checksum of every file in `folder`"
    return {str(f.relative_to(folder)):hashlib.sha256(f.read_bytes()).hexdigest() if f.is_file() else '' for f in sorted(folder.rglob('*'))}

def lock(folder, lock=True):
    for f in [folder, *folder.rglob('*')]: f.chmod((0o555 if f.is_dir() else 0o444) if lock else (0o755 if f.is_dir() else 0o644))

def make_attached(exe, folder):
    "What people attach, in `folder`: a drawn data set's archive, and weights, random ones under the name of the published"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sh(exe, '-c', attach, folder, cwd=folder, env={**os.environ, 'PYTHONPATH':''})
    shutil.rmtree(folder/'drawn')
    return folder

def make_kaggle(attached, folder, place):
    "A tree like Kaggle's in `folder`, with what is in `attached` under `place`; returns the variables of its processes"
    if folder.exists(): lock(folder, False); shutil.rmtree(folder)
    inputs, extra = folder/'kaggle'/'input', folder/'guard'
    for d in folder/'kaggle'/'working', folder/'home', folder/'tmp', extra: d.mkdir(parents=True)
    for f in attached.iterdir():
        dest = inputs/places[place].format(name=f'our-{f.suffix[1:]}')
        dest.mkdir(parents=True)
        shutil.copy(f, dest)
    (extra/'sitecustomize.py').write_text(guard)
    keep = {k:v for k,v in os.environ.items() if k in ('PATH','LANG','LC_ALL','OMP_NUM_THREADS','LD_LIBRARY_PATH')}
    env = {**keep, 'HOME':str(folder/'home'), 'TMPDIR':str(folder/'tmp'), 'WHOLEGAME_INPUT':str(inputs), 'WHOLEGAME_OFFLINE':'1', 'PYTHONPATH':str(extra),
        'KAGGLE_KERNEL_RUN_TYPE':'Batch', 'JUPYTER_PREFER_ENV_PATH':'1', 'PYTHONNOUSERSITE':'1', 'PYDEVD_DISABLE_FILE_VALIDATION':'1'}
    lock(inputs)
    return env

def alone(cmd):
    "`cmd` in a network of its own, where the system allows that; the guard is there in any case"
    net = ['unshare','--map-root-user','--net']
    return [*net, *cmd] if shutil.which('unshare') and not subprocess.run([*net, 'true'], capture_output=True).returncode else cmd

def run_lesson(exe, file, folder, env, timeout=1800):
    "Run notebook `file` in the tree in `folder`: None, or what went wrong"
    before = contents(folder/'kaggle'/'input')
    shutil.copy(file, folder/'kaggle'/'working')
    cmd = alone([exe, __file__, 'inside', folder/'kaggle'/'working'/file.name])
    try: r = subprocess.run([str(o) for o in cmd], env=env, cwd=folder/'kaggle'/'working', capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired: return f'not done after {timeout} seconds'
    if contents(folder/'kaggle'/'input')!=before: return 'the inputs were changed'
    if r.returncode: return (r.stdout + r.stderr).strip() or f'exit code {r.returncode}'

# ---- inside a host

def raise_loopback():
    "A network of one's own begins with its loopback down, and the kernel talks over it"
    import fcntl
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        _,flags = struct.unpack('16sh', fcntl.ioctl(s, 0x8913, struct.pack('16sh', b'lo', 0)))
        try: fcntl.ioctl(s, 0x8914, struct.pack('16sh', b'lo', flags|1))
        except OSError as e:
            if e.errno!=errno.EPERM: raise

def inside(file):
    "Run a notebook from top to bottom, and look around at its end"
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    raise_loopback()
    nb = nbformat.read(file, as_version=4)
    def marked(c, mark): return re.search(rf'^#\s*\|\s*{mark}\b', c.source, re.M)
    nb.cells = [c for c in nb.cells if c.cell_type!='code' or not (marked(c, 'eval: *false') or marked(c, 'cuda'))] + [nbformat.v4.new_code_cell(probe)]
    for c in nb.cells:
        if c.cell_type=='code': c.outputs = []
    try: NotebookClient(nb, timeout=1200, kernel_name='python3', resources={'metadata':{'path':str(Path(file).parent)}}).execute()
    except CellExecutionError as e: sys.exit(re.sub(r'\x1b\[[0-9;]*m', '', str(e)))
    finally: nbformat.write(nb, file)
    seen = [o.text.strip() for c in nb.cells if c.cell_type=='code' for o in c.outputs if o.output_type=='stream' and o.name=='stderr' and 'Warning:' in o.text]
    if seen: sys.exit('a reader sees a warning: ' + '\n'.join(seen))

# ---- all of it

def versions(exe): return json.loads(sh(exe, '-c', 'import importlib.metadata as m, json, sys; print(json.dumps({o:m.version(o) for o in sys.argv[1:]}))', *told))

def row(*o): return '| ' + ' | '.join(str(x) for x in o) + ' |'

def say(s, log=[]): print(s, flush=True); log.append(s); return log

def try_host(host, exe, files, build):
    "Rows of the table for one host; returns how many failed"
    n, attached = 0, make_attached(exe, build/f'{host}-attached')
    for i,place in enumerate(places):
        folder = build/f'{host}-kaggle-{i}'
        for f in files:
            env, start = make_kaggle(attached, folder, place), time.time()
            wrong = run_lesson(exe, f, folder, env)
            say(row(host, place, f.stem, 'FAILED' if wrong else 'passed', f'{time.time()-start:.0f}'))
            if wrong: print('    '+'\n    '.join(wrong.splitlines()[-40:]), flush=True)
            n += bool(wrong)
        lock(folder, False)
    return n

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('notebooks', nargs='*', type=Path, help='default: every lesson in course/')
    p.add_argument('--hosts', default='old,new', help='old, new, or both')
    p.add_argument('--envs', type=Path, default=root/'.venv-hosts', help='where the environments are kept')
    p.add_argument('--build', type=Path, default=root/'build'/'hosts', help='where lessons run, and the table is written')
    a = p.parse_args()
    files = [f.resolve() for f in a.notebooks] or [f for f in sorted((root/'course').glob('*.ipynb')) if f.name[0] not in '._']
    hosts, envs, build = a.hosts.split(','), a.envs.resolve(), a.build.resolve()
    if bad := [h for h in hosts if h not in ('old','new')]: sys.exit(f"There is no host '{bad[0]}', only old and new")
    wheel = make_wheel(build/'wheel')
    exes = {}
    for h in hosts:
        print(f'Installing {h} into {envs/h} (gigabytes, the first time) ...', flush=True)
        exes[h] = make_env(h, envs/h, wheel)
        print(f'  {h}: ' + ', '.join(f'{k} {v}' for k,v in versions(exes[h]).items()), flush=True)
    print()
    say(row('host', 'inputs', 'lesson', 'result', 'seconds')); log = say(row(*['---']*5))
    n = sum(try_host(h, exes[h], files, build) for h in hosts)
    (build/'table.md').write_text('\n'.join(log)+'\n')
    if n: sys.exit(f'{n} of {len(log)-2} runs failed')

if __name__=='__main__': inside(sys.argv[2]) if sys.argv[1:2]==['inside'] else main()

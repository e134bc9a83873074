"""Make or update a virtual environment with this package in it: `python tools/make_venv.py .venv dev`

Standard library only. Writes `<folder>/.ready` at the end, which the Makefile compares with settings.ini.
"""
import configparser, queue, re, shutil, subprocess, sys, threading, time
from pathlib import Path

root = Path(__file__).resolve().parent.parent
quiet = 20 # seconds without a line before we say that we are still here

def min_python():
    "The oldest Python that settings.ini allows"
    config = configparser.ConfigParser(delimiters=['='], interpolation=None)
    config.read(root/'settings.ini', encoding='utf-8')
    return tuple(int(o) for o in config['DEFAULT']['min_python'].split('.'))

def worth_saying(
    line, # one line of pip's output
): # what to show of it, or None
    "Big downloads, builds and the last step; pip has hundreds of other lines"
    m = re.match(r'\s*(?:Downloading|Using cached) (?:\S*/)?([\w.]+)-\S+ \(([\d.]+) (MB|GB)\)', line)
    if m: return f'{m[1]} ({m[2]} {m[3]})' if m[3]=='GB' or float(m[2])>20 else None
    m = re.match(r'Installing collected packages: (.*)', line)
    if m: return f'unpacking {m[1].count(",")+1} packages'
    if line.startswith('Successfully installed'): return 'all installed'

def run_saying(cmd):
    "Run `cmd`, showing what `worth_saying` finds and a sign of life; return its exit code and its output"
    start, q, out = time.time(), queue.Queue(), []
    p = subprocess.Popen(cmd, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors='replace')
    def read():
        for line in p.stdout: q.put(line)
        q.put(None)
    threading.Thread(target=read, daemon=True).start()
    def say(s): print(f'  {time.time()-start:4.0f} s  {s}', flush=True)
    last, line = time.time(), ''
    while line is not None:
        try: line = q.get(timeout=1)
        except queue.Empty: line = ''
        if line: out.append(line)
        said = line and worth_saying(line)
        if not said and time.time()-last > quiet: said = 'still working ...'
        if said: say(said); last = time.time()
    return p.wait(), ''.join(out)

def make(folder):
    "A virtual environment in `folder`, and the start of a command that runs pip for it"
    python = folder/'bin'/'python'
    def works(*cmd): return subprocess.run(cmd, cwd=root, capture_output=True).returncode==0
    if python.exists() and works(python, '-m', 'pip', '--version'): return [python, '-m', 'pip']
    shutil.rmtree(folder, ignore_errors=True)
    if works(sys.executable, '-m', 'venv', folder): return [python, '-m', 'pip']
    # Some systems ship Python without ensurepip: then the pip outside fills the environment
    pip = [sys.executable, '-m', 'pip', '--python', python]
    if works(sys.executable, '-m', 'venv', '--clear', '--without-pip', folder) and works(*pip, '--version'): return pip
    sys.exit(f'Cannot make a virtual environment with {sys.executable}. It needs the venv module and pip 22.3 or newer '
        '(on Debian and Ubuntu: apt install python3-venv).')

def main(folder, extras):
    oldest = min_python()
    if sys.version_info < oldest:
        sys.exit(f'This project needs Python {".".join(map(str, oldest))} or newer, and {sys.executable} is '
            f'{sys.version.split()[0]}. Name another one: make PYTHON=python3.12 ...')
    print(f'Installing what this needs into {folder}/ (once; PyTorch is big, so minutes, not seconds) ...', flush=True)
    target, start = root/folder, time.time()
    pip = make(target)
    cmd = [*pip, 'install', '--progress-bar', 'off', '--disable-pip-version-check', '-e', f'.[{extras}]']
    code, out = run_saying([str(o) for o in cmd])
    if code: sys.exit(f'{out[-3000:]}\npip could not install the packages (its last lines are above). '
        f'Is there a network? Run the same command again when it is fixed.')
    (target/'.ready').touch()
    print(f'{folder}/ is ready after {time.time()-start:.0f} s.', flush=True)

if __name__=='__main__': main(*sys.argv[1:])

"""Run a lesson from top to bottom and show what it learned: `python tools/lesson.py course/01a_is_it_a_bird.ipynb`

Works in a fresh folder, build/lesson, offline unless WHOLEGAME_OFFLINE says otherwise. Leaves the executed page as HTML
and a picture of the predictions.
"""
import base64, html, json, os, re, shutil, sys, threading, time
from pathlib import Path

os.environ.setdefault('WHOLEGAME_OFFLINE', '1')
os.environ['JUPYTER_PREFER_ENV_PATH'] = '1' # the kernel of this virtual environment, not one of the user's
os.environ.pop('MPLBACKEND', None) # figures belong on the page
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter

root = Path(__file__).resolve().parent.parent
ansi = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]')
last_cells = ['learn.show_results(max_n=9)',
    'import json; print(json.dumps({k:float(v) for k,v in learn.recorder.history[-1].items() if isinstance(v, (int,float))}))']

def table(s):
    "An HTML table as lines of text"
    rows = [re.findall(r'<t[hd][^>]*>(.*?)</t[hd]>', r, re.S) for r in re.findall(r'<tr.*?</tr>', s, re.S)]
    rows = [[html.unescape(re.sub(r'<[^>]+>', '', c)).strip() for c in r] for r in rows]
    return '\n'.join('  '.join(c.rjust(11) for c in r) for r in rows)

def as_text(o):
    "What a terminal can show of a message's output: text, a table, or that there is a picture"
    if 'text' in o: return o['text']
    data = o.get('data', {})
    if '<table' in data.get('text/html', ''): return table(data['text/html'])
    if 'image/png' in data: return '(a picture)'
    return data.get('text/plain', '')

def title(src):
    "What a cell is about: its first line of code"
    lines = [l for l in src.splitlines() if l.strip() and not l.lstrip().startswith('#')]
    return lines[0].strip()[:76] if lines else ''

class Progress:
    "Prints what happens, and a sign of life when nothing does"
    def __init__(self): self.start, self.last, self.seen, self.stop = time.time(), time.time(), set(), threading.Event()
    def __enter__(self): threading.Thread(target=self.beat, daemon=True).start(); return self
    def __exit__(self, *args): self.stop.set()
    def say(self, s): self.last = time.time(); print(s, flush=True)

    def beat(self):
        while not self.stop.wait(1):
            if time.time()-self.last > 10: self.say(f'     ... {time.time()-self.start:.0f} s since the start')

    def show(self, text):
        "An output, indented; no line twice in a cell, because tables are sent again each time they grow"
        for l in ansi.sub('', text).rstrip().split('\n'):
            l = l.rstrip().split('\r')[-1][:110]
            if l.strip() and l not in self.seen: self.seen.add(l); self.say(f'       {l}')

class Lesson(NotebookClient):
    "A notebook client that tells `self.progress` about each cell and output"
    def process_message(self, msg, cell, cell_index):
        kind, content = msg['msg_type'], msg['content']
        if kind in ('stream', 'execute_result', 'display_data', 'update_display_data') and not cell.metadata.get('quiet'):
            self.progress.show(as_text(content))
        return super().process_message(msg, cell, cell_index)

    async def async_execute_cell(self, cell, cell_index, **kwargs):
        if cell.cell_type=='markdown':
            head = re.match(r'#+ (.*)', cell.source)
            if head: self.progress.say(f'\n{head[1]}')
        elif title(cell.source) and not (cell.metadata.get('quiet') or marked(cell, 'hide')): self.progress.say(f'  >>> {title(cell.source)}')
        self.progress.seen = set()
        return await super().async_execute_cell(cell, cell_index, **kwargs)

def marked(cell, mark): return re.search(rf'^#\s*\|\s*{mark}\b', cell.source, re.M)

def left_out(cell):
    "Cells that say so, and cells for a GPU where there is none"
    return marked(cell, 'eval: *false') or (marked(cell, 'cuda') and shutil.which('nvidia-smi') is None)

def as_page(nb, name):
    "The notebook as HTML, without what its pages do not show"
    nb = nbformat.from_dict(nb)
    nb.cells = [c for c in nb.cells if not marked(c, 'hide')]
    for c in nb.cells: c.source = re.sub(r'^#\s*\|.*\n?', '', c.source, flags=re.M) if c.cell_type=='code' else c.source
    return HTMLExporter(embed_images=True).from_notebook_node(nb, {'metadata':{'name':name}})[0]

def run(nb, folder):
    "Execute `nb` in `folder`; return None, or what went wrong"
    client = Lesson(nb, timeout=1800, kernel_name='python3', extra_arguments=['--log-level=40'],
        resources={'metadata':{'path':str(folder)}})
    with Progress() as client.progress:
        try: client.execute()
        except CellExecutionError as e: return ansi.sub('', str(e))
        except (CellTimeoutError, DeadKernelError) as e: return f'{type(e).__name__}: {e}'

def results(cells):
    "The predictions' PNG and the last row of the training table, from the two cells that we added"
    pngs = [o['data']['image/png'] for o in cells[0].outputs if 'image/png' in o.get('data', {})]
    nums = ''.join(o.get('text', '') for o in cells[1].outputs)
    return pngs[-1] if pngs else None, json.loads(nums) if nums.strip() else {}

def main(file, folder='build/lesson'):
    file, folder = (root/file).resolve(), root/folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    nb = nbformat.read(file, as_version=4)
    nb.cells = [c for c in nb.cells if not (c.cell_type=='code' and left_out(c))]
    added = [nbformat.v4.new_code_cell(o) for o in last_cells]
    added[1].metadata['quiet'] = True
    heading = nbformat.v4.new_markdown_cell('## What it predicts')
    nb.cells += [heading, *added]
    print(f'Running {file.name} in {folder}', '(offline)' if os.environ['WHOLEGAME_OFFLINE']=='1' else '')
    start, wrong = time.time(), run(nb, folder)
    page = folder/f'{file.stem}.html'
    nb.cells.remove(added[1])
    page.write_text(as_page(nb, file.stem), encoding='utf-8')
    if wrong: sys.exit(f'\nThe lesson stopped at this cell:\n\n{wrong.strip()}\n\nThe page as far as it went: {page}')
    png, nums = results(added)
    if png is None: sys.exit(f'\nThe lesson ran, but learn.show_results() drew no picture. The page: {page}')
    picture = folder/'predictions.png'
    picture.write_bytes(base64.b64decode(png))
    print(f'\nDone in {time.time()-start:.0f} s.')
    if 'error_rate' in nums: print(f"  wrong:       {nums['error_rate']:.1%} of photos that it never trained on")
    if 'accuracy' in nums: print(f"  right:       {nums['accuracy']:.1%} of photos that it never trained on")
    print(f'  predictions: {picture}\n  the lesson:  {page}')

if __name__=='__main__': main(*sys.argv[1:])

"""Every notebook runs from top to bottom, in a kernel and a folder of its own, offline, on what it draws itself."""
import os, re, shutil
import nbformat, pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from pages import notebooks, directive, root, cells, shows_nothing, is_lesson, text

has_gpu = shutil.which('nvidia-smi') is not None
ansi = re.compile(r'\x1b\[[0-9;]*m')

def left_out(cell):
    "Cells that say so, and cells for a GPU where there is none"
    d = dict(directive.findall(cell.source)) if cell.cell_type=='code' else {}
    return d.get('eval')=='false' or ('cuda' in d and not has_gpu)

def run_notebook(
    file, # notebook to run
    folder, # an empty folder, where it runs beside a copy of its neighbours
    timeout=600, # seconds for one cell
): # the notebook with its new outputs
    "Run a copy of a notebook"
    shutil.copytree(file.parent, folder/file.parent.name, ignore=shutil.ignore_patterns('.*', '*.ipynb'))
    nb = nbformat.read(file, as_version=4)
    for c in nb.cells:
        if c.cell_type=='code': c.outputs = []
        if left_out(c): c.source = ''
    if is_lesson(file): nb = with_trials(nb)
    env = {**os.environ, 'WHOLEGAME_HOME':str(folder/'home')}
    env.pop('MPLBACKEND') # as a reader's notebook draws
    client = NotebookClient(nb, timeout=timeout, kernel_name='python3', extra_arguments=['--log-level=40'],
        resources={'metadata':{'path':str(folder/file.parent.name)}})
    wrong = None
    try: client.execute(env=env)
    except CellExecutionError as e: wrong = ansi.sub('', str(e))
    if wrong: pytest.fail(f'{file.name}\n{wrong}', pytrace=False)
    nb.cells = [c for c in nb.cells if 'trial' not in c.metadata]
    return nb

def warnings_in(nb):
    "Warnings that a reader would see"
    return [f'cell {i}: {o.text.strip()[:300]}' for i,c in enumerate(nb.cells, 1) if c.cell_type=='code'
        for o in c.outputs if o.output_type=='stream' and o.name=='stderr' and 'Warning:' in o.text]

def stale(
    before, # cells as saved
    nb, # the notebook with its new outputs
):
    "Cells that show something as saved and nothing when run, or the other way round"
    for c,new in zip(before, nb.cells):
        if shows_nothing(c) or not new.get('source'): continue
        if bool(c.outputs)!=bool(new.outputs): yield f"cell {c.n}: {'shows' if new.outputs else 'shows no'} output when run, but not as saved: {c.lines[0][:60]}"
        elif not about_here.search(c.code) and words_of(c.outputs)!=words_of(new.outputs): yield f"cell {c.n}: run again, it says other words than saved: {c.lines[0][:60]}"

about_here = re.compile(r'\b(setup|show_install)\(|%timeit') # these tell of the computer
measured = re.compile(r'0x[0-9a-f]+|[-+−]?\d[\d.,:_]*(e[-+]?\d+)?(\s?([mµun]?s|min|minutes?|seconds?|hours?|[KMG]i?B|bytes|%))?\b|\b(inf|nan)\b')

def words_of(outputs):
    "What a cell's outputs say, without numbers and their units, which differ from run to run, nor bars, spaces and signs; pictures and tables aside"
    drawn = [any(k=='text/html' or k.startswith('image/') for k in o.get('data', {})) for o in outputs]
    said = [text(o.get('data', {}).get('text/plain', '')) if 'data' in o else text(o['text']) for o,d in zip(outputs, drawn) if o.get('name')!='stderr' and not d]
    return re.sub(r'\W+', '', measured.sub('', ansi.sub('', ' '.join(said))))

# ---- exercises: the author's answer is accepted, a blank is not

tried = '''import contextlib, io
from IPython import get_ipython
def _try(src, names):
    "Did each check in this code say yes? None if it stopped before it got there"
    import wholegame.course
    said, names = [], dict(names)
    names['check'] = lambda *args, **kw: said.append(bool(wholegame.course.check(*args, **kw)))
    try:
        with contextlib.redirect_stdout(io.StringIO()): exec(get_ipython().transform_cell(src), names)
    except Exception as e: said = None
    return said
_right, _wrongs = _try(RIGHT, globals()), [_try(o, globals()) for o in WRONGS]
if not _right or not all(_right): raise AssertionError(f"the author's own answer is not accepted: {_right}")
if any(o and all(o) for o in _wrongs): raise AssertionError("a blank answer (...) is accepted by check")
'''

def blanked(src):
    "The cell once for each of its answers, with that answer blank, as a student gets it"
    ls = src.splitlines()
    for i,l in enumerate(ls):
        m = re.match(r'([^=(]*[^=!<>]=)\s*(?!=).*# <- you[ \t]*$', l)
        if m: yield '\n'.join([*ls[:i], m[1]+' ...', *ls[i+1:]])

def with_trials(nb):
    "`nb` with a hidden cell after each exercise that answers it rightly and wrongly"
    res, pending = [], None
    for c in nb.cells:
        res.append(c)
        if c.cell_type!='code' or re.search(r'^#\s*\|\s*hide\b', c.source, re.M): continue
        if re.search(r'# <- you[ \t]*$', c.source, re.M): pending = c.source
        elif pending: pending += '\n' + c.source
        if pending and 'check(' in pending:
            trial = tried.replace('RIGHT', repr(pending)).replace('WRONGS', repr(list(blanked(pending))))
            res.append(nbformat.v4.new_code_cell('#| hide\n'+trial, metadata={'trial':True}))
            pending = None
    nb.cells = res
    return nb

@pytest.mark.parametrize('file', notebooks('nbs','course'), ids=lambda f: f.stem)
def test_notebook(file, tmp_path):
    before = cells(file)
    nb = run_notebook(file, tmp_path)
    found = warnings_in(nb) + list(stale(before, nb))
    if found: pytest.fail(f'{file.relative_to(root)}\n  ' + '\n  '.join(found), pytrace=False)

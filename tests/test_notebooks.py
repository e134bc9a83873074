"""Every notebook runs from top to bottom, in a kernel and a folder of its own, offline, on what it draws itself."""
import os, re, shutil
import nbformat, pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from pages import notebooks, directive, root, cells, shows_nothing

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
    env = {**os.environ, 'WHOLEGAME_HOME':str(folder/'home')}
    env.pop('MPLBACKEND') # as a reader's notebook draws
    client = NotebookClient(nb, timeout=timeout, kernel_name='python3', extra_arguments=['--log-level=40'],
        resources={'metadata':{'path':str(folder/file.parent.name)}})
    wrong = None
    try: client.execute(env=env)
    except CellExecutionError as e: wrong = ansi.sub('', str(e))
    if wrong: pytest.fail(f'{file.name}\n{wrong}', pytrace=False)
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

@pytest.mark.parametrize('file', notebooks('nbs','course'), ids=lambda f: f.stem)
def test_notebook(file, tmp_path):
    before = cells(file)
    nb = run_notebook(file, tmp_path)
    found = warnings_in(nb) + list(stale(before, nb))
    if found: pytest.fail(f'{file.relative_to(root)}\n  ' + '\n  '.join(found), pytrace=False)

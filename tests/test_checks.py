"""Each check of a page finds the page that is wrong, and only what is wrong with it."""
import json, shutil
import pytest
import pages
from test_hygiene import contents, differences, forget_modules, make_export
from test_notebooks import run_notebook, stale, warnings_in

def md(s): return dict(cell_type='markdown', id='x', metadata={}, source=s)
def code(s, *outputs): return dict(cell_type='code', id='x', metadata={}, execution_count=None, source=s, outputs=list(outputs))
def result(s): return dict(output_type='execute_result', execution_count=None, metadata={}, data={'text/plain':s})
def stderr(s): return dict(output_type='stream', name='stderr', text=s)

words = ' '.join(['word']*260)
double = '''#| export
def double(
    x:int, # A number
)->int: # Twice `x`
    "Twice a number"
    return x*2'''

def page(*middle):
    "A page that nothing is wrong with, but for `middle`"
    return [md('# Double\n\n> Twice a number'), code('#| default_exp double'), md(words), code(double), md('See:'), *middle, md('Seen.'),
        code('assert double(3)==6\ndouble(3)', result('6'))]

def write(folder, cells):
    f = folder/'nbs'/'05_double.ipynb'
    f.parent.mkdir(exist_ok=True)
    meta = {'kernelspec':{'name':'python3','display_name':'python3','language':'python'}}
    for i,c in enumerate(cells): c['id'] = f'c{i}'
    f.write_text(json.dumps(dict(cells=cells, metadata=meta, nbformat=4, nbformat_minor=5)))
    return f

def fn(body, name='double', args='x:int, # A number'): return f'#| export\ndef {name}(\n    {args}\n):\n    "Doc"\n{body}'

wrong = dict(
    one_title=md('# Another\n'), headings_alone=md('## A thing\n\nand its prose'), filler=md('You ' 'simply call it.'),
    figures_have_words=md('![](https://example.com/a.png)'), links_lead_somewhere=md('[here](06_gone.ipynb)'),
    star_imports=code('#| export\nfrom math import *'), test_switches=code('if testing: double(1)'),
    cell_size=code('\n'.join(f'a{i} = {i}' for i in range(11))), functions=code(fn('\n'.join(['    x += 1']*26))),
    documented=code('#| export\ndef double(x): return x'), shown=code('#| export\ndef triple():\n    "Thrice"\n    return 3'),
    imports_lower=code('#| export\nfrom wholegame.later import f'),
    saved=code('double(2)', dict(output_type='error', ename='ValueError', evalue='', traceback=[])))

foreign = ["open('/ho" "me/me/a.jpg')", 'x = "/ro' 'ot/data"', '# pip install --ind' 'ex-url https://x', 'see py' 'pi.org', 'see STYLE' '.md']

def found(folder, *middle):
    return {o.split(': ')[1 if o.startswith('cell') else 0] for o in pages.complaints(write(folder, page(*middle)), {'later':'06_later.ipynb'})}

def test_a_good_page_has_no_complaints(tmp_path): assert not found(tmp_path)

@pytest.mark.parametrize('name', wrong)
def test_a_bad_page_is_found(name, tmp_path): assert name in found(tmp_path, wrong[name])

@pytest.mark.parametrize('s', foreign)
def test_foreign_words_are_found(s, tmp_path):
    assert 'no_foreign' in found(tmp_path, md(s)) and 'no_foreign' in found(tmp_path, code('1', result(s)))

@pytest.mark.parametrize('src', ['from wholegame import later', 'import wholegame.later', 'from wholegame.later import a, b', 'import wholegame.double'])
def test_imports_lower(src, tmp_path):
    order = {'later':'06_later.ipynb', 'double':'05_double.ipynb', 'core':'00_core.ipynb'}
    got = pages.complaints(write(tmp_path, page(code(f'#| export\n{src}\nfrom wholegame.core import x'))), order)
    assert len(got)==1 and 'only lower numbers' in got[0]

def test_every_check_has_a_bad_page(): assert {c.__name__ for c in pages.page_checks} - wrong.keys() == {'prose_between','length','no_foreign'}

@pytest.mark.parametrize('cell,n', [(code('#| export\nx = 1'), 2), (code('double(1)', result('2')), 3)])
def test_prose_between(cell, n, tmp_path):
    few = [dict(cell) for _ in range(n)]
    assert not found(tmp_path, *few, md('prose'), *few)
    assert found(tmp_path, *few, dict(cell))=={'prose_between'}
    assert found(tmp_path, *few, md('## A heading'), dict(cell))=={'prose_between'}

def test_star_modules_may_be_short_and_star_import(tmp_path):
    cells = page(code('#| export\nfrom math import *'))
    cells[2] = md('Few words.')
    assert len(pages.complaints(write(tmp_path, cells)))==2
    cells[1] = code('#| default_exp vision.all')
    assert not pages.complaints(write(tmp_path, cells))

@pytest.mark.parametrize('n', [10, 800])
def test_length(n, tmp_path):
    cells = page()
    cells[2] = md('word '*n)
    assert [o for o in pages.complaints(write(tmp_path, cells)) if 'words of prose' in o]

@pytest.mark.parametrize('src,what', [
    ('#| export\ndef double(x:int): # no comment\n    return x', 'no docstring'), (fn('    pass', args='x, # A number'), 'no type for x'),
    (fn('    pass', args='x:int,'), 'no comment for x'), ('#| export\ndef double()->int:\n    "Doc"\n    return 1', 'what it returns')])
def test_documented(src, what, tmp_path): assert any(what in o for o in pages.complaints(write(tmp_path, page(code(src)))))

def test_nesting(tmp_path):
    body = '    for i in x:\n        if i:\n            while 1: pass'
    assert any('nests 3' in o for o in pages.complaints(write(tmp_path, page(code(fn(body))))))
    elifs = '    if x: pass\n    elif 1: pass\n    elif 2: pass\n    elif 3: pass'
    assert not any('nests' in o for o in pages.complaints(write(tmp_path, page(code(fn(elifs))))))

def test_four_definitions(tmp_path):
    src = '#| export\n' + '\n'.join(f'def _f{i}(): pass' for i in range(4))
    assert found(tmp_path, code(src))=={'cell_size'}

def test_big_page(tmp_path): assert found(tmp_path, code('1', result('x'*900_000)))=={'saved'}

def test_unsaved_page(tmp_path):
    cells = page()
    cells[-1]['outputs'] = []
    assert any('no saved outputs' in o for o in pages.complaints(write(tmp_path, cells)))

def test_saved_warning(tmp_path): assert found(tmp_path, code('1', stderr('x.py:3: UserWarning: hm')))=={'saved'}

# ---- running

def outcome(folder, *middle):
    f = write(folder, page(*middle))
    (folder/'run').mkdir()
    nb = run_notebook(f, folder/'run')
    return warnings_in(nb) + list(stale(pages.cells(f), nb))

def test_running_a_good_page(tmp_path):
    assert not outcome(tmp_path, code('#| eval: false\n1/0'), code('open("made.txt", "w").close()'), code('1', result('1')))
    assert not (tmp_path/'nbs'/'made.txt').exists()

@pytest.mark.parametrize('cell', [code('1/0'), code('import warnings; warnings.warn("hm")'), code('double(2)'), code('x = 1', result('1'))],
    ids=['error','warning','output not saved','saved output gone'])
def test_running_a_bad_page(cell, tmp_path):
    try: res = outcome(tmp_path, cell)
    except pytest.fail.Exception as e: res = [str(e)]
    assert res

# ---- exporting

@pytest.fixture
def small_tree(tmp_path):
    "A project of one page and an index, exported"
    for f in 'pyproject.toml','settings.ini','setup.py': shutil.copy(pages.root/f, tmp_path)
    shutil.copytree(pages.root/'tools', tmp_path/'tools')
    for d in 'course','lib_package/wholegame': (tmp_path/d).mkdir(parents=True)
    write(tmp_path, [md('# Index'), code('1', result('1'))]).rename(tmp_path/'nbs'/'index.ipynb')
    write(tmp_path, page())
    make_export(tmp_path)
    return tmp_path

@pytest.mark.parametrize('file,old,new', [
    ('lib_package/wholegame/double.py', 'x*2', 'x*3'), ('lib_package/wholegame/gone.py', '', 'x = 1\n'), ('README.md', 'Index', 'Other'),
    ('nbs/05_double.ipynb', '"execution_count": null', '"execution_count": 3')], ids=['edited module','stray module','edited README','uncleaned notebook'])
def test_export_difference_is_found(file, old, new, small_tree):
    f = small_tree/file
    text = f.read_text() if f.exists() else ''
    assert old in text
    f.write_text(text.replace(old, new, 1))
    before = contents(small_tree)
    forget_modules(small_tree)
    make_export(small_tree)
    assert set(differences(before, contents(small_tree)))=={file}

def test_export_twice_is_export_once(small_tree):
    before = contents(small_tree)
    assert 'lib_package/wholegame/double.py' in before and '# Index' in before['README.md'].decode()
    forget_modules(small_tree)
    make_export(small_tree)
    assert not differences(before, contents(small_tree))

"""Each check of a page finds the page that is wrong, and only what is wrong with it."""
import base64, json, re, shutil
import pytest
import pages
from test_hygiene import contents, differences, forget_modules, make_export, undefined
from test_notebooks import blanked, run_notebook, stale, warnings_in, words_of

def md(s): return dict(cell_type='markdown', id='x', metadata={}, source=s)
def code(s, *outputs): return dict(cell_type='code', id='x', metadata={}, execution_count=None, source=s, outputs=list(outputs))
def result(s): return dict(output_type='execute_result', execution_count=None, metadata={}, data={'text/plain':s})
def picture(alt=None, n=10): # `n` bytes of PNG
    return dict(output_type='display_data', metadata={'image/png':{'alt':alt}} if alt else {}, data={'image/png':base64.b64encode(b'x'*n).decode()})
def html(s): return dict(output_type='display_data', metadata={}, data={'text/html':s})
def ran(n, cell): return {**cell, 'execution_count':n}
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

def write(folder, cells, name='nbs/05_double.ipynb'):
    f = folder/name
    f.parent.mkdir(exist_ok=True)
    meta = {'kernelspec':{'name':'python3','display_name':'python3','language':'python'}}
    for i,c in enumerate(cells): c['id'] = f'c{i}'
    f.write_text(json.dumps(dict(cells=cells, metadata=meta, nbformat=4, nbformat_minor=5)))
    return f

def fn(body, name='double', args='x:int, # A number'): return f'#| export\ndef {name}(\n    {args}\n):\n    "Doc"\n{body}'

wrong = dict(
    one_title=md('# Another\n'), headings_alone=md('## A thing\n\nand its prose'), filler=md('You ' 'simply call it.'),
    figures_have_words=md('![](https://example.com/a.png)'), links_lead_somewhere=md('[here](06_gone.ipynb)'),
    heading_tree=md('### Two levels down'), spelling=md('A data' 'set of photos.'), figures_are_small=code('double(2)', picture('Dots', 400<<10)),
    in_order=ran(3, code('double(2)', dict(result('4'), execution_count=2))),
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

def test_every_check_has_a_bad_page():
    assert {c.__name__ for c in pages.page_checks} - wrong.keys() == {'prose_between','length','no_foreign'}
    assert {c.__name__ for c in pages.lesson_checks} == broken.keys()

def well(folder, check, *cells): assert check not in found(folder, *cells)
def badly(folder, check, *cells): assert check in found(folder, *cells)

@pytest.mark.parametrize('cells', [['## A', '### B', '## C', '### D'], ['## A', '```sh\n# a comment\n```'], ['## A', 'A > B\n\n---\n\n| a |\n|---|']])
def test_good_headings(cells, tmp_path): well(tmp_path, 'heading_tree', *map(md, cells)); assert 'one_title' not in found(tmp_path, *map(md, cells))

@pytest.mark.parametrize('cells', [['## A', '#### B'], ['## A thing', '### A `thing`'], ['<h2>A</h2>'], ['A thing\n======='], ['## Double']])
def test_bad_headings(cells, tmp_path): badly(tmp_path, 'heading_tree', *map(md, cells))

def test_output_with_a_heading(tmp_path):
    badly(tmp_path, 'heading_tree', code('1', dict(result('1'), data={'text/markdown':'# Big'})))

@pytest.mark.parametrize('cell', [md('![A bird](https://example.com/a.png)'), md('<img src="https://example.com/a.png" alt="A bird">'), md('Write `![](file)` for it.'),
    code('#| fig-alt: A bird on a wire\nx', picture()), code('x', picture('The loss falls')), code('#| hide\nx', picture()), code('x', html('<svg><title>A tree</title></svg>')),
    code('x', html('<table></table>'))])
def test_good_pictures(cell, tmp_path): well(tmp_path, 'figures_have_words', cell)

@pytest.mark.parametrize('cell', [md('![ ](https://example.com/a.png)'), md('![image](https://example.com/a.png)'), md('![bird.png](https://example.com/a.png)'),
    md('<img src="https://example.com/a.png">'), md('<img src="https://example.com/a.png" alt="">'), code('x', picture()), code('x', picture('A figure')),
    code('x', picture('plot 3')), code('x', html('<svg></svg>')), code('x', html('<img src="data:,">'))])
def test_bad_pictures(cell, tmp_path): badly(tmp_path, 'figures_have_words', cell)

site, repo = 'https://wholegame.github.io/wholegame', 'https://github.com/wholegame/wholegame/blob/main'

@pytest.mark.parametrize('link', ['[a](06_b.ipynb)', '[a](06_b.ipynb#a-b)', '[a](06_b.ipynb#f "title")', '[a](06_b.ipynb#thing.go)', '[a](#mine)', '[a](https://example.com/gone)',
    '`[a](gone.md)`', '```\n[a](gone.md)\n```', f'[a]({site}/nbs/00_core.html#x)', f'[a]({repo}/README.md)', '[a](mailto:a@example.com)', '<a href="06_b.ipynb">a</a>'])
def test_live_links(link, tmp_path):
    write(tmp_path, [md('# B'), md('## A, b!'), code('#| export\ndef f(): pass\nclass Thing:\n    def go(self): pass')], 'nbs/06_b.ipynb')
    well(tmp_path, 'links_lead_somewhere', md('## Mine'), md(link))

@pytest.mark.parametrize('link', ['[a](06_gone.ipynb)', '[a](06_b.ipynb#gone)', '[a](06_gone.ipynb "title")', '[a](#gone)', '[a][b]\n\n[b]: gone.md', '<a href="gone.html">a</a>',
    '![A bird](images/gone.png)', '<img src="gone.png" alt="A bird">', f'[a]({site}/nbs/gone.html)', f'[a]({repo}/gone.md)',
    '[a](https://colab.research.google.com/github/wholegame/wholegame/blob/gh-pages/course/gone.ipynb)'])
def test_dead_links(link, tmp_path):
    write(tmp_path, [md('# B'), md('## A, b!')], 'nbs/06_b.ipynb')
    badly(tmp_path, 'links_lead_somewhere', md('## Mine'), md(link))

@pytest.mark.parametrize('s', ['A data set of photos in NumPy, PyTorch and wholegame.', 'Call `numpy.array`, `fine_tune(dataset)` or <code>github</code>.', 'See [it](https://github.com/x/dataset).',
    '```python\nimport numpy\n```', 'A `DataLoader` for a pretrained model.', 'Run kaggle.json past them', 'https://colab.research.google.com'])
def test_good_spelling(s, tmp_path): well(tmp_path, 'spelling', md(s))

@pytest.mark.parametrize('word', 'Data' 'sets|file' 'name|data' 'loader|fine' 'tune|Fine tu' 'ning|pre-tr' 'ained|Git' 'hub|Pyt' 'orch|kag' 'gle|num' 'py|Whole' 'game|Jupyter L' 'ab|col' 'our?|cen' 'ter'.split('|'))
def test_bad_spelling(word, tmp_path): badly(tmp_path, 'spelling', md(f'Look at {word.replace("our?", "or")} here.'))

def test_counts_that_are_in_order(tmp_path):
    one, two = ran(1, code('1', dict(result('1'), execution_count=1))), ran(2, code('2', dict(result('2'), execution_count=2)))
    well(tmp_path, 'in_order', one, md('Then'), two)
    badly(tmp_path, 'in_order', two, md('Then'), one)

def test_saved_traceback(tmp_path): badly(tmp_path, 'saved', code('1', stderr('Traceback (most recent call last):\n  x')))

@pytest.mark.parametrize('s', ['"path": "C:' '\\Users\\me"', 'x = "/wor' 'kspace/a"', 'x = "/mn' 't/data"'])
def test_more_machine_paths(s, tmp_path): badly(tmp_path, 'no_foreign', md(s))

# ---- prose pages

def prose_page(folder, s):
    (folder/'howto').mkdir(exist_ok=True)
    f = folder/'howto'/'a.md'
    f.write_text(s)
    return pages.prose_complaints(f)

def test_a_good_prose_page(tmp_path): assert not prose_page(tmp_path, '# A\n\n> Do it\n\n## B\n\nText, [here](#b).\n\n```python\n# not a heading\n```\n')

@pytest.mark.parametrize('s', ['# A\n\nno subtitle', 'no title', '# A\n\n> B\n\n# C', '# A\n\n> B\n\n### C', '# A\n\n> B\n\n[x](gone.md)', '# A\n\n> B\n\n![](x)', '# A\n\n> B\n\nYou just' ' call it',
    '# A\n\n> B\n\na Git' 'hub page', '# A\n\n> B\n\nin /ro' 'ot/x'])
def test_a_bad_prose_page(s, tmp_path): assert prose_page(tmp_path, s)

# ---- lessons

badges = ' '.join(f'[![Open](https://x.org/{h}.svg)]({u}/course/01_double.ipynb)' for h,u in [
    ('k', 'https://kaggle.com/kernels/welcome?src=https://github.com/me/me/blob/gh-pages'), ('c', 'https://colab.research.google.com/github/me/me/blob/gh-pages')])
head = f"# Double\n\n> You'll double a number\n\n{badges} · [page](https://me.github.io/wholegame/course/01_double.html)\n\n| time | GPU | internet | comes after |\n|---|---|---|---|\n| 1 | no | no | nothing |"
answer = code('twice = 3*2  # <- you\ncheck(twice==6, "Twice, not three times.");', dict(output_type='stream', name='stdout', text='Right'))
refused = code('#| hide\nassert not check(9==6, "three times")')
folded = '\n\n'.join(f'<details><summary>{i}. Why?</summary>\n\nSo.\n\n</details>' for i in range(1,11))
box = '> **Who could this hurt?** Those who are counted twice.'

def lesson(**changed):
    "A lesson that nothing is wrong with, but for parts that are `changed`: None leaves one out"
    parts = dict(head=md(head), setup=code('import wholegame\nfrom wholegame.course import check'), why=md('word '*50), look=code('x', picture('A drawing of three')), train=code('learn.fine_tune(1)'),
        q1=md('## What is twice?'), more=md('word '*1200), answer=answer, refused=refused, q2=md('## Why two?'), b=md('So.'), q3=md('## Which number?'), box=md(box), end=md('## What you can do now'), now=md('Double.'),
        quiz=md('## Ten questions'), ten=md(folded), explore=md('## Explore'), things=md('- one\n- two'), hood=md('## Open the hood'), link=md('[Double](../nbs/05_double.ipynb)'))
    return [c for v in {**parts, **changed}.values() if v for c in (v if isinstance(v, list) else [v])]

def found_in_lesson(folder, **changed):
    write(folder, page())
    f = write(folder, lesson(**changed), 'course/01_double.ipynb')
    return {o.split(': ')[1 if o.startswith('cell') else 0] for o in pages.complaints(f, {})}

some = [code(f'a{i} = {i}') if i%2 else md('word') for i in range(20)]
broken = dict(
    lesson_head=[dict(head=md(head.replace('01_double', '02_triple'))), dict(head=md(head.partition('| time')[0])), dict(head=md(head.replace('colab.', 'other.')))],
    lesson_code=[dict(b=[md('w'), *[code('\n'.join(f'a{i} = {i}' for i in range(9)))]*2]), dict(b=[code('def f():\n' + '\n'.join(f'    a{i} = {i}' for i in range(10))), *some[:10]])],
    early=[dict(why=md('word '*160)), dict(look=None, why=md('word '*420))],
    exercises=[dict(answer=None, b=some), dict(refused=None), dict(answer=code('twice = 3*2  # <- you'))],
    ten_questions=[dict(ten=md(folded.replace('10. ', '11. '))), dict(ten=md(folded.replace('So.', '', 1))), dict(ten=md(folded.partition('<details><summary>10')[0])), dict(quiz=None)],
    lesson_parts=[dict(q1=None), dict(box=None), dict(explore=None), dict(things=md('- one')), dict(link=md('The end.')), dict(hood=None), dict(q2=[md(f'## Why {i}?') for i in range(9)])])

def test_a_good_lesson(tmp_path): assert not found_in_lesson(tmp_path)

@pytest.mark.parametrize('name,i', [(k,i) for k,v in broken.items() for i in range(len(v))])
def test_a_bad_lesson_is_found(name, i, tmp_path): assert name in found_in_lesson(tmp_path, **broken[name][i])

def test_lessons_have_prose_more_often(tmp_path):
    few = [code('x = 1')]*2
    assert 'prose_between' not in found_in_lesson(tmp_path, b=[md('so'), *few, md('so')])
    assert 'prose_between' in found_in_lesson(tmp_path, b=[md('so'), *few, code('x = 2'), md('so')])

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

@pytest.mark.parametrize('saved,now,same', [('3 items, 0.2 s', '4 items, 15.1 ms', True), ('Ready on cpu', 'Ready on cuda', False), ('<A at 0x7f01>', '<A at 0x9e22>', True),
    ('tensor([1., 2.])', 'tensor([1., 2.], device="cuda")', False)])
def test_words_of_outputs(saved, now, same): assert (words_of([result(saved)])==words_of([result(now)]))==same

def test_stale_words_are_found(tmp_path):
    res = outcome(tmp_path, code("'two'", result("'three'")))
    assert len(res)==1 and 'other words' in res[0]

# ---- a lesson broken on purpose, and run

say = 'from wholegame.course import check'

def exercise(src): return [md('# Twice\n\n> Twice'), code(say), md('Twice three?'), code(src)]

def outcome_of_exercise(folder, src):
    "What running a lesson of one exercise gives: None, or the complaint"
    f = write(folder, exercise(src), 'course/01_double.ipynb')
    (folder/'run').mkdir()
    try: run_notebook(f, folder/'run')
    except pytest.fail.Exception as e: return str(e)

def test_a_good_exercise(tmp_path): assert outcome_of_exercise(tmp_path, 'twice = 3*2  # <- you\ncheck(twice==6, "Not three times.");') is None

@pytest.mark.parametrize('src,what', [('twice = 3*2  # <- you\ncheck(twice is not None, "Not three times.");', 'a blank answer (...) is accepted'),
    ('twice = 3*2  # <- you\ncheck(lambda: 6==6, "Not three times.");', 'a blank answer (...) is accepted'), ('twice = 3*3  # <- you\ncheck(twice==6, "Not three times.");', 'own answer is not accepted')])
def test_a_check_that_accepts_a_wrong_answer(src, what, tmp_path): assert what in outcome_of_exercise(tmp_path, src)

def test_blanked():
    assert list(blanked('a = f(x=2)  # <- you\nb = a==1  # <- you'))==['a = ...\nb = a==1  # <- you', 'a = f(x=2)  # <- you\nb = ...']

# ---- names of modules

@pytest.mark.parametrize('src,names', [('def f(): return plt.gca()', ['plt']), ('class A:\n    def f(self): return [np.ones(o) for o in x]', ['np','x']), ('y = x', ['x']), ('f = lambda: [g(o) for o in (1,2)]', ['g']),
    ('def f(ax):\n    def g(): return ax, pd\n    return g', ['pd']), ('@patch\ndef f(): pass', ['patch']), ('def f():\n    x = 1\ndef g(): return x', ['x']), ('def f(a:Tensor): pass', ['Tensor'])])
def test_undefined_names_are_found(src, names): assert undefined(src)==names

@pytest.mark.parametrize('src', ['import matplotlib.pyplot as plt\ndef f(): return plt.gca()', 'def f(): return g()\ndef g(): return len(__file__)', 'def f():\n    global x\n    x = 1\ndef g(): return x',
    'class A:\n    n = 1\n    m = n', 'def f(x): return lambda y: [x+y+z for z in (1,)]', 'from math import *\npi', 'import a.b\na.b.c', 'class A(dict):\n    def f(self): super().f()', 'try: 1\nexcept Exception as e: print(e)', 'def f(a:"Tensor"): pass'])
def test_defined_names_are_not(src): assert not undefined(src)

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

"""How-to pages and explanations: their code runs in order, and prints what they say; they have one title, live links, and a length that one reads.

A page's ```python blocks are run as one script, offline, in an empty folder. A block marked ```text output must be in what the block before it printed.
"""
import os, re, subprocess, sys
from collections import namedtuple
import pytest
from pages import prose_complaints, root

folders = ['howto','explanations']
files = [f for d in folders for f in sorted((root/'docs'/d).glob('*.md'))]
Fence = namedtuple('Fence', 'info src line')
fence = re.compile(r'^(`{3,})([^\n`]*)\n(.*?)^\1[ \t]*$', re.M|re.S)
patience = 300 # seconds; a page should take less than 40 on one core

def name(f): return f'{f.parent.name}/{f.stem}'
def fences(s): return [Fence(m[2].strip(), m[3], s.count('\n', 0, m.start())+1) for m in fence.finditer(s)]
def prose(s): return fence.sub('', s)
def is_index(f): return f.stem=='index'

# ---- running

mark = '\x1epart '
ctrl_c = 'import signal; signal.signal(signal.SIGINT, signal.default_int_handler)' # which shells take from what they start in the background

def script(s):
    "The code of a page as one program, which marks where each block's output begins"
    parts = [f'print({mark!r} "{i}", flush=True)\n{o.src}' for i,o in enumerate(o for o in fences(s) if o.info.startswith('python'))]
    return '\n'.join([ctrl_c, *parts])

def run(s, folder):
    "(output of each block, standard error) of a page's code"
    (folder/'page.py').write_text(script(s), encoding='utf-8')
    work = folder/'empty'
    work.mkdir()
    env = {**os.environ, 'WHOLEGAME_OFFLINE':'1', 'MPLBACKEND':'Agg', 'PYTHONIOENCODING':'utf-8', 'OMP_NUM_THREADS':'1'}
    for k in 'WHOLEGAME_MIRROR','WHOLEGAME_INPUT': env.pop(k, None)
    res = subprocess.run([sys.executable, folder/'page.py'], cwd=work, env=env, capture_output=True, text=True, encoding='utf-8', timeout=patience)
    if res.returncode: raise AssertionError(f'{res.stdout[-1500:]}\n{res.stderr[-3000:]}')
    return [o.partition('\n')[2] for o in res.stdout.split(mark)[1:]], res.stderr

def flat(s): return ' '.join(s.split())

def not_printed(s, outs):
    "Outputs that a page shows and its code does not print"
    i = -1
    for o in fences(s):
        if o.info.startswith('python'): i += 1
        elif o.info=='text output' and flat(o.src) not in flat(outs[i] if i>=0 else ''):
            yield f'line {o.line}: the page shows\n{o.src}\nand its code prints\n{outs[i] if i>=0 else ""}'

def unsaid(s, err):
    "Warnings that the code gives and the page does not mention"
    for m in re.finditer(r'\w*Warning: (.*)', err):
        if flat(m[1])[:60] not in flat(s): yield m[0]

# ---- reading

def length(s, file):
    n = len(re.sub(r'^```text.*?^```', '', s, flags=re.M|re.S).split())
    if not is_index(file) and not 500<=n<=1100: yield f'{n} words, not 500 to 1,100'

def target(file, link):
    "The file a link leads to; pages lie beside nbs/ and course/ on the site, and in docs/ here"
    f = (root/file.parent.name/link.split('#')[0]).resolve()
    rel = f.relative_to(root)
    return root/'docs'/rel if rel.parts and rel.parts[0] in folders else f

def fenced(s, file):
    rest = prose(s)
    if '```' in rest: yield 'a block of code is not closed: ' + rest[rest.index('```'):][:40]
    for o in fences(s):
        if o.info not in ('python','text','text output','sh',''): yield f'line {o.line}: a block of "{o.info}"; there are python, text, text output and sh'

def listed(s, file):
    "Is every page of a folder in its index?"
    if not is_index(file): return
    for o in files:
        if o.parent.name==file.parent.name and not is_index(o) and f']({o.name})' not in s: yield f'{o.name} is not listed'

checks = [length, fenced, listed] # besides those of every page, in pages.py

@pytest.mark.parametrize('file', files, ids=name)
def test_page(file):
    s = file.read_text(encoding='utf-8')
    assert not prose_complaints(file) + [f'{f.__name__}: {o}' for f in checks for o in f(s, file)]

# Slow ones first, so that two workers end together
@pytest.mark.parametrize('file', sorted((o for o in files if '```python' in o.read_text(encoding='utf-8')), key=lambda f: f.parent.name!='howto'), ids=name)
def test_code(file, tmp_path):
    s = file.read_text(encoding='utf-8')
    outs,err = run(s, tmp_path)
    assert not list(not_printed(s, outs))
    assert not list(unsaid(s, err))

# ---- figures and names

def figures(s): return set(re.findall(r'(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?!\w)', re.sub(r'\]\([^)]*\)|`[^`]*`', '', prose(s))))

def test_figures_have_a_source():
    "Numbers in 'How it is fast' are in the pages that it links to"
    file = root/'docs'/'explanations'/'how_it_is_fast.md'
    s = file.read_text(encoding='utf-8')
    sources = '\n'.join(target(file, l).read_text(encoding='utf-8') for l in set(re.findall(r'\]\((\.\./[^)]+)\)', s)))
    there = figures(sources) | {str(round(float(o.replace(',', '')))) for o in figures(sources)}
    assert len(figures(s))>20 and not figures(s) - there

def known(text):
    "Names in backticks that the package should have: [(as written, found?)]"
    import wholegame.all as v
    from wholegame.collab.model import EmbeddingDotBias
    from wholegame.recorder import Recorder
    parts = {'recorder':Recorder, 'model':EmbeddingDotBias} # of a learner, which has them when it is made
    for t in re.findall(r'`([^`]+)`', text):
        t = re.sub(r'\(.*', '', t)
        if '=' in t or not re.fullmatch(r'[\w.]+', t): continue
        head,*rest = t.split('.')
        o = {'dls':v.DataLoaders, 'data':v.DataLoaders, 'learn':v.Learner, 'recorder':Recorder}.get(head) or getattr(v, head, None)
        if head.startswith(('from_','plot_')) or head in ('unfreeze','fine_tune','fit_one_cycle'): rest,o = [head],v.ImageDataLoaders if head.startswith('from_') else Recorder if head.startswith('plot_') else v.Learner
        for k in rest: o = parts.get(k) or getattr(o, k, None)
        yield t, o is not None

def rows(s): return [[c.strip() for c in l.strip('|').split('|')] for l in s.splitlines() if l.startswith('| `')]

def promised(row):
    "The cells of a row that name things that exist here"
    old,new,here = row
    both = here.startswith(('both','all of them'))
    return ' '.join([here.split(';')[0]] + [new]*(both or here.startswith('as 2022')) + [old]*both)

def test_names_exist():
    table = rows((root/'docs'/'explanations'/'names_old_and_new.md').read_text(encoding='utf-8'))
    assert len(table)>20
    assert not [t for r in table for t,ok in known(promised(r)) if not ok]

# ---- the checks themselves

good = '# A title\n\n> Do something\n\n' + 'word '*600
broken = [(length, good[:300], 'words'), (length, good*3, 'words'), (fenced, good+'\n```python\n1+1\n', 'not closed'),
    (fenced, good+'\n```python3\n1+1\n```\n', 'python3'), (listed, good, 'not listed')]

@pytest.mark.parametrize('check,page,words', broken, ids=[f'{c.__name__}-{w}' for c,_,w in broken])
def test_check_complains(check, page, words):
    file = root/'docs'/'howto'/'page.md'
    found = list(check(page, file.with_name('index.md') if check is listed else file))
    assert found and words in found[0]
    assert not [o for f in checks for o in f(good, file)]

@pytest.mark.parametrize('page,words', [('A title\n', 'title'), (good+'\n\n# Another\n', '2 titles'), (good.replace('> Do', 'Do'), 'subtitle'), (good+' It is simply so.', 'simply'),
    (good+' [x](../nbs/none.ipynb)', 'dead link'), (good+' see /ro'+'ot/x.txt', 'path of one machine')], ids=lambda o: o if len(o)<30 else 'page')
def test_page_complains(page, words, tmp_path):
    (tmp_path/'page.md').write_text(page, encoding='utf-8')
    assert any(words in o for o in prose_complaints(tmp_path/'page.md'))

def test_code_that_breaks(tmp_path):
    with pytest.raises(AssertionError, match='ZeroDivisionError'): run('```python\n1/0\n```\n', tmp_path)

def test_output_that_is_not_printed(tmp_path):
    page = '```python\nprint("a  b")\n```\n\n```text output\na b\n```\n\n```python\nprint("c")\n```\n\n```text output\n{}\n```\n\n```text\nanything\n```\n'
    outs,_ = run(page, tmp_path)
    assert not list(not_printed(page.format('c'), outs))
    assert len(list(not_printed(page.format('a b'), outs)))==1 # printed, but by another block
    assert len(list(not_printed('```text output\nx\n```\n', [])))==1

def test_warning_that_is_not_mentioned():
    assert list(unsaid('a page', 'x.py:1: UserWarning: the disk is full\n')) and not list(unsaid('It warns that the disk is full.', 'x.py:1: UserWarning: the disk is full\n'))

def test_figure_without_a_source(): assert figures('In 2.5 of 1,100 `x4` [7](8.md) 9.\n```python\n3\n```\n')=={'2.5','1,100','7','9'}

def test_names_that_do_not_exist():
    assert dict(known('`DataLoaders` `dls.vocab` `learn.tta()` `from_name_re` `ConvLearner` `learn.fit_cycles()` `learn.model.bias(x)` `learn.model.biases`')) == {'DataLoaders':True, 'dls.vocab':True, 'learn.tta':True,
        'from_name_re':True, 'ConvLearner':False, 'learn.fit_cycles':False, 'learn.model.bias':True, 'learn.model.biases':False}

"""Facts about notebooks, and what is wrong with them. Each check is a generator of complaints, `(cell number, words)`."""
import ast, json, os, re
from collections import namedtuple
from pathlib import Path
from urllib.parse import unquote

root = Path(__file__).resolve().parent.parent
Cell = namedtuple('Cell', 'n kind src code directives outputs lines count')
directive = re.compile(r'^#\s*\|\s*([\w-]+)[ \t]*:?[ \t]*(.*)$', re.M)
blocks = ast.If, ast.For, ast.While, ast.With, ast.Try
defs = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef
funcs = defs[:2]

def text(o): return ''.join(o) if isinstance(o, list) else o

def cells(
    file, # a notebook
): # list of `Cell`; `n` counts from 1, `lines` are lines of code
    res = []
    for i,c in enumerate(json.loads(Path(file).read_text(encoding='utf-8'))['cells'], 1):
        src = text(c['source'])
        code = directive.sub('', src) if c['cell_type']=='code' else ''
        lines = [l for l in code.splitlines() if l.strip()]
        res.append(Cell(i, c['cell_type'], src, code, dict(directive.findall(src)) if code or c['cell_type']=='code' else {},
            c.get('outputs', []), lines, c.get('execution_count')))
    return res

def notebooks(*folders):
    "Every notebook of the project; names that start with _ or . are not part of it"
    return [f for d in folders for f in sorted((root/d).glob('*.ipynb')) if f.name[0] not in '._']

def is_export(c): return bool({'export','exports','exporti'} & c.directives.keys())
def is_hidden(c): return 'hide' in c.directives
def is_code(c): return c.kind=='code' and bool(c.lines)
def is_prose(c): return c.kind=='markdown' and any(l.strip() and not l.startswith('#') for l in c.src.splitlines())

def tree(c):
    "The syntax of a cell; magics and shell lines become nothing"
    code = '\n'.join('pass' if re.match(r'[%!]', l) else l for l in c.code.splitlines())
    try: return ast.parse(re.sub(r'^%%.*', '', code))
    except SyntaxError: return ast.parse('')

def only_imports(c):
    body = tree(c).body
    return bool(body) and all(isinstance(o, (ast.Import, ast.ImportFrom)) for o in body)

def is_star(cs):
    "Does this notebook write a module for `import *`?"
    return any(c.directives.get('default_exp', '').split('.')[-1] in ('all','__init__') for c in cs)

def is_library(file): return file.parent.name=='nbs' and file.stem[:2].isdigit()
def is_lesson(file): return file.parent.name=='course'
def visible(cs): return [c for c in cs if is_code(c) and not is_hidden(c)]

# ---- Markdown

def no_fences(s): return re.sub(r'^[ \t]*(```+|~~~+).*?^[ \t]*\1[ \t]*$', '', s, flags=re.M|re.S)

def no_code(s):
    "Markdown without its code, where a link is only spoken of"
    return re.sub(r'```.*?```|`[^`]*`', '', no_fences(s), flags=re.S)

def spoken(s):
    "Markdown as it is read aloud: no code, tags or addresses"
    s = re.sub(r'<code>.*?</code>', ' ', no_code(s), flags=re.S)
    s = re.sub(r'<!--.*?-->|<[^>]+>', ' ', s, flags=re.S)
    return re.sub(r'\b[a-z]+://\S+', ' ', re.sub(r'\]\([^)]*\)|^\[[^\]]+\]:.*', ']', s, flags=re.M))

def headings(s):
    "Level and words of each heading of Markdown `s`"
    return [(len(m[1]), m[2]) for m in re.finditer(r'^(#{1,6})[ \t]+(.+?)[ \t]*#*$', no_fences(s), re.M)]

def slug(title):
    "The anchor of a heading, as GitHub and MyST make it"
    return re.sub(r'[^\w\- ]', '', re.sub(r'\]\([^)]*\)', '', title).strip().lower()).replace(' ', '-')

def markdown(cs): return [c for c in cs if c.kind=='markdown']

# ---- how a page reads

def one_title(file, cs):
    heads = [c for c in markdown(cs) for level,_ in headings(c.src) if level==1]
    if not heads: yield 1, 'no title (a line that starts with one #)'
    elif heads[0].n!=1 or not heads[0].src.startswith('# '): yield heads[0].n, 'the title is not the first line of the first cell'
    for c in heads[1:]: yield c.n, 'a second title (# ); a concept is ##'
    if heads and not re.search(r'^> \S', heads[0].src, re.M): yield heads[0].n, 'no subtitle (a line that starts with > under the title)'

def headings_alone(file, cs):
    for c in cs:
        lower = [t for level,t in headings(c.src) if level>1] if c.kind=='markdown' else []
        said = [l for l in c.src.splitlines() if l.strip() and not re.fullmatch(r'<!--.*-->', l.strip())]
        if lower and len(said)>1: yield c.n, f'a heading shares its cell: {lower[0]}'

def prose_between(file, cs):
    exports, examples, most = 0, 0, 2 if is_lesson(file) else 3
    for c in cs:
        if is_prose(c): exports = examples = 0
        if not is_code(c) or is_hidden(c) or only_imports(c): continue
        if is_export(c): exports += 1
        else: examples += 1
        if exports==3 and is_export(c): yield c.n, 'a third export with no prose between'
        if examples==most+1 and not is_export(c): yield c.n, f'example {most+1} with no prose between'

def n_words(cs): return sum(len(c.src.split()) for c in cs if c.kind=='markdown')

def length(file, cs):
    lo,hi = (250,700) if is_library(file) else (1200,2500)
    n = n_words(cs)
    if file.stem=='index' or is_star(cs): return
    if not lo<=n<=hi: yield 0, f'{n} words of prose, not {lo} to {hi}'

def filler_in(s):
    s = spoken(s)
    return [f'"{m[0]}" tells a reader nothing: {around(s, m)}' for m in re.finditer(r'\b(simply|obviously|(?<!not )just)\b', s, re.I)]

def filler(file, cs):
    for c in markdown(cs): yield from ((c.n, o) for o in filler_in(c.src))

def around(s, m): return ' '.join(s[max(0,m.start()-25):m.end()+25].split())

# The project's way to write a word -> what else people write
terms = {'data set':'dataset|data-set', 'data sets':'datasets|data-sets', 'file name':'filename|file-name', 'file names':'filenames|file-names',
    'loader':'dataloader|data loader|data-loader', 'loaders':'dataloaders|data loaders|data-loaders',
    'fine-tune':'fine tune|finetune', 'fine-tuned':'fine tuned|finetuned', 'fine-tuning':'fine tuning|finetuning', 'pretrained':'pre-trained|pre trained',
    'pretraining':'pre-training', 'overfitting':'over-fitting|over fitting', 'cross-entropy':'crossentropy', 'minibatch':'mini-batch|mini batch',
    'checkpoint':'check point|check-point', 'notebook':'note book', 'stand-in':'standin', 'hyperparameter':'hyper-parameter|hyper parameter',
    'JupyterLab':'Jupyter Lab|Jupyterlab|jupyterlab', 'Jupyter':'jupyter', 'GitHub':'Github|github|Git Hub', 'PyTorch':'Pytorch|pytorch|Py Torch|pyTorch',
    'Kaggle':'kaggle|KAGGLE', 'Colab':'colab|CoLab|COLAB', 'NumPy':'numpy|Numpy', 'wholegame':'Wholegame|WholeGame|Whole Game',
    'ImageNet':'imagenet|Imagenet', 'Python':'python', 'Markdown':'markdown', 'GPU':'gpu', 'CPU':'cpu', 'JPEG':'jpeg|Jpeg', 'JSON':'json|Json', 'CUDA':'cuda|Cuda',
    'ONNX':'onnx|Onnx', 'scikit-learn':'sklearn|Scikit-learn|scikit learn', 'Hugging Face':'HuggingFace|Huggingface|huggingface',
    'colour':'color', 'colours':'colors', 'grey':'gray', 'centre':'center', 'normalise':'normalize', 'normalised':'normalized', 'normalisation':'normalization',
    'behaviour':'behavior', 'recognise':'recognize', 'optimise':'optimize'}
def as_pattern(right, wrong): # what is small either way may also start a sentence
    return re.compile(rf'(?<![\w./#@-])({wrong})(?![\w/]|\.\w|-\w)', re.I if (right+wrong).islower() else 0)
misspelt = [(right, as_pattern(right, wrong)) for right,wrong in terms.items()]

def spelling_in(s):
    "Words of Markdown `s` that the project writes in another way"
    s = spoken(s)
    return [f'"{m[0]}" is written "{right}" here: {around(s, m)}' for right,r in misspelt for m in r.finditer(s)]

def spelling(file, cs):
    for c in markdown(cs): yield from ((c.n, o) for o in spelling_in(c.src))

def tree_of_headings(parts):
    "What is wrong with the headings of a page; `parts` are (number, Markdown)"
    above, seen = 0, {}
    for n,s in parts:
        for level,title in headings(s):
            if above and level>above+1: yield n, f'"{title}" has {level} #, and the heading above it {above}: no level is skipped'
            if slug(title) in seen: yield n, f'a second heading "{title}": the first is in cell {seen[slug(title)]}, and a link finds only one of them'
            above = level
            seen.setdefault(slug(title), n)
        for m in re.finditer(r'<h[1-6]\b.*|^[^\s>|#-].*\n=+[ \t]*$', no_code(s), re.M|re.I): yield n, f'a heading starts with #: {m[0][:40]!r}'

def heading_tree(file, cs):
    yield from tree_of_headings([(c.n, c.src) for c in markdown(cs)])
    for c in cs:
        for o in c.outputs:
            if headings(text(o.get('data', {}).get('text/markdown', ''))): yield c.n, 'an output brings a heading of its own'

# ---- pictures

dull = re.compile(r'\W*((an?|the|some|our|my) )?(image|picture|pic|figure|fig|plot|photo|graph|chart|drawing|screenshot|output|alt( text)?|untitled|todo)s?\W*\d*\W*|\S+\.(png|jpe?g|svg|gif|webp)', re.I)

def poor_alt(alt):
    "What is wrong with the words for a picture, or None"
    if not (alt or '').strip(): return 'a picture without alt text'
    if dull.fullmatch(alt.strip()): return f'alt text that says nothing of what the picture shows: {alt!r}'

def alts_in(s):
    "The words for each picture in Markdown `s`, or in HTML"
    tags = [re.search(r'\balt\s*=\s*(["\'])(.*?)\1', t, re.S) for t in re.findall(r'<img\b[^>]*>', s, re.I)]
    return re.findall(r'!\[((?:[^\]\\]|\\.)*)\]\(', s) + [t[2] if t else '' for t in tags]

def pictures(c):
    "(words, number of bytes) of each picture that a cell shows"
    for o in c.outputs:
        data, meta = o.get('data', {}), o.get('metadata', {})
        named = [meta.get(k, {}).get('alt') for k in data if k.startswith('image/')] + [meta.get('alt'), c.directives.get('fig-alt', '').strip('"\'')]
        drawn = [k for k in data if k.startswith('image/')]
        if drawn: yield next((a for a in named if a), ''), max(len(text(data[k]))*(1 if 'svg' in k else 3/4) for k in drawn)
        html = text(data.get('text/html', ''))
        for a in alts_in(html): yield a or c.directives.get('fig-alt', ''), 0
        for t in re.findall(r'<svg\b.*?</svg>', html, re.S|re.I):
            said = re.search(r'<title>(.*?)</title>|aria-label="([^"]*)"', t, re.S)
            yield (said[1] or said[2]) if said else c.directives.get('fig-alt', ''), len(t)

def figures_have_words(file, cs):
    for c in cs:
        if is_hidden(c): continue
        alts = alts_in(no_code(c.src)) if c.kind=='markdown' else [a for a,_ in pictures(c)]
        yield from ((c.n, poor) for a in alts if (poor := poor_alt(a)))

def figures_are_small(file, cs):
    for c in cs:
        for _,size in pictures(c):
            if size>300<<10: yield c.n, f'a picture of {size/1024:.0f} KiB, more than 300: smaller, or fewer dots to the inch'

# ---- links

link = re.compile(r'\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|^\[[^\]]+\]:\s*(\S+)|\b(?:href|src)\s*=\s*["\']([^"\']+)', re.M)
ours = re.compile(r'wholegame/wholegame/(?:blob|tree|raw|edit)/[\w-]+/([\w./-]+)|wholegame\.github\.io/wholegame/([\w./-]+)\.html')
made = 'index search genindex'.split() # pages of the site that have no source

def links_in(s): return [next(o for o in m.groups() if o) for m in link.finditer(no_code(s))]

def anchors(file):
    "Where links into a page can lead: its headings, what it names itself, and what it exports"
    if file.suffix!='.ipynb': return anchors_in(file.read_text(encoding='utf-8'))
    cs = cells(file)
    res = {a for c in markdown(cs) for a in anchors_in(c.src)}
    for c in cs:
        for o in tree(c).body if is_export(c) else []:
            if not isinstance(o, defs): continue
            owner = ast.unparse(o.args.args[0].annotation).strip("'").lower()+'.' if isinstance(o, funcs) and o.args.args and o.args.args[0].annotation else ''
            res |= {o.name.lower(), owner+o.name.lower()} | {f'{o.name}.{m.name}'.lower() for m in getattr(o, 'body', []) if isinstance(m, funcs)}
    return res

def anchors_in(s): return {slug(t) for _,t in headings(s)} | set(re.findall(r'\bid="([^"]+)"', s)) | set(re.findall(r'^\(([\w-]+)\)=', s, re.M))

def on_disk(target, folder):
    "The file that a relative link in `folder` leads to, or None; on the site, what is in docs/ lies beside nbs/ and course/"
    seen_as = [folder/target]
    if folder.is_relative_to(root/'docs'): seen_as.append(root/folder.relative_to(root/'docs')/target)
    for p in [Path(os.path.normpath(o)) for o in seen_as]:
        if p.exists(): return p
        if p.is_relative_to(root) and (root/'docs'/p.relative_to(root)).exists(): return root/'docs'/p.relative_to(root)

def source_of(page):
    "The file behind a page of the site, such as nbs/00_core; or None"
    fs = [root/f'{page}.ipynb', root/'docs'/f'{page}.md', root/f'{page}.md']
    return next((f for f in fs if f.exists()), None)

def is_dead(l, folder, own):
    "Does link `l` in `folder` lead nowhere? `own` are the anchors of the page itself"
    target,_,anchor = unquote(l).partition('#')
    if m := ours.search(target): return not ((root/m[1]).exists() if m[1] else m[2] in made or source_of(m[2]))
    if re.match(r'[a-z]+:|//', target): return False
    if not target: return own is not None and anchor not in own
    file = on_disk(target, folder)
    return file is None or bool(anchor and file.suffix in ('.ipynb','.md') and anchor not in anchors(file))

def dead_links(s, folder, own=None):
    "Links of Markdown `s` in `folder` to files or headings of ours that are not there"
    return [l for l in links_in(s) if is_dead(l, folder, own)]

def links_lead_somewhere(file, cs):
    own = anchors(file)
    for c in markdown(cs): yield from ((c.n, f'dead link: {l}') for l in dead_links(c.src, file.parent, own))

# ---- what a cell holds

def signature_lines(f):
    "Lines that hold arguments of function `f`, below its first"
    return range(f.lineno+1, f.body[0].lineno) if f.body[0].lineno>f.lineno else range(0)

def size(c):
    "Lines of a cell, but for those that name and explain one argument each"
    sig = {l for f in ast.walk(tree(c)) if isinstance(f, funcs) for l in signature_lines(f)}
    return sum(1 for i,l in enumerate(c.code.splitlines(), 1) if l.strip() and i not in sig)

def cell_size(file, cs):
    for c in cs:
        if not is_code(c): continue
        if is_export(c): most = 25
        elif is_hidden(c): most = 25
        else: most = 10 if is_library(file) else 12
        if size(c)>most: yield c.n, f'{size(c)} lines of code, more than {most}: {c.lines[0][:50]}'
        n = sum(isinstance(o, defs) for o in tree(c).body)
        if is_export(c) and n>3: yield c.n, f'{n} definitions in one cell'

def depth(node):
    "How deep blocks are nested in `node`; `elif` is no deeper than its `if`"
    here = 0
    for field,value in ast.iter_fields(node):
        for o in value if isinstance(value, list) else [value]:
            if not isinstance(o, ast.AST): continue
            chain = isinstance(node, ast.If) and field=='orelse' and isinstance(o, ast.If)
            here = max(here, depth(o) + (isinstance(o, blocks) and not chain))
    return here

def functions(file, cs):
    for c in cs:
        if not is_export(c): continue
        for f in ast.walk(tree(c)):
            if not isinstance(f, funcs): continue
            n = f.end_lineno - f.body[0].lineno + 1
            if n>25: yield c.n, f'{f.name} has {n} lines, more than 25'
            if depth(f)>2: yield c.n, f'{f.name} nests {depth(f)} deep, more than 2'

def star_imports(file, cs):
    if is_star(cs): return
    for c in cs:
        if is_export(c) and re.search(r'^\s*from \S+ import \*', c.code, re.M): yield c.n, 'the library imports by name, not with *'

def test_switches(file, cs):
    for c in cs:
        if re.search(r'\bif\s+(not\s+)?(testing|is_testing|in_test)\b|IN_TEST|PYTEST_CURRENT', c.code): yield c.n, 'behaves differently when tested'

# ---- what is exported

def public(c):
    "Public functions, classes and patched methods of an exported cell: (name, definition)"
    return [(o.name, o) for o in tree(c).body if isinstance(o, defs) and not o.name.startswith('_')]

def bare_arguments(f, lines):
    "Arguments of `f` that have no comment on their line, or neither a type nor a default that shows it"
    a = f.args
    given = dict(zip([o.arg for o in (a.posonlyargs+a.args)[::-1]], a.defaults[::-1]))
    given.update({o.arg:d for o,d in zip(a.kwonlyargs, a.kw_defaults) if d is not None})
    for o in a.posonlyargs+a.args+a.kwonlyargs:
        if o.arg in ('self','cls'): continue
        if '#' not in lines[o.lineno-1]: yield o.arg, 'comment'
        typed = o.annotation is not None or (o.arg in given and getattr(given[o.arg], 'value', 0) is not None)
        if not typed: yield o.arg, 'type'

def documented(file, cs):
    for c in cs:
        if not is_export(c): continue
        lines = c.code.splitlines()
        for name,o in public(c):
            if not ast.get_docstring(o): yield c.n, f'{name} has no docstring'
            if isinstance(o, ast.ClassDef): f = next((m for m in o.body if isinstance(m, funcs) and m.name=='__init__'), None)
            else: f = o
            if f is None: continue
            bare = list(bare_arguments(f, lines))
            for what in 'comment','type':
                names = [a for a,w in bare if w==what]
                if names: yield c.n, f'{name}: no {what} for {", ".join(names)}'
            r = f.returns
            if f is o and r is not None and ast.unparse(r)!='None' and '#' not in lines[r.end_lineno-1]: yield c.n, f'{name}: no comment for what it returns'

def shown(file, cs):
    "Every public name is used outside the cells that export it"
    used = '\n'.join(c.code for c in cs if is_code(c) and not is_export(c))
    for c in cs:
        if not is_export(c): continue
        for name,o in public(c):
            if not re.search(rf'\b{name}\b', used): yield c.n, f'{name} is in no example or assertion of its notebook'

def own_imports(c):
    "Modules of ours that a cell imports, without `wholegame.` in front"
    for o in ast.walk(tree(c)):
        if isinstance(o, ast.ImportFrom): names = [o.module or '', *(f'{o.module}.{a.name}' for a in o.names)]
        elif isinstance(o, ast.Import): names = [a.name for a in o.names]
        else: continue
        yield from (n.partition('.')[2] for n in names if n.startswith('wholegame.'))

def imports_lower(file, cs, order):
    "`order`: module -> name of its notebook"
    for c in cs:
        for m in own_imports(c) if is_export(c) else []:
            if order.get(m, '')>=file.name: yield c.n, f'imports wholegame.{m}, which {order[m]} makes: only lower numbers'

def module_order(files):
    res = {}
    for f in files:
        for c in cells(f):
            if 'default_exp' in c.directives: res[c.directives['default_exp'].strip()] = f.name
    return res

# ---- what is saved

def shows_nothing(c): return not is_code(c) or is_export(c) or is_hidden(c)

def saved(file, cs):
    examples = [c for c in cs if not shows_nothing(c) and not only_imports(c)]
    if examples and not any(c.outputs for c in examples): yield 0, 'no saved outputs: run it and save'
    for c in cs:
        for o in c.outputs:
            if o['output_type']=='error': yield c.n, f"a saved error: {o.get('ename')}"
            if o.get('name')=='stderr' and 'Warning:' in text(o['text']): yield c.n, 'a saved warning: ' + text(o['text'])[:100]
            if 'Traceback (most recent call last)' in text(o.get('text', '')): yield c.n, 'a saved traceback'
    kb = file.stat().st_size/1024
    if kb>800: yield 0, f'{kb:.0f} KiB, more than 800: smaller or fewer figures'

def in_order(file, cs):
    "Counts are cleaned away; where they are kept, they say that the page ran from top to bottom, once"
    runs = [c for c in cs if is_code(c) and c.count is not None]
    for a,b in zip(runs, runs[1:]):
        if b.count<=a.count: yield b.n, f'ran before the cell above it ({b.count} after {a.count}): restart, run all, save'
    for c in cs:
        for o in c.outputs:
            if o.get('execution_count', c.count)!=c.count: yield c.n, f"shows what run {o['execution_count']} gave, not run {c.count}: restart, run all, save"

# ---- words that belong to somebody's machine

own_folders = '|'.join(['root','home','tmp','work','workspace','Users','private','var/folders','mnt','media'])
machine_path = re.compile(rf'(?<![\w.~/:-])/({own_folders})/[\w.]|\b[A-Z]:[\\/]{{1,2}}Users\b', re.A)
registry = re.compile(r'[p]ypi\.org|[p]ythonhosted|[p]ytorch\.org/whl|[a]naconda\.org|[r]egistry\.npmjs|[-]-(?:extra-)?index-url|[-]-find-links')

paper = re.compile(r'\b[A-Z]{3,}\.md\b')

def foreign(s):
    "What of `s` is a path of one machine or a host of packages"
    for r,what in (machine_path,'a path of one machine'), (registry,'a package registry'):
        for m in r.finditer(s): yield f'{what}: {around(s, m)}'
    for m in paper.finditer(s):
        if not (root/m[0]).exists(): yield f'a paper that is not in the project: {around(s, m)}'

def no_foreign(file, cs):
    for c in cs:
        outs = json.dumps([{k:v for k,v in o.items() if k!='data'} | {'data':{k:v for k,v in o.get('data', {}).items() if not k.startswith('image/p') and k!='image/jpeg'}}
            for o in c.outputs], ensure_ascii=False).replace('\\n', '\n')
        for what in [*foreign(c.src), *foreign(outs)]: yield c.n, what

# ---- what a lesson has besides

def lesson_head(file, cs):
    "Badges and page link of this very lesson, and the table of facts"
    if not is_lesson(file) or not cs: return
    links = links_in(cs[0].src)
    for host in 'kaggle.com','colab.research.google.com','github.io/wholegame/course':
        mine = [l for l in links if host in l and re.search(rf'/{re.escape(file.stem)}\.(ipynb|html)$', l)]
        if not mine: yield 1, f'no link to {host} that opens {file.stem}'
    rows = [l.lower() for l in cs[0].src.splitlines() if l.startswith('|')]
    for what in 'time','gpu','internet','after':
        if not any(what in l for l in rows): yield 1, f'no "{what}" in the table of facts'

def lesson_code(file, cs):
    if not is_lesson(file): return
    seen = visible(cs)
    mean = sum(len(c.lines) for c in seen)/max(1, len(seen))
    if mean>=3.5: yield 0, f'{mean:.1f} lines to a code cell: three on average'
    for c in seen:
        for f in ast.walk(tree(c)):
            if isinstance(f, funcs) and f.end_lineno-f.lineno>=10: yield c.n, f'{f.name} has {f.end_lineno-f.lineno+1} lines: a function over ten belongs in nbs/'

def n_spoken(c): return len(' '.join(l for l in spoken(c.src).splitlines() if not l.startswith(('|','[![','·'))).split())

trains = re.compile(r'\.(fine_tune|fit|fit_one_cycle|fit_flat_cos|fit_sgdr)\(')

def early(file, cs):
    "A picture before word 150, and training before word 400, where a lesson has them"
    if not is_lesson(file): return
    n, when = 0, {}
    for c in cs:
        if c.kind=='markdown': n += n_spoken(c)
        elif list(pictures(c)): when.setdefault('picture', (c.n, n))
        if is_code(c) and trains.search(c.code): when.setdefault('training', (c.n, n))
    for what,most in ('picture',150), ('training',400):
        at,words = when.get(what, (0,0))
        if words>=most: yield at, f'the first {what} comes after {words} words, not before word {most}'

def is_exercise(c): return is_code(c) and bool(re.search(r'# <- you[ \t]*$', c.src, re.M))

def exercises(file, cs):
    "Often enough, each with a check, and with a wrong answer that the check must not accept"
    if not is_lesson(file): return
    since = 0
    for i,c in enumerate(cs):
        if not is_code(c) or is_hidden(c): continue
        since = 0 if is_exercise(c) else since+1
        if since==9: yield c.n, 'the ninth code cell without an exercise (a line that ends in # <- you)'
        if is_exercise(c): yield from ((c.n, o) for o in unchecked(cs[i:]))

def unchecked(cs):
    "What the exercise in the first of `cs` lacks; the next exercise ends it"
    end = next((i for i,c in enumerate(cs) if i and is_exercise(c)), len(cs))
    if not any('check(' in c.code for c in visible(cs[:end])[:2]): yield 'an exercise without check(...) in its cell or the next'
    if not any(is_hidden(c) and 'assert not check(' in c.code for c in cs[:end]): yield 'no hidden cell gives a wrong answer: assert not check(...)'

def between(cs, title):
    "Cells under the heading `title`, up to the next heading of its level or above; None without it"
    at = next(((i,level) for i,c in enumerate(cs) if c.kind=='markdown' for level,t in headings(c.src) if t==title), None)
    if at is None: return None
    end = next((i for i,c in enumerate(cs) if i>at[0] and c.kind=='markdown' and any(level<=at[1] for level,_ in headings(c.src))), len(cs))
    return cs[at[0]+1:end]

quiz = 'Ten questions'

def ten_questions(file, cs):
    if not is_lesson(file): return
    part = between(cs, quiz)
    if part is None: yield 0, f'no heading "{quiz}"'; return
    src = '\n'.join(c.src for c in markdown(part))
    items = re.findall(r'<details>\s*<summary>(.*?)</summary>(.*?)</details>', src, re.S)
    n = part[0].n if part else 0
    numbers = [int(o) for o in re.findall(r'^(?:<details>\s*<summary>)?(\d+)\. ', src, re.M)]
    if len(items)!=10: yield n, f'{len(items)} questions with folded answers, not ten'
    elif numbers!=list(range(1, 11)): yield n, f'the questions are numbered {numbers}, not 1 to 10'
    for i,(q,a) in enumerate(items, 1):
        if not spoken(a).strip() and '`' not in a: yield n, f'question {i} has no answer'
        if not q.strip(): yield n, f'question {i} asks nothing'

last = ['What you can do now', quiz, 'Explore', 'Open the hood']

def lesson_parts(file, cs):
    "The questions that peel a layer, the box, and how a lesson ends"
    if not is_lesson(file): return
    h2 = [t for c in markdown(cs) for level,t in headings(c.src) if level==2]
    n = sum(t.endswith('?') for t in h2)
    if not 3<=n<=6: yield 0, f'{n} headings (##) are questions, not three to six'
    if h2[-4:]!=last: yield 0, f'a lesson ends with the headings {", ".join(last)}; here: {", ".join(h2[-4:])}'
    if not any(re.search(r'^> \*\*Who could this hurt\?\*\*', c.src, re.M) for c in markdown(cs)): yield 0, 'no box > **Who could this hurt?**'
    n = sum(len(re.findall(r'^[-*] ', c.src, re.M)) for c in between(cs, 'Explore') or [])
    if not 2<=n<=4: yield 0, f'{n} things to explore, not two to four'
    if not any('../nbs/' in l for c in between(cs, 'Open the hood') or [] for l in links_in(c.src)): yield 0, 'Open the hood has no link into ../nbs/'

page_checks = [one_title, headings_alone, heading_tree, prose_between, length, filler, spelling, figures_have_words, figures_are_small, links_lead_somewhere,
    cell_size, functions, star_imports, test_switches, documented, shown, saved, in_order, no_foreign]
lesson_checks = [lesson_head, lesson_code, early, exercises, ten_questions, lesson_parts]

def complaints(file, order=()):
    "Everything that is wrong with a notebook, as lines of text"
    file, order = Path(file), dict(order)
    cs = cells(file)
    found = [(n, f'{check.__name__}: {what}') for check in page_checks+lesson_checks for n,what in check(file, cs)]
    found += [(n, f'imports_lower: {what}') for n,what in imports_lower(file, cs, order)]
    return [f'cell {n}: {what}' if n else what for n,what in sorted(found)]

def prose_complaints(file):
    "Everything that is wrong with a page of Markdown, as lines of text"
    file = Path(file)
    s = file.read_text(encoding='utf-8')
    titles = [t for level,t in headings(s) if level==1]
    found = [] if len(titles)==1 and s.startswith('# ') else [f'{len(titles)} titles: one, on the first line']
    if not re.match(r'# .*\n+> \S', s): found.append('no subtitle (a line that starts with > under the title)')
    found += [o for _,o in tree_of_headings([(0, s)])] + filler_in(s) + spelling_in(s) + [p for a in alts_in(no_code(s)) if (p := poor_alt(a))]
    return found + [f'dead link: {l}' for l in dead_links(s, file.parent, anchors(file))] + list(foreign(s))

"""Facts about notebooks, and what is wrong with them. Each check is a generator of complaints, `(cell number, words)`."""
import ast, json, re
from collections import namedtuple
from pathlib import Path

root = Path(__file__).resolve().parent.parent
Cell = namedtuple('Cell', 'n kind src code directives outputs lines')
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
            c.get('outputs', []), lines))
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

# ---- how a page reads

def one_title(file, cs):
    heads = [c for c in cs if c.kind=='markdown' and re.search(r'^# ', c.src, re.M)]
    if not heads: yield 1, 'no title (a line that starts with one #)'
    elif heads[0].n!=1 or not heads[0].src.startswith('# '): yield heads[0].n, 'the title is not the first line of the first cell'
    for c in heads[1:]: yield c.n, 'a second title (# ); a concept is ##'
    if heads and not re.search(r'^> \S', heads[0].src, re.M): yield heads[0].n, 'no subtitle (a line that starts with > under the title)'

def headings_alone(file, cs):
    for c in cs:
        if c.kind=='markdown' and re.search(r'^##+ ', c.src, re.M) and len([l for l in c.src.splitlines() if l.strip()])>1:
            yield c.n, 'a heading shares its cell: ' + re.search(r'^##+ .*', c.src, re.M)[0]

def prose_between(file, cs):
    exports = examples = 0
    for c in cs:
        if is_prose(c): exports = examples = 0
        if not is_code(c) or is_hidden(c) or only_imports(c): continue
        if is_export(c): exports += 1
        else: examples += 1
        if exports==3 and is_export(c): yield c.n, 'a third export with no prose between'
        if examples==4 and not is_export(c): yield c.n, 'a fourth example with no prose between'

def n_words(cs): return sum(len(c.src.split()) for c in cs if c.kind=='markdown')

def length(file, cs):
    lo,hi = (250,700) if is_library(file) else (1200,2500)
    n = n_words(cs)
    if file.stem=='index' or is_star(cs): return
    if not lo<=n<=hi: yield 0, f'{n} words of prose, not {lo} to {hi}'

def filler(file, cs):
    for c in cs:
        if c.kind!='markdown': continue
        prose = re.sub(r'\]\([^)]*\)', '', no_code(c.src))
        for m in re.finditer(r'\b(simply|obviously|(?<!not )just)\b', prose, re.I): yield c.n, f'"{m[0]}" tells a reader nothing: {around(prose, m)}'

def no_code(s):
    "Markdown without its code, where a link is only spoken of"
    return re.sub(r'```.*?```|`[^`]*`', '', s, flags=re.S)

def dead_links(s, folder):
    "Relative links of Markdown `s` in `folder` that lead nowhere"
    targets = [(l, l.split('#')[0]) for l in re.findall(r'\]\(([^)\s]+)\)', no_code(s))]
    return [l for l,t in targets if t and not re.match(r'[a-z]+:', t) and not (folder/t).exists()]

def around(s, m): return ' '.join(s[max(0,m.start()-25):m.end()+25].split())

def figures_have_words(file, cs):
    for c in cs:
        if c.kind=='markdown' and re.search(r'!\[\s*\]\(', c.src): yield c.n, 'a picture without alt text: ![what it shows](file)'

def links_lead_somewhere(file, cs):
    for c in cs:
        if c.kind=='markdown': yield from ((c.n, f'dead link: {l}') for l in dead_links(c.src, file.parent))

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
    kb = file.stat().st_size/1024
    if kb>800: yield 0, f'{kb:.0f} KiB, more than 800: smaller or fewer figures'

# ---- words that belong to somebody's machine

own_folders = '|'.join(['root','home','tmp','work','Users','private'])
machine_path = re.compile(rf'(?<![\w.~/:-])/({own_folders})/[\w.]')
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

page_checks = [one_title, headings_alone, prose_between, length, filler, figures_have_words, links_lead_somewhere, cell_size, functions,
    star_imports, test_switches, documented, shown, saved, no_foreign]

def complaints(file, order=()):
    "Everything that is wrong with a notebook, as lines of text"
    file, order = Path(file), dict(order)
    cs = cells(file)
    found = [(n, f'{check.__name__}: {what}') for check in page_checks for n,what in check(file, cs)]
    found += [(n, f'imports_lower: {what}') for n,what in imports_lower(file, cs, order)]
    return [f'cell {n}: {what}' if n else what for n,what in sorted(found)]

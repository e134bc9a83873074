"""Backticked names become links: ours to their entries, others' through the inventories in docs/inventories."""
import inspect, re
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from sphinx.util.inventory import InventoryFile

here = Path(__file__).resolve().parent
homes = {'python':'https://docs.python.org/3/', 'torch':'https://docs.pytorch.org/docs/stable/', 'numpy':'https://numpy.org/doc/stable/',
    'pandas':'https://pandas.pydata.org/docs/'}
aliases = {'nn':'torch.nn', 'F':'torch.nn.functional', 'optim':'torch.optim', 'np':'numpy', 'pd':'pandas'}
known = {'Path':'pathlib.Path', 'DataFrame':'pandas.DataFrame', 'Tensor':'torch.Tensor', 'ndarray':'numpy.ndarray'}
objects = {'learn':'Learner', 'dls':'DataLoaders', 'dl':'DataLoader', 'dblock':'DataBlock', 'interp':'Interpretation', 'recorder':'Recorder'}
ambiguous = {'data','show','check','first','copy'} # words that mean something else in a sentence
tick = re.compile(r'(?<![`\[\\])`([^`\n]+)`(?![`\]])')

@lru_cache
def others():
    "Full name -> name of its inventory"
    res = {}
    for k,url in homes.items():
        f = here/'inventories'/f'{k}.inv'
        with f.open('rb') as o: inv = InventoryFile.load(o, url, lambda base, rest: base+rest)
        for kind,names in inv.items():
            if kind.startswith('py:'): res.update({n: (k, kind) for n in names})
    return res

@lru_cache
def ours():
    "(short name -> full names, all full names) of everything that has an entry"
    from wholegame._modidx import d
    short = {}
    for mod,syms in d['syms'].items():
        if '__init__' in mod: continue
        for s in syms:
            name = s[len(mod)+1:]
            if any(p.startswith('_') for p in name.split('.')): continue
            full = full_name(mod, name)
            if full:
                short.setdefault(name, set()).add(full)
                if '.' in name: short.setdefault(name.split('.')[-1], set()).add(full)
    return short

def full_name(mod, name):
    "Where Sphinx has `name`, which the notebook of `mod` defines; None if it has no entry"
    o = import_module(mod)
    *owner,last = name.split('.')
    if not owner: return f'{mod}.{name}' if last in getattr(o, '__all__', ()) else None
    for k in owner: o = getattr(o, k, None)
    if o is None: return None
    raw = inspect.getattr_static(o, last, None)
    f = getattr(raw, 'fget', None) or getattr(getattr(o, last, None), '__func__', raw)
    if raw is None or not inspect.getdoc(f): return None
    return f'{o.__module__}.{o.__qualname__}.{last}'

def target(name):
    "What a name in prose refers to: ('', full name), (inventory, full name) or None"
    m = re.fullmatch(r'([A-Za-z_][\w.]*)(\(.*\))?', name)
    if not m: return None
    s = m[1]
    if s.startswith('wholegame.'): s = s.split('.')[-1]
    head,_,rest = s.partition('.')
    if rest and head in objects: s = f'{objects[head]}.{rest}'
    found = ours().get(s, set()) if s not in ambiguous else set()
    if len(found)==1 and (len(s)>3 or s[0].isupper()) and worth(s, next(iter(found))): return '',next(iter(found))
    full = known.get(s) or (f'{aliases[head]}.{rest}' if rest and head in aliases else s)
    if '.' in full and full in others(): return others()[full][0],full
    return None

def worth(s, full):
    "Is a bare word meant as this name? Methods are when they belong to what a reader holds in the hand"
    cls = full.split('.')[-2]
    return '.' in s or not cls[0].isupper() or (cls in ('Learner','DataLoaders','DataBlock','ImageDataLoaders','Interpretation','ClassificationInterpretation','Recorder') and '_' in s) or s in ('fit','predict','freeze','unfreeze','summary')

def link(name):
    "Markdown for a backticked name"
    t = target(name)
    if t is None: return f'`{name}`'
    inv,full = t
    return f'{{py:obj}}`{name} <{full}>`' if not inv else f'[`{name}`](inv:{inv}:*:*#{full})'

def link_names(s, module=None):
    "Link the names in Markdown, but not in code blocks, headings, links or directives"
    def part(p): return '\n'.join(l if re.match(r'\s*(#|<|:::)', l) else spare_links(l) for l in p.split('\n'))
    pieces = re.split(r'(^(`{3,}|~{3,}).*?^\2`*[ \t]*$)', s, flags=re.M|re.S)
    return ''.join(part(pieces[i]) + (pieces[i+1] if i+1<len(pieces) else '') for i in range(0, len(pieces), 3))

def spare_links(l):
    "Names outside of `[...](...)`"
    pieces = re.split(r'(!?\[[^\[\]]*\]\([^)]*\))', l)
    return ''.join(p if i%2 else tick.sub(lambda m: link(m[1]), p) for i,p in enumerate(pieces))

def link_type(s, module=None):
    "A type in a table, linked where it is one name"
    if not s: return ''
    t = target(s) if re.fullmatch(r'[\w.]+', s) and ('.' in s or s[0].isupper()) else None
    return link(s) if t else f'`{s}`'

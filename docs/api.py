"""What a reader looks up: signature, arguments as a table, source, for every exported name."""
import inspect, re, sys, warnings
from functools import lru_cache
from importlib import import_module

from fastcore.docments import docments

from names import link, link_type

empty = inspect._empty

def find(name, module):
    "(object, its full name, its kind) of `name`, which `module` exports or patches into a class"
    *owner,last = name.split('.')
    o = import_module(module)
    if not owner:
        o = getattr(o, last)
        return o,f'{module}.{name}','class' if inspect.isclass(o) else 'function' if callable(o) else 'data'
    for k in owner: o = getattr(o, k)
    raw = inspect.getattr_static(o, last)
    if not isinstance(raw, classmethod) and inspect.ismethod(getattr(o, last, None)): raw = classmethod(getattr(o, last).__func__) # as fastcore patches them
    kinds = {property:'property', classmethod:'classmethod', staticmethod:'staticmethod'}
    return raw,f'{o.__module__}.{o.__qualname__}.{last}',kinds.get(type(raw), 'method')

def plain(o):
    "The function inside"
    if isinstance(o, property): return o.fget
    o = getattr(o, '__func__', o)
    return inspect.unwrap(o) if callable(o) else o

def default(v):
    "A default as it is written"
    if inspect.isclass(v) or inspect.isfunction(v): return v.__name__
    s = repr(v)
    return '...' if s.startswith('<') or len(s)>60 else s

def signature(o):
    "Names and defaults, without types, which the table has"
    f = plain(o)
    try: ps = list(inspect.signature(f).parameters.values())
    except (ValueError,TypeError): return ''
    ps = [p.replace(annotation=empty) for p in ps if p.name not in ('self','cls')]
    res,star = [],False
    for p in ps:
        if p.kind==p.VAR_POSITIONAL: star = True
        if p.kind==p.KEYWORD_ONLY and not star: res.append('*'); star = True
        s = {p.VAR_POSITIONAL:'*', p.VAR_KEYWORD:'**'}.get(p.kind, '')+p.name
        res.append(s if p.default is empty else f'{s}={default(p.default)}')
    return f"({', '.join(res)})"

def class_name(c):
    "A class as people write it"
    import torch
    homes = {'torch.nn': torch.nn, 'torch': torch, 'torch.optim': torch.optim}
    return next((f'{k}.{c.__name__}' for k,m in homes.items() if getattr(m, c.__name__, None) is c), c.__name__)

def annotation(a):
    "A type in words"
    if a is empty or a is None: return ''
    if isinstance(a, str): return a
    if inspect.isclass(a) and not getattr(a, '__args__', None): return class_name(a)
    return re.sub(r'\b(typing|collections\.abc|pathlib|builtins)\.', '', str(a))

def cell(s): return ' '.join(str(s).split()).replace('|', r'\|')

def is_named_tuple(o): return inspect.isclass(o) and issubclass(o, tuple) and hasattr(o, '_fields')

def fields(cls):
    "(name, type, default, what it is) of each field of a named tuple"
    said = dict(re.findall(r'^\s+(\w+)\s*:[^#\n]*#\s*(.*)$', inspect.getsource(cls), re.M))
    return [(p.name, annotation(p.annotation), '' if p.default is empty else default(p.default), said.get(p.name, '')) for p in inspect.signature(cls).parameters.values()]

def rows(f):
    "(name, type, default, what it is) of each argument, and of what comes back"
    if is_named_tuple(f): return fields(f)
    dm = docments(f, full=True, returns=True)
    ps = inspect.signature(plain(f)).parameters
    out = []
    for k,d in dm.items():
        if k in ('self','cls') or (k=='return' and not d.get('docment') and d.get('anno') in (empty,None)): continue
        star = '' if k=='return' else {2:'*', 4:'**'}.get(int(ps[k].kind), '') if k in ps else ''
        dflt = d.get('default', empty)
        out.append((f'{star}{k}', annotation(d.get('anno', empty)), '' if dflt is empty else default(dflt), d.get('docment') or ''))
    return out

def table(f, module):
    "Arguments as a table"
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try: rs = rows(f)
        except (ValueError,TypeError): return ''
    args,back = [r for r in rs if r[0]!='return'],[r for r in rs if r[0]=='return']
    if not any(r[3] or r[1] for r in rs): return ''
    cols = [['argument', *(f'`{r[0]}`' for r in args), *('*returns*' for r in back)], ['type', *(link_type(cell(r[1]), module) for r in args+back)],
        ['default', *(f'`{cell(r[2])}`' if r[2] else '' for r in args+back)], ['what it is', *(cell(r[3]) for r in args+back)]]
    cols = [c for c in cols if any(c[1:])]
    head,*body = zip(*cols)
    return '\n'.join('| '+' | '.join(r)+' |' for r in [head, ['---']*len(cols), *body])

def source_url(o):
    from wholegame.core import _source_url
    try: return _source_url(plain(o))
    except (TypeError,OSError,AttributeError): return ''

def anchor(full, o):
    "The address within a page that `doc` gives"
    return getattr(plain(o), '__qualname__', full.rsplit('.', 1)[-1]).lower()

def block(kind, full, o, body, anchors=(), options=()):
    "One entry of Sphinx's Python domain"
    home = full.rsplit('.', 2 if kind not in ('class','function','data') else 1)[0]
    local = full[len(home)+1:]
    sig = '' if kind in ('property','data') else signature(o.__init__ if kind=='class' and not is_named_tuple(o) else o)
    directive = {'classmethod':'method','staticmethod':'method'}.get(kind, kind)
    opts = [f':{kind}:'] if kind in ('classmethod','staticmethod') else []
    ids = ''.join(f'<a id="{a}"></a>' for a in anchors)
    url = source_url(o)
    src = f'<a class="source-link" href="{url}">source</a>\n\n' if url else ''
    head = '\n'.join([f'`````{{py:{directive}}} {local}{sig}', *opts])
    return f'{ids}\n\n````{{py:currentmodule}} {home}\n````\n\n{head}\n\n{src}{body}\n`````'

def doc_of(o):
    "Docstring, without the address of this very page that `link_help` adds"
    return re.sub(r'\n*^Docs: http\S+$', '', inspect.cleandoc(getattr(plain(o), '__doc__', None) or ''), flags=re.M)

def inner(cls, full, module):
    "Methods written in the body of a class, which have no cell of their own"
    out = []
    for k,raw in vars(cls).items():
        f = plain(raw)
        if k.startswith('_') or not inspect.isfunction(f) or not f.__qualname__.startswith(cls.__name__+'.') or f.__module__!=module or not doc_of(raw): continue
        try: line = inspect.getsource(f)
        except (OSError,TypeError): continue
        if not line.startswith((' ','\t')): continue # patched: it has its own entry
        kind = 'property' if isinstance(raw, property) else 'classmethod' if isinstance(raw, classmethod) else 'method'
        out.append(block(kind, f'{full}.{k}', raw, doc_of(raw) + '\n\n' + table(f, module), [anchor(k, raw)]))
    return out

def events(cls, module):
    "Anchors of the methods that a class has in its body: `doc` may be asked about each"
    return [f.__qualname__.lower() for f in map(plain, vars(cls).values()) if inspect.isfunction(f) and f.__module__==module]

def value(o):
    "A constant in words"
    text = repr(sorted(o) if isinstance(o, (set,frozenset)) else o)
    return f'`{text}`' if len(text)<300 and not text.startswith('<') else doc_of(type(o))

def other_name(o, full, kind, module):
    "A second name of something: what is known of the first, its arguments folded away"
    args = '' if kind=='class' else table(plain(o), module)
    first = f'{o.__self__.__name__}.{o.__name__}' if inspect.ismethod(o) and inspect.isclass(o.__self__) else o.__name__
    body = f'Another name for {link(first)}.' + (f'\n\n<details><summary>Its arguments</summary>\n\n{args}\n\n</details>' if args else '')
    return block('data' if kind=='class' else kind, full, o, body, [full.rsplit('.', 1)[-1].lower()])

@lru_cache(None)
def entry(name, module):
    "Markdown of one exported name"
    o,full,kind = find(name, module)
    if '.' not in name and kind!='data' and o.__name__!=name: return other_name(o, full, kind, module)
    if kind=='data': return block('data', full, o, value(o), [name.lower()])
    body = doc_of(o)+'\n\n'
    if kind=='class':
        init = o if is_named_tuple(o) else vars(o).get('__init__')
        body += table(init, module) if init else ''
        own = inner(o, full, module)
        listed = {re.search(r'<a id="([^"]+)"', b)[1] for b in own}
        return '\n\n'.join([block(kind, full, o, body, [anchor(full, o), *(a for a in events(o, module) if a not in listed)]), *own])
    if kind!='data': body += table(plain(o), module)
    return block(kind, full, o, body, [anchor(full, o)])

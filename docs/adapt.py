"""One notebook or page of the repository -> one page of the site."""
import ast, json, re, sys
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import nbformat
from nbdev.process import NBProcessor
from nbdev.processors import add_show_docs, clean_magics, hide_line, strip_ansi

root = Path(__file__).resolve().parent.parent
if str(root/'docs') not in sys.path: sys.path.insert(0, str(root/'docs'))
from api import entry
from names import link_names

directive = re.compile(r'^#\s*\|\s*([\w-]+)[ \t]*:?[ \t]*(.*)$', re.M)
badge = re.compile(r'^\[!\[Open in.*\n?', re.M)

def text(o): return ''.join(o) if isinstance(o, list) else o

def site_path(f):
    "Where a file of the repository is on the site, without its ending"
    rel = f.relative_to(root)
    return Path('index') if rel==Path('nbs/index.ipynb') else rel.with_name(rel.name.removesuffix(f.suffix))

def module_of(cells):
    "The module that a notebook writes, or None"
    found = [d for c in cells if c.cell_type=='code' for k,d in directive.findall(c.source) if k=='default_exp']
    return f'wholegame.{found[0].strip()}'.removesuffix('.__init__') if found else None

# ---- Markdown

def lead(s):
    "The line under the title, as a paragraph of its own"
    return re.sub(r'(?m)\A(# .*\n+)> (.+)$', r'\1{.lead}\n\2', s)

def to_site(s, file):
    "Links of a page as they are on the site"
    up = '' if site_path(file)==Path('index') else '../'
    def one(m):
        target = m[2]
        if re.match(r'[a-z]+:|#|/', target): return m[0]
        path,_,anchor = target.partition('#')
        f = (file.parent/path).resolve()
        if f.suffix=='.ipynb' or (f.suffix=='.md' and f.name=='README.md' and f.parent.name=='bench'):
            return f'{m[1]}({up}{site_path(f)}{f.suffix}{"#"+anchor if anchor else ""})' if f.exists() else m[0]
        if f.suffix=='.md' and f.exists() and f.is_relative_to(root/'docs') and not file.is_relative_to(root/'docs'):
            return f'{m[1]}({up}{f.relative_to(root/"docs").as_posix()}{"#"+anchor if anchor else ""})' # how-to pages and explanations
        if f.exists() and f.is_relative_to(root) and f.suffix not in ('.png','.svg','.jpg','.gif','.md'): return f'{m[1]}({blob(f)})'
        return m[0]
    return outside_code(s, lambda o: re.sub(r'(\[[^\[\]]*(?:\[[^\]]*\])?[^\[\]]*\])\(([^)\s]+)\)', one, o))

def outside_code(s, f):
    "`f` of the parts of `s` that are not in a fenced block"
    parts = re.split(r'(^(`{3,}|~{3,}).*?^\2`*[ \t]*$)', s, flags=re.M|re.S)
    res = []
    for i in range(0, len(parts), 3):
        res.append(f(parts[i]))
        if i+1<len(parts): res.append(parts[i+1])
    return ''.join(res)

@lru_cache
def repository():
    "Address of the source"
    import configparser
    c = configparser.ConfigParser(delimiters=['='], interpolation=None)
    c.read(root/'settings.ini', encoding='utf-8')
    return c['DEFAULT']['repository']

def blob(f): return f'{repository()}/blob/main/{f.relative_to(root).as_posix()}'

def markdown(s, file, here=None):
    "Markdown of a notebook or a page as MyST reads it"
    s = directive.sub('', s, count=1) if directive.match(s) else s
    s = badge.sub('', s)
    return link_names(lead(to_site(s.strip('\n'), file)), here)

# ---- notebooks

def alts(cell, marks):
    "Words for the figures of a cell"
    saved = [o.get('metadata', {}).get('image/png', {}).get('alt') for o in cell.get('outputs', [])]
    return marks.get('fig-alt') or '; '.join(o for o in saved if o)

def code(cell, marks, exported):
    "A code cell without marks, with the tags that MyST-NB looks for"
    cell.source = directive.sub('', cell.source).strip('\n')
    meta = {'tags': ['hide-input'] if exported else []}
    alt = alts(cell, marks)
    if alt: meta['mystnb'] = {'image': {'alt': alt}}
    cell.metadata = meta
    for o in cell.outputs:
        o.get('metadata', {}).clear()
        if o.get('output_type')=='execute_result': o['execution_count'] = None
    return cell

def dropped(marks): return bool({'hide','default_exp'} & marks.keys())

def assigned(s, module):
    "Exported names that a cell gives to something: another name for a function, a constant"
    exports = getattr(import_module(module), '__all__', ()) if module else ()
    return [t.id for o in ast.parse(s).body if isinstance(o, ast.Assign) for t in o.targets if isinstance(t, ast.Name) and t.id in exports]

def documented(name): return not name.split('.')[-1].startswith('__')

def converted(nb, file):
    "(module, cells) of the page: what is exported is described first, and its code comes folded after it"
    nb = NBProcessor(nb=nb, procs=[add_show_docs, hide_line, strip_ansi, clean_magics], rm_directives=False, process=True).nb
    module,out,entries,folded,names = module_of(nb.cells),[],[],[],[]
    def flush():
        out.extend(nbformat.v4.new_markdown_cell(entry(o, module)) for o in entries)
        if folded: out.append(code(nbformat.v4.new_code_cell('\n\n'.join(folded)), {}, True))
        entries.clear(); folded.clear()
    for c in nb.cells:
        marks = dict(directive.findall(c.source)) if c.cell_type=='code' else {}
        if getattr(c, 'has_sd', False): names.append(c.source[len('show_doc('):-1]); continue
        entries.extend(filter(documented, reversed(names)) if folded else [])
        names = []
        if dropped(marks) or not c.source.strip() or ('export' in marks and imports_only(c.source)): continue
        if 'export' in marks:
            if entries: flush()
            names = list(reversed(assigned(c.source, module)))
            folded.append(directive.sub('', c.source).strip('\n')); continue
        flush()
        if c.cell_type=='markdown': out.append(nbformat.v4.new_markdown_cell(markdown(c.source, file, module)))
        else: out.append(code(nbformat.v4.new_code_cell(c.source, outputs=[nbformat.from_dict(dict(o)) for o in c.get('outputs', [])]), marks, False))
    entries.extend(filter(documented, reversed(names)) if folded else [])
    flush()
    return module,out

def imports_only(s):
    try: body = ast.parse(s).body
    except SyntaxError: return False
    return bool(body) and all(isinstance(o, (ast.Import,ast.ImportFrom)) for o in body)

def page_of(file, src, rel=None):
    "Write the page of a notebook or Markdown file under `src`"
    if file.suffix=='.md':
        origin = root/'docs'/rel if rel else file
        dest = src/(rel or file.relative_to(root))
        dest.write_text(markdown(file.read_text(encoding='utf-8'), origin if not rel else root/rel), encoding='utf-8')
        return
    from fastcore.nbio import read_nb
    module,cells = converted(read_nb(file), file)
    if module: cells.insert(1, nbformat.v4.new_markdown_cell(f'```{{py:module}} {module}\n```'))
    dest = src/f'{site_path(file)}.ipynb'
    dest.parent.mkdir(parents=True, exist_ok=True)
    nb = nbformat.v4.new_notebook(cells=cells, metadata={'kernelspec': {'name':'python3','display_name':'Python 3','language':'python'}, 'language_info': {'name':'python','pygments_lexer':'ipython3'}})
    nbformat.write(nb, dest)

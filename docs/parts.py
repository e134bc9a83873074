"""Pages that list other pages: the four parts, the order of reading, and llms.txt."""
import json, re
from pathlib import Path

from adapt import root, text

chapters = {'Ground':'0[0-3]', 'Data':'0[4-8]', 'Training':'09|1', 'Pictures':'2', 'Tables, and ratings':'3', 'Giving it away, and teaching':'[45]'}

def title(f):
    "Title and subtitle of a notebook or page"
    s = text(json.loads(f.read_text(encoding='utf-8'))['cells'][0]['source']) if f.suffix=='.ipynb' else f.read_text(encoding='utf-8')
    head = re.search(r'^# (.+)$', s, re.M)
    sub = re.search(r'^> (.+)$', s, re.M)
    return head[1],sub[1] if sub else ''

def lessons(): return [f for f in sorted((root/'course').glob('*.ipynb')) if f.name[0] not in '._']
def with_slides(): return [f for f in lessons() if '"slide_type"' in f.read_text(encoding='utf-8')]
def library(): return [f for f in sorted((root/'nbs').glob('[0-9]*.ipynb'))]
def prose(d):
    "Pages of a part, in the order in which its first page names them"
    text = (root/'docs'/d/'index.md').read_text(encoding='utf-8')
    fs = [f for f in sorted((root/'docs'/d).glob('*.md')) if f.name!='index.md']
    return sorted(fs, key=lambda f: text.find(f'({f.name}') if f'({f.name}' in text else len(text))

def tree(names, caption='', hidden=True):
    opts = [':hidden:']*hidden + ([f':caption: {caption}'] if caption else [])
    return '\n'.join(['```{toctree}', *opts, '', *names, '```'])

def listing(fs, up=''):
    "A table of pages with what each is about"
    rows = [f'| [{t}]({up}{f.name}) | {s} |' for f in fs for t,s in [title(f)]]
    return '\n'.join(['| page | |', '|---|---|', *rows])

def course(src):
    fs = lessons()
    s = f'''# Course

{{.lead}}
One first result a page, and then why it works

Each page is a notebook: read it here, or open it in Kaggle or Colab and run it, with or without a GPU. Offline it draws its own photos and says so.

{listing(fs)}

{tree([f.stem for f in fs])}
'''
    (src/'course'/'index.md').write_text(s, encoding='utf-8')

def book(src):
    fs,parts,trees = library(),[],[]
    for name,pat in chapters.items():
        mine = [f for f in fs if re.match(pat, f.name)]
        if not mine: continue
        parts.append(f'## {name}\n\n{listing(mine, "../nbs/")}')
        trees.append(tree([f'../nbs/{f.stem}' for f in mine], name))
    s = '''# Library

{.lead}
From tensors to fine-tuning, in the order in which one thing needs another

These pages are the library: each explains one idea, defines it, shows it on a small example and tests it. Read them in order as a short book, or look a name up with the search (Ctrl+K), the index of [all names](genindex), or `doc(name)` in a notebook.

'''+'\n\n'.join(parts+trees)+'\n'
    (src/'library').mkdir()
    (src/'library'/'index.md').write_text(s, encoding='utf-8')

def home(src):
    "The first page leads to the four parts"
    f = src/'index.ipynb'
    nb = json.loads(f.read_text(encoding='utf-8'))
    nb['cells'].append({'cell_type':'markdown','id':'parts','metadata':{},'source': tree(['course/index','howto/index','library/index','explanations/index'])})
    f.write_text(json.dumps(nb), encoding='utf-8')

def folder(src, d, extra=()):
    "Add the order of reading to the page of a part"
    f = src/d/'index.md'
    f.write_text(f.read_text(encoding='utf-8') + '\n\n' + tree([o.stem for o in prose(d)]+list(extra)) + '\n', encoding='utf-8')

def write_parts(src):
    course(src); book(src); home(src); folder(src, 'howto'); folder(src, 'explanations', ['../bench/README'])

def write_llms(src, html):
    "llms.txt: the site for readers that are programs (https://llmstxt.org)"
    from conf import documentation
    t,s = title(root/'nbs'/'index.ipynb')
    groups = {'Course': lessons(), 'How-to': prose('howto'), 'Library': library(), 'Explanations': prose('explanations')}
    def line(f):
        head,sub = title(f)
        where = f.relative_to(root/'docs') if f.is_relative_to(root/'docs') else f.relative_to(root)
        return f"- [{head}]({documentation}/{where.with_suffix('.html').as_posix()}): {sub}"
    parts = [f'# {t}\n\n> {s}\n\nA Python package for training models with PyTorch, and a course; both are the same notebooks. Names, arguments and defaults follow fastai 2, imports are `from wholegame.vision.all import *`.']
    parts += [f'## {k}\n\n' + '\n'.join(map(line, fs)) for k,fs in groups.items() if fs]
    (html/'llms.txt').write_text('\n\n'.join(parts)+'\n', encoding='utf-8')

"""Write README.md from nbs/index.ipynb: `python tools/readme.py`

Prose stays prose, code and its printed output become fenced blocks, pictures go to docs/images/. Cells marked
`#| hide` are left out, `#| echo: false` shows only the output, and a picture needs its words: `#| fig-alt: A bird`.
Links are rewritten from the notebook's folder to the root.
"""
import base64, json, os, re, sys
from pathlib import Path

def directives(
    src, # source of a cell
): # name -> value ('' if it has none)
    "The `#| name: value` lines of a cell"
    found = re.findall(r'^#\s*\|\s*([\w-]+)[ \t]*:?[ \t]*(.*)$', src, re.M)
    return {k:v.strip().strip('"\'') for k,v in found}

def from_root(md, folder):
    "Links and pictures of `md`, written in `folder`, as seen from the root"
    def fix(m):
        if re.match(r'[a-z]+:|#|/', m[2]): return m[0]
        return m[1] + os.path.normpath(f'{folder}/{m[2]}').replace(os.sep, '/') + m[3]
    return re.sub(r'(\]\()([^)\s]+)(\))', fix, md)

def fence(text, lang=''):
    "`text` as a block of code"
    return f'```{lang}\n{text.rstrip()}\n```'

def picture(data, alt, dest, n):
    "Write a PNG beside the documentation; return the line that shows it"
    if not alt: raise ValueError("A picture for README.md has no words: add a line `#| fig-alt: what it shows` to its cell.")
    dest.mkdir(parents=True, exist_ok=True)
    f = dest/f'readme-{n}.png'
    f.write_bytes(base64.b64decode(''.join(data)))
    return f'![{alt}](docs/images/{f.name})'

def output(o, alt, dest, n):
    "One output of a cell as Markdown, and how many pictures there are after it"
    if o['output_type']=='stream': return fence(''.join(o['text'])), n
    data = o.get('data', {})
    if 'image/png' in data: return picture(data['image/png'], alt, dest, n+1), n+1
    if 'text/markdown' in data: return ''.join(data['text/markdown']), n
    return fence(''.join(data.get('text/plain', ''))), n

def readme(
    nb, # the notebook, as read from its JSON
    folder='nbs', # folder that its links are relative to
    dest=Path('docs/images'), # where pictures are written
): # the text of README.md
    "A notebook as Markdown"
    name = f'{folder}/index.ipynb'
    parts, n = [f'<!-- Written by tools/readme.py from {name}: edit that, then `make export`. -->'], 0
    for c in nb['cells']:
        src = ''.join(c['source'])
        d = directives(src)
        if 'hide' in d or not src.strip(): continue
        if c['cell_type']=='markdown': parts.append(from_root(src.strip(), folder)); continue
        if c['cell_type']!='code': continue
        code = re.sub(r'^#\s*\|.*\n?', '', src, flags=re.M).strip()
        if code and d.get('echo')!='false': parts.append(fence(code, 'python'))
        for o in c.get('outputs', []):
            if d.get('output')=='false': continue
            text, n = output(o, d.get('fig-alt'), dest, n)
            parts.append(text)
    return '\n\n'.join(parts) + '\n'

def main(root):
    source = root/'nbs'/'index.ipynb'
    if not source.exists(): sys.exit(f'No {source.relative_to(root)}: README.md is written from it.')
    for f in (root/'docs'/'images').glob('readme-*.png'): f.unlink()
    text = readme(json.loads(source.read_text(encoding='utf-8')), dest=root/'docs'/'images')
    (root/'README.md').write_text(text, encoding='utf-8')

if __name__=='__main__': main(Path(sys.argv[1]) if len(sys.argv)>1 else Path(__file__).resolve().parent.parent)

"""Make the site from notebooks and pages: `python docs/build.py`, or `make docs`.

nbdev's processors find what each notebook exports, Sphinx with MyST-NB writes the pages. Nothing is run and nothing is downloaded:
outputs are those saved in the notebooks. Sources are put together in build/site/src, the site is build/site/html.
"""
import shutil, subprocess, sys, time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from adapt import page_of, root
from parts import with_slides, write_parts, write_llms

def sources(src):
    "Everything that Sphinx reads, in the layout of the repository"
    for d in 'nbs','course':
        for f in sorted((root/d).glob('*.ipynb')):
            if f.name[0] not in '._': page_of(f, src)
    for d in 'howto','explanations': shutil.copytree(root/'docs'/d, src/d)
    for d in 'nbs','course':
        if (root/d/'images').is_dir(): shutil.copytree(root/d/'images', src/d/'images', dirs_exist_ok=True)
    (src/'bench').mkdir()
    page_of(root/'bench'/'README.md', src)
    for d in 'howto','explanations':
        for f in sorted((src/d).glob('*.md')): page_of(f, src, f.relative_to(src))
    write_parts(src)

def copies(html):
    "Beside the pages: lessons as students open them, and decks of those that are marked for presenting"
    from wholegame.course import make_copies, make_slides
    from conf import documentation, repository
    make_copies(root/'course', html/'course', documentation, f'{repository}/raw/main')
    for f in with_slides(): make_slides(f, html/'slides')

def main(out=root/'build'/'site', quiet=True):
    start,src,html = time.time(),out/'src',out/'html'
    shutil.rmtree(out, ignore_errors=True)
    sources(src)
    cmd = [sys.executable, '-m', 'sphinx', '-b', 'html', '-c', root/'docs', '-d', out/'doctrees', '-W', '--keep-going', '-j', '2', *(['-q'] if quiet else []), src, html]
    res = subprocess.run([str(o) for o in cmd])
    if res.returncode: sys.exit('The site has warnings or errors: see above.')
    write_llms(src, html)
    copies(html)
    print(f'{len(list(html.rglob("*.html")))} pages in {time.time()-start:.0f} s: {html.relative_to(root) if html.is_relative_to(root) else html}/index.html')

if __name__=='__main__': main(*map(Path, sys.argv[1:2]))

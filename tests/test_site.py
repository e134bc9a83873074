"""The site is built as `make docs` builds it, read by a program, and opened in a real browser."""
import functools, html.parser, http.server, inspect, os, re, subprocess, sys, threading
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit
import pytest
from filelock import FileLock
from pages import root, notebooks

# ---- the build

def build(out):
    "Output of docs/build.py; the site is in out/html"
    res = subprocess.run([sys.executable, root/'docs'/'build.py', out], cwd=root, capture_output=True, text=True)
    assert res.returncode==0, res.stdout[-3000:]+res.stderr[-6000:]
    assert 'WARNING' not in res.stdout+res.stderr, res.stdout+res.stderr
    return out/'html'

@pytest.fixture(scope='session')
def site(tmp_path_factory):
    "The site, built once, whoever asks first; SITE=build/site/html takes one that is built already"
    if os.environ.get('SITE'): return Path(os.environ['SITE']).resolve()
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get('PYTEST_XDIST_WORKER') else base
    out = shared/'site'
    with FileLock(str(shared/'site.lock')):
        if not (out/'done').exists():
            build(out)
            (out/'done').touch()
    return out/'html'

class Reader(html.parser.HTMLParser):
    "Links, addresses within the page, and pictures"
    def __init__(self, text):
        super().__init__()
        self.links,self.ids,self.imgs = [],set(),[]
        self.feed(text)
    def handle_starttag(self, tag, attrs):
        d = dict(attrs)
        if d.get('id'): self.ids.add(d['id'])
        if tag=='a' and d.get('name'): self.ids.add(d['name'])
        if tag in ('a','link') and d.get('href'): self.links.append(d['href'])
        if tag in ('img','script','source') and d.get('src'): self.links.append(d['src'])
        if tag=='img': self.imgs.append(d)

@functools.lru_cache(None)
def read(file): return Reader(Path(file).read_text(encoding='utf-8'))

def pages(site): return [f for f in sorted(site.rglob('*.html')) if not {'_static','slides'} & set(f.relative_to(site).parts)]

def dead(site):
    "Links that stay on the site and lead nowhere"
    for f in pages(site):
        for l in read(f).links:
            u = urlsplit(l)
            if u.scheme or u.netloc: continue
            dest = (f.parent/unquote(u.path)).resolve() if u.path else f
            if dest.is_dir(): dest = dest/'index.html'
            if not dest.exists(): yield f'{f.relative_to(site)}: {l}'
            elif u.fragment and dest.suffix=='.html' and unquote(u.fragment) not in read(dest).ids|{'main-content','','pst-primary-sidebar','pst-secondary-sidebar'}: yield f'{f.relative_to(site)}: {l} has no such place'

def test_every_page(site):
    names = {str(f.relative_to(site)) for f in pages(site)}
    want = {f'{f.parent.name}/{f.stem}.html' for f in notebooks('nbs','course') if f.stem!='index'} | {'index.html'}
    want |= {f'{d}/{f.stem}.html' for d in ('howto','explanations') for f in (root/'docs'/d).glob('*.md')}
    want |= {'course/index.html','library/index.html','genindex.html','search.html'}
    assert not want-names

def test_no_dead_link(site):
    found = list(dead(site))
    assert not found, '\n'.join(found[:40])

def test_dead_link_is_found(tmp_path):
    (tmp_path/'a.html').write_text('<a href="b.html">b</a> <a href="#x">x</a> <a id="y" href="a.html#y">fine</a>')
    assert len(list(dead(tmp_path)))==2

def test_alt_text(site):
    found = [f"{f.relative_to(site)}: {o.get('src')}" for f in pages(site) for o in read(f).imgs if not (o.get('alt') or '').strip() or o['alt'].startswith(('../','_images'))]
    assert not found, '\n'.join(found[:40])

# ---- names

def modules():
    from wholegame._modidx import d
    return [m for m in d['syms'] if not m.endswith('__init__')]

def own(module):
    "(name, object) of what a module defines and exports, and of the methods of its classes"
    m = import_module(module)
    for k in getattr(m, '__all__', ()):
        o = getattr(m, k)
        if getattr(o, '__module__', None)!=module or not (inspect.isclass(o) or inspect.isfunction(o)): continue
        yield k,o
        if inspect.isclass(o): yield from ((f'{k}.{n}', f) for n,f in vars(o).items() if not n.startswith('_') and (inspect.isfunction(f) or isinstance(f, (property,classmethod)) or inspect.ismethod(getattr(o, n))))

def test_every_export_has_its_place(site):
    "Signature, table of arguments, source"
    found = []
    for module in modules():
        for name,o in own(module):
            if '.' in name: continue
            f = site/page_of(o)
            s = f.read_text(encoding='utf-8')
            at = s.find(f'id="{module}.{name}"')
            entry = s[at:at+20000]
            if at<0: found.append(f'{module}.{name} is not on {f.name}'); continue
            if 'class="source-link"' not in entry[:8000]: found.append(f'{module}.{name} has no source link')
            args = [p for p in inspect.signature(o.__init__ if inspect.isclass(o) else o).parameters if p not in ('self','args','kwargs')] if '__init__' in vars(o) or not inspect.isclass(o) else []
            missing = [p for p in args if f'>{p}<' not in entry and f'>*{p}<' not in entry and f'>**{p}<' not in entry]
            if missing: found.append(f'{module}.{name}: no row for {missing}')
    assert not found, '\n'.join(found[:40])

def page_of(o):
    from wholegame.core import doc_url
    from wholegame.core import _link
    return doc_url(o).removeprefix(_link('documentation')+'/').partition('#')[0]

def test_doc_leads_somewhere(site):
    "Every address that `doc` can give is there"
    from wholegame.core import doc_url, _link
    found,n = [],0
    for module in modules():
        for name,o in own(module):
            f = o.fget if isinstance(o, property) else getattr(o, '__func__', None) or getattr(o, 'f', o)
            if not f.__module__.startswith('wholegame'): continue
            try: url = doc_url(f)
            except (TypeError,OSError): continue
            path,_,anchor = url.removeprefix(_link('documentation')+'/').partition('#')
            n += 1
            if not (site/path).exists(): found.append(f'{name}: no page {path}')
            elif anchor not in read(site/path).ids: found.append(f'{name}: no #{anchor} on {path}')
    assert n>300
    assert not found, f'{len(found)} of {n}\n' + '\n'.join(found[:40])

def test_names_of_others_are_linked(site):
    s = ''.join(f.read_text(encoding='utf-8') for f in pages(site))
    for start in ('https://docs.pytorch.org/docs/stable/generated/', 'https://numpy.org/doc/stable/reference/', 'https://pandas.pydata.org/docs/reference/', 'https://docs.python.org/3/library/'):
        assert f'href="{start}' in s, start

# ---- what surrounds a page

def test_order_of_the_course(site):
    "Next leads through the lessons in order"
    fs = [f.stem for f in notebooks('course')]
    for a,b in zip(fs, fs[1:]):
        s = (site/'course'/f'{a}.html').read_text(encoding='utf-8')
        assert re.search(rf'class="right-next"\s+href="{b}.html"', s), (a,b)

def test_opened_elsewhere(site):
    s = (site/'course'/'01a_is_it_a_bird.html').read_text(encoding='utf-8')
    for part in ('kaggle.com/kernels/welcome?src=', 'colab.research.google.com/github/', '/blob/main/course/01a_is_it_a_bird.ipynb', '/edit/main/course/01a_is_it_a_bird.ipynb'): assert part in s

def test_foot(site):
    for f in pages(site):
        if f.name in ('genindex.html','search.html','py-modindex.html'): continue
        s = f.read_text(encoding='utf-8')
        assert re.search(r'class="versions">wholegame \d[\w.]*, built on \d{4}-\d\d-\d\d with torch \d', s), f

def test_llms(site):
    s = (site/'llms.txt').read_text(encoding='utf-8')
    links = re.findall(r'^- \[[^\]]+\]\((\S+)\): \S', s, re.M)
    assert len(links)>=len(notebooks('nbs','course'))-1
    for l in links: assert (site/urlsplit(l).path.split('/', 2)[2]).exists(), l

# ---- in a browser

class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass

@pytest.fixture(scope='module')
def served(site):
    "Address of the site on this machine"
    server = http.server.ThreadingHTTPServer(('127.0.0.1',0), functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/'
    server.shutdown()

desktop,phone = {'width':1280,'height':900},{'width':390,'height':844}

def opened(browser, url, viewport=None, **kw):
    "A page, with what it complains about and what it asks of others"
    page = browser.new_context(viewport=viewport or desktop, **kw).new_page()
    page.wrong = []
    page.on('console', lambda m: page.wrong.append(m.text) if m.type=='error' else None)
    page.on('response', lambda r: page.wrong.append(f'{r.status} {r.url}') if r.status>=400 else None)
    page.on('pageerror', lambda e: page.wrong.append(str(e)))
    page.on('request', lambda r: page.wrong.append(f'asks {r.url}') if not r.url.startswith((url.split('/', 3)[0]+'//'+url.split('/')[2], 'data:', 'blob:')) else None)
    page.goto(url)
    return page

def test_search_finds(browser, served):
    page = opened(browser, served+'search.html?q=fine_tune')
    page.wait_for_selector('#search-results li a', timeout=30000)
    found = page.eval_on_selector_all('#search-results li a', 'os => os.map(o => o.href)')
    assert any('14_schedule.html#' in o for o in found), found
    assert not page.wrong

def test_search_field(browser, served):
    "Ctrl+K, a word, Enter"
    page = opened(browser, served+'index.html')
    page.keyboard.press('Control+k')
    page.keyboard.type('lr_find')
    page.keyboard.press('Enter')
    page.wait_for_selector('#search-results li a', timeout=30000)
    assert 'lr_find' in page.url

def test_lesson_shows_its_pictures(browser, served):
    page = opened(browser, served+'course/01a_is_it_a_bird.html')
    sizes = page.eval_on_selector_all('.bd-article img', 'async os => { for (const o of os) { o.loading = "eager"; await o.decode() } return os.map(o => o.naturalWidth) }')
    assert len(sizes)>=4 and min(sizes)>50
    assert not page.wrong

def test_copy_button_copies(browser, served):
    page = opened(browser, served+'course/01a_is_it_a_bird.html', permissions=['clipboard-read','clipboard-write'])
    cell = page.locator('div.highlight', has=page.locator('pre', has_text='learn.fine_tune')).first
    cell.hover()
    cell.locator('button.copybtn').click()
    page.wait_for_timeout(200)
    assert 'learn.fine_tune(3)' in page.evaluate('navigator.clipboard.readText()')

# Of each piece of text: its colour and the colour behind it, as a browser computes them
contrasts = '''() => {
  const lum = c => { const [r,g,b] = c.map(v => { v /= 255; return v<=.03928 ? v/12.92 : ((v+.055)/1.055)**2.4 }); return .2126*r+.7152*g+.0722*b }
  const rgb = s => { const m = s.match(/[\\d.]+/g).map(Number); return {c: m.slice(0,3), a: m.length>3 ? m[3] : 1} }
  const behind = o => { for (; o; o = o.parentElement) { const b = rgb(getComputedStyle(o).backgroundColor); if (b.a>.99) return b.c } return [255,255,255] }
  const res = []
  const walk = document.createTreeWalker(document.querySelector('.bd-article'), NodeFilter.SHOW_TEXT)
  while (walk.nextNode()) {
    const o = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim()
    if (!text || !o.offsetParent || o.closest('svg,button,.headerlink')) continue
    const a = lum(rgb(getComputedStyle(o).color).c), b = lum(behind(o))
    res.push([(Math.max(a,b)+.05)/(Math.min(a,b)+.05), text.slice(0,40), o.tagName+'.'+o.className])
  }
  return res
}'''

@pytest.mark.parametrize('scheme', ['light','dark'])
@pytest.mark.parametrize('name', ['course/01a_is_it_a_bird.html','nbs/14_schedule.html','nbs/24_vision.learner.html','explanations/names_old_and_new.html'])
def test_contrast(browser, served, name, scheme):
    "Text can be read: 4.5 to 1, WCAG 2.2 level AA (1.4.3)"
    page = opened(browser, served+name, color_scheme=scheme)
    assert page.evaluate('document.documentElement.dataset.theme')==scheme
    found = page.evaluate(contrasts)
    assert len(found)>50
    bad = [o for o in found if o[0]<4.5]
    assert not bad, bad[:15]

def test_switch_to_dark(browser, served):
    "The switch works, and the next page remembers it"
    page = opened(browser, served+'index.html', color_scheme='light')
    page.locator('button.theme-switch-button').first.click()
    page.locator('button.theme-change-button[data-mode="dark"]').first.click()
    assert page.evaluate('document.documentElement.dataset.theme')=='dark'
    page.goto(served+'nbs/14_schedule.html')
    assert page.evaluate('document.documentElement.dataset.theme')=='dark'

def test_phone(browser, served, site):
    "No page is wider than a small window, and nothing is asked of other hosts"
    page = opened(browser, served+'index.html', phone)
    wide = []
    for f in pages(site):
        if f.name in ('genindex.html','py-modindex.html'): continue
        page.goto(served+str(f.relative_to(site)), wait_until='domcontentloaded')
        w = page.evaluate('document.documentElement.scrollWidth')
        if w>phone['width']+1: wide.append((str(f.relative_to(site)), w))
    assert not wide, wide
    assert not page.wrong, page.wrong[:10]

def test_print(browser, served):
    "Paper has the text and not what is around it"
    page = opened(browser, served+'nbs/14_schedule.html')
    page.emulate_media(media='print')
    for o in ('.bd-header','.bd-sidebar-primary','.bd-sidebar-secondary'): assert not page.locator(o).first.is_visible(), o
    assert page.locator('.bd-article h1').is_visible()
    assert len(page.pdf(format='A4'))>20000

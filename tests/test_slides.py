"""Decks, opened from the disk in a real Chromium: pages turn, fragments appear, nothing is fetched, everything fits."""
import base64, re, subprocess, sys
from io import BytesIO
from pathlib import Path
import pytest
from PIL import Image
from pages import root, notebooks
from wholegame.course import make_slides, notebook_text, read_notebook, read_slides

def has_slides(f): return any('slideshow' in c.get('metadata', {}) for c in read_notebook(f)['cells'])
presented = [f for f in notebooks('course') if has_slides(f)]

def png(colour='red', size=(40,30)):
    b = BytesIO()
    Image.new('RGB', size, colour).save(b, 'PNG')
    return base64.b64encode(b.getvalue()).decode()

def cell(kind, source, mark='', *outputs, **kw):
    c = dict(cell_type=kind, metadata={'slideshow':{'slide_type':mark}} if mark else {}, source=source)
    return c | (dict(execution_count=None, outputs=list(outputs)) if kind=='code' else {}) | kw
def display(**data): return dict(output_type='display_data', metadata={}, data={k.replace('_', '/', 1):v for k,v in data.items()})
def printed(s): return dict(output_type='stream', name='stdout', text=s)

cells = [cell('markdown', '# Small deck\n\n> Try it', 'slide'), cell('markdown', 'Nobody sees this.'),
    cell('markdown', '## Second\n\nA formula $x_1*y_2*z$, code `$HOME`, and $5 or $6.', 'slide'), cell('code', '#| fig-alt: A red block\n1 < 2', 'fragment', printed('a\n'), printed('b\n'), display(image_png=png())),
    cell('code', 'hidden_by_echo\n#| echo: false', '-', display(text_html='<table><tr><td>cell</td></tr></table><script>alert(1)</script>')), cell('markdown', 'Say hello', 'notes'),
    cell('markdown', '## Below\n\n- a **bold** and *slanted* word\n\n1. first', 'subslide'), cell('code', '#| hide\ntop_secret = 1', 'fragment'), cell('markdown', 'Left out', 'skip'),
    cell('markdown', '## Third\n\n'+'Much to say. '*120, 'slide'), cell('code', '\n'.join(f'line_{i} = {i}' for i in range(8)), 'fragment')]

def write(folder, cells, name='small'):
    f = folder/f'{name}.ipynb'
    f.write_text(notebook_text(dict(nbformat=4, nbformat_minor=5, metadata={}, cells=cells)), encoding='utf-8')
    return f

@pytest.fixture
def opened(browser):
    "Opens a deck; what the browser asked for or complained about is in `page.heard`"
    contexts = []
    def _open(file):
        contexts.append(browser.new_context(viewport=dict(width=1280, height=720), offline=True))
        page = contexts[-1].new_page()
        page.heard = []
        page.on('console', lambda m: page.heard.append(f'{m.type}: {m.text}'))
        page.on('pageerror', lambda e: page.heard.append(f'error: {e}'))
        page.on('request', lambda r: None if r.url.startswith(('data:', file.as_uri())) else page.heard.append(r.url))
        page.goto(file.as_uri())
        page.wait_for_function('window.Reveal && Reveal.isReady()')
        return page
    yield _open
    for c in contexts: c.close()

here = '(() => {const s = Reveal.getCurrentSlide(), r = e => {const b = e.getBoundingClientRect(); return b.width*b.height > 0 && getComputedStyle(e).visibility == "visible" && getComputedStyle(e).opacity > .9}; '
def text(page): return page.evaluate(here+'return s.innerText})()')
def turn(page, key='ArrowRight'):
    page.keyboard.press(key)
    page.wait_for_timeout(350)

def test_deck_in_a_browser(tmp_path, opened):
    page = opened(make_slides(write(tmp_path, cells), tmp_path))
    assert page.title()=='Small deck'
    assert page.evaluate('Reveal.getHorizontalSlides().length')==3 and page.evaluate('Reveal.getTotalSlides()')==4
    assert 'Small deck' in text(page) and 'Try it' in text(page)
    turn(page)
    assert text(page).startswith('Second')
    shown = here+'return r(s.querySelector(".fragment"))})()'
    assert page.evaluate(shown) is False
    turn(page)
    assert text(page).startswith('Second') and page.evaluate(shown) is True
    assert page.evaluate(here+'const i = s.querySelector("img"); return [i.alt, i.naturalWidth, i.getBoundingClientRect().width]})()')==['A red block', 40, 80]
    turn(page)
    assert text(page).startswith('Third')
    turn(page, 'ArrowLeft'); turn(page, 'ArrowDown')
    assert text(page).startswith('Below')
    style = here+'const c = (q, k) => getComputedStyle(s.querySelector(q))[k]; return [c("strong", "fontWeight"), c("em", "fontStyle"), c("ul", "listStyleType"), c("ol", "listStyleType")]})()'
    assert page.evaluate(style)==['700', 'italic', 'disc', 'decimal']
    assert page.heard==[]

def test_what_is_on_a_slide(tmp_path, opened):
    page = opened(make_slides(write(tmp_path, cells), tmp_path))
    turn(page); turn(page)
    got = text(page)
    assert 'a\nb' in got and '1 < 2' in got and '$HOME' in got and '$5 or $6' in got and 'cell' in got
    assert 'fig-alt' not in got and 'hidden_by_echo' not in got and 'Say hello' not in got
    assert page.evaluate(here+'return [...s.querySelectorAll("math msub")].length})()')==2
    whole = page.content()
    for o in 'Nobody sees', 'top_secret', 'Left out', 'alert(1)': assert o not in whole
    assert page.evaluate('Reveal.getSlideNotes()').strip()=='<p>Say hello</p>'

def test_letters_shrink_until_a_slide_fits(tmp_path, opened):
    page = opened(make_slides(write(tmp_path, cells), tmp_path))
    page.evaluate('Reveal.slide(2)')
    page.wait_for_timeout(200)
    over, size = page.evaluate(here+'const p = s.querySelector(".page"); return [p.scrollHeight-p.clientHeight, parseFloat(getComputedStyle(p).fontSize)]})()')
    assert over<=0 and 16<=size<30
    page.evaluate(here+'s.querySelector(".page").style.fontSize = %r})()' % f'{size+3}px')
    page.wait_for_timeout(400)
    assert page.evaluate(here+'const p = s.querySelector(".page"); return p.scrollHeight-p.clientHeight})()')>0, 'larger letters would have fitted, too'

def test_notes_open_in_a_window_of_their_own(tmp_path, opened):
    page = opened(make_slides(write(tmp_path, cells), tmp_path))
    with page.expect_popup() as popup: page.keyboard.press('s')
    popup.value.wait_for_selector('#current-slide', state='attached')
    assert not [o for o in page.heard if o.startswith('error')], page.heard

def fits(page):
    "What is wrong with the slide shown, all of its fragments on"
    while page.evaluate('Reveal.availableFragments().next'): page.keyboard.press('Space')
    page.wait_for_timeout(100)
    return page.evaluate(here+'''const p = s.querySelector(".page"), wrong = []
        if (p.scrollHeight > p.clientHeight) wrong.push("too high")
        for (const e of p.querySelectorAll(".code, .out, p, li, h1, h2, img, table")) if (e.getBoundingClientRect().right > 1280 || e.scrollWidth > e.clientWidth + 1 && e.tagName != "IMG" && getComputedStyle(e).display != "inline") wrong.push("too wide: " + e.innerText.slice(0, 40))
        for (const i of p.querySelectorAll("img")) { if (!i.alt) wrong.push("no alt text"); if (!i.naturalWidth || i.getBoundingClientRect().height < 100) wrong.push("small or broken picture") }
        if (parseFloat(getComputedStyle(p).fontSize) < 22) wrong.push("letters of " + getComputedStyle(p).fontSize)
        if (!p.innerText.trim() && !p.querySelector("img")) wrong.push("empty")
        return wrong})()''')

def test_a_lesson_is_marked_for_presenting(): assert presented, 'no lesson in course/ has cells of a slide type'

@pytest.mark.parametrize('file', presented, ids=lambda f: f.stem)
def test_slides_of_a_lesson(file, tmp_path, opened):
    want = [len(c) for c in read_slides(file)]
    page = opened(make_slides(file, tmp_path))
    assert page.evaluate('Reveal.getTotalSlides()')==sum(want)>=5
    wrong = []
    for h,n in enumerate(want):
        for v in range(n):
            page.evaluate(f'Reveal.slide({h},{v})')
            wrong += [f'slide {h+1}.{v+1} ({text(page)[:30]!r}): {o}' for o in fits(page)]
    assert not wrong, '\n'.join(wrong)
    assert page.heard==[]

def test_pictures_beside_the_lesson_are_put_into_the_deck(tmp_path):
    Image.new('RGB', (8,8)).save(tmp_path/'dot.png')
    att = cell('markdown', '![b](attachment:x.png)', '-', attachments={'x.png':{'image/png':png()}})
    deck = make_slides(write(tmp_path, [cell('markdown', '# T\n\n![a](dot.png)', 'slide'), att]), tmp_path/'out.html').read_text()
    assert deck.count('src="data:image/png;base64,')==2 and 'dot.png' not in deck
    assert re.search(r'href="https://[^"]*/nbs/00_core.html#doc"', make_slides(write(tmp_path, [cell('markdown', '# T\n\n[c](../nbs/00_core.ipynb#doc)', 'slide')]), tmp_path/'out.html').read_text())

@pytest.mark.parametrize('source, words', [('![a](gone.png)', "no picture 'gone.png'"), ('![a](https://example.com/a.png)', 'on the network'),
    ('![a](attachment:a.png)', "no attachment 'a.png'")])
def test_pictures_that_cannot_be_put_into_a_deck(tmp_path, source, words):
    f = write(tmp_path, [cell('markdown', '# T\n\n'+source, 'slide')])
    with pytest.raises((ValueError, FileNotFoundError), match=words) as e: make_slides(f, tmp_path/'out')
    assert 'small.ipynb' in str(e.value) and not (tmp_path/'out').exists()

@pytest.mark.parametrize('cells, words', [([cell('markdown', '# T')], 'has no slides'), ([cell('markdown', '# T', 'fragment')], "first marked cell is of type 'fragment'"),
    ([cell('markdown', '# T', 'slide'), cell('markdown', 'x', 'slid')], "cell 2: slide type 'slid'"), ([cell('markdown', 'x', 'slide')], 'has no title')])
def test_lessons_that_make_no_deck(tmp_path, cells, words):
    with pytest.raises(ValueError, match=words): make_slides(write(tmp_path, cells), tmp_path)
    r = subprocess.run([sys.executable, root/'tools'/'workshop.py', 'slides', tmp_path/'small.ipynb'], capture_output=True, text=True)
    assert r.returncode==1 and 'Traceback' not in r.stderr and words.split(':')[0][:10] in r.stderr

def test_deck_without_reveal(tmp_path, monkeypatch):
    import wholegame.course.slides as m
    monkeypatch.setattr(m, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match='pip install sphinx-revealjs'): make_slides(write(tmp_path, cells), tmp_path)

def test_clean_keeps_the_marks(tmp_path):
    "nbdev-clean, which runs on every save, leaves slide types and facts alone"
    (tmp_path/'pyproject.toml').write_bytes((root/'pyproject.toml').read_bytes())
    (tmp_path/'nbs').mkdir()
    f = write(tmp_path/'nbs', [cell('markdown', '# T', 'slide') | {'id':'a'}])
    nb = read_notebook(f)
    nb['metadata'] = {'wholegame':{'time':'1'}, 'kernelspec':{'name':'python3','display_name':'p','language':'python'}}
    f.write_text(notebook_text(nb))
    subprocess.run([Path(sys.executable).parent/'nbdev-clean', '--fname', f], cwd=tmp_path, check=True, capture_output=True)
    after = read_notebook(f)
    assert after['cells'][0]['metadata']=={'slideshow':{'slide_type':'slide'}} and after['metadata']['wholegame']=={'time':'1'}

def test_no_slide_without_a_heading(tmp_path, opened):
    "A slide that has none shows the one of its section, small; a box speaks for itself"
    deck = [cell('markdown', '# A deck', 'slide'), cell('code', '1', 'slide', printed('2')), cell('markdown', '## A `code` & more'), cell('markdown', 'Words', 'slide'), cell('markdown', '### Your turn'),
        cell('code', '3', 'subslide'), cell('markdown', '> **A box**', 'slide'), cell('markdown', '## Own\n\nwords', 'slide'), cell('markdown', 'note', 'notes')]
    page = opened(make_slides(write(tmp_path, deck), tmp_path))
    heads = page.evaluate('[...document.querySelectorAll(".page")].map(p => [...p.querySelectorAll("h1,h2")].map(h => h.innerText).join("|"))')
    assert heads==['A deck', 'A deck', 'A code & more', 'A code & more', '', 'Own']

@pytest.mark.parametrize('file', presented, ids=lambda f: f.stem)
def test_lessons_slides_have_headings(file, tmp_path):
    pages = make_slides(file, tmp_path).read_text(encoding='utf-8').split('<div class="page')[1:]
    assert not [o[:300] for o in pages if not re.search('<(h[12]|blockquote)', o)]

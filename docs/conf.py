"""Sphinx configuration; docs/build.py puts the sources together."""
import configparser, os, sys, time
import importlib.metadata as installed
from pathlib import Path

here = Path(__file__).resolve().parent
root = here.parent
sys.path[:0] = [str(here)]
from latex2mathml.converter import convert as to_mathml
from docutils import nodes
from names import homes

_c = configparser.ConfigParser(delimiters=['='], interpolation=None)
_c.read(root/'settings.ini', encoding='utf-8')
meta = _c['DEFAULT']
repository,documentation = meta['repository'],meta['documentation']

project,author,release = meta['name'],meta['author'],meta['version']
copyright = author
extensions = ['myst_nb','sphinx.ext.intersphinx','sphinx_copybutton']
templates_path,html_static_path = [str(here/'_templates')],[str(here/'_static')]
exclude_patterns = ['**/.ipynb_checkpoints']

nb_execution_mode = 'off'
nb_merge_streams = True
nb_number_source_lines = False
nb_code_prompt_show,nb_code_prompt_hide = 'The code of this','Hide the code'
myst_enable_extensions = ['attrs_inline','attrs_block','colon_fence','deflist','dollarmath','html_image','tasklist']
myst_heading_anchors = 4
suppress_warnings = ['mystnb.unknown_mime_type']

intersphinx_mapping = {k: (url, str(here/'inventories'/f'{k}.inv')) for k,url in homes.items()}
add_module_names = False
python_maximum_signature_line_length = 90
toc_object_entries_show_parents = 'hide'
copybutton_exclude = '.linenos, .gp, .go'

html_math_renderer = 'mathml' # which browsers draw by themselves, so no page needs a script from elsewhere

html_theme = 'pydata_sphinx_theme'
html_title = project
html_baseurl = documentation+'/'
html_css_files = ['site.css']
html_favicon = str(here/'_static'/'mark.svg')
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    'logo': {'text': 'wholegame', 'image_light': str(here/'_static'/'mark.svg'), 'image_dark': str(here/'_static'/'mark.svg'), 'alt_text': 'wholegame, first page'},
    'icon_links': [{'name':'GitHub','url':repository,'icon':'fa-brands fa-github'}],
    'navbar_align': 'left',
    'header_links_before_dropdown': 6,
    'secondary_sidebar_items': ['page-buttons','page-toc'],
    'footer_start': ['versions'], 'footer_end': [],
    'pygments_light_style': 'a11y-high-contrast-light', 'pygments_dark_style': 'a11y-high-contrast-dark',
    'show_nav_level': 1, 'navigation_depth': 2, 'show_toc_level': 2,
}
html_sidebars = {'index': [], 'genindex': [], 'search': []}

def built_with():
    "What the pages were made with, for each page's foot"
    when = time.strftime('%Y-%m-%d', time.gmtime(int(os.environ.get('SOURCE_DATE_EPOCH', time.time()))))
    def one(p):
        try: return f'{p} {installed.version(p).split("+")[0]}'
        except installed.PackageNotFoundError: return ''
    return when,', '.join(filter(None, map(one, 'torch torchvision timm numpy pandas matplotlib'.split())))

html_context = dict(zip(('built_on','built_with'), built_with()), default_mode='auto', version_of_package=release)

def buttons(page):
    "Where a page can be opened: [(words, address)]"
    f = root/(page+'.ipynb') if page!='index' else root/'nbs'/'index.ipynb'
    md = root/'docs'/(page+'.md') if not (root/(page+'.md')).exists() else root/(page+'.md')
    slug = repository.removeprefix('https://github.com/')
    if not f.exists(): return [('View source', f'{repository}/blob/main/{md.relative_to(root)}'), ('Edit this page', f'{repository}/edit/main/{md.relative_to(root)}')] if md.exists() else []
    rel = f.relative_to(root).as_posix()
    lesson = f.parent.name=='course'
    branch = 'gh-pages' if lesson else 'main'
    colab = f'https://colab.research.google.com/github/{slug}/blob/{branch}'
    res = [('Open in Kaggle', f'https://kaggle.com/kernels/welcome?src={repository}/blob/{branch}/{rel}'), ('Open in Colab', f'{colab}/{rel}')]
    if lesson: res += [('Code only, in Colab', f'{colab}/course/clean/{f.name}')]
    if lesson and '"slide_type"' in f.read_text(encoding='utf-8'): res += [('Slides', f'../slides/{f.stem}.html')]
    return res + [('View source', f'{repository}/blob/main/{rel}'), ('Edit this page', f'{repository}/edit/main/{rel}')]

def math(display):
    "A visitor that writes a formula as MathML"
    def visit(self, node):
        self.body.append(to_mathml(node.astext(), display=display))
        raise nodes.SkipNode
    return visit

def setup(app):
    app.add_html_math_renderer('mathml', (math('inline'), None), (math('block'), None))
    app.connect('html-page-context', lambda app, page, template, context, doctree: context.update(page_buttons=buttons(page)))
    return {'parallel_read_safe': True, 'parallel_write_safe': True}

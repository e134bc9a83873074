"""What is committed is what the notebooks make, and each page keeps to the limits in CONTRIBUTING.md."""
import ast, builtins, json, os, re, subprocess, symtable, sys
from pathlib import Path
import pytest
from pages import anchors, complaints, dead_links, foreign, module_order, notebooks, prose_complaints, root

bin = Path(sys.executable).parent
written_by_hand = '.py .md .toml .ini .in .yml .yaml .sh .css .js .html .txt .cfg'.split()

def project_files():
    "Every file that git holds or would add; without git, every file outside caches and environments"
    r = subprocess.run(['git','ls-files','-co','--exclude-standard'], cwd=root, capture_output=True, text=True)
    if r.returncode==0: return [root/f for f in r.stdout.splitlines() if (root/f).is_file()]
    skip = {'build','dist','__pycache__','.ipynb_checkpoints'}
    return [f for f in root.rglob('*') if f.is_file() and not skip & set(f.parts) and 'egg-info' not in str(f) and not any(p.startswith(('.venv','.git')) for p in f.relative_to(root).parts)]

def contents(folder):
    "Relative name -> bytes of every file that `make export` may touch"
    fs = [f for d in ('nbs','course','lib_package','docs') for f in (folder/d).rglob('*') if f.is_file()] + [folder/'README.md']
    return {str(f.relative_to(folder)):f.read_bytes() for f in fs if f.exists() and '__pycache__' not in f.parts and 'egg-info' not in str(f)
        and f.name!='.last_checked'}

def make_export(folder):
    "What `make export` does, in `folder`"
    env = {**os.environ, 'PYTHONPATH':str(folder/'lib_package')}
    env.pop('IN_TEST', None)
    for cmd in ([bin/'nbdev-export'], [bin/'nbdev-clean'], [bin/'nbdev-clean','--fname','course'], [sys.executable,'tools/readme.py', folder]):
        r = subprocess.run([str(o) for o in cmd], cwd=folder, env=env, capture_output=True, text=True)
        assert r.returncode==0, f'{cmd}\n{r.stdout[-2000:]}{r.stderr[-2000:]}'

def differences(before, after): return sorted(k for k in before.keys()|after.keys() if before.get(k)!=after.get(k))

def forget_modules(folder):
    "Delete every exported module, so that one whose notebook is gone is missed"
    for f in (folder/'lib_package').rglob('*.py'):
        if f.name!='__init__.py': f.unlink()

def test_export_and_clean_change_nothing(nbs_tree):
    before = contents(nbs_tree)
    forget_modules(nbs_tree)
    make_export(nbs_tree)
    found = differences(before, contents(nbs_tree))
    assert not found, 'make export changes: ' + ', '.join(found) + '. Run it and commit.'

@pytest.mark.parametrize('file', notebooks('nbs','course'), ids=lambda f: f.stem)
def test_page(file):
    found = complaints(file, module_order(notebooks('nbs')))
    if found: pytest.fail(f'{file.relative_to(root)}\n  ' + '\n  '.join(found), pytrace=False)

@pytest.mark.parametrize('file', [f for d in ('howto','explanations') for f in sorted((root/'docs'/d).glob('*.md'))], ids=lambda f: f'{f.parent.name}/{f.stem}')
def test_prose_page(file):
    found = prose_complaints(file)
    if found: pytest.fail(f'{file.relative_to(root)}\n  ' + '\n  '.join(found), pytrace=False)

def test_no_foreign_words():
    "Notebooks have their own check; this one reads everything else"
    found = []
    for f in project_files():
        if f.suffix=='.ipynb' or not (f.suffix in written_by_hand or f.name in ('Makefile','run')): continue
        for i,line in enumerate(f.read_text(encoding='utf-8').splitlines(), 1):
            found += [f'{f.relative_to(root)}:{i}: {what}' for what in foreign(line)]
    assert not found, '\n'.join(found)

def test_links_in_text_files():
    found = [f'{f.relative_to(root)}: dead link {l}' for f in project_files() if f.suffix=='.md' for l in dead_links(f.read_text(encoding='utf-8'), f.parent, anchors(f))]
    assert not found, '\n'.join(found)

def too_new(file):
    "Why Python 3.10 could not read this module, or None"
    try: ast.parse(file.read_text(encoding='utf-8'), feature_version=(3,10))
    except SyntaxError as e: return f'{file.relative_to(root)}: {e}'

def test_oldest_python_reads_the_library():
    found = [w for f in sorted((root/'lib_package').rglob('*.py')) if (w := too_new(f))]
    assert not found, '\n'.join(found)

def tables(t):
    "A symbol table and all those inside it"
    yield t
    for o in t.get_children(): yield from tables(o)

def undefined(src):
    "Names that a module uses, in any function, and neither imports nor defines: a NameError that waits. A star import may define any"
    if 'import *' in src: return []
    top = symtable.symtable(src, 'module', 'exec')
    known = {'__file__','__name__','__path__','__all__','__class__',*dir(builtins)} | {s.get_name() for t in tables(top) for s in t.get_symbols()
        if (t is top or s.is_declared_global()) and (s.is_assigned() or s.is_imported() or s.is_namespace())}
    return sorted({s.get_name() for t in tables(top) for s in t.get_symbols() if s.is_referenced() and (t is top or s.is_global())} - known)

@pytest.mark.parametrize('file', sorted((root/'lib_package').rglob('*.py')), ids=lambda f: str(f.relative_to(root/'lib_package').with_suffix('')))
def test_names_are_defined(file):
    "What a notebook imports in a cell that is not exported, its module doesn't have"
    found = undefined(file.read_text(encoding='utf-8'))
    assert not found, f'{file.relative_to(root)} uses {", ".join(found)}, which it neither imports nor defines. Is the import in a cell that is exported?'

def test_files_are_small():
    "Git keeps every version for ever"
    found = [f'{f.relative_to(root)}: {f.stat().st_size>>10} KiB' for f in project_files() if f.stat().st_size > 800<<10]
    assert not found, '\n'.join(found)

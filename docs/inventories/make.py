"""Write the inventories again: `pip install nbdev-pytorch nbdev-numpy nbdev-pandas nbdev-stdlib`, then `python docs/inventories/make.py`.

An inventory lists the names that a project's site explains and where (Sphinx's objects.inv, version 2). These packages hold what the
sites of PyTorch, NumPy, pandas and Python published. The files are kept here because the site is built without the internet.
"""
import sys, zlib
from importlib import import_module
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent)]
from names import homes

packages = {'python':'nbdev_stdlib', 'torch':'nbdev_pytorch', 'numpy':'nbdev_numpy', 'pandas':'nbdev_pandas'}
old_homes = {'https://pytorch.org/docs/stable/': homes['torch']} # moved since

def entries(package, base):
    "(name, address below `base`) of every name of an index"
    for syms in import_module(f'{package}._modidx').d['syms'].values():
        for name,url in syms.items():
            for old,new in old_homes.items(): url = url.replace(old, new)
            if url.startswith(base) and name.replace('.', '').replace('_', '').isalnum(): yield name,url[len(base):]

def kind(name):
    "Sphinx wants one; links don't ask for it"
    parts = name.split('.')
    return 'class' if parts[-1][:1].isupper() else 'method' if len(parts)>1 and parts[-2][:1].isupper() else 'function'

def line(name, url): return f"{name} py:{kind(name)} 1 {url[:-len(name)]+'$' if url.endswith(name) else url} -\n"

def write(project, package):
    found = sorted(set(entries(package, homes[project])))
    head = f'# Sphinx inventory version 2\n# Project: {project}\n# Version: \n# The remainder of this file is compressed using zlib.\n'
    (here/f'{project}.inv').write_bytes(head.encode() + zlib.compress(''.join(line(*o) for o in found).encode(), 9))
    print(f'{project}: {len(found)} names')

if __name__=='__main__':
    for project,package in packages.items(): write(project, package)

from configparser import ConfigParser
from pathlib import Path
from setuptools import setup, find_packages

here = Path(__file__).parent
config = ConfigParser(delimiters=['='], interpolation=None)
with open(here/'settings.ini', encoding='utf-8') as f: config.read_file(f)
cfg = config['DEFAULT']
readme = here/'README.md'

def lines(key): return [o.strip() for o in cfg[key].splitlines() if o.strip()]

setup(
    name=cfg['name'], version=cfg['version'], description=cfg['description'], author=cfg['author'], license=cfg['license'],
    keywords=cfg['keywords'], classifiers=lines('classifiers'), url=cfg['repository'],
    project_urls={'Documentation': cfg['documentation'], 'Source': cfg['repository']},
    long_description=readme.read_text(encoding='utf-8') if readme.exists() else cfg['description'],
    long_description_content_type='text/markdown',
    python_requires=f">={cfg['min_python']}",
    install_requires=lines('requirements'),
    extras_require={'widgets': lines('widgets_requirements'), 'rivals': lines('rivals_requirements'),
        'frames': lines('frames_requirements'), 'dev': lines('dev_requirements'), 'bench': lines('bench_requirements')},
    package_dir={'': 'lib_package'}, packages=find_packages('lib_package'), zip_safe=False,
    entry_points={'nbdev': ['wholegame=wholegame._modidx:d']})

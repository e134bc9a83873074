"""The loader alone: pictures per second in the first epoch and later, and memory, by wholegame and by fastai, in turns.

    .venv/bin/python bench/loader.py --photos mnist_png --fastai .venv-bench/bin/python

The folder has a folder of pictures per class somewhere below it (`mnist_png` has 70,000). Without --photos, 600 photos are drawn.
"""
import argparse, json, os, resource, statistics, subprocess, sys, tempfile, time
from pathlib import Path

def one(engine, photos, size, epochs, workers):
    g = {}
    exec(f'from {engine}.vision.all import *', g)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20
    start = time.perf_counter()
    kw = {} if workers is None else {'num_workers': workers}
    tfms = [g['Resize'](size, method='squish')] if size else None
    dls = g['DataBlock'](blocks=(g['ImageBlock'], g['CategoryBlock']), get_items=g['get_image_files'], get_y=g['parent_label'],
        splitter=g['RandomSplitter'](0.1, seed=1), item_tfms=tfms).dataloaders(photos, bs=64, **kw)
    built = time.perf_counter()-start
    speeds = []
    for _ in range(epochs):
        t,n = time.perf_counter(),0
        for xb,yb in dls.train: n += len(xb)
        speeds.append(n/(time.perf_counter()-t))
    rss = [resource.getrusage(o).ru_maxrss/2**20 for o in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print('RESULT '+json.dumps({'built': built, 'first': speeds[0], 'later': statistics.median(speeds[1:]), 'gb': rss[0]-base, 'child_gb': rss[1], 'n': n}))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--photos'); p.add_argument('--fastai', default='.venv-bench/bin/python'); p.add_argument('--size', type=int, default=0)
    p.add_argument('--epochs', type=int, default=3); p.add_argument('--runs', type=int, default=2); p.add_argument('--one'); p.add_argument('--workers', type=int)
    args = p.parse_args()
    if args.one: return one(args.one, args.photos, args.size, args.epochs, args.workers)
    tmp = tempfile.TemporaryDirectory()
    if not args.photos:
        sys.path.insert(0, str(Path(__file__).parent))
        from lesson1 import draw
        draw(Path(tmp.name), 300)
        args.photos,args.size = tmp.name,args.size or 192
    ways = {'wholegame': (sys.executable,'wholegame',None), 'fastai': (args.fastai,'fastai',None), 'fastai, no workers': (args.fastai,'fastai',0)}
    results = {n: [] for n in ways}
    for _ in range(args.runs):
        for name,(python,engine,workers) in ways.items():
            cmd = [python, __file__, '--one', engine, '--photos', args.photos, '--size', str(args.size), '--epochs', str(args.epochs)]
            if workers is not None: cmd += ['--workers', str(workers)]
            res = subprocess.run(cmd, capture_output=True, text=True, env={**os.environ, 'MPLBACKEND': 'Agg'})
            lines = [l for l in res.stdout.splitlines() if l.startswith('RESULT ')]
            if not lines: raise SystemExit(f'{name} failed:\n{res.stdout[-2000:]}\n{res.stderr[-4000:]}')
            results[name].append(json.loads(lines[0][7:]))
            print(name, results[name][-1], flush=True)
    print('\n| | built | first epoch | later epochs | memory beyond import, process + largest worker |\n| --- | ---: | ---: | ---: | ---: |')
    for name,rs in results.items():
        m = {k: statistics.median(o[k] for o in rs) for k in rs[0]}
        print(f"| {name} | {m['built']:.1f} s | {m['first']:,.0f} / s | {m['later']:,.0f} / s | {m['gb']:.2f} + {m['child_gb']:.2f} GB |")

if __name__=='__main__': main()

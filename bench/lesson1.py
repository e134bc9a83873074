"""Lesson 1 by wholegame and by fastai, on the same photos, in turns: seconds, ratio, error and memory.

    .venv/bin/python bench/lesson1.py --fastai .venv-bench/bin/python --seeds 5

Each run is a process of its own, from import to prediction. Both libraries run the very same lines (`lesson` below);
only the import differs. Photos are drawn, weights start from random numbers, so nothing is downloaded.
"""
import argparse, json, os, platform, resource, shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path

parts = ['import', 'resize and verify', 'first batch', 'epoch frozen', 'epoch unfrozen', 'predict', 'whole lesson']

def lesson(engine, photos, seed, workers, bs):
    "The lesson's lines with a clock; prints one line of JSON"
    start = last = time.perf_counter()
    marks = {}
    def mark(name):
        nonlocal last
        now = time.perf_counter()
        marks[name],last = now-last,now

    g = {}
    exec(f'from {engine}.vision.all import *', g)
    globals().update({k:v for k,v in g.items() if k not in globals()})
    mark('import')

    set_seed(seed)
    path = Path(photos)
    for o in 'forest','bird': resize_images(path/o, max_size=400, dest=path/o)
    failed = verify_images(get_image_files(path)); failed.map(Path.unlink)
    mark('resize and verify')

    kw = {} if workers is None else {'num_workers': workers}
    dls = DataBlock(blocks=(ImageBlock, CategoryBlock), get_items=get_image_files,
        splitter=RandomSplitter(valid_pct=0.2, seed=seed), get_y=parent_label,
        item_tfms=[Resize(192, method='squish')]).dataloaders(path, bs=bs, **kw)
    dls.show_batch(max_n=6)
    mark('first batch')

    epochs = []
    class Clock(Callback):
        def before_epoch(self): self.t = time.perf_counter()
        def after_epoch(self): epochs.append(time.perf_counter()-self.t)
    learn = vision_learner(dls, resnet18, metrics=error_rate, pretrained=False, cbs=Clock())
    with learn.no_bar(): learn.fine_tune(3)
    last = time.perf_counter()

    img = PILImage.create(get_image_files(path)[0])
    learn.predict(img)
    mark('first predict')
    marks['whole lesson'] = time.perf_counter()-start
    times = []
    for _ in range(20):
        t = time.perf_counter()
        with learn.no_bar(): learn.predict(img)
        times.append(time.perf_counter()-t)
    marks.update({'epoch frozen': epochs[0], 'epoch unfrozen': statistics.median(epochs[1:4]), 'predict': statistics.median(times)})
    with learn.no_bar(): error = float(learn.validate()[1])
    rss = [resource.getrusage(o).ru_maxrss/2**20 for o in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print('RESULT '+json.dumps({'marks': marks, 'error': error, 'gb': rss[0], 'child_gb': rss[1]}))

def draw(dest, n):
    "`n` drawn photos of each kind in `dest`"
    os.environ['WHOLEGAME_OFFLINE'] = '1'
    from wholegame.vision.all import download_images, search_images
    for o in 'forest','bird': download_images(dest/o, urls=search_images(f'{o} photo', max_images=n))

def run(python, engine, photos, args, seed, workers):
    "One process: the parsed result"
    with tempfile.TemporaryDirectory() as tmp:
        shutil.copytree(photos, Path(tmp)/'photos')
        cmd = [python, __file__, '--engine', engine, '--photos', str(Path(tmp)/'photos'), '--seed', str(seed), '--bs', str(args.bs)]
        if workers is not None: cmd += ['--workers', str(workers)]
        res = subprocess.run(cmd, cwd=tmp, capture_output=True, text=True, env={**os.environ, 'MPLBACKEND': 'Agg', 'WHOLEGAME_OFFLINE': '1'})
    lines = [l for l in res.stdout.splitlines() if l.startswith('RESULT ')]
    if not lines: raise SystemExit(f'{engine} failed:\n{res.stdout[-2000:]}\n{res.stderr[-4000:]}')
    return json.loads(lines[0][7:])

def table(results):
    "Markdown: a row per part, a column per way to run, and the ratios to wholegame"
    names = list(results)
    med = {n: {p: statistics.median(o['marks'][p] for o in results[n]) for p in parts} for n in names}
    others = [n for n in names if n!='wholegame']
    rows = [['', *names, *(f'{n} / wholegame' for n in others)]]
    rows.append(['---']+['---:']*(len(rows[0])-1))
    rows += [[p, *(f'{med[n][p]:.3g} s' for n in names), *(f'{med[n][p]/med["wholegame"][p]:.1f}' for n in others)] for p in parts]
    rows.append(['error', *(f'{statistics.mean(o["error"] for o in results[n]):.1%} (' + ', '.join(f'{o["error"]:.1%}' for o in results[n]) + ')' for n in names), *['']*len(others)])
    rows.append(['memory, process + largest worker', *(f'{statistics.median(o["gb"] for o in results[n]):.1f} + {statistics.median(o["child_gb"] for o in results[n]):.1f} GB' for n in names), *['']*len(others)])
    return '\n'.join('| '+' | '.join(r)+' |' for r in rows)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--fastai', default='.venv-bench/bin/python', help='Python of an environment with fastai')
    p.add_argument('--seeds', type=int, default=5, help='how many runs of each')
    p.add_argument('--n', type=int, default=200, help='photos of each kind')
    p.add_argument('--bs', type=int, default=32, help='batch size')
    p.add_argument('--ways', nargs='*', help='only these columns, such as wholegame fastai')
    p.add_argument('--engine'); p.add_argument('--photos'); p.add_argument('--seed', type=int); p.add_argument('--workers', type=int)
    args = p.parse_args()
    if args.engine: return lesson(args.engine, args.photos, args.seed, args.workers, args.bs)
    if not Path(args.fastai).exists(): raise SystemExit(f"No Python at '{args.fastai}': `make bench` makes an environment with fastai, or pass --fastai")
    ways = {'wholegame': (sys.executable,'wholegame',None), 'fastai': (args.fastai,'fastai',None), 'fastai, no workers': (args.fastai,'fastai',0)}
    results = {n: [] for n in ways if not args.ways or n in args.ways}
    with tempfile.TemporaryDirectory() as tmp:
        draw(Path(tmp), args.n)
        for seed in range(args.seeds):
            for name in results:
                python,engine,workers = ways[name]
                results[name].append(o := run(python, engine, tmp, args, seed, workers))
                print(f"seed {seed} {name:20} {o['marks']['whole lesson']:6.1f} s  error {o['error']:.1%}", flush=True)
    print(f'\nLesson 1, 2 x {args.n} photos, bs {args.bs}, {args.seeds} runs each in turns, {os.cpu_count()} cores, Python {platform.python_version()}\n')
    print(table(results))

if __name__=='__main__': main()

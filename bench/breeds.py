"""Epochs over 37 breeds at 224 pixels, with the usual augmentation: the first (photos are decoded), later ones, frozen and not, by wholegame and by fastai, in turns.

    .venv/bin/python bench/breeds.py --photos FOLDER --weights mobilenet_v2.pth --fastai .venv-bench/bin/python

FOLDER holds Oxford-IIIT pet photos (`Abyssinian_1.jpg`, ...), the weights are a state dict of torchvision's mobilenet_v2.
"resnet18" starts from random weights, and its body is frozen all the same for the frozen epochs: this measures time, not learning.
"""
import argparse, json, os, resource, statistics, subprocess, sys, time
from pathlib import Path

def loaders(g, photos, bs, engine):
    fs = g['get_image_files'](photos)
    fs.sort()
    norm = [g['Normalize'].from_stats(*g['imagenet_stats'])] if engine=='fastai' else [] # ours is added by the learner
    return g['ImageDataLoaders'].from_name_re(photos, fs, r'^(.+)_\d+.jpg$', valid_pct=0.2, seed=1, item_tfms=g['Resize'](224), bs=bs,
        batch_tfms=[*g['aug_transforms'](), *norm])

def learner(g, dls, arch, weights, engine):
    models = g['models']
    if engine=='wholegame': return g['vision_learner'](dls, getattr(models, arch), pretrained=weights or False, metrics=g['error_rate'])
    if arch=='resnet18': return g['vision_learner'](dls, models.resnet18, pretrained=False, metrics=g['error_rate'])
    sys.path.insert(0, str(Path(__file__).parent))
    from pets import fastai_learner # fastai cannot cut mobilenet_v2 by itself
    return fastai_learner(g, dls, weights)

def one(engine, photos, arch, weights, bs):
    "Seconds of each epoch in this process; prints a line of JSON"
    g = {}
    exec(f'from {engine}.vision.all import *', g)
    g['set_seed'](1)
    start = time.perf_counter()
    dls = loaders(g, photos, bs, engine)
    learn = learner(g, dls, arch, weights, engine)
    res = {'built': time.perf_counter()-start}
    def epochs(n):
        ts = []
        for _ in range(n):
            t = time.perf_counter()
            learn.fit(1, 1e-3)
            ts.append(time.perf_counter()-t)
        return ts
    with learn.no_bar():
        learn.freeze()
        first,*later = epochs(3)
        learn.unfreeze()
        unfrozen = epochs(2)
    rss = sum(resource.getrusage(o).ru_maxrss/2**20 for o in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print('RESULT '+json.dumps({**res, 'first epoch, frozen': first, 'later epoch, frozen': min(later), 'epoch unfrozen': min(unfrozen), 'gb': rss}))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--photos', required=True); p.add_argument('--weights'); p.add_argument('--fastai', default='.venv-bench/bin/python')
    p.add_argument('--bs', type=int, default=32); p.add_argument('--runs', type=int, default=2); p.add_argument('--archs', nargs='*', default=['mobilenet_v2','resnet18'])
    p.add_argument('--one', nargs=3)
    args = p.parse_args()
    if args.one:
        engine,arch,weights = args.one
        return one(engine, args.photos, arch, None if weights=='none' else weights, args.bs)
    for arch in args.archs:
        weights = str(Path(args.weights).resolve()) if args.weights and arch=='mobilenet_v2' else 'none'
        results = {'wholegame': [], 'fastai': []}
        for _ in range(args.runs):
            for name,python in (('wholegame',sys.executable), ('fastai',args.fastai)):
                cmd = [python, __file__, '--photos', args.photos, '--bs', str(args.bs), '--one', name, arch, weights]
                res = subprocess.run(cmd, capture_output=True, text=True, env={**os.environ, 'MPLBACKEND': 'Agg'})
                lines = [l for l in res.stdout.splitlines() if l.startswith('RESULT ')]
                if not lines: raise SystemExit(f'{name} failed:\n{res.stdout[-2000:]}\n{res.stderr[-4000:]}')
                results[name].append(o := json.loads(lines[0][7:]))
                print(arch, name, {k: round(v, 2) for k,v in o.items()}, flush=True)
        print(f"\n| {arch}, {'given' if weights!='none' else 'random'} weights, bs {args.bs} | wholegame | fastai | fastai / wholegame |\n| --- | ---: | ---: | ---: |")
        for k in results['wholegame'][0]:
            a,b = (statistics.median(o[k] for o in results[n]) for n in results)
            unit = 'GB' if k=='gb' else 's'
            print(f"| {'memory, process + largest worker' if k=='gb' else k} | {a:.2f} {unit} | {b:.2f} {unit} | {b/a:.1f} |")
        print()

if __name__=='__main__': main()

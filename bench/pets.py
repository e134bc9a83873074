"""37 breeds from ten photos each: transfer learning by wholegame and by fastai from the same weights, over seeds.

    .venv/bin/python bench/pets.py --photos FOLDER --weights mobilenet_v2.pth --fastai .venv-bench/bin/python

FOLDER holds the Oxford-IIIT pet photos (`Abyssinian_1.jpg`, ...), the weights are a state dict of torchvision's mobilenet_v2.
"""
import argparse, json, os, statistics, subprocess, sys, time
from pathlib import Path

def loaders(g, photos, seed, bs):
    "The same call in both libraries"
    fs = g['get_image_files'](photos)
    fs.sort()
    return g['ImageDataLoaders'].from_name_re(photos, fs, r'^(.+)_\d+.jpg$', valid_pct=0.2, seed=seed, item_tfms=g['Resize'](224), bs=bs,
        **({'batch_tfms': g['Normalize'].from_stats(*g['imagenet_stats'])} if 'fastai' in sys.modules else {}))

def fastai_learner(g, dls, weights):
    "fastai takes no file of weights and cannot cut this network (it looks for a pooling layer), so put body and head together by hand"
    import torch
    from torchvision.models import mobilenet_v2
    from fastai.vision.learner import create_head, default_split
    from fastai.torch_core import apply_init
    full = mobilenet_v2()
    if weights: full.load_state_dict(torch.load(weights, weights_only=True))
    model = torch.nn.Sequential(full.features, create_head(1280, dls.c))
    apply_init(model[1], torch.nn.init.kaiming_normal_)
    learn = g['Learner'](dls, model, loss_func=g['CrossEntropyLossFlat'](), splitter=default_split, metrics=g['accuracy'])
    if weights: learn.freeze()
    return learn

def one(engine, photos, weights, seed, bs, schedule):
    "One training in this process; prints a line of JSON"
    g = {}
    exec(f'from {engine}.vision.all import *', g)
    g['set_seed'](seed)
    dls = loaders(g, photos, seed, bs)
    start = time.perf_counter()
    if engine=='fastai': learn = fastai_learner(g, dls, weights)
    else:
        head = dict(lin_ftrs=[], concat_pool=False, ps=0.1) if schedule=='head' else {}
        learn = g['vision_learner'](dls, g['models'].mobilenet_v2, pretrained=weights or False, metrics=g['accuracy'], **head)
    with learn.no_bar():
        if schedule=='fine_tune': learn.fine_tune(4)
        else: learn.fit_one_cycle(12, 5e-3)
        acc = float(learn.validate()[1])
    print('RESULT '+json.dumps({'accuracy': acc, 'seconds': time.perf_counter()-start}))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--photos', required=True); p.add_argument('--weights', required=True)
    p.add_argument('--fastai', default='.venv-bench/bin/python'); p.add_argument('--seeds', type=int, default=3); p.add_argument('--bs', type=int, default=16)
    p.add_argument('--only', nargs='*', help='names of the ways to run'); p.add_argument('--one', nargs=4)
    args = p.parse_args()
    if args.one:
        engine,weights,seed,schedule = args.one
        return one(engine, args.photos, weights if weights!='none' else None, int(seed), args.bs, schedule)
    w = str(Path(args.weights).resolve())
    ways = {'wholegame': (sys.executable,'wholegame',w,'fine_tune'), 'fastai': (args.fastai,'fastai',w,'fine_tune'),
            'wholegame, random weights': (sys.executable,'wholegame','none','fine_tune'), 'wholegame, linear head only': (sys.executable,'wholegame',w,'head')}
    results = {n: [] for n in ways if not args.only or n in args.only}
    for seed in range(args.seeds):
        for name in results:
            python,engine,weights,schedule = ways[name]
            cmd = [python, __file__, '--photos', args.photos, '--weights', w, '--bs', str(args.bs), '--one', engine, weights, str(seed), schedule]
            res = subprocess.run(cmd, capture_output=True, text=True, env={**os.environ, 'MPLBACKEND': 'Agg'})
            lines = [l for l in res.stdout.splitlines() if l.startswith('RESULT ')]
            if not lines: raise SystemExit(f'{name} failed:\n{res.stdout[-2000:]}\n{res.stderr[-4000:]}')
            results[name].append(o := json.loads(lines[0][7:]))
            print(f"seed {seed} {name:28} accuracy {o['accuracy']:.3f} in {o['seconds']:.0f} s", flush=True)
    for name,rs in results.items():
        acc = [o['accuracy'] for o in rs]
        print(f"{name:28} {statistics.mean(acc):.3f} ({', '.join(f'{a:.3f}' for a in acc)}), {statistics.median(o['seconds'] for o in rs):.0f} s")

if __name__=='__main__': main()

"""A blind unfreeze makes it worse, slices of learning rates mend it: measured over seeds.

    .venv/bin/python bench/unfreeze.py                                               # drawn pets, a body that learned from drawn animals
    .venv/bin/python bench/unfreeze.py --photos FOLDER --weights mobilenet_v2.pth    # real ones

FOLDER holds the Oxford-IIIT pet photos (`Abyssinian_1.jpg`, ...), the weights are a state dict of torchvision's mobilenet_v2.
"""
import argparse, os, statistics, tempfile, time

def data(args):
    "(files, architecture, weights, size) of the photos, or of the drawn stand-ins"
    if args.photos: return get_image_files(args.photos), models.mobilenet_v2, args.weights, args.size or 160
    return get_image_files(untar_data(URLs.PETS)/'images'), resnet18, find_pretrained(resnet18), args.size or 96

def one(args, seed, out):
    "{step: error} of one seed, as in lesson 01b; what it saves goes to the folder `out`"
    files,arch,weights,size = data(args)
    set_seed(seed)
    dls = ImageDataLoaders.from_name_re('.', files, r'^(.+)_\d+.jpg$', valid_pct=0.2, seed=seed, item_tfms=Resize(size), bs=args.bs)
    learn = vision_learner(dls, arch, pretrained=weights, metrics=error_rate, model_dir=out).no_bar()
    learn.fit_one_cycle(args.epochs, 3e-3)
    res = {'head': learn.recorder.values[-1][-1]}
    learn.save('stage-1')
    def go(n, lr, body=True):
        learn.load('stage-1')
        if body: learn.unfreeze()
        learn.fit_one_cycle(n, lr)
        return learn.recorder.values[-1][-1]
    for lr in 1e-3,3e-3: res[f'blind, {lr:g}'] = go(1, lr)
    learn.load('stage-1')
    learn.unfreeze()
    res['lr_find'] = learn.lr_find(show_plot=False).valley
    for n,lr in (2,1e-4),(2,1e-3),(4,1e-3),(4,3e-3): res[f'slice({lr/100:g}, {lr:g}), {n} epochs'] = go(n, slice(lr/100, lr))
    learn.freeze()
    res['head, 4 more epochs'] = go(4, 1e-3, body=False)
    return res

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--photos'); p.add_argument('--weights'); p.add_argument('--size', type=int); p.add_argument('--bs', type=int, default=16)
    p.add_argument('--seeds', type=int, nargs='*', default=[0,1,2]); p.add_argument('--epochs', type=int, default=6)
    args = p.parse_args()
    if not args.photos: os.environ['WHOLEGAME_OFFLINE'] = '1'
    from wholegame.vision.all import *
    rows = []
    for seed in args.seeds:
        start = time.process_time()
        with tempfile.TemporaryDirectory() as out: rows.append(one(args, seed, out))
        print(seed, ', '.join(f'{k} {v:.2g}' for k,v in rows[-1].items()), f'({time.process_time()-start:.0f} s of processor)', flush=True)
    for k in rows[0]: print(f'{k:22} {statistics.mean(o[k] for o in rows):.2g} ({", ".join(f"{o[k]:.2g}" for o in rows)})')

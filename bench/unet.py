"""Colour in streets: a U-Net by wholegame and by fastai on the same photos, in turns: seconds per epoch, memory and mean IoU.

    .venv/bin/python bench/unet.py --camvid FOLDER --tiny FOLDER --weights mobilenet_v2.pth --fastai .venv-bench/bin/python

FOLDER is CamVid as fast.ai packs it (`images/`, `labels/`, `codes.txt`, `valid.txt`) and its small sister camvid_tiny, which has no
`valid.txt`: a fifth is held out by a seed, the same photos for both libraries. The weights are a state dict of torchvision's mobilenet_v2.

Two things are measured. `epoch`: two unfrozen epochs at half size, 180 x 240, bs 8, with the lessons' `aug_transforms`; resnet34 from random
weights, and mobilenet_v2 from the given ones. `iou`: `fine_tune` of mobilenet_v2 for as many epochs by both, then the mean over the eleven
named codes of intersection over union, counted by the same lines below; pixels that are `Void` in truth are left out of it.
Each run is a process of its own. `--batches 1` trains one batch per epoch, to see whether everything starts.
"""
import argparse, json, os, random, resource, statistics, subprocess, sys, time
from pathlib import Path

def held_out(path, seed):
    "Names of the validation photos"
    listed = path/'valid.txt'
    if listed.exists(): return set(listed.read_text().split())
    names = sorted(o.name for o in (path/'images').iterdir())
    return set(random.Random(seed).sample(names, len(names)//5))

def loaders(g, path, size, seed, bs):
    "The same call in both libraries"
    valid = held_out(path, seed)
    codes = [o for o in (path/'codes.txt').read_text().split()]
    norm = [g['Normalize'].from_stats(*g['imagenet_stats'])]
    block = g['DataBlock'](blocks=(g['ImageBlock'], g['MaskBlock'](codes)), get_items=lambda p: sorted(g['get_image_files'](p)),
        splitter=g['FuncSplitter'](lambda o: o.name in valid), get_y=lambda o: path/'labels'/f'{o.stem}_P{o.suffix}',
        batch_tfms=[*g['aug_transforms'](size=size), *norm])
    return block.dataloaders(path/'images', path=path, bs=bs), codes

def fastai_learner(g, dls, arch, weights, codes):
    "fastai takes no file of weights and cannot cut mobilenet_v2 by itself, so put its body under its decoder by hand"
    import torch
    if arch!='mobilenet_v2': return g['unet_learner'](dls, g[arch], pretrained=False, n_out=len(codes))
    from torchvision.models import mobilenet_v2
    from fastai.vision.learner import default_split
    full = mobilenet_v2()
    if weights: full.load_state_dict(torch.load(weights, weights_only=True))
    model = g['DynamicUnet'](full.features, len(codes), tuple(dls.one_batch()[0].shape[-2:]))
    g['apply_init'](model[2:], torch.nn.init.kaiming_normal_)
    learn = g['Learner'](dls, model, loss_func=g['CrossEntropyLossFlat'](axis=1), splitter=default_split)
    if weights: learn.freeze()
    return learn

def mean_iou(preds, targs, codes):
    "Over the codes that occur, without Void, from class numbers"
    import torch
    n,known = len(codes),targs!=codes.index('Void')
    pairs = torch.bincount(targs[known].long()*n + preds[known].long(), minlength=n*n).reshape(n, n).double()
    hit,true,said = pairs.diag(),pairs.sum(1),pairs.sum(0)
    return (hit/(true+said-hit))[true>0].mean().item(), (hit.sum()/pairs.sum()).item()

def one(engine, what, data, arch, weights, seed, args):
    "One training in this process; prints a line of JSON"
    g = {}
    exec(f'from {engine}.vision.all import *', g)
    import torch
    path,size = Path(args.camvid if data=='camvid' else args.tiny), (180,240) if data=='camvid' else (96,128)
    random.seed(seed); g['set_seed'](seed)
    dls,codes = loaders(g, path, size, seed, args.bs)
    epochs = []
    class Clock(g['Callback']):
        def before_epoch(self): self.t = time.perf_counter()
        def after_batch(self):
            if args.batches and self.learn.training and self.learn.iter+1>=args.batches: raise g['CancelTrainException']
        def after_epoch(self): epochs.append(time.perf_counter()-self.t)
    if engine=='fastai': learn = fastai_learner(g, dls, arch, weights, codes)
    else: learn = g['unet_learner'](dls, getattr(g['models'], arch), pretrained=weights or False)
    learn.add_cb(Clock())
    with learn.no_bar():
        if what=='iou': learn.fine_tune(args.epochs)
        else: learn.unfreeze(); learn.fit_one_cycle(2, 1e-3)
        res = {'epochs':list(epochs), 'seconds':sum(epochs), 'gb':resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20,
            'weights':sum(p.numel() for p in learn.model.parameters())}
        if what=='iou':
            preds,targs,decoded = learn.get_preds(with_decoded=True)
            res['iou'],res['accuracy'] = mean_iou(torch.as_tensor(decoded), torch.as_tensor(targs), codes)
    print('RESULT '+json.dumps(res))

def run(python, engine, what, data, arch, weights, seed, args):
    cmd = [python, __file__, '--one', engine, what, data, arch, str(weights), str(seed)]
    for k in 'camvid tiny bs epochs batches'.split(): cmd += [f'--{k}', str(getattr(args, k))]
    res = subprocess.run(cmd, capture_output=True, text=True, env={**os.environ, 'MPLBACKEND':'Agg'})
    lines = [l for l in res.stdout.splitlines() if l.startswith('RESULT ')]
    if not lines: raise SystemExit(f'{engine} {what} {data} {arch} failed:\n{res.stdout[-2000:]}\n{res.stderr[-4000:]}')
    return json.loads(lines[0][7:])

def say(job, rs):
    "The table of one job"
    for name,os_ in rs.items():
        first,later = (statistics.median(o['epochs'][i] for o in os_) for i in (0,-1))
        iou = ', '.join(f"{o['iou']:.3f}" for o in os_ if 'iou' in o)
        extra = f" mean IoU {statistics.mean(o['iou'] for o in os_):.3f} ({iou}), right {statistics.mean(o['accuracy'] for o in os_):.3f}" if iou else ''
        print(f"{job:34} {name:10} first epoch {first:6.1f} s, last {later:6.1f} s, {os_[0]['gb']:.1f} GB, {os_[0]['weights']/1e6:.1f} M weights{extra}")
    if {'fastai','wholegame'}<=set(rs):
        f,w = (statistics.median(o['epochs'][-1] for o in rs[k]) for k in ('fastai','wholegame'))
        print(f'{job:34} fastai / wholegame {f/w:.1f}', flush=True)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--camvid'); p.add_argument('--tiny'); p.add_argument('--weights'); p.add_argument('--fastai', default='.venv-bench/bin/python')
    p.add_argument('--seeds', type=int, default=3); p.add_argument('--runs', type=int, default=2, help='of each epoch measurement')
    p.add_argument('--epochs', type=int, default=8); p.add_argument('--bs', type=int, default=8); p.add_argument('--batches', type=int, default=0)
    p.add_argument('--only', nargs='*', help="jobs: 'epoch resnet34', 'epoch mobilenet_v2', 'iou camvid', 'iou tiny'")
    p.add_argument('--engines', nargs='*', default=['wholegame','fastai']); p.add_argument('--one', nargs=6)
    args = p.parse_args()
    if args.one:
        engine,what,data,arch,weights,seed = args.one
        return one(engine, what, data, arch, None if weights=='None' else weights, int(seed), args)
    w = str(Path(args.weights).resolve()) if args.weights else None
    jobs = {'epoch resnet34': ('epoch','camvid','resnet34',None,args.runs), 'epoch mobilenet_v2': ('epoch','camvid','mobilenet_v2',w,args.runs),
            'iou tiny': ('iou','tiny','mobilenet_v2',w,args.seeds), 'iou camvid': ('iou','camvid','mobilenet_v2',w,args.seeds)}
    for job,(what,data,arch,weights,n) in jobs.items():
        if (args.only and job not in args.only) or not getattr(args, data): continue
        rs = {o:[] for o in args.engines}
        for seed in range(n):
            for engine in rs: # in turns
                rs[engine].append(o := run(sys.executable if engine=='wholegame' else args.fastai, engine, what, data, arch, weights, seed, args))
                print(f"{job} seed {seed} {engine:10} {o['seconds']:.0f} s" + (f", IoU {o['iou']:.3f}" if 'iou' in o else ''), flush=True)
        say(job, rs)

if __name__=='__main__': main()

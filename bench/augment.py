"""aug_transforms alone: pictures per second of random changes to whole batches of bytes, by wholegame and by fastai, in turns.

    .venv/bin/python bench/augment.py --fastai .venv-bench/bin/python

Nothing is read or trained: one batch lies ready as bytes, and comes out turned, warped, zoomed, relit and normalised, `--batches` times.
With --masks a mask goes the same way as its picture.
"""
import argparse, json, os, statistics, subprocess, sys, time

def batch_of(bs, size):
    "Smooth pictures, and masks of three codes, the same in both libraries"
    import torch
    g = torch.Generator().manual_seed(1)
    x = torch.nn.functional.interpolate(torch.rand(bs, 3, 16, 16, generator=g), (size,size), mode='bilinear')
    return (x*255).byte(), (x[:,0]*3).long().clamp(max=2)

def wholegame(x, y):
    from wholegame.core import ItemRand
    from wholegame.vision.all import Normalize, aug_transforms, imagenet_stats
    from wholegame.vision.augment import AugmentPipeline
    pipe = AugmentPipeline([*aug_transforms(), Normalize.from_stats(*imagenet_stats)])
    m = y.byte()
    def go(i, masks):
        res = pipe(x, ItemRand(42, i, range(len(x))))
        return (res, pipe(m, ItemRand(42, i, range(len(x))), mode='nearest')) if masks else res
    return go

def fastai(x, y):
    from fastai.vision.all import IntToFloatTensor, Normalize, Pipeline, TensorImage, TensorMask, aug_transforms, imagenet_stats
    pipe = Pipeline([IntToFloatTensor(), *aug_transforms(), Normalize.from_stats(*imagenet_stats, cuda=False)], split_idx=0)
    return lambda i, masks: pipe((TensorImage(x), TensorMask(y))) if masks else pipe(TensorImage(x))

def one(engine, bs, size, n, masks):
    "Seconds of each batch, in this process; prints a line of JSON"
    import torch
    torch.manual_seed(1)
    x,y = batch_of(bs, size)
    go,times = globals()[engine](x, y),[]
    for i in range(n+2): # the first two find memory
        t = time.perf_counter()
        res = go(i, masks)
        times.append(time.perf_counter()-t)
    out = res[0] if masks else res
    assert tuple(out.shape)==(bs,3,size,size) and out.dtype==torch.float32 and abs(float(out.mean()))<2
    print('RESULT '+json.dumps({'per_second': bs/statistics.median(times[2:]), 'threads': torch.get_num_threads()}))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--fastai', default='.venv-bench/bin/python'); p.add_argument('--bs', type=int, default=64); p.add_argument('--size', type=int, default=224)
    p.add_argument('--batches', type=int, default=10); p.add_argument('--runs', type=int, default=3); p.add_argument('--masks', action='store_true'); p.add_argument('--one')
    args = p.parse_args()
    if args.one: return one(args.one, args.bs, args.size, args.batches, args.masks)
    results = {'wholegame': [], 'fastai': []}
    for _ in range(args.runs):
        for name,python in (('wholegame',sys.executable), ('fastai',args.fastai)):
            cmd = [python, __file__, '--one', name, '--bs', str(args.bs), '--size', str(args.size), '--batches', str(args.batches)] + ['--masks']*args.masks
            res = subprocess.run(cmd, capture_output=True, text=True, env={**os.environ, 'MPLBACKEND': 'Agg'})
            lines = [l for l in res.stdout.splitlines() if l.startswith('RESULT ')]
            if not lines: raise SystemExit(f'{name} failed:\n{res.stdout[-2000:]}\n{res.stderr[-4000:]}')
            results[name].append(json.loads(lines[0][7:]))
            print(name, results[name][-1], flush=True)
    ours,theirs = (statistics.median(o['per_second'] for o in results[n]) for n in results)
    print(f"\n| {'pictures and masks' if args.masks else 'pictures'} per second, {args.bs} x 3 x {args.size} x {args.size} | wholegame | fastai | wholegame / fastai |\n| --- | ---: | ---: | ---: |")
    print(f"| median of {args.runs} runs | {ours:,.0f} | {theirs:,.0f} | {ours/theirs:.1f} |")

if __name__=='__main__': main()

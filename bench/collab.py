"""Ratings: an epoch of 100,000 by wholegame, by fastai and by a bare PyTorch loop, in turns; and twenty million by wholegame.

    .venv/bin/python bench/collab.py --fastai .venv-bench/bin/python
    .venv/bin/python bench/collab.py --many 20000000 --bs 65536

The same generated ratings, 943 users and 1,682 items, 50 factors, `y_range`, Adam with decay 0.1 and one cycle of rates for all three.
Of the ratings, 1,000 are for validation, which isn't timed. Each run is a process of its own, and its first epoch doesn't count.
With one thread, seconds are those of the processor, which other work on the machine lengthens less; with more they are those on the wall.
"""
import argparse, json, os, resource, statistics, subprocess, sys, time
import numpy as np

def table(n, n_users=943, n_items=1682, seed=0):
    "Users, items and ratings: popular items are rated often, and ratings follow two factors"
    import pandas as pd
    rng = np.random.default_rng(seed)
    u,i = rng.integers(0, n_users, n, dtype=np.int32),np.minimum(rng.exponential(n_items/6, n), n_items-1).astype(np.int32)
    p,q = rng.normal(0, .6, (n_users,2)).astype(np.float32),rng.normal(0, .6, (n_items,2)).astype(np.float32)
    r = (3.5 + (p[u]*q[i]).sum(1) + rng.normal(0, .8, n).astype(np.float32)).round().clip(1, 5)
    return pd.DataFrame({'user':u, 'item':i, 'rating':r})

clock = time.process_time if '--threads=1' in sys.argv else time.perf_counter

def seconds_of(f):
    t = clock()
    f()
    return clock()-t

def wholegame(df, bs, n):
    from wholegame.collab.data import CollabDataLoaders
    from wholegame.collab.learner import collab_learner
    from wholegame.events import Callback
    dls = CollabDataLoaders.from_df(df, user_name='user', item_name='item', rating_name='rating', valid_pct=1000/len(df), bs=bs, seed=1)
    return clocked(collab_learner(dls, 50, y_range=(0.5,5.5)), Callback, n, dls)

def fastai(df, bs, n):
    from fastai.collab import CollabDataLoaders, collab_learner
    from fastai.callback.core import Callback
    import fastai.callback.schedule
    dls = CollabDataLoaders.from_df(df, user_name='user', item_name='item', rating_name='rating', valid_pct=1000/len(df), bs=bs, seed=1)
    return clocked(collab_learner(dls, 50, y_range=(0.5,5.5)), Callback, n, dls)

def clocked(learn, Callback, n, dls):
    "Seconds of the training part of each epoch, then the validation loss"
    times = []
    class Clock(Callback):
        def before_train(self): self.t = clock()
        def after_train(self): times.append(clock()-self.t)
    with learn.no_bar(): learn.fit_one_cycle(n, 5e-3, wd=0.1, cbs=Clock())
    return times,float(learn.validate()[0])

def bare(df, bs, n):
    "The lines that somebody would write without a library"
    import torch
    from torch import nn
    from torch.nn import functional as F
    class Dot(nn.Module):
        def __init__(self):
            super().__init__()
            self.u,self.i,self.bu,self.bi = (nn.Embedding(*o) for o in ((944,50), (1683,50), (944,1), (1683,1)))
            for o in self.parameters(): nn.init.normal_(o, std=.01)
        def forward(self, x):
            u,i = x[:,0],x[:,1]
            return torch.sigmoid((self.u(u)*self.i(i)).sum(1) + self.bu(u)[:,0] + self.bi(i)[:,0])*5+.5
    x,y = torch.from_numpy(df[['user','item']].to_numpy()+1).long(),torch.from_numpy(df.rating.to_numpy()).float()
    cut = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    train,valid = cut[1000:],cut[:1000]
    model = Dot()
    opt = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=.1, betas=(.9,.99), eps=1e-5, fused=True)
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, 5e-3, total_steps=n*(len(train)//bs))
    def epoch():
        order = train[torch.randperm(len(train))]
        for xb,yb in list(zip(x[order].split(bs), y[order].split(bs)))[:len(train)//bs]:
            F.mse_loss(model(xb), yb).backward()
            opt.step(); opt.zero_grad(); sched.step()
    return [seconds_of(epoch) for _ in range(n)],F.mse_loss(model(x[valid]), y[valid]).item()

def one(engine, args):
    "One engine in this process: a line of JSON"
    import torch
    torch.manual_seed(1); torch.set_num_threads(args.threads)
    times,loss = globals()[engine](table(args.n), args.bs, args.epochs)
    print('RESULT '+json.dumps({'epoch': statistics.median(times[1:]), 'loss': loss}))

def many(n, bs, threads):
    "Seconds and memory of many ratings, in this process"
    import torch
    from wholegame.collab.data import CollabDataLoaders
    from wholegame.collab.learner import collab_learner
    from wholegame.events import Callback
    torch.set_num_threads(threads)
    gb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20
    df = table(n, 138_493, 26_744)
    print(f'{n:,} ratings, {df.user.nunique():,} users, {df.item.nunique():,} items, made: {gb():.2f} GB at most', flush=True)
    t = time.perf_counter()
    dls = CollabDataLoaders.from_df(df, user_name='user', item_name='item', rating_name='rating', bs=bs, seed=1)
    print(f'prepared in {time.perf_counter()-t:.1f} s, {gb():.2f} GB at most', flush=True)
    times,loss = clocked(collab_learner(dls, 50, y_range=(0.5,5.5)), Callback, 2, dls)
    print(f'epochs of bs {bs}: ' + ', '.join(f'{o:.1f} s' for o in times) + f'; valid loss {loss:.3f}; {gb():.2f} GB at most', flush=True)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--fastai', default='.venv-bench/bin/python', help='Python of an environment with fastai'); p.add_argument('--n', type=int, default=100_000)
    p.add_argument('--bs', type=int, default=64); p.add_argument('--epochs', type=int, default=3); p.add_argument('--runs', type=int, default=3)
    p.add_argument('--threads', type=int, default=1); p.add_argument('--many', type=int); p.add_argument('--one')
    args = p.parse_args()
    if args.one: return one(args.one, args)
    if args.many: return many(args.many, args.bs, args.threads)
    ways,results = {'wholegame':sys.executable, 'bare':sys.executable, 'fastai':args.fastai},{}
    for _ in range(args.runs):
        for name,python in ways.items():
            cmd = [python, __file__, '--one', name, *(f'--{o}={getattr(args, o)}' for o in ('n','bs','epochs','threads'))]
            res = subprocess.run(cmd, capture_output=True, text=True, env={**os.environ, 'MPLBACKEND':'Agg', 'OMP_NUM_THREADS':str(args.threads)})
            lines = [l for l in res.stdout.splitlines() if l.startswith('RESULT ')]
            if not lines: raise SystemExit(f'{name} failed:\n{res.stdout[-2000:]}\n{res.stderr[-4000:]}')
            results.setdefault(name, []).append(json.loads(lines[0][7:]))
            print(name, results[name][-1], flush=True)
    med = {k:statistics.median(o['epoch'] for o in v) for k,v in results.items()}
    print(f'\n| {args.n:,} ratings, bs {args.bs} | wholegame | bare | fastai | wholegame / bare | fastai / wholegame |\n| --- | ---: | ---: | ---: | ---: | ---: |')
    print(f"| seconds per epoch, median of {args.runs} runs | {med['wholegame']:.2f} | {med['bare']:.2f} | {med['fastai']:.2f} | {med['wholegame']/med['bare']:.2f} | {med['fastai']/med['wholegame']:.1f} |")
    print('| validation loss | ' + ' | '.join(f"{statistics.mean(o['loss'] for o in results[k]):.3f}" for k in med) + ' | | |')

if __name__=='__main__': main()

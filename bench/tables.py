"""Tables by wholegame, by fastai, by a loop of bare PyTorch, and by trees: scores over seeds, and seconds in turns.

    .venv/bin/python bench/tables.py --data FOLDER --seeds 5            # scores and speed
    .venv/bin/python bench/tables.py --data FOLDER --only speed --rounds 3

FOLDER holds adult_sample.tgz and house_prices.tgz as fast.ai publishes them; without it made-up stand-ins are taken.
Each run is a process of its own. The split is the same for all: a fifth, drawn once with seed 42; seeds change
weights and the order of batches only. fastai runs the same lines (`make` below); only the import differs.
"""
import argparse, json, os, platform, statistics, subprocess, sys, tarfile, tempfile, time
from pathlib import Path

sets = {
    'adult': dict(file='adult_sample/adult.csv', y='salary', epochs=3, lr=2e-3, bs=64),
    'houses': dict(file='house_prices/train.csv', y='SalePrice', epochs=40, lr=5e-3, bs=64), # of the logarithm of the price
}

def frame(name, data):
    "(frame, positions for training, positions for validation)"
    import numpy as np, pandas as pd
    df = pd.read_csv(Path(data)/sets[name]['file'], skipinitialspace=True)
    if name=='houses': df = df.drop(columns='Id').assign(SalePrice=np.log(df.SalePrice))
    order = np.random.default_rng(42).permutation(len(df))
    n = len(df)//5
    return df,sorted(order[n:].tolist()),sorted(order[:n].tolist())

def columns(df, y):
    "(categorical, continuous): texts, and numbers of at most 20 values in the houses, are categories"
    import pandas as pd
    num = [c for c in df.columns if c!=y and pd.api.types.is_numeric_dtype(df[c]) and (y=='salary' or df[c].nunique()>20)]
    return [c for c in df.columns if c!=y and c not in num],num

def star(engine):
    g = {}
    exec(f'from {engine}.tabular.all import *', g)
    return g

def make(g, name, data, seed, bs=None, df=None):
    "The lines that both libraries run: loaders and a learner"
    if df is None: df,train,valid = frame(name, data)
    else: df,train,valid = df
    s,y = sets[name],sets[name]['y']
    cats,conts = columns(df, y)
    g['set_seed'](seed)
    to = g['TabularPandas'](df, procs=[g['Categorify'],g['FillMissing'],g['Normalize']], cat_names=cats, cont_names=conts, y_names=y, splits=(train,valid))
    dls = to.dataloaders(bs=bs or s['bs'])
    learn = g['tabular_learner'](dls, layers=[200,100], metrics=g['accuracy'] if name=='adult' else g['rmse'])
    learn.no_bar().__enter__()
    return df,valid,to,dls,learn

def score(engine, name, data, seed):
    g,s = star(engine),sets[name]
    df,valid,to,dls,learn = make(g, name, data, seed)
    t = time.perf_counter()
    learn.fit_one_cycle(s['epochs'], s['lr'])
    return {'score':float(learn.validate()[1]), 'fit':time.perf_counter()-t}

def rival(engine, name, data, seed):
    import torch
    from wholegame.tabular.rivals import boosting, random_forest
    g = star('wholegame')
    _,_,_,dls,_ = make(g, name, data, seed)
    r = (random_forest if engine=='forest' else boosting)(dls, seed=seed)
    preds,targs = r.get_preds()
    f = g['accuracy'] if name=='adult' else g['rmse']
    return {'score':float(f(preds, targs)), 'fit':r.seconds}

def middle(f, n=5):
    "Median seconds of `n` calls, after one to warm up"
    f()
    ts = []
    for _ in range(n):
        t = time.perf_counter()
        f()
        ts.append(time.perf_counter()-t)
    return statistics.median(ts)

def speed(engine, data, million):
    "Seconds for each part, on Adult"
    import pandas as pd
    g,res = star(engine),{}
    for bs in 64,1024:
        df,valid,to,dls,learn = make(g, 'adult', data, 0, bs)
        epochs = []
        class Clock(g['Callback']):
            def before_train(self): self.t = time.perf_counter()
            def after_train(self): epochs.append(time.perf_counter()-self.t)
        learn.fit(3, 1e-3, cbs=Clock())
        res[f'epoch of training, bs {bs}'] = statistics.median(epochs)
    row,many = df.iloc[0],pd.concat([df]*4, ignore_index=True)[:100_000]
    res['predict one row'] = middle(lambda: learn.predict(row), 15)
    res['predict 100,000 rows'] = middle(lambda: learn.get_preds(dl=dls.test_dl(many)), 1)
    big = pd.concat([df]*(million//len(df)+1), ignore_index=True)[:million]
    n = len(big)//5
    t = time.perf_counter()
    make(g, 'adult', data, 0, 1024, (big, list(range(n,len(big))), list(range(n))))
    res[f'prepare {million:,} rows'] = time.perf_counter()-t
    return res

def bare(data):
    "The same network trained by a loop of PyTorch alone, on tensors that are encoded already"
    import torch
    from torch.nn import functional as F
    res = {}
    for bs in 64,1024:
        _,_,_,dls,learn = make(star('wholegame'), 'adult', data, 0, bs)
        cats,conts,y = dls.train_ds.targets.values()
        model,n = learn.model.train(),len(y)
        opt,times = torch.optim.AdamW(model.parameters(), lr=1e-3),[]
        for _ in range(3):
            t = time.perf_counter()
            order = torch.randperm(n)
            for i in range(0, n-bs+1, bs):
                idx = order[i:i+bs]
                loss = F.cross_entropy(model(cats[idx], conts[idx]), y[idx])
                loss.backward()
                opt.step()
                opt.zero_grad()
            times.append(time.perf_counter()-t)
        res[f'epoch of training, bs {bs}'] = statistics.median(times)
    return res

def run(python, part, engine, args, name='', seed=0):
    "One process: the parsed result"
    cmd = [python, os.path.abspath(__file__), '--part', part, '--engine', engine, '--name', name, '--seed', str(seed), '--data', args.data, '--million', str(args.million)]
    res = subprocess.run(cmd, capture_output=True, text=True, cwd=tempfile.gettempdir(), env={**os.environ, 'MPLBACKEND':'Agg', 'WHOLEGAME_OFFLINE':'1'})
    lines = [l for l in res.stdout.splitlines() if l.startswith('RESULT ')]
    if not lines: raise SystemExit(f'{engine} failed:\n{res.stdout[-2000:]}\n{res.stderr[-4000:]}')
    return json.loads(lines[0][7:])

def one(args):
    fs = {'score':lambda: score(args.engine, args.name, args.data, args.seed), 'rival':lambda: rival(args.engine, args.name, args.data, args.seed),
          'speed':lambda: bare(args.data) if args.engine=='bare' else speed(args.engine, args.data, args.million)}
    print('RESULT '+json.dumps(fs[args.part]()), flush=True)

def rows(*lines): return '\n'.join('| '+' | '.join(map(str, o))+' |' for o in lines)

def scores(ways, args):
    for name in args.sets:
        got = {k:[] for k in ways if k!='bare'}
        for seed in range(args.seeds):
            for k in got:
                got[k].append(o := run(ways[k], 'rival' if k in ('forest','boosting') else 'score', k, args, name, seed))
                print(f'{name} seed {seed} {k:10} {o["score"]:.4f}  {o["fit"]:.1f} s', flush=True)
        what = 'accuracy' if name=='adult' else 'error (rmse) of the logarithm of the price'
        print(f'\n{name}: {what}\n')
        print(rows(['','mean','each seed','fit'], ['---','---:','---','---:'], *[[k, f'{statistics.mean(o["score"] for o in v):.4f}', ', '.join(f'{o["score"]:.4f}' for o in v), f'{statistics.median(o["fit"] for o in v):.1f} s'] for k,v in got.items()]), '\n', flush=True)

def speeds(ways, args):
    got = {k:[] for k in ways if k not in ('forest','boosting')}
    for _ in range(args.rounds):
        for k in got: got[k].append(o := run(ways[k], 'speed', k, args)); print(k, {a:round(b, 4) for a,b in o.items()}, flush=True)
    med = {k:{p:statistics.median(o[p] for o in v) for p in v[0]} for k,v in got.items()}
    ratio = lambda k,p: f'{med[k][p]/med["wholegame"][p]:.2f}' if p in med.get(k, {}) else ''
    print('\n'+rows(['',*got,*(f'{k} / wholegame' for k in got if k!='wholegame')], ['---']+['---:']*(2*len(got)-1),
        *[[p, *(f'{med[k][p]:.3g} s' if p in med[k] else '' for k in got), *(ratio(k, p) for k in got if k!='wholegame')] for p in med['wholegame']]))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--fastai', default='.venv-bench/bin/python', help='Python of an environment with fastai')
    p.add_argument('--data', default='', help='folder with adult_sample.tgz and house_prices.tgz')
    p.add_argument('--seeds', type=int, default=5, help='how many runs of each')
    p.add_argument('--rounds', type=int, default=3, help='how many turns for the seconds')
    p.add_argument('--million', type=int, default=1_000_000, help='rows to prepare')
    p.add_argument('--only', choices=['scores','speed'])
    p.add_argument('--sets', nargs='*', default=list(sets))
    p.add_argument('--ways', nargs='*', help='only these, such as wholegame fastai bare forest boosting')
    for o in '--part','--engine','--name': p.add_argument(o)
    p.add_argument('--seed', type=int)
    args = p.parse_args()
    if args.part: return one(args)
    ways = {'wholegame':sys.executable, 'fastai':str(Path(args.fastai).absolute()), 'bare':sys.executable, 'forest':sys.executable, 'boosting':sys.executable}
    ways = {k:v for k,v in ways.items() if not args.ways or k in args.ways}
    with tempfile.TemporaryDirectory() as tmp:
        for o in 'adult_sample','house_prices':
            if args.data: tarfile.open(Path(args.data)/f'{o}.tgz').extractall(tmp, filter='data')
        if not args.data: stand_ins(tmp)
        args.data = tmp
        print(f'{os.cpu_count()} cores, Python {platform.python_version()}\n')
        if args.only!='speed': scores(ways, args)
        if args.only!='scores': speeds(ways, args)

def stand_ins(tmp):
    "Made-up tables with the same columns"
    os.environ['WHOLEGAME_OFFLINE'] = '1'
    import shutil
    from wholegame.tabular.all import URLs, untar_data
    for k,o in {'adult_sample':URLs.ADULT_SAMPLE, 'house_prices':URLs.HOUSE_PRICES}.items(): shutil.copytree(untar_data(o), Path(tmp)/k)

if __name__=='__main__': main()

"""resize_images alone: a folder of photos made 400 pixels wide, by wholegame and by fastai, in turns.

    .venv/bin/python bench/resize.py --fastai .venv-bench/bin/python

400 photos of 500x375, which no decoder can shrink while it reads, and 60 of 4000x3000, which it can. They are drawn,
or taken from the folder --photos. Both seconds on the clock and of the processor, all processes together, are counted.
"""
import argparse, json, os, resource, statistics, subprocess, sys, tempfile, time
from pathlib import Path

def make(dest, photos):
    "Two folders of JPEGs, small and large"
    from PIL import Image
    from wholegame.data.photos import draw_bird
    files = sorted(Path(photos).glob('*.jpg')) if photos else []
    for name,n,size in ('small',400,(500,375)), ('large',60,(4000,3000)):
        (dest/name).mkdir()
        for i in range(n):
            im = Image.open(files[i%len(files)]).convert('RGB') if files else draw_bird(i%40)
            im.resize(size, Image.Resampling.LANCZOS).save(dest/name/f'{i:03}.jpg', quality=90)

def spent(): return sum(sum(resource.getrusage(o)[:2]) for o in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))

def one(engine, folder):
    "Seconds in this process and those it starts; prints a line of JSON"
    if engine=='fastai': from fastai.vision.all import resize_images
    else: from wholegame.data.images import resize_images
    folder = Path(folder)
    with tempfile.TemporaryDirectory() as d:
        start = time.perf_counter(),spent()
        resize_images(folder, max_size=400, dest=Path(d))
        res = {'clock': time.perf_counter()-start[0], 'cpu': spent()-start[1]}
        fs = list(Path(d).glob('*.jpg'))
        assert len(fs)==len(list(folder.iterdir()))
        print('RESULT '+json.dumps({**res, 'bytes': sum(f.stat().st_size for f in fs)//len(fs)}))

def run(python, engine, folder):
    res = subprocess.run([python, __file__, '--one', engine, str(folder)], capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    lines = [l for l in res.stdout.splitlines() if l.startswith('RESULT ')]
    if not lines: raise SystemExit(f'{engine} failed:\n{res.stdout[-2000:]}\n{res.stderr[-4000:]}')
    return json.loads(lines[0][7:])

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--fastai', default='.venv-bench/bin/python'); p.add_argument('--photos'); p.add_argument('--runs', type=int, default=3); p.add_argument('--one', nargs=2)
    args = p.parse_args()
    if args.one: return one(*args.one)
    with tempfile.TemporaryDirectory() as d:
        make(Path(d), args.photos)
        for name in 'small','large':
            pairs = [(run(sys.executable, 'wholegame', Path(d)/name), run(args.fastai, 'fastai', Path(d)/name)) for _ in range(args.runs)]
            for k in 'clock','cpu','bytes':
                a,b = (statistics.median(o[k] for o in col) for col in zip(*pairs))
                print(f'{name}, {k}: wholegame {a:.4g}, fastai {b:.4g}, fastai / wholegame {b/a:.2f}')

if __name__=='__main__': main()

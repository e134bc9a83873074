"""Every measurement of bench/README.md, one script after the other: by wholegame and by fastai, in turns.

    .venv/bin/python bench/run.py                                             # what needs no download
    .venv/bin/python bench/run.py --data FOLDER --weights mobilenet_v2.pth    # all
    .venv/bin/python bench/run.py --only lesson1 tables                       # some

FOLDER holds adult_sample.tgz, house_prices.tgz, oxford-iiit-pet.tgz, camvid.tgz, camvid_tiny.tgz and mnist_png.tgz as fast.ai
publishes them; the weights are a state dict of torchvision's mobilenet_v2. Do nothing else on the machine meanwhile.
"""
import argparse, subprocess, sys, tarfile, tempfile
from pathlib import Path

here = Path(__file__).parent

def commands(
    data, # Folder with the archives, or None
    weights, # File, or None
    tmp, # Where archives are unpacked
):
    "(name, arguments, does it use fastai?) of each measurement that can be made"
    def folder(name, sub=''): return str(Path(tmp)/name/sub)
    yield 'lesson1', [], True
    yield 'loader', ['--photos',folder('mnist_png')] if data else [], True
    yield 'augment', [], True
    yield 'resize', [], True
    yield 'tables', ['--data',data] if data else ['--only','speed'], True
    yield 'collab', [], True
    yield 'collab', ['--bs','1024'], True
    yield 'norms', ['--tiny',folder('camvid_tiny'),'--weights',weights] if data and weights else [], False
    if not (data and weights): return
    pets = ['--photos',folder('oxford-iiit-pet', 'images'),'--weights',weights]
    yield 'pets', pets, True
    yield 'breeds', pets, True
    yield 'unfreeze', pets, False
    yield 'unet', ['--camvid',folder('camvid'),'--tiny',folder('camvid_tiny'),'--weights',weights], True

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--fastai', default='.venv-bench/bin/python', help='Python of an environment with fastai')
    p.add_argument('--data', help='folder with archives'); p.add_argument('--weights', help="mobilenet_v2's")
    p.add_argument('--only', nargs='*', help='names of scripts'); p.add_argument('--dry', action='store_true', help='print the commands')
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        for o in 'oxford-iiit-pet','camvid','camvid_tiny','mnist_png':
            if args.data and not args.dry: tarfile.open(Path(args.data)/f'{o}.tgz').extractall(tmp, filter='data')
        for name,more,fastai in commands(args.data, args.weights, tmp):
            if args.only and name not in args.only: continue
            cmd = [sys.executable, str(here/f'{name}.py'), *(['--fastai',args.fastai] if fastai else []), *more]
            print(f'\n$ {" ".join(cmd)}\n', flush=True)
            if not args.dry and (res := subprocess.run(cmd)).returncode: raise SystemExit(res.returncode)

if __name__=='__main__': main()

"""When is it worth taking the statistics of norm layers again after an epoch? Drift, and the validation loss before and after, over seeds.

    .venv/bin/python bench/norms.py                                         # drawn photos
    .venv/bin/python bench/norms.py --tiny FOLDER --weights mobilenet_v2.pth # and real streets: camvid_tiny

After each epoch it validates with the running statistics, takes them again whatever the drift, validates once more, and puts the
running ones back, so that training goes on as without this. The last lines say what a limit of 1 on the drift would have done.
"""
import argparse, os, statistics, time
os.environ.setdefault('WHOLEGAME_OFFLINE', '1')

def cases(args):
    "(name, function from a seed to a learner, epochs)"
    from wholegame.vision.all import ImageDataLoaders, Resize, SegmentationDataLoaders, URLs, get_image_files, models, np, resnet18, unet_learner, untar_data, vision_learner
    def pets(seed):
        files = get_image_files(untar_data(URLs.PETS)/'images')
        dls = ImageDataLoaders.from_name_func('.', files, lambda f: f[0].isupper(), valid_pct=0.2, seed=seed, item_tfms=Resize(96), bs=32)
        return vision_learner(dls, resnet18, pretrained=False)
    def streets(path, arch, weights):
        def make(seed):
            dls = SegmentationDataLoaders.from_label_func(path, bs=8, fnames=get_image_files(path/'images'), seed=seed,
                label_func=lambda o: path/'labels'/f'{o.stem}_P{o.suffix}', codes=np.loadtxt(path/'codes.txt', dtype=str))
            return unet_learner(dls, arch, pretrained=weights)
        return make
    yield 'cat or dog, drawn, new resnet18', pets, 5
    yield 'streets, drawn, new U-Net on resnet18', streets(untar_data(URLs.CAMVID_TINY), resnet18, False), 5
    if args.tiny:
        from pathlib import Path
        yield 'streets, real, U-Net on pretrained mobilenet_v2', streets(Path(args.tiny), models.mobilenet_v2, args.weights), 5

def watch(learn, epochs):
    "[(drift, loss with running statistics, loss with new ones, seconds of taking them)] of each epoch"
    import torch
    from wholegame.norms import WarmNorm
    res = []
    class Watching(WarmNorm):
        def after_train(self):
            moved,self.moved = float(self.moved),0.
            state = {k:v.clone() for k,v in self.learn.model.state_dict().items() if 'running_' in k or 'num_batches' in k}
            a,start = loss(self.learn),time.perf_counter()
            self.estimate()
            s = time.perf_counter()-start
            res.append((moved, a, loss(self.learn), s))
            self.learn.model.load_state_dict(state, strict=False)
    def loss(learn):
        n,total = 0,0.
        with torch.no_grad():
            for xb,yb,pred in learn.eval_pass(learn.dls.valid): n,total = n+len(pred),total+len(pred)*float(learn.loss_func(pred, *([yb] if hasattr(yb, 'shape') else yb)))
        return total/n
    new = Watching()
    for o in [o for o in learn.cbs if isinstance(o, WarmNorm)]:
        new.keep = o.keep
        learn.remove_cb(o)
    learn.add_cb(new)
    with learn.no_bar(): learn.fine_tune(epochs-1)
    return res

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--tiny'); p.add_argument('--weights'); p.add_argument('--seeds', type=int, default=3)
    args = p.parse_args()
    from wholegame.vision.all import set_seed
    rows = []
    for name,make,epochs in cases(args):
        for seed in range(args.seeds):
            set_seed(seed)
            got = watch(make(seed), epochs)
            rows += got
            print(f'{name}, seed {seed}: '+'; '.join(f'drift {d:.2f}, loss {a:.3g} -> {b:.3g} ({s:.2f} s)' for d,a,b,s in got), flush=True)
    for k,part in {'above 1':[o for o in rows if o[0]>1], 'below 1':[o for o in rows if o[0]<=1]}.items():
        if part: print(f'{k}: {len(part)} epochs; new statistics were better in {sum(b<a for _,a,b,_ in part)}; median ratio of losses {statistics.median(b/a for _,a,b,_ in part):.2f}')

if __name__=='__main__': main()

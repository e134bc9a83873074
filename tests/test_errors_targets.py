"""What people really do wrong with several labels, numbers and points, and what they are told: one test a mistake."""
import json, subprocess, sys, warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from wholegame.vision.all import *

pytestmark = pytest.mark.filterwarnings('error')
shapes = ['disc','bar','cross']

def draw(file, tags, size=(60, 40), at=None):
    "A picture with these shapes in it"
    rng = np.random.default_rng(int(file.stem.split('_')[-1]))
    file.parent.mkdir(parents=True, exist_ok=True)
    im = Image.new('RGB', size, tuple(rng.integers(40, 90, 3).tolist()))
    d = ImageDraw.Draw(im)
    for t in tags:
        x,y = at or (rng.integers(8, size[0]-8).item(), rng.integers(8, size[1]-8).item())
        if t=='disc': d.ellipse((x-6,y-6,x+6,y+6), fill=(240,210,60))
        if t=='bar': d.rectangle((x-2,y-8,x+2,y+8), fill=(80,220,120))
        if t=='cross': d.line((x-6,y-6,x+6,y+6), fill=(230,80,80), width=3), d.line((x-6,y+6,x+6,y-6), fill=(230,80,80), width=3)
    im.save(file)

@pytest.fixture(scope='module')
def table(tmp_path_factory):
    "Forty-eight pictures, and a table with their tags and their counts"
    path,rows = tmp_path_factory.mktemp('tags'),[]
    for i in range(48):
        tags = [t for k,t in enumerate(shapes) if i>>k & 1]
        draw(path/f'train/im_{i}.png', tags)
        rows.append(dict(name=f'im_{i}', tags=' '.join(tags), n=float(len(tags)), is_valid=i%4==3))
    pd.DataFrame(rows).to_csv(path/'labels.csv', index=False)
    return path

def frame(table): return pd.read_csv(table/'labels.csv')

def several(table, df=None, **kw):
    args = dict(folder='train', suff='.png', label_delim=' ', item_tfms=Resize(32), seed=1, bs=16)
    return ImageDataLoaders.from_df(frame(table) if df is None else df, table, **{**args, **kw})

def message(error, f, *args, **kw):
    with pytest.raises(error) as e: f(*args, **kw)
    return str(e.value)

# Several labels

def test_from_df_splits_the_labels(table):
    dls = several(table)
    assert dls.vocab==['bar','cross','disc'] and dls.c==3
    assert dls.one_batch()[1].shape==(16, 3) and type(dls.loss_func).__name__=='BCEWithLogitsLossFlat'

def test_spaces_and_empty_cells_are_no_labels(table):
    df = frame(table)
    df['tags'] = df['tags'].fillna('').str.replace(' ', '  ')+' '
    assert several(table, df).vocab==['bar','cross','disc']
    df.loc[0, 'tags'] = float('nan')
    assert several(table, df).vocab==['bar','cross','disc']

def test_label_delim_forgotten(table):
    m = message(TypeError, several, table, frame(table).fillna(''), label_delim=None, y_block=MultiCategoryBlock)
    assert 'MultiCategoryBlock wants a list' in m and 'label_delim' in m

def test_wrong_label_delim(table):
    with pytest.warns(UserWarning, match="label_delim=';' is in none of the labels.*first with a space: 'disc bar'.*label_delim=' ' meant"): several(table, label_delim=';')

def test_list_for_one_class(table):
    m = message(TypeError, several, table, y_block=CategoryBlock)
    assert "get_y returned a list" in m and 'Use MultiCategoryBlock for several' in m

def test_number_as_labels(table):
    block = DataBlock((ImageBlock, MultiCategoryBlock), get_image_files, get_y=lambda f: 3, item_tfms=Resize(32))
    assert 'MultiCategoryBlock wants a list' in message(TypeError, block.dataloaders, table)

def test_label_unknown_to_vocab(table):
    m = message(ValueError, several, table, y_block=MultiCategoryBlock(vocab=['bar','disc','crosss']))
    assert "Label 'cross' of '" in m and "Did you mean 'crosss'?" in m

def test_label_only_in_validation(table):
    df = frame(table)
    df.loc[3, 'tags'] = 'star'
    with pytest.warns(UserWarning, match='No training item has star, but 1 in validation'): dls = several(table, df, valid_col='is_valid')
    assert 'star' in dls.vocab

def test_encoded_rows_are_checked(table):
    def loaders(get_y): return DataBlock((ImageBlock, MultiCategoryBlock(encoded=True, vocab=shapes)), get_image_files, get_y=get_y, item_tfms=Resize(32)).dataloaders(table, bs=8)
    assert 'vocab has 3 names' in message(ValueError, loaders, lambda f: [0, 1])
    assert 'encoded labels are 0 or 1' in message(ValueError, loaders, lambda f: [0, 1, 2])
    assert loaders(lambda f: [int(f.stem[3:])%2, 1, 0]).one_batch()[1].shape==(8, 3)
    assert 'needs vocab=' in message(ValueError, MultiCategoryBlock, encoded=True)

def test_metrics_of_the_wrong_kind(table):
    dls = several(table)
    for metric,hint in (accuracy, 'use accuracy_multi'), (error_rate, 'use accuracy_multi'):
        learn = vision_learner(dls, 'test_resnet', pretrained=False, metrics=metric).no_bar()
        assert hint in message(ValueError, learn.validate)
    one = several(table, frame(table).assign(tags=lambda d: np.where(d.n>1, 'many', 'few')), label_delim=None)
    for metric in accuracy_multi, F1ScoreMulti(), APScoreMulti():
        learn = vision_learner(one, 'test_resnet', pretrained=False, metrics=metric).no_bar()
        m = message(ValueError, learn.validate)
        assert 'multi-label targets; use accuracy' in m or 'For one class per item use F1Score' in m

def test_thresholds_that_are_none(table):
    dls = several(table)
    assert 'a probability, from 0 to 1' in message(ValueError, F1ScoreMulti, thresh=50)
    assert 'a probability, from 0 to 1' in message(ValueError, BCEWithLogitsLossFlat, thresh=-1)
    learn = vision_learner(dls, 'test_resnet', pretrained=False, loss_func=BCEWithLogitsLossFlat(thresh=[.5, .5])).no_bar()
    assert '2 thresholds for 3 labels' in message(ValueError, learn.predict, table/'train/im_1.png')
    learn = vision_learner(dls, 'test_resnet', pretrained=False, loss_func=BCEWithLogitsLossFlat(pos_weight=[1, 2])).no_bar()
    assert 'pos_weight has 2 numbers for 3 labels' in message(ValueError, learn.validate)

def test_wrong_number_of_outputs(table):
    learn = vision_learner(several(table), 'test_resnet', pretrained=False, n_out=4).no_bar()
    assert 'predictions (9, 4) and targets (9, 3): it needs a 0 or 1 for each output' in message(ValueError, learn.validate)

def test_several_labels_from_end_to_end(table, tmp_path):
    "Train, look, ask, export with thresholds, load and ask again"
    set_seed(1)
    learn = vision_learner(several(table), 'test_resnet', pretrained=False, metrics=[accuracy_multi, F1ScoreMulti()]).no_bar()
    learn.fit_one_cycle(2, 1e-2)
    learn.loss_func.thresh = [.3, .4, .5]
    f = table/'train/im_7.png'
    names,yes,probs = learn.predict(f)
    assert yes.dtype==torch.bool and probs.shape==(3,) and names==[k for k,o in zip(learn.dls.vocab, yes) if o]
    assert torch.equal(yes, probs>torch.tensor([.3, .4, .5]))
    learn.show_results(max_n=4)
    assert plt.gcf()._suptitle.get_text().startswith('✓ found')
    interp = learn.interpret()
    assert isinstance(interp, MultiLabelInterpretation) and isinstance(ClassificationInterpretation.from_learner(learn), MultiLabelInterpretation)
    for f2 in interp.plot_top_losses, interp.plot_labels, interp.plot_thresholds, interp.plot_co_occurrence: f2()
    assert list(interp.classification_report().index[:3])==['bar','cross','disc']
    plt.close('all')
    again = load_learner(learn.export(tmp_path/'tags.safetensors'))
    assert again.predict(f)[0]==names and again.loss_func.thresh==[.3, .4, .5]

# Numbers

def test_numbers_from_end_to_end(table, tmp_path):
    "fastai's show_results fails on these"
    set_seed(1)
    dls = several(table, label_col='n', label_delim=None, y_block=RegressionBlock)
    assert dls.c==1 and type(dls.loss_func).__name__=='MSELossFlat'
    learn = vision_learner(dls, 'test_resnet', pretrained=False, metrics=mae, y_range=(0, 4)).no_bar()
    learn.fit_one_cycle(2, 1e-2)
    learn.show_results(max_n=4)
    assert plt.gcf()._suptitle.get_text()=='Target above, prediction below'
    learn.interpret().plot_top_losses(4)
    plt.close('all')
    n,_,raw = learn.predict(table/'train/im_7.png')
    assert 0<=raw.item()<=4
    assert again_close(load_learner(learn.export(tmp_path/'n.safetensors')).predict(table/'train/im_7.png')[2], raw)

def again_close(a, b): return torch.allclose(a, b, atol=1e-3)

def test_text_for_a_number(table):
    m = message(TypeError, several, table, frame(table).fillna(''), label_delim=None, y_block=RegressionBlock)
    assert 'RegressionBlock wants a number' in m

def test_missing_number(table):
    df = frame(table)
    df.loc[2, 'n'] = float('nan')
    assert 'get_y returned nan for 1 of 48 items' in message(ValueError, several, table, df, label_col='n', label_delim=None, y_block=RegressionBlock)

def test_different_numbers_of_numbers(table):
    block = DataBlock((ImageBlock, RegressionBlock), get_image_files, get_y=lambda f: [1., 2.] if f.stem=='im_5' else [1.], item_tfms=Resize(32))
    assert "'" in message(ValueError, block.dataloaders, table) and 'numbers for' in message(ValueError, block.dataloaders, table)

def test_metric_for_classes_on_numbers(table):
    learn = vision_learner(several(table, label_col='n', label_delim=None, y_block=RegressionBlock), 'test_resnet', pretrained=False, metrics=accuracy).no_bar()
    assert 'mse, rmse or mae' in message(ValueError, learn.validate)

def test_y_range_that_is_none(table):
    dls = several(table, label_col='n', label_delim=None, y_block=RegressionBlock)
    for o in (4, 0), 4, (1, 2, 3): assert 'y_range is (lowest, highest)' in message(ValueError, vision_learner, dls, 'test_resnet', pretrained=False, y_range=o)

# Points

def centre(f): return int(f.stem[3:])*7%40+10, int(f.stem[3:])*5%24+8

@pytest.fixture(scope='module')
def dots(tmp_path_factory):
    "Forty pictures, each with a disc whose middle we know"
    path = tmp_path_factory.mktemp('dots')
    for i in range(40): draw(path/f'im_{i}.png', ['disc'], at=centre(path/f'im_{i}.png'))
    return path

def points(dots, get_y=centre, tfms=None, batch_tfms=None):
    block = DataBlock((ImageBlock, PointBlock), get_image_files, RandomSplitter(seed=1), get_y=get_y, item_tfms=tfms or Resize(32, 'squish'), batch_tfms=batch_tfms)
    return block.dataloaders(dots, bs=16, seed=1)

def test_points_from_end_to_end(dots, tmp_path):
    "An answer is in pixels of the picture that was asked about, also from an export, and from a process that knows nothing else"
    set_seed(1)
    learn = vision_learner(points(dots, batch_tfms=aug_transforms()), 'test_resnet', pretrained=False, metrics=PixelError(32)).no_bar()
    learn.fit_one_cycle(2, 1e-2)
    f = dots/'im_3.png'
    point,raw,_ = learn.predict(f)
    assert point.shape==(1, 2) and raw.abs().max()<=1
    assert torch.allclose(point[0], (raw+1)/2*torch.tensor([60, 40])-.5, atol=1e-3)
    big = learn.predict(Image.open(f).resize((600, 400)))[0]
    assert torch.allclose(big+.5, (point+.5)*10, atol=4)
    learn.show_results(max_n=4)
    assert [o.get_text() for o in plt.gcf().legends[0].get_texts()]==['target','prediction']
    learn.interpret().plot_top_losses(2)
    plt.close('all')
    file = learn.export(tmp_path/'p.safetensors')
    assert torch.allclose(load_learner(file).predict(f)[0], point, atol=.1)
    code = f'from wholegame.export import load_learner; print(load_learner({str(file)!r}).predict({str(f)!r})[0].tolist())'
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert torch.allclose(torch.tensor(json.loads(out.splitlines()[-1])), point, atol=.1)

def test_several_points(dots):
    dls = points(dots, lambda f: [centre(f), (5, 5), (30, 20)])
    learn = vision_learner(dls, 'test_resnet', pretrained=False).no_bar()
    assert dls.c==6 and learn.predict(dots/'im_1.png')[0].shape==(3, 2)
    learn.show_results(max_n=2)
    plt.close('all')

shown = """
from wholegame.vision.all import *
box = lambda f: [(5, 5, 20, 30), (30, 10, 50, 35)]
dls = DataBlock((ImageBlock, BBoxBlock, BBoxLblBlock), get_image_files, get_y=[box, lambda f: ['one','two']], n_inp=1, item_tfms=Resize(32, method='squish')).dataloaders({path!r}, bs=4) # a crop could leave a box out
dls.show_batch(max_n=4)
axes = plt.gcf().axes
print([len(ax.patches) for ax in axes], [[t.get_text() for t in ax.texts] for ax in axes])
"""

def test_boxes_are_shown_with_the_star_import_alone(dots):
    "In a process of its own, where no page has imported anything"
    out = subprocess.run([sys.executable, '-c', shown.format(path=str(dots))], capture_output=True, text=True)
    assert out.returncode==0, out.stderr
    assert out.stdout.splitlines()[-1]==f"{[2]*4} {[['one','two']]*4}"

def test_points_that_are_none(dots):
    assert 'Points are pairs (x, y)' in message(ValueError, points, dots, lambda f: 3.)
    assert 'Points are numbers of pixels' in message(ValueError, points, dots, lambda f: (float('nan'), 2))
    assert 'Every picture needs as many' in message(ValueError, points, dots, lambda f: [centre(f)]*(2 if f.stem=='im_4' else 1))

def test_point_far_outside(dots):
    with pytest.warns(UserWarning, match=r"im_\d+.png' is outside: the picture is 60 by 40 pixels, the point \(700, 20\)"): points(dots, lambda f: (700, 20))

def test_pixel_error_of_something_else(table):
    learn = vision_learner(several(table), 'test_resnet', pretrained=False, metrics=PixelError(32)).no_bar()
    assert 'it is for points' in message(ValueError, learn.validate)

# Pickles

def test_pickled_labels_run_nothing(tmp_path):
    import os, pickle
    class Bad:
        def __reduce__(self): return os.system, (f'touch {tmp_path}/bitten',)
    (tmp_path/'centers.pkl').write_bytes(pickle.dumps(Bad()))
    assert 'Nothing was run' in message(ValueError, load_pickle, tmp_path/'centers.pkl') and not (tmp_path/'bitten').exists()

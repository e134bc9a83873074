"""What people really do wrong with folders, labels, files and keywords, and what they are told: one test a mistake."""
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wholegame.vision.all import *

pytestmark = pytest.mark.filterwarnings('error')

def draw(file, value, size=(40, 32)):
    file.parent.mkdir(parents=True, exist_ok=True)
    a = np.full((size[1], size[0], 3), value % 256, dtype=np.uint8)
    a[::4] = 255-value % 256
    Image.fromarray(a).save(file)

@pytest.fixture
def path(tmp_path, monkeypatch):
    "Twelve circles and twelve triangles in a folder each, in a folder we are in"
    monkeypatch.chdir(tmp_path)
    for kind,v in (('circle', 40), ('tri', 200)):
        for i in range(12): draw(Path('shapes')/kind/f'{kind}_{i}.jpg', v+i)
    Path('models').mkdir()
    return Path('shapes')

def block(**kw):
    args = dict(blocks=(ImageBlock, CategoryBlock), get_items=get_image_files, splitter=RandomSplitter(0.25, seed=1), get_y=parent_label, item_tfms=Resize(32))
    return DataBlock(**{**args, **kw})

def message(error, f, *args, **kw):
    with pytest.raises(error) as e: f(*args, **kw)
    return str(e.value)

# Folders

def test_wrong_folder(path):
    m = message(FileNotFoundError, block().dataloaders, Path('data/birds'))
    assert "No such folder: 'data/birds' (looked in the folder you are in)" in m and 'models, shapes' in m

def test_get_image_files_on_a_missing_path(path):
    assert "Did you mean 'shapes'?" in message(FileNotFoundError, get_image_files, 'shape')

def test_empty_folder(path):
    (path.parent/'x').mkdir()
    (path.parent/'x'/'readme.txt').touch()
    assert 'No images under x (1 files of any kind; looked for .jpg, .png' in message(FileNotFoundError, block().dataloaders, Path('x'))

def test_from_folder_without_train_and_valid(path):
    m = message(FileNotFoundError, ImageDataLoaders.from_folder, path)
    assert "No 'train' and 'valid' folders in 'shapes'" in m and 'circle, tri' in m and 'valid_pct=0.2' in m

def test_forgot_get_items(path):
    assert 'Give get_items=get_image_files, or pass a list of files' in message(TypeError, block(get_items=None).dataloaders, path)

# Labels

def test_label_function_raises(path):
    m = message(KeyError, block(get_y=lambda o: {}[o.name]).dataloaders, path)
    assert 'while labelling' in m and 'shapes/circle/circle_0.jpg' in m and '<lambda>' in m

def test_label_is_none(path):
    m = message(ValueError, block(get_y=lambda o: None).dataloaders, path)
    assert "get_y returned None for 24 of 24 items (first: 'shapes/circle/circle_0.jpg')" in m

def test_label_is_a_list(path):
    m = message(TypeError, block(get_y=lambda o: [o.parent.name]).dataloaders, path)
    assert "get_y returned a list (['circle'])" in m and 'Use MultiCategoryBlock for several' in m

@pytest.mark.parametrize('get_y', [None, lambda o: o.name])
def test_labels_all_different(path, get_y):
    m = message(ValueError, block(get_y=get_y).dataloaders, path)
    assert '24 items have 24 different labels. Is get_y right?' in m and "First: 'shapes/circle/circle_0.jpg'" in m

def test_class_only_in_validation(path):
    b = block(splitter=FuncSplitter(lambda o: o.parent.name=='tri' or o.stem.endswith('_1')), get_y=lambda o: o.stem if o.parent.name=='circle' else 'tri')
    assert 'in validation and none in training' in message(ValueError, b.dataloaders, path)
    b = block(splitter=FuncSplitter(lambda o: o.parent.name=='tri'), get_y=lambda o: 'tri' if o.parent.name=='tri' else f'circle{len(o.stem)%2}')
    assert "Class 'tri' has 12 items in validation and none in training" in message(ValueError, b.dataloaders, path)

def test_one_class_only(path):
    m = message(ValueError, block(get_y=lambda o: 'bird').dataloaders, path)
    assert "Only one class ('bird', 24 items): there is nothing to learn" in m

def test_regex_does_not_match(path):
    m = message(ValueError, ImageDataLoaders.from_name_re, path, get_image_files(path), r'/([^/]+)_\d+.png$')
    assert 'from_name_re' in m and '0 of 24' in m

def test_regex_matches_the_path_but_not_the_name(path):
    m = message(ValueError, ImageDataLoaders.from_name_re, path, get_image_files(path), r'/([^/]+)_\d+.jpg$')
    assert 'from_path_re' in m and 'whole path' in m

def test_regex_without_a_group(path):
    assert 'has no (group); put the label part in parentheses' in message(ValueError, ImageDataLoaders.from_name_re, path, get_image_files(path), r'\d+')

def test_from_lists_of_different_lengths(path):
    fs = get_image_files(path)
    assert '24 files but 20 labels' in message(ValueError, ImageDataLoaders.from_lists, path, fs, ['a','b']*10)

def test_from_df_swapped(path):
    df = pd.DataFrame({'name': ['a.jpg'], 'label': ['x']})
    assert 'DataFrame' in message(TypeError, ImageDataLoaders.from_df, path, df)

def test_from_csv_without_the_file(path):
    assert 'labels.csv' in message(FileNotFoundError, ImageDataLoaders.from_csv, path)

def test_from_df_with_a_misspelt_column(path):
    df = pd.DataFrame({'name': [f'circle/circle_{i}.jpg' for i in range(12)], 'label': ['a','b']*6})
    assert "Did you mean 'label'?" in message((KeyError,ValueError), ImageDataLoaders.from_df, df, path, label_col='labell')

# Splits

def test_everything_in_validation(path):
    assert 'The splitter put all 24 items in validation, 0 in training' in message(ValueError, block(splitter=FuncSplitter(lambda o: True)).dataloaders, path)

def test_nothing_in_validation(path):
    assert 'all 24 items in training, 0 in validation' in message(ValueError, block(splitter=FuncSplitter(lambda o: False)).dataloaders, path)

def test_splitter_not_called(path):
    assert 'RandomSplitter needs to be called: RandomSplitter(valid_pct=0.2)' in message(TypeError, block, splitter=RandomSplitter)

def test_bs_larger_than_the_training_set(path):
    with pytest.warns(UserWarning, match='bs=256 but only 18 training items: using bs=18'): dls = block().dataloaders(path, bs=256)
    assert len(dls.train)==1

# Files

def cut_short(path, i=3):
    f = path/'circle'/f'circle_{i}.jpg'
    f.write_bytes(f.read_bytes()[:300])
    return f

@pytest.mark.parametrize('workers', [0, 2])
def test_truncated_picture_is_named(path, workers):
    f = cut_short(path)
    def read_all():
        dls = block().dataloaders(path, bs=4, num_workers=workers)
        for dl in dls: list(dl)
        for i in range(len(dls.train_ds)): dls.train_ds[i]
    m = message(OSError, read_all)
    assert f'{f.as_posix()}' in m and 'truncated' in m and 'verify_images' in m

def test_file_that_is_not_a_picture(path):
    for i in range(12): (path/'circle'/f'circle_{i}.jpg').write_text('<html>403 Forbidden</html>')
    m = message(OSError, block().dataloaders, path)
    assert 'circle_' in m and 'web page' in m

def test_verify_images_finds_them_and_deletes_nothing(path):
    f = cut_short(path)
    failed = verify_images(get_image_files(path))
    assert list(failed)==[f] and f.exists()
    failed.map(Path.unlink)
    block().dataloaders(path, bs=4)

def test_missing_file_in_a_list(path):
    fs = list(get_image_files(path)) + [path/'circle'/'gone.jpg']
    assert 'gone.jpg' in message(FileNotFoundError, block(get_items=None).dataloaders, fs)

def test_different_sizes(path):
    draw(path/'circle'/'circle_0.jpg', 3, size=(64, 20))
    b = block(item_tfms=None, splitter=IndexSplitter([5, 20]))
    m = message(ValueError, b.dataloaders, path)
    assert "'shapes/circle/circle_0.jpg' is 64x20" in m and 'is 40x32' in m and 'item_tfms=Resize(224)' in m

# Keywords

@pytest.mark.parametrize('kw,meant', [('btch_tfms','batch_tfms'), ('shufle','shuffle'), ('num_worker','num_workers')])
def test_misspelt_in_dataloaders(path, kw, meant):
    m = message(TypeError, block().dataloaders, path, **{kw: None})
    assert f"dataloaders() got an unknown argument '{kw}'. Did you mean '{meant}'?" in m

@pytest.mark.parametrize('kw', ['size','ds_tfms','csv_labels','btch_tfms'])
def test_misspelt_in_from_functions(path, kw):
    fs = get_image_files(path)
    calls = {'from_folder': (path,), 'from_name_func': (path, fs, parent_label), 'from_path_func': (path, fs, parent_label), 'from_name_re': (path, fs, '(.)'),
             'from_path_re': (path, fs, '(.)'), 'from_df': (pd.DataFrame({'a': [1]}),), 'from_csv': (path,), 'from_lists': (path, fs, [1]*24)}
    for name,args in calls.items():
        m = message(TypeError, getattr(ImageDataLoaders, name), *args, **{kw: 1})
        assert f"{name}() got an unknown argument '{kw}'" in m, name

def test_misspelt_in_datablock(): assert "Did you mean 'get_items'?" in message(TypeError, DataBlock, get_item=get_image_files)

def test_resize_method(): assert "method must be 'crop', 'pad' or 'squish', not 'squash'" in message(ValueError, Resize, 64, method='squash')

# Downloads

def test_no_network_for_data(tmp_path, monkeypatch):
    monkeypatch.setenv('WHOLEGAME_OFFLINE', '0')
    monkeypatch.setenv('WHOLEGAME_HOME', str(tmp_path))
    m = message(Exception, untar_data, 'http://127.0.0.1:9/mnist_tiny.tgz')
    assert 'mnist_tiny.tgz' in m and 'WHOLEGAME_MIRROR' in m and 'WHOLEGAME_OFFLINE=1' in m

def test_unknown_url(): assert "Did you mean 'PETS'?" in message(AttributeError, getattr, URLs, 'PTES')

# What worked and has to go on working

def test_mixed_modes_train(path):
    for i,mode in enumerate(['L','RGBA','P','1','LA']): Image.new('RGB', (40,32), (i*30,90,10)).convert(mode).save(path/'circle'/f'm{i}.png')
    dls = block().dataloaders(path, bs=4)
    assert all(xb.shape[1]==3 for xb,_ in dls.train)

def test_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.new('RGB', (100,50)).save(tmp_path/'turned.jpg', exif=exif)
    assert PILImage.create(tmp_path/'turned.jpg').size==(50,100)

def test_files_are_sorted(path): assert list(get_image_files(path))==sorted(path.rglob('*.jpg'))

def test_lists_given_are_not_changed(path):
    tfms,blocks = [Resize(32)],[ImageBlock, CategoryBlock]
    block(blocks=blocks, item_tfms=tfms, batch_tfms=(b := [])).dataloaders(path, bs=4).normalize(imagenet_stats)
    assert (len(tfms),len(blocks),len(b))==(1,2,0)


# --- numbers that are numpy's

def test_positions_not_a_mask():
    for o in ([True,False], np.array([True,False]), torch.tensor([True,False])):
        assert 'wants positions, not True and False' in message(TypeError, IndexSplitter, o)
    train,valid = IndexSplitter(iter([1,1,np.int64(2)]))(range(4))
    assert (list(train),list(valid))==([0,3],[1,2])


def test_numbers_of_numpy(path):
    set_seed(np.int64(3))
    dls = DataBlock((ImageBlock,CategoryBlock), get_items=get_image_files, get_y=parent_label, item_tfms=Resize(16),
        splitter=RandomSplitter(np.float32(0.25), seed=np.int64(1))).dataloaders(path, bs=np.int64(4), seed=np.int64(2))
    assert len(dls.one_batch()[1])==4


def test_missing_number_of_numpy(): assert 'returned nan for 1 of 3 items' in message(ValueError, CategoryBlock().setup, [1,np.float32('nan'),2], [0,1], [2], 'abc')


def test_odd_batch_sizes(path):
    for bs in (0, 2.5, '4'): assert 'bs is the number of items in a batch' in message(ValueError, block().dataloaders, path, bs=bs)
    assert len(block().dataloaders(path, bs=4.0).one_batch()[1])==4


def test_names_of_classes_are_not_html(path):
    (path/'tri').rename(path/'<b>tri')
    assert '&lt;b&gt;tri' in block().dataloaders(path, bs=4)._repr_html_()


def test_one_picture_to_test(path):
    dls = block().dataloaders(path, bs=4)
    f = next(path.rglob('*.jpg'))
    with Image.open(f) as img:
        for o in (f, str(f), f.read_bytes(), img): assert dls.test_dl(o).n==1


# --- arrays that are no pictures

@pytest.mark.parametrize('a,words', [(np.full((4,4,3), 300), 'whole numbers goes from 0 to 255; this one from 300 to 300'), (np.full((4,4), -1), 'from -1 to -1'),
    (np.zeros((0,5,3), np.uint8), 'has no pixels'), (np.zeros((0,5)), 'has no pixels'), (torch.zeros(2,3,4,4), 'batch of 2'), (np.zeros((2,4,4,3)), 'batch of 2')], ids=lambda o: str(getattr(o, 'shape', '')))
def test_arrays_that_are_no_pictures(a, words): assert words in message(ValueError, PILImage.create, a)


def test_numbers_of_every_kind():
    want = PILImage.create(np.full((2,3,3), 255, np.uint8)).tobytes()
    for o in (np.full((2,3,3), 255), torch.ones(3,2,3).bfloat16(), torch.ones(3,2,3).half(), np.ones((2,3,3), bool), torch.full((3,2,3), 255, dtype=torch.int64)):
        assert PILImage.create(o).tobytes()==want

"The cleaner of photos where a page does not show it: without ipywidgets, with labels from elsewhere, with files that vanish."
import shutil
import pytest
import torch

from wholegame.data.samples import draw_bird, draw_forest
from wholegame.vision import widgets
from wholegame.vision.all import *
from wholegame.vision.widgets import ImageClassifierCleaner, undo_cleaning

torch.set_num_threads(1)

@pytest.fixture
def path(tmp_path):
    for kind,draw in ('bird',draw_bird), ('forest',draw_forest):
        (tmp_path/'photos'/kind).mkdir(parents=True)
        for i in range(8): draw(i, 32).save(tmp_path/'photos'/kind/f'{i}.jpg')
    return tmp_path/'photos'

def learner(path, **kw):
    dls = ImageDataLoaders.from_folder(path, item_tfms=Resize(32), bs=4, **{'valid_pct':0.25, 'seed':1, **kw})
    return vision_learner(dls, 'test_resnet', pretrained=False, path=path).no_bar()

@pytest.fixture
def cleaner(path): return ImageClassifierCleaner(learner(path), max_n=6)

def files(path): return sorted(o.relative_to(path).as_posix() for o in get_image_files(path))

def test_lines_of_the_lessons(path, cleaner):
    "What books and answers do with fastai's cleaner"
    cleaner.mark(0, '<Delete>').mark([1,2], 'forest' if cleaner.labels[1]=='bird' else 'bird')
    gone,moved = cleaner.fns[0],[cleaner.fns[i] for i,_ in cleaner.change()]
    for i,o in enumerate(moved): o.rename(o.with_name(f'moved_{i}.jpg')); cleaner.fns[cleaner.change()[i][0]] = o.with_name(f'moved_{i}.jpg')
    for idx in cleaner.delete(): cleaner.fns[idx].unlink()
    for idx,cat in cleaner.change(): shutil.move(str(cleaner.fns[idx]), path/cat)
    assert not gone.exists() and len(files(path))==15 and all((path/c/f'moved_{i}.jpg').exists() for i,(_,c) in enumerate(cleaner.change()))

def test_without_ipywidgets(cleaner, monkeypatch, capsys):
    monkeypatch.setattr(widgets, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'wholegame\[widgets\]'.*cleaner.mark\(3, 'delete'\)"): cleaner.widget()
    cleaner._ipython_display_()
    assert 'cleaner.worst(12)' in capsys.readouterr().out
    assert len(plt.gcf().axes)==12
    cleaner.mark(3, 'delete')
    assert cleaner.delete()==[3] and '1 to delete' in repr(cleaner)
    plt.close('all')

def test_marks_survive_every_view(cleaner):
    ui = cleaner.widget() and cleaner.ui
    first = list(ui.cards)
    ui.cards[first[0]][1].value = 'delete'
    for label in 'forest','bird','':
        for part in 'train','valid','':
            ui.label.value,ui.part.value = label,part
            assert all((label in ('',cleaner.labels[i])) and (part in ('',cleaner.parts[i])) for i in ui.cards)
    assert cleaner.delete()==[first[0]] and ui.cards[first[0]][1].value=='delete'
    ui.cards[first[0]][1].value = 'keep'
    assert cleaner.marks=={}

def test_apply_in_the_widget(path, cleaner):
    ui = cleaner.widget() and cleaner.ui
    i = next(iter(ui.cards))
    cleaner.mark(i, 'delete').apply()
    assert i not in ui.cards and len(files(path))==15 and '0 to delete' in ui.info.value
    with pytest.raises(ValueError, match='without those removed'): cleaner.mark(i, 'keep')

def test_train_and_valid_folders(tmp_path):
    "A photo stays in its part"
    for part in 'train','valid':
        for kind,draw in ('bird',draw_bird), ('forest',draw_forest):
            (tmp_path/part/kind).mkdir(parents=True)
            for i in range(4): draw(i, 32).save(tmp_path/part/kind/f'{i}.jpg')
    c = ImageClassifierCleaner(learner(tmp_path, valid_pct=None, seed=None))
    i = next(i for i in range(16) if c.parts[i]=='valid' and c.labels[i]=='bird')
    name,before = c.fns[i].name,files(tmp_path)
    log = c.mark(i, 'forest').apply()
    assert f'valid/forest/{Path(name).stem}_1.jpg' in files(tmp_path) and c.fns[i]==tmp_path/'valid'/'forest'/f'{Path(name).stem}_1.jpg' and c.labels[i]=='forest'
    assert undo_cleaning(log)==1 and files(tmp_path)==before

def test_to_another_folder(path, cleaner, tmp_path):
    i = cleaner.labels.index('bird')
    cleaner.mark(i, 'forest').apply(tmp_path/'clean')
    assert (tmp_path/'clean'/'forest'/cleaner.fns[i].name).exists()

def test_labels_that_are_not_folders(path):
    fs = get_image_files(path)
    dls = ImageDataLoaders.from_lists(path, fs, ['even' if int(o.stem)%2 else 'odd' for o in fs], seed=1, item_tfms=Resize(32), bs=4)
    c = ImageClassifierCleaner(vision_learner(dls, 'test_resnet', pretrained=False).no_bar())
    c.mark(0, 'delete').mark(1, 'odd' if c.labels[1]=='even' else 'even')
    with pytest.raises(ValueError, match='not the name of its folder.*correct the labels'): c.apply()
    assert len(files(path))==16
    c.mark(1, 'keep').apply()
    assert len(files(path))==15

def test_files_that_vanished(path, cleaner):
    cleaner.mark([0,1], 'delete')
    cleaner.fns[1].unlink()
    with pytest.raises(FileNotFoundError, match='Marked, but gone: 1 .*Nothing was moved'): cleaner.apply()
    assert cleaner.fns[0].exists()

def test_stopped_half_way(path, cleaner, monkeypatch):
    "What was moved before the stop can be undone"
    before = files(path)
    cleaner.mark([0,1,2], 'delete')
    rename,n = Path.rename,[]
    def stop(self, new):
        n.append(1)
        if len(n)==2: raise OSError('disk full')
        return rename(self, new)
    monkeypatch.setattr(Path, 'rename', stop)
    with pytest.raises(OSError, match='disk full'): cleaner.apply()
    monkeypatch.setattr(Path, 'rename', rename)
    assert len(files(path))==15
    assert undo_cleaning(path/'.removed'/'moved.csv')==1 and files(path)==before
    with pytest.raises(FileNotFoundError, match='nothing to undo'): undo_cleaning(path/'.removed'/'moved.csv')

def test_nothing_marked(cleaner, capsys):
    cleaner.apply()
    assert 'Nothing is marked' in capsys.readouterr().out

def test_marks_of_photos_that_are_gone(path, cleaner, tmp_path, capsys):
    f = cleaner.mark([0,1], 'delete').save(tmp_path/'m.csv')
    cleaner.fns[0].unlink()
    again = ImageClassifierCleaner(learner(path)).load(f)
    assert len(again.delete())==1 and 'Marked, but not in this data: 1 of 2' in capsys.readouterr().out

def test_other_kinds_of_targets(path):
    fs = get_image_files(path)
    dls = ImageDataLoaders.from_lists(path, fs, [float(o.stem) for o in fs], seed=1, item_tfms=Resize(32), bs=4)
    with pytest.raises(TypeError, match='one class each'): ImageClassifierCleaner(vision_learner(dls, 'test_resnet', pretrained=False).no_bar())

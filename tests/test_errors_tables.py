"""What people really do wrong with tables, and what they are told: one test a mistake."""
import json, warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from wholegame.tabular.all import *

pytestmark = pytest.mark.filterwarnings('error')
procs = [Categorify, FillMissing, Normalize]

def people(n=120, seed=0):
    rng = np.random.default_rng(seed)
    df = pd.DataFrame({'workclass':rng.choice(['state','private','own'], n), 'age':rng.integers(18, 80, n).astype(float), 'hours':rng.integers(10, 60, n)})
    df['salary'] = np.where(df.age+df.hours>85, '>=50k', '<50k')
    return df

@pytest.fixture
def df(): return people()

args = dict(procs=procs, cat_names=['workclass'], cont_names=['age','hours'], y_names='salary', seed=0)
def build(df, **kw): return TabularDataLoaders.from_df(df, **{**args, **kw})

def message(error, f, *args, **kw):
    with pytest.raises(error) as e: f(*args, **kw)
    return str(e.value)

@pytest.fixture(scope='module')
def learn():
    set_seed(0)
    return tabular_learner(build(people()), [10]).no_bar()

# Columns

def test_misspelt_column(df): assert "No column 'workclas'. Did you mean 'workclass'?" in message(ValueError, build, df, cat_names=['workclas'])
def test_misspelt_target(df): assert "No column 'sallary'. Did you mean 'salary'?" in message(ValueError, build, df, y_names='sallary')
def test_text_in_cont_names(df):
    m = message(ValueError, build, df, cat_names=[], cont_names=['workclass'])
    assert "'workclass' is text" in m and 'put it in cat_names' in m
def test_missing_without_fill(df):
    df.loc[:29,'age'] = np.nan
    assert "'age' has 30 missing values: add FillMissing to procs." in message(ValueError, build, df, procs=[Categorify, Normalize])
def test_no_procs(df): assert 'pass procs=[Categorify, FillMissing, Normalize]' in message(ValueError, build, df, procs=None)
def test_target_is_an_input(df): assert "'salary' is the target and an input" in message(ValueError, build, df, cat_names=['workclass','salary'])
def test_dates(df): assert "add_datepart(df, 'day')" in message(ValueError, build, df.assign(day=pd.Timestamp('2020-01-01')), cont_names=['day'])
def test_infinite(df):
    df.loc[3,'age'] = np.inf
    assert "'age' has 1 infinite value" in message(ValueError, build, df)
def test_all_missing(df): assert "'age' is missing in all 96 training rows" in message(ValueError, build, df.assign(age=np.nan))
def test_misspelt_argument(df):
    assert "from_df() got an unknown argument 'cat_name'. Did you mean 'cat_names'?" in message(TypeError, TabularDataLoaders.from_df, df, cat_name=[])
    assert "from_csv() got an unknown argument 'y_name'. Did you mean 'y_names'?" in message(TypeError, TabularDataLoaders.from_csv, 'x.csv', y_name='a')
    assert "Did you mean 'metrics'?" in message(TypeError, tabular_learner, build(df), metric=accuracy)
def test_wrong_proc(df): assert 'procs takes Categorify, FillMissing, Normalize' in message(TypeError, build, df, procs=['Categorify'])
def test_no_such_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('people.csv').write_text('a,b\n1,2\n')
    assert 'people.csv' in message(FileNotFoundError, TabularDataLoaders.from_csv, 'peple.csv', y_names='b')

# Targets

def test_missing_targets(df):
    df.loc[:5,'salary'] = None
    assert "6 rows have no 'salary': drop them" in message(ValueError, build, df)

def test_whole_numbers_as_target(df, capsys):
    dls = build(df.assign(salary=(df.salary=='>=50k').astype(int)))
    assert "'salary' has 2 different whole numbers: taken for classes" in capsys.readouterr().out
    assert dls.c==2 and dls.vocab==[0,1]
    assert build(df.assign(salary=(df.salary=='>=50k').astype(int)), y_block=RegressionBlock()).c==1

def test_one_class_only(df): assert "Only one class ('<50k', 120 items)" in message(ValueError, build, df.assign(salary='<50k'))
def test_class_only_in_validation(df):
    df.loc[0,'salary'] = 'rich'
    assert "Class 'rich' has 1 item in validation and none in training" in message(ValueError, build, df, valid_idx=[0,1,2])
def test_classes_of_training_rows_only():
    "Learnt from each value once, and the same as from every row"
    from wholegame.tabular.core import encode_target
    df = pd.DataFrame({'y':list('cabcabbb')})
    for y_block in CategoryBlock(sort=False),CategoryBlock(),CategoryBlock(vocab=['b','a','c','d']):
        splits = np.array([2,3,1,0]),np.array([4,5,6,7])
        slow = y_block.new().setup(df.y.tolist(), *map(np.ndarray.tolist, splits), range(8))
        codes = encode_target(y_block, df, ['y'], splits)
        assert y_block.vocab==slow.vocab and [y_block.vocab[i] for i in codes]==df.y.tolist()
    with pytest.raises(ValueError, match="Class 'c' has 2 items in validation and none in training"): encode_target(CategoryBlock(), df, ['y'], ([1,2,4,5],[0,3,6,7]))
    with pytest.raises(ValueError, match='8 items have 8 different labels'): encode_target(CategoryBlock(), df.assign(y=list('abcdefgh')), ['y'], ([0,1,2,3,4,5,6],[7]))

def test_two_targets_of_text(df): assert "'salary' is text, and there are 2 targets" in message(ValueError, build, df, y_names=['salary','hours'], cont_names=['age'])

# Splits

def test_splits(df):
    assert 'in training and in validation' in message(ValueError, TabularPandas, df, procs, ['workclass'], ['age'], 'salary', splits=([0,1,2],[2,3]))
    assert 'Position 120 is not there' in message(ValueError, TabularPandas, df, procs, ['workclass'], ['age'], 'salary', splits=([0,1],[120]))
    assert 'RandomSplitter needs to be called' in message(TypeError, TabularPandas, df, procs, ['workclass'], ['age'], 'salary', splits=RandomSplitter)
    assert 'no validation rows' in message(ValueError, TabularPandas(df, procs, ['workclass'], ['age'], 'salary').dataloaders)

def test_large_batches(df):
    with pytest.warns(UserWarning, match='bs=256 but only 96 training items: using bs=96'): dls = build(df, bs=256)
    assert len(dls.train)==1

# New rows

def test_unseen_category(learn):
    row = dict(workclass='Martian', age=30, hours=40)
    with pytest.warns(UserWarning, match="workclass='Martian' was not seen in training: treated as missing"): a = learn.predict(row)
    with pytest.warns(UserWarning, match='was not seen in training'): b = learn.get_preds(dl=learn.dls.test_dl(pd.DataFrame([row])))[0][0]
    c = learn.predict({**row, 'workclass':None})
    assert torch.allclose(a[2], b, atol=1e-6) and torch.allclose(a[2], c[2])

def test_categories_go_by_value(learn):
    "A frame of tomorrow has other codes for the same values, or a column of categories with values that nobody uses"
    rows = people(30, seed=5)
    want = learn.get_preds(dl=learn.dls.test_dl(rows))[0]
    for cats in (['state','private','own'], ['own','Martian','private','state']):
        got = learn.get_preds(dl=learn.dls.test_dl(rows.assign(workclass=pd.Categorical(rows.workclass, cats))))[0]
        assert torch.equal(want, got)

def test_gap_where_there_was_none(learn):
    with pytest.warns(UserWarning, match="'age' is missing in 1 row, and never was in training: [0-9.]+ is taken"): a = learn.predict(dict(workclass='own', age=None, hours=40))
    assert torch.isfinite(a[2]).all()

def test_missing_column(learn):
    m = message(ValueError, learn.predict, dict(workclass='own', hours=40))
    assert 'The model needs the columns workclass, age, hours; missing: age' in m
    assert "missing: age. Did you mean 'Age'?" in message(ValueError, learn.dls.test_dl, people(3).rename(columns={'age':'Age'}))

def test_row_in_any_form(learn):
    row = people(1).drop(columns='salary')
    answers = [learn.predict(o)[2] for o in (row, row.iloc[0], row.iloc[0].to_dict(), people(1).iloc[0])]
    assert all(torch.allclose(o, answers[0]) for o in answers)

def test_several_rows_at_once(learn):
    assert 'One row is wanted, and the frame has 3' in message(ValueError, learn.predict, people(3))
    assert 'One row is wanted, as a dict, a Series or a frame with one row, not a list' in message(TypeError, learn.predict, [people(1).iloc[0].to_dict()]*2)
    assert len(learn.predict_batch(people(3)))==len(learn.predict_batch(people(3).to_dict('records')))==3

def test_no_number(learn):
    assert "age='thirty' is not a number" in message(ValueError, learn.predict, dict(workclass='own', age='thirty', hours=40))
    assert "workclass=['own'] is a list; one value is wanted" in message(ValueError, learn.predict, dict(workclass=['own'], age=30, hours=40))

# What is passed stays as it is

def test_nothing_is_changed(df):
    df.loc[:4,'age'] = np.nan
    cats,conts,ys,before = ['workclass'],['age','hours'],['salary'],df.copy()
    for _ in range(2):
        dls = build(df, cat_names=cats, cont_names=conts, y_names=ys)
        assert (cats,conts,ys)==(['workclass'],['age','hours'],['salary']) and list(dls.classes)==['workclass','age_na']
    pd.testing.assert_frame_equal(df, before)
    new = people(5)
    new.loc[0,'age'] = np.nan
    before = new.copy()
    dls.test_dl(new, with_labels=True)
    pd.testing.assert_frame_equal(new, before)

def test_procs_that_are_functions(df, tmp_path):
    half = lambda df: df.assign(half=df.age/2)
    learn = tabular_learner(build(df, procs=[half,*procs], cont_names=['half','hours'], path=tmp_path), [5]).no_bar()
    row = people(1).iloc[0]
    a = learn.predict(row)[2]
    assert torch.allclose(a, learn.get_preds(dl=learn.dls.test_dl(people(1)))[0][0], atol=1e-6)
    with pytest.warns(UserWarning, match='named, not stored: <lambda>'): file = learn.export()
    assert '<lambda>' in message(ValueError, load_learner, file)
    assert torch.allclose(load_learner(file, item_tfms=[half]).predict(row)[2], a)
    assert 'has to return a new frame' in message(TypeError, build, df, procs=[lambda df: None, *procs])

# Numbers as names

def test_categories_that_are_numbers(tmp_path):
    df = people().assign(zip=np.random.default_rng(0).choice([10115, 20095, 80331], 120))
    df.loc[:9,'zip'] = np.nan # pandas makes decimals of the others
    learn = tabular_learner(build(df, cat_names=['zip'], path=tmp_path), [5]).no_bar()
    again = load_learner(learn.export())
    for z in (10115, 10115., np.int64(10115)):
        assert torch.allclose(again.predict(dict(zip=z, age=30, hours=40))[2], learn.predict(dict(zip=10115, age=30, hours=40))[2])

def test_booleans_and_objects(tmp_path):
    df = people().assign(member=lambda o: o.age>40, when=pd.date_range('2020-01-01', periods=120).date)
    df['when'] = df.when.where(np.arange(120)<60, df.when[0])
    learn = tabular_learner(build(df, cat_names=['member','when'], path=tmp_path), [5]).no_bar()
    assert learn.dls.classes['member']==['#na#',False,True] and learn.dls.classes['when'][1]=='2020-01-01'
    row = df.drop(columns='salary').iloc[0]
    assert torch.allclose(load_learner(learn.export()).predict(row)[2], learn.predict(row)[2])

def test_nothing_but_numbers_or_names(df):
    for kw in (dict(cat_names=[]), dict(cont_names=[])):
        learn = tabular_learner(build(df, **kw), [5]).no_bar()
        learn.fit(1)
        assert torch.isfinite(learn.predict(df.iloc[0])[2]).all()
    assert 'no input columns' in message(ValueError, build, df, cat_names=[], cont_names=[])

# Files from strangers

def test_description_from_a_stranger(learn, tmp_path):
    from wholegame.files import load_tree, save_tree
    learn.path = tmp_path
    tree,d = load_tree(learn.export())
    for change in ({'layers':['x']}, {'emb_szs':[[10**12,4]]}, {'builder':'os'}):
        file = save_tree(tree, tmp_path/'bad.safetensors', {**d, 'model':{**d['model'], **change}})
        assert message(ValueError, load_learner, file)

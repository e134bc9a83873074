"""Forests and boosting beside a network: what their page does not show."""
import importlib.util

import numpy as np
import pandas as pd
import pytest
import torch

from wholegame.tabular.all import *
from wholegame.tabular import rivals
from wholegame.tabular.rivals import boosting, compare, random_forest

procs = [Categorify, FillMissing, Normalize]

def people(n=200, seed=0):
    rng = np.random.default_rng(seed)
    df = pd.DataFrame({'town':rng.choice(['Aa','Bo','Cy'], n), 'km':rng.uniform(1, 20, n), 'age':rng.integers(18, 70, n).astype(float)})
    df.loc[::20,'age'] = np.nan
    return df.assign(cycles=np.where(df.km<8, 'yes', 'no'))

def build(df, **kw): return TabularDataLoaders.from_df(df, procs=procs, cat_names=['town'], cont_names=['km','age'], y_names='cycles', seed=0, **kw)

@pytest.fixture
def df(): return people()

both = pytest.mark.parametrize('fit', [random_forest, boosting])

@both
def test_loaders_and_table_give_the_same(df, fit):
    splits = list(range(150)),list(range(150,200))
    to = TabularPandas(df, procs, ['town'], ['km','age'], 'cycles', splits=splits)
    a,b = (fit(o, n_estimators=10).get_preds()[0] for o in (to, to.dataloaders()))
    assert torch.equal(a, b)

@both
def test_frame_stays(df, fit):
    before = df.copy()
    r = fit(build(df), n_estimators=5)
    r.get_preds(df)
    r.predict(df.iloc[0])
    pd.testing.assert_frame_equal(df, before)

@both
def test_unknown_and_missing_values(df, fit):
    r = fit(build(df), n_estimators=5)
    with pytest.warns(UserWarning, match='not seen in training'): said,_,probs = r.predict({'town':'Zz', 'km':3, 'age':None})
    assert said in r.vocab and abs(probs.sum()-1)<1e-5

@both
def test_column_that_is_gone(df, fit):
    with pytest.raises(ValueError, match='missing: km'): fit(build(df), n_estimators=5).get_preds(df.drop(columns='km'))

def test_lightgbm_absent(df, monkeypatch):
    monkeypatch.setattr(rivals, 'find_spec', lambda o: None)
    with pytest.raises(ImportError, match='pip install lightgbm'): boosting(build(df))
    with pytest.raises(ImportError, match='pip install scikit-learn'): random_forest(build(df))

def test_other_validation_rows(df):
    dls = build(df)
    learn = tabular_learner(dls, [5]).no_bar()
    other = random_forest(build(df, valid_idx=list(range(30))), 5)
    with pytest.raises(ValueError, match='other validation rows'): compare(learn, other)
    with pytest.raises(TypeError, match='wants rivals'): compare(learn, dls)

def test_no_target(df):
    with pytest.raises(ValueError, match='There is no target'): random_forest(TabularPandas(df, procs, ['town'], ['km']))

def test_too_few_rows(df):
    with pytest.raises(ValueError, match='20 is the least'): boosting(build(df[:20]))

"""What people really do wrong with ratings, and what they are told: one test a mistake."""
import numpy as np
import pandas as pd
import pytest
import torch

from wholegame.collab.all import *

pytestmark = pytest.mark.filterwarnings('error')

def ratings(seed=0):
    "Forty people and thirty films; each pair once at most"
    rng = np.random.default_rng(seed)
    u,i = np.divmod(rng.permutation(40*30)[:600], 30)
    return pd.DataFrame({'userId':u+100, 'movieId':i*97+1, 'rating':rng.integers(2, 11, 600)/2, 'timestamp':rng.integers(10**9, 2*10**9, 600)})

@pytest.fixture
def df(): return ratings()

def build(df, **kw): return CollabDataLoaders.from_df(df, **{**dict(seed=0, bs=32), **kw})

def message(error, f, *args, **kw):
    with pytest.raises(error) as e: f(*args, **kw)
    return str(e.value)

@pytest.fixture(scope='module')
def learn():
    set_seed(0)
    res = collab_learner(build(ratings()), 5, y_range=(0.5,5.5)).no_bar()
    res.fit(1, 0.01)
    return res

# Columns

def test_says_what_it_took(df, capsys):
    build(df)
    assert 'Columns taken as user=userId, item=movieId, rating=rating' in capsys.readouterr().out
def test_says_nothing_when_named(df, capsys):
    build(df, user_name='userId', item_name='movieId', rating_name='rating')
    assert capsys.readouterr().out==''
def test_other_order(df):
    m = message(ValueError, build, df[['rating','userId','movieId']])
    assert 'Columns taken as user=rating, item=userId, rating=movieId' in m and "rating_name='rating'" in m
def test_named_in_any_order(df):
    dls = build(df[['rating','userId','movieId']], user_name='userId', item_name='movieId', rating_name='rating')
    assert list(dls.classes)==['userId','movieId'] and dls.rating_name=='rating'
def test_misspelt_column(df): assert "No column 'moveId'. Did you mean 'movieId'?" in message(ValueError, build, df, item_name='moveId')
def test_same_column_twice(df): assert "user=movieId, item=movieId, rating=rating: one column can't be two things" in message(ValueError, build, df, user_name='movieId')
def test_too_few_columns(df): assert 'three columns, user, item and rating, and here are 2: userId, movieId' in message(ValueError, build, df[['userId','movieId']])
def test_misspelt_argument(df):
    assert "from_df() got an unknown argument 'rating_nme'. Did you mean 'rating_name'?" in message(TypeError, CollabDataLoaders.from_df, df, rating_nme='rating')
    assert "from_csv() got an unknown argument 'user'. Did you mean 'user_name'?" in message(TypeError, CollabDataLoaders.from_csv, 'x.csv', user='a')
    assert "Did you mean 'n_factors'?" in message(TypeError, collab_learner, build(df), n_factor=3)

# Values

def test_rating_is_text(df): assert "'rating' is text (first: " in message(ValueError, build, df.assign(rating=df.rating.astype(str)))
def test_rating_in_words(df):
    m = message(ValueError, build, df.assign(rating='good'))
    assert "'rating' is text (first: 'good'), and a rating is a number" in m and 'rating_name=' in m
def test_missing_values(df):
    df = df.astype(float)
    df.loc[:2,'rating'],df.loc[5,'userId'] = np.nan,np.nan
    m = message(ValueError, build, df)
    assert "1 row has no 'userId', 3 rows have no 'rating': drop them first" in m and "dropna(subset=['userId', 'rating'])" in m
def test_missing_item(df): assert "1 row has no 'movieId'" in message(ValueError, build, df.assign(movieId=df.movieId.astype(object).where(df.index!=3, None)))
def test_infinite_rating(df): assert "'rating' has 1 infinite value" in message(ValueError, build, df.assign(rating=df.rating.where(df.index!=3, np.inf)))
def test_no_rows(df): assert 'The table has no rows' in message(ValueError, build, df[:0])
def test_one_user(df): assert "Only one user ('userId' is always 1)" in message(ValueError, build, df.assign(userId=1).drop_duplicates('movieId'))
def test_one_item(df): assert "Only one item ('movieId' is always 7)" in message(ValueError, build, df.assign(movieId=7).drop_duplicates('userId'))
def test_all_the_same(df): assert 'All 600 ratings are 1: there is nothing to learn' in message(ValueError, build, df.assign(rating=1))
def test_rated_twice(df):
    with pytest.warns(UserWarning, match="10 ratings are by a user who has rated the same item before.*drop_duplicates"): build(pd.concat([df,df[:10]]))
def test_counts_for_ratings(df):
    big = pd.concat([df,df.assign(userId=df.userId+1000)]).assign(rating=np.arange(1200)*7)
    with pytest.warns(UserWarning, match="'rating' has 1,200 different whole numbers.*take the logarithm"): build(big, rating_name='rating')

# Splits and sizes

def test_users_only_in_validation(df):
    with pytest.warns(UserWarning, match="of .* validation ratings have a 'userId' that no training rating has"): build(df, valid_idx=np.flatnonzero(df.userId>130))
def test_splitter_not_called(df): assert 'RandomSplitter needs to be called: RandomSplitter()' in message(TypeError, build, df, splitter=RandomSplitter)
def test_two_ways_to_split(df): assert 'give one' in message(ValueError, build, df, valid_idx=[1], splitter=RandomSplitter())
def test_all_in_validation(df): assert 'all 600 ratings in validation' in message(ValueError, build, df, splitter=lambda o: ([],range(len(o))))
def test_none_in_validation(df): assert 'There are no validation ratings' in message(ValueError, build, df, splitter=lambda o: (range(len(o)),[]))
def test_in_both_parts(df): assert '2 ratings are in training and in validation' in message(ValueError, build, df, splitter=lambda o: (range(12),range(10, 600)))
def test_position_not_there(df): assert 'Position 600 is not there' in message(ValueError, build, df, splitter=lambda o: (range(500),range(500, 601)))
def test_bs_too_large(df):
    with pytest.warns(UserWarning, match='bs=4096 but only 480 training items: using bs=480'): build(df, bs=4096)
def test_no_time_column(df): assert "No column 'time'. Did you mean 'timestamp'?" in message(ValueError, build, df, splitter=LastSplitter('userId', 'time'))

# Learners

def test_range_too_small(df):
    with pytest.warns(UserWarning, match=r"'rating' goes from 1 to 5, and y_range=\(0, 4\) leaves some of that out"): collab_learner(build(df), y_range=(0,4))
def test_range_backwards(df):
    with pytest.warns(UserWarning), pytest.raises(ValueError, match='from a smaller to a larger number'): collab_learner(build(df), y_range=(5.5,0.5))
def test_other_loaders(): assert 'wants CollabDataLoaders' in message(TypeError, collab_learner, [1,2])
def test_layers_without_network(df): assert 'pass use_nn=True too' in message(ValueError, collab_learner, build(df), layers=[10])
def test_factors_of_a_network(df):
    net = collab_learner(build(df), use_nn=True)
    assert 'needs factors of items' in message(TypeError, nearest_items, net, 1) and len(recommend(net, 100, 3))==3

# Questions, where fastai's predict fails for any row

def test_predict_takes_rows(learn, df):
    row = df.iloc[0]
    for o in (row, df[:1], row.to_dict(), {'userId':int(row.userId), 'movieId':int(row.movieId)}): assert 0.5<learn.predict(o)[0]<5.5
    assert abs(learn.predict_batch(df[:3])[0][0]-learn.predict(row)[0])<1e-4
def test_predict_after_export(learn, df, tmp_path):
    learn.path = tmp_path
    again = load_learner(learn.export())
    assert again.predict(df.iloc[0])[0]==learn.predict(df.iloc[0])[0] and len(recommend(again, 100, 3, seen=[]))==3
def test_missing_column(learn): assert 'The model needs the columns userId, movieId; missing: movieId' in message(ValueError, learn.predict, {'userId':101})
def test_several_rows(learn, df):
    assert 'the frame has 3' in message(ValueError, learn.predict, df[:3])
    assert 'learn.predict_batch(rows)' in message(TypeError, learn.predict, [{'userId':101, 'movieId':1}])
def test_stranger(learn):
    with pytest.warns(UserWarning, match='userId=7 was not seen in training: treated as missing'): assert 0.5<learn.predict({'userId':7, 'movieId':1})[0]<5.5
def test_no_such_user(learn):
    m = message(ValueError, recommend, learn, 7)
    assert 'userId=7 is not among the 40 users' in m and 'fit_user' in m
def test_no_such_item(learn):
    assert 'movieId=2 is not among the' in message(ValueError, nearest_items, learn, 2)
    assert 'movieId=2 is not among the' in message(ValueError, fit_user, learn, {2:5})
def test_no_ratings_of_a_newcomer(learn): assert 'recommend(learn, user=None)' in message(ValueError, fit_user, learn, {})
def test_rating_out_of_range(learn): assert 'go beyond' in message(ValueError, fit_user, learn, {1:9})
def test_nothing_relevant(learn): assert 'nothing is relevant' in message(ValueError, rank_scores, learn, relevant=6)
def test_input_stays(df):
    before = df.copy(deep=True)
    collab_learner(build(df), 3).no_bar().fit(1)
    assert df.equals(before)

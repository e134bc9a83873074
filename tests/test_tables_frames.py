"""Tables of other libraries and files, dates with zones, splits by time: what the pages on them don't show."""
import subprocess, sys
from datetime import date, datetime, timezone
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import torch

from wholegame.data.block import RegressionBlock
from wholegame.data.splits import TimeSplitter, parse_dates, time_folds
from wholegame.data.transforms import ColSplitter, FuncSplitter, GroupSplitter, TrainTestSplitter, rows_of
from wholegame.tabular.core import TabularPandas
from wholegame.tabular.data import TabularDataLoaders
from wholegame.tabular.dates import add_cyclic_datepart, add_datepart, add_elapsed_times, make_date
from wholegame.tabular.frames import as_frame, cont_cat_split, df_shrink, df_shrink_dtypes, read_table
from wholegame.tabular.procs import Categorify, FillMissing, Normalize

pytestmark = pytest.mark.filterwarnings('error')

def message(error, f, *args, **kw):
    with pytest.raises(error) as e: f(*args, **kw)
    return str(e.value)

def same(a, b): pd.testing.assert_frame_equal(a, b, check_dtype=False, check_categorical=False)

# Gaps in every kind of column, a zone, categories in an order
table = pl.DataFrame({'n':[1,None,3], 'x':[.5,None,2.], 'yes':[True,None,False], 'text':['a',None,'ü'], 'day':[date(2020,1,1),None,date(2020,2,29)],
    'at':[datetime(2020,1,1,5),None,datetime(2020,7,1,5)], 'kind':pl.Series(['x',None,'y'], dtype=pl.Categorical), 'size':pl.Series(['lo','hi',None], dtype=pl.Enum(['lo','hi']))}
    ).with_columns(zoned=pl.col('at').dt.replace_time_zone('Europe/Berlin'))

# ---- frames of others

def test_polars_and_arrow_alike():
    a,b = as_frame(table),as_frame(table.to_arrow())
    same(a, b)
    assert list(a['size'].cat.categories)==['lo','hi'] and a['size'].cat.ordered
    assert a.isna().sum().tolist()==[1]*9 and str(a.zoned.dt.tz)=='Europe/Berlin' and a.zoned[2]==pd.Timestamp('2020-07-01 05:00', tz='Europe/Berlin')
    assert [a[o].dtype.kind for o in ('n','x','day','at')]==list('ffMM')

@pytest.mark.parametrize('make', [lambda: table.lazy(), lambda: table.to_arrow().to_batches()[0], lambda: {c:table[c] for c in table.columns},
    lambda: {c:table.to_arrow()[c].combine_chunks() for c in table.columns if c not in ('day','size')}], ids=['lazy','batch','dict of series','dict of arrays'])
def test_other_forms(make):
    df = as_frame(make())
    same(df, as_frame(table)[list(df)])

def test_rows_of_polars(): same(as_frame(table.select('n','text').to_dicts()), as_frame(table.select('n','text')))

def test_polars_without_pyarrow(tmp_path):
    "In a process in which pyarrow can't be imported"
    table.select('n','text','at').write_parquet(tmp_path/'t.parquet')
    code = '''
import sys; sys.modules['pyarrow'] = None
import polars as pl
from datetime import datetime, date
from wholegame.tabular.frames import as_frame, read_table
t = pl.DataFrame({'n':[1,None], 'text':['a',None], 'at':[datetime(2020,1,1),None], 'day':[date(2020,1,1),None], 'e':pl.Series(['b','a'], dtype=pl.Enum(['b','a']))})
df = as_frame(t.with_columns(z=pl.col('at').dt.replace_time_zone('Asia/Tokyo')))
print(df.isna().sum().tolist(), df.z.dt.tz, read_table('t.parquet').shape)
'''
    r = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True)
    assert r.stdout.split()==['[1,','1,','1,','1,','0,','1]','Asia/Tokyo','(3,','3)'], r.stdout+r.stderr

def test_nothing_is_loaded_that_is_not_there():
    code = "import sys, wholegame.tabular.frames, wholegame.data.splits as s, wholegame.tabular.dates; print([o for o in ('pandas','polars','pyarrow') if o in sys.modules])"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout.strip()=='[]'

def test_source_stays():
    before,df = table.clone(),as_frame(table)
    df.loc[0,'n'] = 99
    df['x'] = 0
    assert table.equals(before)
    d = {'a':np.arange(3.), 'b':torch.zeros(3)}
    df = as_frame(d)
    df.loc[0,['a','b']] = 7
    assert d['a'][0]==0 and d['b'][0]==0

def test_no_table():
    assert 'list of rows' in message(TypeError, as_frame, 3)
    assert 'no table' in message(TypeError, as_frame, None) and 'no table' in message(TypeError, as_frame, table['n']) and 'no table' in message(TypeError, as_frame, pa.array([1]))
    assert "2 columns called 'a'" in message(ValueError, as_frame, pa.table([[1],[2]], names=['a','a']))
    assert 'no columns' in message(ValueError, as_frame, {})
    assert "'a' holds one value, 'xyz'" in message(TypeError, as_frame, {'a':'xyz'})
    assert "has ('a', 'b')" in message(ValueError, as_frame, pd.DataFrame({('a','b'):[1]}))

# ---- files

@pytest.mark.parametrize('name,write', [('t.parquet', lambda f: table.write_parquet(f)), ('t.pq', lambda f: pq.write_table(table.to_arrow(), f)), ('t.feather', lambda f: pa.feather.write_feather(table.to_arrow(), str(f))),
    ('t.arrow', lambda f: table.write_ipc(f)), ('t.ipc', lambda f: table.write_ipc_stream(f))], ids=lambda o: o if isinstance(o, str) else '')
def test_binary_round_trip(name, write, tmp_path):
    write(tmp_path/name)
    same(read_table(tmp_path/name), as_frame(table))

def test_pandas_round_trip(tmp_path):
    df = pd.DataFrame({'a':pd.array([1,None], dtype='Int64'), 'c':pd.Categorical(['x','y']), 'z':pd.to_datetime(['2020-01-01',None]).tz_localize('UTC')})
    df.to_parquet(tmp_path/'t.parquet')
    df.to_feather(tmp_path/'t.feather')
    for f in ('t.parquet','t.feather'): pd.testing.assert_frame_equal(as_frame(tmp_path/f), df)

@pytest.mark.parametrize('end', ['.csv','.CSV','.tsv','.csv.gz','.tsv.bz2','.csv.xz','.csv.zip'])
def test_text_round_trip(end, tmp_path):
    df = pd.DataFrame({'a':[1,2], 'b':['x, "y"','ü\tz']})
    f = tmp_path/f't.v1{end}'
    df.to_csv(f, index=False, sep='\t' if 'tsv' in end else ',', compression={'.gz':'gzip','.bz2':'bz2','.xz':'xz','.zip':'zip'}.get(f.suffix))
    pd.testing.assert_frame_equal(read_table(str(f)), df)

def test_bad_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    def write(s, name='t.csv', **kw): (tmp_path/name).write_text(s, **kw); return name
    assert "'t.csv' is empty" in message(ValueError, read_table, write(''))
    assert 'no rows, only columns: a, b' in message(ValueError, read_table, write('a,b\n'))
    assert "2 columns called 'a'" in message(ValueError, read_table, write('a,b,a\n1,2,3\n'))
    assert "pass encoding='latin-1'" in message(ValueError, read_table, write('a,b\nü,1\n', encoding='latin-1'))
    assert "'t.csv' can't be read: " in message(ValueError, read_table, write('a,b\n1,2\n1,2,3,4\n'))
    assert "pass sep='\\t'" in message(ValueError, read_table, write('a\tb\n1\t2\n'))
    assert "unknown argument 'seperator'" in message(TypeError, read_table, write('a,b\n1,2\n'), seperator=';')
    assert "unknown argument 'chunksize'" in message(TypeError, read_table, 't.csv', chunksize=3)
    assert "can't be read as Parquet" in message(ValueError, read_table, write('no parquet', 't.parquet'))
    assert "can't be read as Arrow" in message(ValueError, read_table, write('no arrow at all', 't.feather'))
    assert "unknown argument 'sep'" in message(TypeError, read_table, 't.parquet', sep=';')
    assert 'pd.read_excel(file)' in message(ValueError, read_table, write('', 't.xlsx'))
    assert 'read_table knows .csv, .tsv' in message(ValueError, read_table, write('', 't.dat'))
    assert "is a folder. Tables in" in message(FileNotFoundError, read_table, tmp_path) and 't.csv' in message(FileNotFoundError, read_table, tmp_path)
    assert 'download_url' in message(FileNotFoundError, read_table, 'https://a.org/t.csv')
    assert "Did you mean 't.csv'?" in message(FileNotFoundError, read_table, 'x/y/t.csv') or 't.csv' in message(FileNotFoundError, read_table, 'tt.csv')

def test_arguments_of_csv(tmp_path):
    f = tmp_path/'t.csv'
    f.write_text('x;1,5\ny;2\n')
    assert read_table(f, sep=';', decimal=',', header=None, names=['a','b']).b.tolist()==[1.5,2]
    assert read_table(f, delimiter=';', names=['a','b']).shape==(2,2) and read_table(f, sep=None, names=['a','b'], engine='python').shape[0]==2
    f.write_text(',a\n0,5\n1,6\n')
    with pytest.warns(UserWarning, match="Column 0 of 't.csv' has no name"): assert read_table(f).shape==(2,2)
    assert read_table(f, index_col=0).shape==(2,1)

def test_one_type_for_a_long_column(tmp_path):
    "pandas reads in pieces unless told not to, and then one column holds numbers and texts"
    f = tmp_path/'t.csv'
    f.write_text('a,b\n' + '1,2\n'*300_000 + 'x,2\n')
    assert set(map(type, read_table(f).a))=={str}

# ---- kinds of columns, smaller types

def test_kinds_of_other_types():
    df = as_frame(table.with_columns(price=pl.Series(['1.5','2','3']).cast(pl.Decimal(10,2))))
    with pytest.warns(UserWarning, match='holds dates'): conts,cats = cont_cat_split(df, dep_var=['text'])
    assert conts==['n','x','price'] and cats==['yes','day','at','kind','size','zoned']
    many = pd.DataFrame({'i':pd.array([*range(30),None], dtype='Int64'), 'o':pd.Series([*range(30),None], dtype=object), 'u':np.arange(31, dtype='uint8'), 'c':pd.Categorical(range(31)), 'b':[True]*31})
    assert cont_cat_split(many)==(['i','o','u'],['c','b']) and cont_cat_split(pl.DataFrame({'a':[1.]}))==(['a'],[])
    assert cont_cat_split(pd.DataFrame({'a':range(20), 'b':range(20)}), dep_var='a')==([],['b']) and cont_cat_split(pd.DataFrame({'a':range(21)}))[0]==['a']

edges = [np.array([o], dtype=np.int64) for o in (-128,-129,127,128,-32768,32767,32768,2**31-1,2**31,-2**31-1,2**63-1,-2**63)] + [np.array([o]) for o in (1e300,-0.,np.inf,np.nan,.1,16777216.,16777217.,1e-310)]
@pytest.mark.parametrize('v', edges, ids=str)
def test_shrinking_loses_nothing(v, capsys):
    df = pd.DataFrame({'a':v})
    for unsigned in False,True:
        back = df_shrink(df, int2uint=unsigned).astype(df.dtypes)
        pd.testing.assert_frame_equal(back, df)
        assert np.signbit(back.a[0])==np.signbit(v[0])

def test_shrinking_text(capsys):
    df = pd.DataFrame({'few':['a','b']*500, 'all':[f'row {i}' for i in range(1000)], 'mix':pd.Series([1,'1']*500, dtype=object), 'list':[[1]]*1000, 'arrow':pd.array(['a']*1000, dtype=pd.ArrowDtype(pa.string()))})
    assert df_shrink_dtypes(df)=={'few':'category'} and df_shrink_dtypes(df, obj2cat=False)=={}
    assert list(df_shrink(df))==list(df) and 'bytes ->' in capsys.readouterr().out
    assert "No column 'fwe' to skip. Did you mean 'few'?" in message(ValueError, df_shrink, df, skip='fwe')
    assert df_shrink_dtypes(df, skip='few')=={}

# ---- dates

def test_dates_of_every_kind():
    want = pd.Timestamp('2020-02-29')
    for o in (date(2020,2,29), datetime(2020,2,29), want, '2020-02-29', '20200229', '29.2.2020', '2/29/2020', '29/02/20', '29 Feb 2020', 'February 29, 2020', np.datetime64('2020-02-29')):
        assert parse_dates([None,o,o])[1]==want, o
    for c in (pd.Series(['2020-02-29'], dtype='category'), pd.Series(pd.period_range('2020-02-29', periods=1)), pd.Series(['2020-02-29'], dtype=pd.ArrowDtype(pa.string())), pl.Series([date(2020,2,29)]), pd.Series(pd.array([date(2020,2,29)], dtype=pd.ArrowDtype(pa.date32())))):
        assert parse_dates(c)[0]==want and parse_dates(c).dtype.kind=='M'
    c = parse_dates(pd.Series(['2020-01-01',None,'2020-01-01'], index=[5,5,6], name='d'))
    assert c.index.tolist()==[5,5,6] and c.name=='d' and c.isna().tolist()==[False,True,False]

@pytest.mark.parametrize('bad,what', [(['2020-01-01','soon','later'],"'soon' in 'd' can't be read as a date (nor can 1 other texts)"), (['0000-00-00'],"'0000-00-00'"), (['13/13/2020'],'13/13/2020'),
    (['10'],"'10'"), (['monday'],"'monday'"), ([1.5],'holds numbers (first: 1.5)'), ([True],'holds numbers'), (['1/2/2020','2/1/2020'],'no row tells'), (['2020-01-01 00:00','2020-01-01 00:00+01:00'],'without')])
def test_bad_dates(bad, what): assert what in message(ValueError, make_date, pd.DataFrame({'d':bad}), 'd')

def test_zones():
    df = pd.DataFrame({'at':pd.to_datetime(['2024-03-31T00:59Z','2024-03-31T01:00Z',None]).tz_convert('Europe/Berlin')}) # where the clock jumps from 2 to 3
    p = add_datepart(df, 'at', time=True)
    assert p.atHour[:2].tolist()==[1,3] and p.atElapsed[1]-p.atElapsed[0]==60 and p.atHour.isna().tolist()==[False,False,True]
    texts = add_datepart(pd.DataFrame({'at':['2024-01-01T23:30-05:00','2024-01-02T00:30-05:00']}), 'at', time=True)
    assert texts.atHour.tolist()==[23,0] and texts.atElapsed[0]==datetime(2024,1,2,4,30,tzinfo=timezone.utc).timestamp()
    days = pd.DataFrame({'e':1, 'b':[True,False], 'at':pd.to_datetime(['2024-03-30','2024-04-01']).tz_localize('Europe/Berlin')})
    assert add_elapsed_times(days, 'b', 'at', 'e').Afterb.tolist()==[0,2] # 47 hours, and two days

def test_parts_agree_with_python():
    ds = pd.Series(pd.date_range('1968-12-25', periods=3000, freq='31h'))
    p = add_datepart(pd.DataFrame({'date':ds}), 'date', time=True)
    py = [o.to_pydatetime() for o in ds]
    assert p.Week.tolist()==[o.isocalendar()[1] for o in py] and p.Dayofweek.tolist()==[o.weekday() for o in py] and p.Dayofyear.tolist()==[o.timetuple().tm_yday for o in py]
    assert p.Elapsed.tolist()==[o.replace(tzinfo=timezone.utc).timestamp() for o in py] and p.Is_year_start.tolist()==[(o.month,o.day)==(1,1) for o in py]

def test_units_of_time():
    for unit in 's','ms','us','ns':
        df = pd.DataFrame({'date':np.array(['2020-01-01T00:00:01','NaT'], dtype=f'datetime64[{unit}]')})
        assert add_datepart(df, 'date').Elapsed[0]==1577836801

def test_dateparts_leave_the_source():
    for df in (pd.DataFrame({'day':['2020-01-01']}), pl.DataFrame({'day':['2020-01-01']})):
        add_datepart(df, 'day'); add_cyclic_datepart(df, 'day'); make_date(df, 'day')
        assert list(df.columns)==['day'] and df['day'][0]=='2020-01-01'
    df = pd.DataFrame({'day':['2020-01-01']*2}, index=[3,3])
    assert add_datepart(df, 'day').index.tolist()==[3,3]

@pytest.mark.parametrize('seed', range(5))
def test_elapsed_times_agree_with_a_search(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 80))
    df = pd.DataFrame({'shop':rng.integers(0, 5, n), 'at':pd.Timestamp('1969-12-20')+pd.to_timedelta(rng.integers(0, 400, n), 'h'), 'e':rng.random(n)<rng.choice([0,.1,.5,1])}, index=rng.permutation(n))
    new = add_elapsed_times(df, 'e', 'at', 'shop', window=2.5)
    assert new.index.tolist()==df.index.tolist()
    for r in new.itertuples():
        h = ((r.at-df['at'][(df.shop==r.shop) & df.e]).dt.total_seconds()/86400).to_numpy()
        want = [h[h>=0].min(initial=np.inf), h[h<=0].max(initial=-np.inf), ((h>=0)&(h<2.5)).sum(), ((h<=0)&(h>-2.5)).sum()]
        assert np.allclose([r.Aftere, r.Beforee, r.e_bw, r.e_fw], np.where(np.isinf(want), np.nan, want), equal_nan=True)

# ---- splits

def test_splitters_take_polars():
    df = pl.DataFrame({'day':[date(2020,1,i) for i in (3,1,2,5,4)], 'who':list('aabbc'), 'is_valid':[0,1,0,0,1]})
    for s in (TimeSplitter('day', 0.4), GroupSplitter('who', seed=1), ColSplitter(), FuncSplitter(lambda o: o.who=='b'), TrainTestSplitter(0.4, 1, 'who')): assert s(df)==s(rows_of(df))
    assert TimeSplitter('day', 0.4)(df)==([0,1,2],[3,4]) and len(time_folds(df, 'day', 3))==3

def test_time_never_goes_backward():
    rng = np.random.default_rng(0)
    for n,k in (5,3),(50,4),(300,300),(300,7):
        t = rng.integers(0, k, n)
        if len(set(t))<2: continue
        df = pd.DataFrame({'t':t})
        for p in (.01,.2,.5,.99):
            train,valid = TimeSplitter('t', p)(df)
            assert len(train)+len(valid)==n and t[train].max()<t[valid].min()
        last = []
        for train,valid in time_folds(df, 't', min(5, len(set(t))-1)):
            assert t[train].max()<t[valid].min() and not set(last) & set(valid) and set(last)<=set(train)
            last = valid
        assert t[last].max()==t.max()

def test_time_of_other_kinds():
    assert TimeSplitter('t', 0.5, gap=pd.Timedelta('1D'))(pd.DataFrame({'t':pd.to_timedelta([1,2,3,4], 'D')}))==([0],[2,3])
    assert TimeSplitter('t', cutoff=2009)(pd.DataFrame({'t':pd.array([2008,2009], dtype='Int64')}))==([0],[1])
    assert TimeSplitter('t', 0.5)([{'t':'2020-01'},{'t':'2019-12'}])==([1],[0])
    assert "No column 'tt'" in message(KeyError, TimeSplitter('tt'), pd.DataFrame({'t':[1]}))
    assert '3 items but 2 times' in message(ValueError, TimeSplitter([1,2]), 'abc')
    assert "TimeSplitter(col='t', valid_pct=0.2, gap='12h')"==repr(TimeSplitter('t', gap='12h'))

def sales(n=200):
    rng = np.random.default_rng(0)
    return pd.DataFrame({'saledate':pd.date_range('2020-01-01', periods=n).strftime('%m/%d/%Y'), 'shop':rng.choice(list('ab'), n), 'price':rng.random(n)})

def test_dates_from_table_to_model():
    "A date as text, taken apart by a proc, split by time, and asked about in one row"
    parts = partial(add_datepart, field_name='saledate', drop=False, dayfirst=False)
    df = sales()
    before = df.copy()
    dls = TabularDataLoaders.from_df(df, procs=[parts, Categorify, FillMissing, Normalize], cat_names=['shop','saleMonth','saleDayofweek'], cont_names=['saleElapsed'], y_names='price',
        y_block=RegressionBlock(), splitter=TimeSplitter('saledate', 0.25, gap=7), bs=16)
    assert len(dls.train_ds)==143 and len(dls.valid_ds)==50
    assert len(dls.test_dl({'saledate':'01/05/2020', 'shop':'a'}).dataset)==1
    pd.testing.assert_frame_equal(df, before)

def test_folds_feed_tables():
    for n,pair in zip((49,60,60), time_folds(sales(), 'saledate', 3, window=60, gap=1), strict=True):
        to = TabularPandas(sales(), [Categorify, Normalize], ['shop'], [], 'price', splits=pair)
        assert (len(to.train),len(to.valid))==(n,50)

def test_polars_and_parquet_to_model(tmp_path):
    df = pl.from_pandas(sales())
    df.write_parquet(tmp_path/'t.parquet')
    kw = dict(procs=[Categorify, Normalize], cat_names=['shop'], cont_names=[], y_names='price', y_block=RegressionBlock(), seed=1, bs=16)
    a,b,c = TabularDataLoaders.from_df(df, **kw),TabularDataLoaders.from_df(df.to_arrow(), **kw),TabularDataLoaders.from_csv(tmp_path/'t.parquet', **kw)
    for o in (b,c): assert all(torch.equal(x, y) for x,y in zip(a.valid.one_batch(), o.valid.one_batch()))

"Decoded pictures within the memory that is there: containers, several stores, threads that begin together"
import math, os, sys, threading, weakref
import pytest, torch
from wholegame.data import dataset
from wholegame.data.dataset import Store

def limit(folder, names, values, stat):
    for k,v in zip(names, values): (folder/k).parent.mkdir(parents=True, exist_ok=True); (folder/k).write_text(f'{v}\n')
    (folder/names[0]).with_name('memory.stat').write_text(stat)

new,old = ('memory.max','memory.current'),('memory/memory.limit_in_bytes','memory/memory.usage_in_bytes')

@pytest.mark.parametrize('names,values,stat,room', [(new, (1000,400), 'anon 3\ninactive_file 100\n', 700), (old, (1000,400), 'total_inactive_file 50\n', 650), (new, ('max',400), '', math.inf),
    (new, (100,400), '', 0), ((), (), None, math.inf)])
def test_a_container_has_less(tmp_path, names, values, stat, room):
    "What /proc/meminfo says is the whole machine's; a container that takes more than its share is killed"
    if names: limit(tmp_path, names, values, stat)
    assert dataset._container_room(tmp_path)==room

def test_free_memory_is_the_least(monkeypatch):
    monkeypatch.setattr(dataset, '_container_room', lambda: 5000)
    assert dataset._free_memory()==5000
    monkeypatch.setattr(dataset, '_container_room', lambda: math.inf)
    assert 2**20<dataset._free_memory()<2**50

def test_stores_share(monkeypatch):
    "Memory that a store was promised and has not filled yet is not free for the next"
    monkeypatch.setattr(dataset, '_free_memory', lambda: 9000)
    monkeypatch.setattr(dataset, '_stores', weakref.WeakSet()) # those of other tests may still be there
    item = torch.zeros(100, dtype=torch.uint8)
    a,b = Store(1000),Store(1000)
    a.put(0, item)
    b.put(0, item)
    assert len(a.data)==30 and len(b.data)==(9000-29*100)//3//100
    del a
    c = Store(1000)
    c.put(0, item)
    assert len(c.data)==(9000-19*100)//3//100

def test_two_shapes_one_budget():
    store = Store(100, budget=1000)
    for i in range(100): store.put(i, torch.zeros(100+i%2, dtype=torch.uint8))
    assert sum(t.nbytes for i in range(100) if (t := store.get(i)) is not None)<=1000

def test_threads_begin_together(monkeypatch):
    "Who asks while the first item is being put gets an answer"
    store,real,seen = Store(2),dataset.np.full,[]
    def full(*args):
        seen.append(store.get(1))
        return real(*args)
    monkeypatch.setattr(dataset.np, 'full', full)
    store.put(0, torch.zeros(3))
    assert seen==[None] and store.get(0) is not None

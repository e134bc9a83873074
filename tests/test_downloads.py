"""Addresses and archives that mean harm, several processes that want the same data, attached archives that change."""
import io, shutil, tarfile, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import pytest
from wholegame.data import external
from wholegame.data.external import download_url, untar_data

class Hello(BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b'hello')
    def log_message(self, *args): pass

@pytest.fixture(scope='module')
def shop():
    server = ThreadingHTTPServer(('127.0.0.1',0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()

names = [('a%2F..%2F..%2Fevil.txt','evil.txt'), ('..%5C..%5Cevil.txt','evil.txt'), ('a/%2e%2e',''), ('.bashrc','bashrc'), ('C%3Aevil.txt','C_evil.txt'), ('%00a.jpg','_a.jpg'),
    ('two%20words.jpg?size=3&x=a/b','two words.jpg'), ('V%C3%B6gel.tar.gz','Vögel.tar.gz')]

@pytest.mark.parametrize('path,name', names)
def test_names_stay_in_the_folder(shop, tmp_path, path, name):
    "What an address calls its file can't choose another folder"
    dest = tmp_path/'a'/'b'
    dest.mkdir(parents=True)
    f = download_url(f'{shop}/{path}', dest, show_progress=False)
    assert f.parent==dest and [o for o in tmp_path.rglob('*') if o.is_file()]==[f]
    assert f.name==(name or shop.split('//')[1].replace(':', '_'))

@pytest.mark.parametrize('name', ['b'*250, 'b'*300 + '.tgz', '鳥'*90 + '.tgz'])
def test_long_names(shop, tmp_path, name):
    f = download_url(f'{shop}/{name}', tmp_path, show_progress=False)
    assert f.suffix==name[name.rfind('.'):] or '.' not in name
    assert f.read_bytes()==b'hello'

def tar(file, *members):
    with tarfile.open(file, 'w:gz') as t:
        for name,kind,*target in members:
            m = tarfile.TarInfo(name)
            m.type,m.mode = kind,0o755
            if target: m.linkname = target[0]
            m.size = 4*(kind==tarfile.REGTYPE)
            t.addfile(m, io.BytesIO(b'data'))
    return file

reg,sym,hard,folder = tarfile.REGTYPE,tarfile.SYMTYPE,tarfile.LNKTYPE,tarfile.DIRTYPE
bad = {'dots after a link': [('a/keep.txt',reg), ('x',folder), ('link',sym,'a'), ('x/../link/evil.txt',reg)], 'another case': [('a',folder), ('Link',sym,'a'), ('link/evil.txt',reg)],
    'dots': [('x',folder), ('x/../evil.txt',reg)], 'hard link': [('h',hard,'/etc/passwd')], 'through a link': [('a',folder), ('link',sym,'a'), ('h',hard,'link/x')],
    'device': [('null',tarfile.CHRTYPE)]}

@pytest.mark.parametrize('guard', [True,False], ids=['Python guards','it does not'])
@pytest.mark.parametrize('kind', bad)
def test_tricks(tmp_path, monkeypatch, kind, guard):
    "Python before 3.10.12 and 3.11.4 has no guard of its own"
    if not guard: monkeypatch.delattr(tarfile, 'data_filter', raising=False)
    with pytest.raises(ValueError, match='is refused'): external._extract(tar(tmp_path/'t.tgz', *bad[kind]), tmp_path/'out')
    assert [o.name for o in tmp_path.iterdir()]==['t.tgz']

@pytest.fixture
def place(tmp_path, monkeypatch):
    for k in 'home','input','mirror': (tmp_path/k).mkdir(); monkeypatch.setenv(f'WHOLEGAME_{k.upper()}', str(tmp_path/k))
    return tmp_path

def birds(file, *names): return tar(file, *[(f'birds/{o}',reg) for o in names])

def test_two_at_once(place, monkeypatch):
    "Both unpack, the second finds the folder of the first at the last moment: it stays, and whoever reads from it can go on"
    birds(place/'mirror'/'birds.tgz', 'robin.txt')
    real,folder = external._untar,place/'home'/'data'/'birds'
    def untar(*args):
        real(*args)
        shutil.copytree(place/'mine', folder)
    (place/'mine').mkdir()
    (place/'mine'/'robin.txt').write_text('first')
    monkeypatch.setattr(external, '_untar', untar)
    assert untar_data('http://x/birds.tgz')==folder and (folder/'robin.txt').read_text()=='first'
    assert [o.name for o in folder.parent.iterdir()]==['birds']

def test_what_is_attached_comes_first(place):
    "Also when last month's copy is in the home folder, and when another version is attached"
    birds(place/'mirror'/'birds.tgz', 'old.txt')
    old = untar_data('http://x/birds.tgz')
    birds(place/'input'/'birds.tgz', 'new.txt')
    for _ in range(2):
        path = untar_data('http://x/birds.tgz')
        assert [o.name for o in path.iterdir()]==['new.txt'] and path.name=='birds'
    (path/'mine.txt').write_text('stays')
    assert (untar_data('http://x/birds.tgz')/'mine.txt').exists()
    birds(place/'input'/'birds.tgz', 'newer.txt', 'newest.txt')
    assert [o.name for o in sorted(untar_data('http://x/birds.tgz').iterdir())]==['newer.txt','newest.txt']
    assert [o.name for o in old.iterdir()]==['old.txt']

def test_attached_and_a_folder_of_my_own(place, tmp_path):
    "`data=` names the folder, whatever is attached"
    birds(place/'input'/'birds.tgz', 'new.txt')
    assert untar_data('http://x/birds.tgz', data=tmp_path/'mine')==tmp_path/'mine'/'birds'
    assert untar_data('http://x/birds.tgz', dest=tmp_path/'mine')==tmp_path/'mine'/'birds'

def test_failed_swap_gives_back(place, monkeypatch):
    "A new copy that can't be put in place leaves the old one"
    birds(place/'mirror'/'birds.tgz', 'robin.txt')
    folder,real = untar_data('http://x/birds.tgz'),Path.rename
    def rename(self, target):
        if Path(target)==folder and self.name!='old' and not self.name.endswith('-old'): raise OSError('disk full')
        return real(self, target)
    monkeypatch.setattr(Path, 'rename', rename)
    with pytest.raises(RuntimeError, match='disk full'): untar_data('http://x/birds.tgz', force_download=True)
    assert (folder/'robin.txt').exists() and [o.name for o in folder.parent.iterdir()]==['birds']

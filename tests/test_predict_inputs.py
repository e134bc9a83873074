"One photo in every form that `predict` takes: the same answer each time."
import io, urllib.error
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image

from wholegame.vision.all import *
from wholegame.data.samples import draw_bird

torch.set_num_threads(1)

@pytest.fixture(scope='module')
def learn(photos, tmp_path_factory):
    "Trained a little, so that answers differ from photo to photo"
    set_seed(3)
    dls = ImageDataLoaders.from_folder(photos, valid_pct=0.25, seed=1, item_tfms=Resize(48), batch_tfms=aug_transforms(), bs=12)
    learn = vision_learner(dls, 'test_resnet', pretrained=False, path=tmp_path_factory.mktemp('models')).no_bar()
    learn.fit_one_cycle(2, 5e-3)
    return learn

@pytest.fixture(scope='module')
def file(tmp_path_factory):
    "A photo that is not square, and whose JPEG can be decoded smaller"
    f = tmp_path_factory.mktemp('one')/'bird photo.jpg'
    draw_bird(77, (400,300)).convert('RGB').save(f, quality=92)
    return f

@pytest.fixture(scope='module')
def server(file):
    "A real server: the photo, a page, something broken, and nothing at other addresses"
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args): pass
        def do_GET(self):
            body = {'/bird%20photo.jpg':file.read_bytes(), '/bird%20photo.jpg?size=large':file.read_bytes(), '/page':b'<!doctype html><p>Not a photo', '/half.jpg':file.read_bytes()[:2000]}.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header('Content-Length', str(len(body or b'')))
            self.end_headers()
            if body: self.wfile.write(body)
    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as s:
        Thread(target=s.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{s.server_port}'
        s.shutdown()

def close(a, b): return a[0]==b[0] and torch.equal(a[1], b[1]) and torch.allclose(a[2], b[2], atol=1e-5)

def test_the_same_picture_however_it_comes(learn, file):
    "What was decoded in full is the same to the bit; a file may be decoded smaller, with the same answer"
    img = Image.open(file).convert('RGB')
    a = np.array(img)
    t = torch.from_numpy(a).permute(2,0,1)
    want = learn.predict(img)
    forms = {'array':a, 'decimal array':a/255, 'tensor':t, 'decimal tensor':t/255, 'PILImage':PILImage.create(img), 'reversed memory':np.ascontiguousarray(a[::-1])[::-1],
        'RGBA':img.convert('RGBA'), 'PNG bytes':png(img), 'float32':(a/255).astype('float32')}
    for k,o in forms.items(): assert close(learn.predict(o), want), k

def png(img):
    buf = io.BytesIO()
    img.save(buf, 'PNG')
    return buf.getvalue()

def test_the_same_file_however_it_comes(learn, file, server):
    want = learn.predict(file)
    data = file.read_bytes()
    forms = {'text':str(file), 'bytes':data, 'bytearray':bytearray(data), 'memoryview':memoryview(data), 'open file':io.BytesIO(data),
        'address':f'{server}/bird%20photo.jpg', 'address with a question':f'{server}/bird%20photo.jpg?size=large'}
    for k,o in forms.items():
        got = learn.predict(o)
        assert close(got, want) and torch.equal(got[2], want[2]), k
    full = learn.predict(PILImage.create(file))
    assert full[0]==want[0] and torch.allclose(full[2], want[2], atol=0.05)
    with open(file, 'rb') as f: assert close(learn.predict(f), want)

def test_a_row_is_no_other_way(learn, file, server):
    "Alone, in a list, and through a loader"
    items = [file, str(file), file.read_bytes(), f'{server}/bird%20photo.jpg']
    want = learn.predict(file)
    assert all(close(o, want) for o in learn.predict_batch(items))
    preds,_ = learn.get_preds(dl=learn.dls.test_dl(items))
    assert torch.allclose(preds, want[2].expand(4, -1), atol=1e-5)

def test_after_export(learn, file, server):
    again = load_learner(learn.export())
    want = learn.predict(file)
    for o in (file, file.read_bytes(), f'{server}/bird%20photo.jpg', Image.open(file)): assert again.predict(o)[0]==want[0]
    assert torch.allclose(again.predict(file)[2], want[2], atol=2e-2)

def test_grey_picture(learn, file):
    grey = Image.open(file).convert('L')
    assert close(learn.predict(grey), learn.predict(grey.convert('RGB'))) and close(learn.predict(np.array(grey)), learn.predict(grey))

def test_turned_by_its_exif(learn, tmp_path):
    img = draw_bird(5, (120,80)).convert('RGB')
    exif = Image.Exif()
    exif[274] = 6
    img.transpose(Image.Transpose.ROTATE_90).save(tmp_path/'turned.png', exif=exif)
    img.save(tmp_path/'upright.png')
    assert close(learn.predict(tmp_path/'turned.png'), learn.predict(tmp_path/'upright.png'))

# ---- what can't be read

def message(error, f, *args):
    with pytest.raises(error) as e: f(*args)
    return str(e.value)

def test_missing_file(learn): assert message(FileNotFoundError, learn.predict, 'birds/nothing.jpg')=="No such picture: 'birds/nothing.jpg'"
def test_folder(learn, photos): assert 'get_image_files' in message(IsADirectoryError, learn.predict, photos)
def test_empty_bytes(learn): assert 'empty, 0 bytes' in message(OSError, learn.predict, b'')

def test_address_without_a_picture(learn, server):
    assert f"{server}/gone.jpg' (" in (m := message(OSError, learn.predict, f'{server}/gone.jpg')) and '404' in m and 'verify_images' not in m
    assert 'page' in (m := message(OSError, learn.predict, f'{server}/page')) and 'web page' in m
    assert 'truncated' in message(OSError, learn.predict, f'{server}/half.jpg')

def test_server_that_is_not_there(learn): assert 'http://127.0.0.1:9/x.jpg' in message(OSError, learn.predict, 'http://127.0.0.1:9/x.jpg')

def test_list(learn, photos):
    m = message(TypeError, learn.predict, get_image_files(photos))
    assert 'one item, not 48' in m and 'learn.predict_batch(items)' in m and 'learn.get_preds(dl=learn.dls.test_dl(items))' in m

@pytest.mark.parametrize('o,words', [(None, 'NoneType'), (3, 'int'), ({'a':1}, 'dict')], ids=['None','number','dict'])
def test_something_else(learn, o, words): assert words in message(TypeError, learn.predict, o) or pytest.fail()

@pytest.mark.parametrize('shape,words', [((3,3,3,3), 'not \\(3, 3, 3, 3\\)'), ((5,8,8), 'not \\('), ((8,), 'not')], ids=str)
def test_tensor_of_another_shape(learn, shape, words):
    with pytest.raises((ValueError,OSError), match=words): learn.predict(torch.rand(shape))

def test_normalised_tensor(learn):
    with pytest.raises(ValueError, match='0 to 1.*Was it normalised'): learn.predict(torch.randn(3,48,48))

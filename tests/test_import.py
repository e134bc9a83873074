"""What importing costs and brings."""
import subprocess, sys
import pytest

def python(code, *args):
    "Output of `code` in a Python of its own"
    res = subprocess.run([sys.executable, *args, '-c', code], capture_output=True, text=True)
    assert res.returncode==0, res.stderr
    return res

timed = 'import time\nt = time.process_time()\n{}\nprint(time.process_time()-t)'

def seconds(code): return float(python(timed.format(code)).stdout)

def test_quick():
    "Our star import takes at most 15 % longer than torch, torchvision and timm alone (processor time, the best of some)"
    base,ours = [],[]
    for _ in range(5):
        base.append(seconds('import torch, torchvision, timm'))
        ours.append(seconds('from wholegame.vision.all import *'))
        if min(ours)<=1.15*min(base): return
    assert min(ours)<=1.15*min(base), (base, ours)

@pytest.mark.parametrize('module', ['wholegame.vision.all', 'wholegame.vision', 'wholegame.all', 'wholegame.export'])
def test_silent(module):
    "Importing says nothing, even when warnings are errors"
    res = python(f'from {module} import *', '-W', 'error')
    assert res.stdout==res.stderr==''

def test_only_what_is_needed():
    "Large packages that a lesson may never use are not loaded"
    loaded = python('from wholegame.vision.all import *\nimport sys\nprint(*[o for o in sys.modules])').stdout.split()
    assert not {'pandas','matplotlib','sklearn','scipy','IPython','timm','ddgs','requests','huggingface_hub','fastcore.all'} & set(loaded)

def test_lazy_names_work():
    assert python("from wholegame.vision.all import *\nprint(pd.DataFrame({'a':[1]}).a.sum(), plt.rcParams is not None)").stdout=='1 True\n'

def test_names_of_2018_wait_until_asked():
    "Only `wholegame.v1` gives a learner its old methods"
    code = "from wholegame.vision.all import *\nhad = [hasattr(Learner, o) for o in ('TTA','data')]\nimport wholegame.v1\nprint(had, hasattr(Learner, 'TTA'), hasattr(Learner, 'data'))"
    assert python(code).stdout=='[False, False] True True\n'

late = '''
import gc, torch, weakref
class Model: pass
m = Model()
m.me,m.weights = m,torch.zeros(1000)
gone = weakref.ref(m)
from wholegame.vision.all import *
del m
gc.collect()
print(gone() is None)'''

def test_late_import_keeps_nothing():
    "What a program made before the import is thrown away as always, circles included"
    assert python(late).stdout=='True\n'

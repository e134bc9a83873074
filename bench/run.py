"""All that can be measured without downloads: lesson 1, the loader and augmentation, by wholegame and by fastai in this environment, in turns."""
import subprocess, sys
from pathlib import Path

here = Path(__file__).parent
for script in 'lesson1.py','loader.py','augment.py':
    print(f'\n== {script}\n', flush=True)
    res = subprocess.run([sys.executable, here/script, '--fastai', sys.executable, *sys.argv[1:]])
    if res.returncode: raise SystemExit(res.returncode)

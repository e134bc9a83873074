"""The tools behind make: README.md from a notebook, and running a lesson."""
import base64, json, os, subprocess, sys
import pytest
from pages import root
from test_checks import code, md, result, write

sys.path.insert(0, str(root/'tools'))
from readme import readme

png = base64.b64encode(b'\x89PNG picture').decode()
def picture(): return dict(output_type='display_data', metadata={}, data={'image/png':png, 'text/plain':'<Figure>'})

def as_readme(tmp_path, *cells): return readme({'cells':cells}, dest=tmp_path/'images')

def test_readme_keeps_prose_code_and_output(tmp_path):
    got = as_readme(tmp_path, md('# Title'), code('#| hide\nimport secret'), code('1+1', result('2')), code('#| echo: false\nx', result('3')))
    assert '# Title\n\n```python\n1+1\n```\n\n```\n2\n```\n\n```\n3\n```\n' in got and 'secret' not in got

def test_readme_links_are_seen_from_the_root(tmp_path):
    got = as_readme(tmp_path, md('[a](00_core.ipynb#x) [b](../course/01a.ipynb) [c](https://example.com/x) [d](#here)'))
    assert '[a](nbs/00_core.ipynb#x) [b](course/01a.ipynb) [c](https://example.com/x) [d](#here)' in got

def test_readme_pictures_have_words(tmp_path):
    got = as_readme(tmp_path, code('#| fig-alt: "A bird"\nshow()', picture()), code('#| fig-alt: A tree\nshow()', picture()))
    assert '![A bird](docs/images/readme-1.png)' in got and '![A tree](docs/images/readme-2.png)' in got
    assert (tmp_path/'images'/'readme-2.png').read_bytes()==b'\x89PNG picture'
    with pytest.raises(ValueError, match='fig-alt'): as_readme(tmp_path, code('show()', picture()))

learner = '''import matplotlib.pyplot as plt
class Recorder: history = [{'epoch':0, 'error_rate':0.04, 'time':'00:01'}]
class Learner:
    recorder = Recorder()
    def show_results(self, max_n): plt.plot([1,2])
learn = Learner()'''

def run_lesson(tmp_path, *cells):
    "What tools/lesson.py prints for a lesson of these cells, and its exit code"
    f = write(tmp_path, [md('# A lesson'), *cells, md('## The end')])
    r = subprocess.run([sys.executable, root/'tools'/'lesson.py', f, tmp_path/'out'], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return r.returncode, r.stdout + r.stderr

def test_lesson_shows_what_it_learned(tmp_path):
    rc, out = run_lesson(tmp_path, code(learner), code('print("hello"); open("made.txt", "w").close()'), code('#| eval: false\n1/0'), code('#| hide\nsecret = 1'))
    assert rc==0, out
    assert 'A lesson' in out and '>>> print("hello")' in out and '\n       hello' in out and 'The end' in out
    assert '4.0%' in out and 'predictions.png' in out
    assert (tmp_path/'out'/'predictions.png').read_bytes().startswith(b'\x89PNG')
    page = (tmp_path/'out'/'05_double.html').read_text()
    assert 'hello' in page and 'secret' not in page and 'secret' not in out and (tmp_path/'out'/'made.txt').exists()

def test_lesson_says_where_it_stopped(tmp_path):
    rc, out = run_lesson(tmp_path, code(learner), code('x = 1\nraise ValueError("no photos here")'))
    assert rc==1 and 'raise ValueError("no photos here")' in out and 'ValueError: no photos here' in out
    assert 'The page as far as it went' in out and (tmp_path/'out'/'05_double.html').exists()
    assert 'tools/lesson.py", line' not in out # our own traceback would hide theirs

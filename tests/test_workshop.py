"""The tools that make something else of a lesson: on the real lessons, on lessons that are wrong, and from the command line."""
import ast, copy, json, os, re, shutil, stat, subprocess, sys
from pathlib import Path
import nbformat, pytest
from pages import root, notebooks
from wholegame.course import (as_python, clean_copy, find_bundle, kernel_metadata, make_bundle, make_copies, marks, notebook_text, quiz, read_notebook, set_facts,
    student_copy, unproved, verify_bundle, write_course)

lessons = notebooks('course')
each_lesson = pytest.mark.parametrize('file', lessons, ids=lambda f: f.stem)
you = re.compile(r'#[ \t]*<-[ \t]*you[ \t]*$')

def workshop(*args, **env):
    "Run tools/workshop.py; its exit code and what it said"
    r = subprocess.run([sys.executable, root/'tools'/'workshop.py', *map(str, args)], capture_output=True, text=True, stdin=subprocess.DEVNULL, env={**os.environ, **env})
    assert 'Traceback' not in r.stderr, r.stderr
    return r.returncode, r.stdout + r.stderr

def md(s, i): return dict(cell_type='markdown', id=f'm{i}', metadata={}, source=s)
def code(s, i, out=''): return dict(cell_type='code', id=f'c{i}', metadata={}, execution_count=None, source=s, outputs=[dict(output_type='stream', name='stdout', text=out)] if out else [])
def lesson(*cells): return dict(nbformat=4, nbformat_minor=5, metadata={}, cells=list(cells))

@pytest.fixture
def course(tmp_path):
    "Two lessons with all they need"
    (tmp_path/'course').mkdir()
    for n,title in ('1_one', 'First steps'),('2_two', 'Second steps'):
        nb = lesson(md(f'# {title}\n\n> Walk', 0), code('n = 2+3  # <- you\ncheck(n==5, "Both count.");', 1, '✓ Right\n'), code('#| hide\nassert not check(3==5, "one")', 2))
        (tmp_path/'course'/f'{n}.ipynb').write_text(notebook_text(nb), encoding='utf-8')
        set_facts(tmp_path/'course'/f'{n}.ipynb', 'an hour', 'no', 'no')
    write_course(tmp_path/'course')
    return tmp_path/'course'

def codes(nb): return [c for c in nb['cells'] if c['cell_type']=='code']

# ---- the real lessons

@each_lesson
@pytest.mark.parametrize('make', [student_copy, clean_copy])
def test_copies_of_the_lessons(file, make):
    nb = make(file)
    nbformat.validate(nbformat.from_dict(nb))
    assert len({c['id'] for c in nb['cells']})==len(nb['cells'])
    secrets = [c['source'].strip() for c in codes(read_notebook(file)) if 'hide' in marks(c)]
    answers = [l.strip() for c in codes(read_notebook(file)) for l in c['source'].splitlines() if you.search(l)]
    blanks = [l for c in codes(nb) for l in c['source'].splitlines() if you.search(l)]
    text = notebook_text(nb)
    assert len(blanks)==len(answers) and all('...' in l for l in blanks)
    for o in answers: assert json.dumps(o, ensure_ascii=False)[1:-1] not in text
    for c in codes(nb): assert not (c['outputs'] or c['execution_count'] or 'hide' in marks(c) or c['source'].strip() in secrets)
    for c in codes(nb): ast.parse(as_python(c['source']))

@each_lesson
def test_links_of_a_student_copy_leave_the_notebook(file):
    texts = [c['source'] for c in student_copy(file, site='https://example.com/site')['cells'] if c['cell_type']=='markdown']
    links = [l for t in texts for l in re.findall(r'\]\(([^)\s]+)\)', re.sub(r'```.*?```|`[^`]*`', '', t, flags=re.S))]
    assert links and not [l for l in links if not re.match(r'https?:|#|attachment:', l)]

@each_lesson
def test_clean_copy_has_headings_and_no_prose(file):
    cells = [c['source'] for c in clean_copy(file)['cells'] if c['cell_type']=='markdown']
    assert cells[0].startswith('# ') and all(l.startswith('#') for c in cells for l in c.splitlines() if l)

@each_lesson
def test_exercises_are_proved(file): assert not unproved(file), f'{file.relative_to(root)}\n  ' + '\n  '.join(unproved(file))

@each_lesson
def test_quiz(file): assert len(quiz(file))==10

def test_facts_are_written():
    found = [str(f.relative_to(root)) for f in write_course(root/'course', dry=True)]
    assert not found, 'make export changes: ' + ', '.join(found) + '. Run it and commit.'

@each_lesson
def test_kaggle_would_take_it(file):
    k = json.loads((root/'course'/'kaggle'/file.stem/'kernel-metadata.json').read_text(encoding='utf-8'))
    assert k['id'].split('/')[1]==re.sub(r'[^a-z0-9]+', '-', k['title'].lower()).strip('-')
    assert (root/'course'/'kaggle'/file.stem/k['code_file']).resolve()==file
    assert {k[o] for o in ('is_private','enable_gpu','enable_internet')} <= {'true','false'}

# ---- a lesson that is broken on purpose

def broken(change, name='01a_is_it_a_bird'):
    "A real lesson after `change(code cells)`"
    nb = read_notebook(root/'course'/f'{name}.ipynb')
    nb['cells'] = copy.deepcopy(nb['cells'])
    change(codes(nb))
    return nb

def visible_check(cells): return next(c for c in cells if re.search(r'^check\(', c['source'], re.M) and 'hide' not in marks(c))
def hidden_check(cells): return next(c for c in cells if 'assert not check(' in c['source'] and 'hide' in marks(c))

def accept_all(cells): c = visible_check(cells); c['source'] = re.sub(r'^check\(.*?, "', 'check(True, "', c['source'], flags=re.M)
def ask_another(cells): c = hidden_check(cells); c['source'] = re.sub(r'assert not check\(.*?, "', 'assert not check(3==4, "', c['source'])
def no_wrong_answer(cells): hidden_check(cells)['source'] = '#| hide\npass'
def author_wrong(cells): visible_check(cells)['outputs'] = [dict(output_type='stream', name='stdout', text='\033[31m✗ Not yet.\033[0m Both count.\n')]
def not_run(cells): visible_check(cells)['outputs'] = []
def no_answer(cells): c = next(c for c in cells if '# <- you' in c['source']); c['source'] = re.sub(r'=[^=\n]*#', '= ...  #', c['source'])

@pytest.mark.parametrize('change, words', [(accept_all, 'no check looks at the answer'), (ask_another, 'no hidden cell refuses'), (no_wrong_answer, 'no hidden cell refuses'),
    (author_wrong, "refuses the author's answer"), (not_run, 'no saved output'), (no_answer, "the author's answer is missing")])
def test_broken_exercise_is_found(change, words):
    assert not unproved(broken(lambda cells: None))
    assert any(words in o for o in unproved(broken(change))), unproved(broken(change))

def test_quiz_that_lost_an_answer():
    nb = read_notebook(root/'course'/'01a_is_it_a_bird.ipynb')
    for c in nb['cells']: c['source'] = re.sub(r'(<summary>4\..*?</summary>).*?(</details>)', r'\1\n\n\n\n\2', c['source'], flags=re.S)
    with pytest.raises(ValueError, match='question 4 has no answer'): quiz(nb)

@pytest.mark.parametrize('line', ['f(x  # <- you', 'x = """a  # <- you', 'x = [1,  # <- you'])
def test_answer_that_cannot_be_blanked_alone(line):
    nb = lesson(md('# A', 0), code({'f(x  # <- you':'f(x  # <- you\n)', 'x = """a  # <- you':'x = """a  # <- you\n"""'}.get(line, line+'\n 2]'), 1))
    with pytest.raises(ValueError, match='cell 2: with the answer blanked'): student_copy(nb)

# ---- damage

def test_one_bad_lesson_leaves_the_copies_of_last_time(course, tmp_path):
    make_copies(course, tmp_path/'out')
    before = {f:f.read_bytes() for f in (tmp_path/'out').rglob('*.ipynb')}
    assert len(before)==4
    nb = read_notebook(course/'1_one.ipynb')
    nb['cells'][1]['source'] = 'n = 7  # <- you'
    (course/'1_one.ipynb').write_text(notebook_text(nb))
    (course/'2_two.ipynb').write_bytes((course/'2_two.ipynb').read_bytes()[:-60])
    with pytest.raises(ValueError, match="'2_two.ipynb' is damaged: it is not JSON"): make_copies(course, tmp_path/'out')
    assert {f:f.read_bytes() for f in (tmp_path/'out').rglob('*.ipynb')}==before

def test_lessons_are_written_whole_or_not_at_all(course, monkeypatch):
    before = (course/'1_one.ipynb').read_bytes()
    set_text, full = Path.write_bytes, OSError(28, 'No space left on device')
    def write_half(self, data): set_text(self, data[:50]); raise full
    monkeypatch.setattr(Path, 'write_bytes', write_half)
    with pytest.raises(OSError): set_facts(course/'1_one.ipynb', 'a minute', 'no', 'no')
    assert (course/'1_one.ipynb').read_bytes()==before

def test_facts_settle(course):
    first = {f:f.read_bytes() for f in course.rglob('*') if f.is_file()}
    assert len(first)==4 and write_course(course)==[] and {f:f.read_bytes() for f in first}==first
    nb = read_notebook(course/'2_two.ipynb')
    nb['cells'][0]['source'] = nb['cells'][0]['source'].replace('an hour', 'a day').replace('2_two.html', 'typo.html') + '\n\nWords of the author.'
    (course/'2_two.ipynb').write_text(notebook_text(nb), encoding='utf-8')
    assert [f.name for f in write_course(course)]==['2_two.ipynb']
    text = read_notebook(course/'2_two.ipynb')['cells'][0]['source']
    assert 'an hour' in text and '2_two.html' in text and text.endswith('Words of the author.') and text.count('Open in Kaggle')==1

@pytest.mark.parametrize('facts, words', [({}, 'its facts lack'), ({'time':'1','gpu':'no','internet':'no','after':'3_three'}, "there is no 3_three.ipynb"),
    ({'time':'','gpu':'no','internet':'no','after':''}, "time is ''"), ({'time':'1','gpu':'no','internet':'no','after':'','cost':'1'}, "cost")])
def test_wrong_facts(course, facts, words):
    nb = read_notebook(course/'2_two.ipynb')
    nb['metadata']['wholegame'] = facts
    (course/'2_two.ipynb').write_text(notebook_text(nb))
    with pytest.raises((ValueError, FileNotFoundError), match=words) as e: write_course(course)
    assert '2_two.ipynb' in str(e.value)

def test_two_lessons_of_one_title(course):
    nb = read_notebook(course/'1_one.ipynb')
    (course/'3_three.ipynb').write_text(notebook_text(nb), encoding='utf-8')
    with pytest.raises(ValueError, match='one notebook on Kaggle'): write_course(course)

def test_title_that_kaggle_refuses(course):
    nb = read_notebook(course/'1_one.ipynb')
    nb['cells'][0]['source'] = '# Oh\n\n> Walk'
    (course/'1_one.ipynb').write_text(notebook_text(nb), encoding='utf-8')
    with pytest.raises(ValueError, match='5 to 50'): kernel_metadata(course/'1_one.ipynb')

# ---- the bundle

@pytest.fixture
def bundle(tmp_path):
    "A small bundle without our wheel"
    (tmp_path/'pets').mkdir()
    for f in 'pets/a.txt','net.pth','other-1.0-py3-none-any.whl': (tmp_path/f).write_bytes(f.encode()*9)
    return make_bundle(tmp_path/'a-bundle', [tmp_path/'other-1.0-py3-none-any.whl'], [tmp_path/'net.pth'], [tmp_path/'pets'])

def cut(f): f.write_bytes(f.read_bytes()[:-1])
def flip(f): f.write_bytes(bytes([f.read_bytes()[0]^1]) + f.read_bytes()[1:])

@pytest.mark.parametrize('harm, words', [(cut, 'is damaged: 62 bytes, not 63'), (flip, 'its SHA-256 is not'), (Path.unlink, 'is missing')])
def test_harm_to_a_bundle_is_named(bundle, harm, words):
    assert verify_bundle(bundle)==[]
    harm(bundle/'weights'/'net.pth')
    found = verify_bundle(bundle)
    assert len(found)==1 and found[0].startswith('weights/net.pth') and words in found[0]

def test_bundle_with_a_damaged_list(bundle, tmp_path):
    cut(bundle/'manifest.json'); cut(bundle/'manifest.json')
    with pytest.raises(ValueError, match='is damaged'): verify_bundle(bundle)
    with pytest.raises(FileNotFoundError, match='no bundle'): verify_bundle(tmp_path)

def test_harm_is_named_on_the_command_line(bundle):
    flip(bundle/'weights'/'net.pth')
    rc, said = workshop('bundle', '--verify', bundle)
    assert rc==1 and 'weights/net.pth is damaged' in said

def test_failed_bundle_leaves_the_old_one_and_nothing_else(bundle, tmp_path):
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(FileNotFoundError): make_bundle(bundle, weights=[tmp_path/'net.pth', tmp_path/'gone.pth'])
    with pytest.raises(ValueError, match='Two files'): make_bundle(bundle, weights=[tmp_path/'net.pth', bundle/'weights'/'net.pth'])
    assert sorted(tmp_path.rglob('*'))==before and verify_bundle(bundle)==[]

@pytest.mark.parametrize('layout', ['a-bundle', 'datasets/me/a-bundle'])
def test_attached_bundle_is_found(bundle, tmp_path, monkeypatch, layout):
    from wholegame.data.external import find_weights, untar_data
    dest = tmp_path/'input'/layout
    shutil.copytree(bundle, dest)
    shutil.unpack_archive(dest/'pets.tgz', dest/'pets', 'gztar') # as Kaggle does, a folder in a folder
    (dest/'pets.tgz').unlink()
    for f in [*dest.rglob('*'), dest]: f.chmod(f.stat().st_mode & ~(stat.S_IWUSR|stat.S_IWGRP|stat.S_IWOTH))
    monkeypatch.setenv('WHOLEGAME_INPUT', str(tmp_path/'input'))
    assert find_bundle()==dest and verify_bundle(dest)==[]
    assert find_weights('net.pth')==dest/'weights'/'net.pth'
    assert (untar_data('https://example.com/pets.tgz')/'a.txt').is_file()
    for f in [dest, *dest.rglob('*')]: f.chmod(f.stat().st_mode | stat.S_IWUSR)

def test_no_bundle(tmp_path):
    (tmp_path/'x').mkdir()
    (tmp_path/'x'/'manifest.json').write_text('{"bundle": "of somebody else"}')
    assert find_bundle(tmp_path) is None and find_bundle(tmp_path/'nowhere') is None

def test_bundle_installs_where_there_is_no_network(tmp_path):
    "By its own command, with nothing but our wheel, into an environment that has pip and lacks us"
    before = (root/'build'/'lib').exists() # somebody's `pip install .` leaves it, too
    rc, said = workshop('--dest', tmp_path/'wholegame-bundle', 'bundle', '--wheels')
    assert rc==0 and 'wholegame-bundle: 2 files' in said, said
    assert (root/'build'/'lib').exists()==before, 'setuptools left its work behind'
    assert workshop('bundle', '--verify', tmp_path/'wholegame-bundle')==(0, 'The bundle is complete and undamaged.\n')
    env = tmp_path/'env'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', env], check=True, capture_output=True)
    exe, site = env/'bin'/'python', next((env/'lib').glob('python*'))/'site-packages'
    import pip
    (tmp_path/'only_pip').mkdir()
    (tmp_path/'only_pip'/'pip').symlink_to(Path(pip.__file__).parent)
    (site/'only_pip.pth').write_text(str(tmp_path/'only_pip'))
    r = subprocess.run([exe, tmp_path/'wholegame-bundle'/'install.py'], capture_output=True, text=True, env={k:v for k,v in os.environ.items() if k!='PYTHONPATH'})
    assert r.returncode==0, r.stdout+r.stderr
    assert (site/'wholegame'/'course'/'__init__.py').is_file() and not (site/'torch').exists() and not (site/'wholegame'/'course.py').exists()

# ---- the command line

def test_students_from_the_command_line(course, tmp_path):
    rc, said = workshop('--course', course, '--dest', tmp_path/'out', 'students')
    assert rc==0 and said.startswith('4 copies')
    assert '2+3' not in (tmp_path/'out'/'1_one.ipynb').read_text() and (tmp_path/'out'/'clean'/'2_two.ipynb').exists()
    k = tmp_path/'out'/'kaggle'/'1_one'
    assert (k/json.loads((k/'kernel-metadata.json').read_text())['code_file']).resolve()==tmp_path/'out'/'1_one.ipynb'

def test_facts_from_the_command_line(course):
    assert workshop('--course', course, 'facts', '--check')==(0, '')
    text = (course/'1_one.ipynb').read_text(encoding='utf-8')
    (course/'1_one.ipynb').write_text(text.replace('an hour |', 'a week |'), encoding='utf-8')
    rc, said = workshop('--course', course, 'facts', '--check')
    assert rc==1 and '1_one.ipynb' in said and 'make export' in said and 'a week' in (course/'1_one.ipynb').read_text(encoding='utf-8')
    assert workshop('--course', course, 'facts')[0]==0 and (course/'1_one.ipynb').read_text(encoding='utf-8')==text

@pytest.mark.parametrize('args, words', [(['--course', 'nowhere', 'students'], 'No lessons'), (['--course', root/'course', '--dest', root/'course', 'students'], 'would replace'),
    (['slides', 'nope.ipynb'], 'No notebook'), (['slides', root/'setup.py'], 'not JSON'), (['bundle', '--wheels', 'nope'], "doesn't need nope"), (['--course', 'nowhere', 'facts'], 'No lessons')])
def test_bad_commands_are_answered_in_words(args, words):
    rc, said = workshop(*args)
    assert rc==1 and words in said and len(said.splitlines())<4, said

def test_make_knows_the_targets():
    said = subprocess.run(['make','-n','students','slides','bundle','NB=course/x.ipynb','WITH=--zip'], cwd=root, capture_output=True, text=True).stdout
    for o in 'workshop.py students','workshop.py slides course/x.ipynb','workshop.py bundle --zip': assert o in said
    assert 'workshop.py facts' in subprocess.run(['make','-n','export'], cwd=root, capture_output=True, text=True).stdout

# ---- pictures from text

@pytest.fixture
def dot(tmp_path, monkeypatch):
    "Makes a program `dot` out of a line of shell, the only program there is"
    from wholegame.course import gv
    monkeypatch.setenv('PATH', str(tmp_path))
    sh = shutil.which('sh', path=os.defpath)
    def _dot(line):
        (tmp_path/'dot').write_text(f'#!{sh}\n{line}\n')
        (tmp_path/'dot').chmod(0o755)
        return gv
    return gv, _dot

def test_graph_without_and_with_graphviz(dot):
    gv, with_dot = dot
    assert 'a->b' in repr(gv('a->b')) and 'apt install graphviz' in repr(gv('a->b')) and gv('a->b')._repr_svg_() is None
    assert with_dot("echo '<?xml?><svg>a</svg>'")('a->b')._repr_svg_().strip()=='<svg>a</svg>'
    with pytest.raises(ValueError, match='Graphviz could not read the graph: syntax error'): with_dot("echo 'syntax error' >&2; exit 1")('a->b')

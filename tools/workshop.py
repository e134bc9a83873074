"""What authors of lessons need: `python tools/workshop.py facts | students | slides NOTEBOOK ... | bundle`

- `facts` writes badges, tables of facts and Kaggle's files into course/; with `--check` it only says what it would change.
- `students` makes copies with blanks of every lesson, in build/students.
- `slides` makes decks of lessons whose cells are marked, in build/slides.
- `bundle` packs what Kaggle needs without internet, in build/bundle: this library's wheel, those in `--wheels`, and the files in
  `--weights` and `--data`. `--verify FOLDER` checks one.
"""
import argparse, configparser, subprocess, sys, tempfile
from pathlib import Path

root = Path(__file__).resolve().parent.parent

def short(f):
    "A path for people"
    f = Path(f).resolve()
    return f.relative_to(root) if f.is_relative_to(root) else f

def addresses():
    "Of the repository and of the site"
    config = configparser.ConfigParser(delimiters=['='], interpolation=None)
    config.read(root/'settings.ini', encoding='utf-8')
    return config['DEFAULT']['repository'], config['DEFAULT']['documentation']

def facts(args):
    from wholegame.course import write_course
    found = write_course(args.course, dry=args.check)
    for f in found: print(f"{'Would change' if args.check else 'Wrote'} {short(f)}")
    if args.check and found: sys.exit('Run `make export` and commit.')

def students(args):
    from wholegame.course import make_copies
    repo, site = addresses()
    made = make_copies(args.course, args.dest or root/'build'/'students', site, f'{repo}/raw/main')
    print(f'{len(made)} copies in {short(made[0].parent)}, the clean ones in its folder clean/')

def slides(args):
    from wholegame.course import make_slides
    for f in args.notebook: print(f"Slides: {short(make_slides(f, args.dest or root/'build'/'slides'))}")

def own_wheel(folder):
    "Build this library's wheel, by way of an archive of the sources, so that nothing old lying about gets into it"
    cmd = [sys.executable, '-m', 'build', '--no-isolation', '--outdir', str(folder), str(root)]
    r = subprocess.run(cmd, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if r.returncode: sys.exit(f'The wheel could not be built:\n{(r.stdout+r.stderr)[-2000:]}')
    return next(Path(folder).glob('wholegame-*.whl'))

def bundle(args):
    from wholegame.course import download_wheels, make_bundle, verify_bundle
    if args.verify:
        wrong = verify_bundle(args.verify)
        sys.exit('\n'.join(wrong) if wrong else print('The bundle is complete and undamaged.'))
    with tempfile.TemporaryDirectory() as tmp:
        wheels = [own_wheel(Path(tmp)/'ours'), *download_wheels(Path(tmp)/'theirs', args.wheels)]
        dest = make_bundle(args.dest or root/'build'/'bundle'/'wholegame-bundle', wheels, args.weights, args.data, as_zip=args.zip)
    print(f'Upload the folder {short(dest)} as a data set, and attach it to the notebook.')

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--course', type=Path, default=root/'course', help='folder of the lessons')
    parser.add_argument('--dest', type=Path, help='folder to write to')
    sub = parser.add_subparsers(required=True, metavar='facts | students | slides | bundle')
    for f in facts, students, slides, bundle: sub.add_parser(f.__name__).set_defaults(f=f)
    p = sub.choices
    p['facts'].add_argument('--check', action='store_true', help='only say what would change')
    p['slides'].add_argument('notebook', nargs='+', type=Path)
    p['bundle'].add_argument('--wheels', nargs='*', default=['fastcore', 'timm'], help='packages to fetch')
    for k in 'weights', 'data': p['bundle'].add_argument(f'--{k}', nargs='*', type=Path, default=[], help=f'files of {k} to pack')
    p['bundle'].add_argument('--zip', action='store_true', help='make a .zip, too')
    p['bundle'].add_argument('--verify', type=Path, help='check this bundle instead of making one')
    args = parser.parse_args()
    try: args.f(args)
    except (ValueError, OSError, RuntimeError, ImportError) as e: sys.exit(f'{e}')

if __name__=='__main__': main()

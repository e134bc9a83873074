# Each target makes the virtual environment it needs on first use; the next time it starts at once.
PYTHON ?= python3
JOBS   ?= 2
DEV     := .venv/.ready
BENCH   := .venv-bench/.ready
DEPENDS := settings.ini setup.py tools/make_venv.py

.DEFAULT_GOAL := help
.PHONY: help lesson test docs lab export readme students slides bundle hosts bench clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

lesson: $(DEV) ## run the first lesson, offline unless WHOLEGAME_OFFLINE=0, and show what it learned
	@.venv/bin/python tools/lesson.py course/01a_is_it_a_bird.ipynb

test: $(DEV) ## run every notebook and every check
	@.venv/bin/python -m pytest -v -n $(JOBS) --dist worksteal tests

docs: $(DEV) ## make the site in build/site/html from the notebooks as they are saved
	@.venv/bin/python docs/build.py

lab: $(DEV) ## open the notebooks in JupyterLab
	@.venv/bin/jupyter lab

export: $(DEV) ## write the package, README.md and the lessons' badges and facts, and clean the notebooks
	@.venv/bin/nbdev-export
	@.venv/bin/nbdev-clean
	@.venv/bin/nbdev-clean --fname course
	@.venv/bin/python tools/workshop.py facts
	@.venv/bin/python tools/readme.py

readme: $(DEV) ## write README.md from nbs/index.ipynb
	@.venv/bin/python tools/readme.py

students: $(DEV) ## make copies of the lessons with blanks for students, in build/students
	@rm -rf build/students
	@.venv/bin/python tools/workshop.py students

slides: $(DEV) ## make slides of a lesson whose cells are marked: make slides NB=course/01a_is_it_a_bird.ipynb
	@test -n "$(NB)" || { echo "Say of which lesson: make slides NB=course/01a_is_it_a_bird.ipynb"; exit 2; }
	@.venv/bin/python tools/workshop.py slides $(NB)

bundle: $(DEV) ## pack what Kaggle needs without internet, in build/bundle (needs the network once): make bundle WITH="--weights file.pth"
	@.venv/bin/python tools/workshop.py bundle $(WITH)

hosts: $(DEV) ## run the lessons as Kaggle runs them, with the oldest and the newest versions (downloads gigabytes, once)
	@.venv/bin/python tools/hosts.py

bench: $(DEV) $(BENCH) ## do the same work with wholegame and with fastai, in turns, and print tables: make bench WITH="--only lesson1"
	@.venv/bin/python bench/run.py $(WITH)

clean: ## remove what building, testing and lessons left behind (virtual environments stay)
	rm -rf build dist lib_package/*.egg-info .pytest_cache
	find nbs course lib_package tests tools bench \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

$(DEV): $(DEPENDS)
	@$(PYTHON) tools/make_venv.py .venv dev

$(BENCH): $(DEPENDS)
	@$(PYTHON) tools/make_venv.py .venv-bench bench

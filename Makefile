# Two commands do all set-up: `make demo` and `make test`. Everything else builds on the same .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := examples,dev,docs
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check bench docs end-to-end faults fuzz clean

$(VENV)/.ready: constraints.txt packages/site/pyproject.toml packages/federator/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv --help > /dev/null 2>&1 \
	  || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -e packages/site -e 'packages/federator[$(EXTRAS)]'
	@touch $@

demo: $(VENV)/.ready  ## The main job on real data: notebook in, federation of processes, report out.
	rm -rf demo && mkdir demo
	$(BIN)/nbfed new demo/breast-cancer.ipynb --example breast-cancer
	$(BIN)/nbfed check demo/breast-cancer.ipynb
	$(BIN)/nbfed run demo/breast-cancer.ipynb --sites 3 --alone --out demo/run

test: $(VENV)/.ready  ## Unit, property and process tests.
	$(BIN)/pytest -m "not end_to_end"

end-to-end: $(VENV)/.ready  ## Whole runs of real processes, faults, and the report in a real browser.
	$(BIN)/pytest -m end_to_end

faults: $(VENV)/.ready  ## The whole fault matrix, as a table; as root, for small disks; takes about 12 minutes.
	$(BIN)/python -m tests.lab.matrix

TIME ?= 60
fuzz: $(VENV)/.ready  ## Search for bytes from the network that are not expected, TIME seconds in each reader of such.
	@$(BIN)/python -c 'import atheris' 2> /dev/null || { echo "Atheris has no wheel for this machine: nothing is searched"; exit 0; }; \
	$(BIN)/python -m tests.fuzz $(TIME)

check: $(VENV)/.ready  ## Style, types, import directions, duplicates.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest tests/architecture
	$(BIN)/pylint --disable=all --enable=duplicate-code --min-similarity-lines=8 packages/*/src/*

bench: $(VENV)/.ready  ## Speed and memory, beside Flower as shipped and docker build; takes about 30 minutes.
	$(BIN)/python benchmarks/run_all.py

docs: $(VENV)/.ready  ## The documentation as a site, in build/docs; broken links fail.
	$(BIN)/mkdocs build --strict --quiet --site-dir build/docs

clean:
	rm -rf $(VENV) demo runs build

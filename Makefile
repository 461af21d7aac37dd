# make help lists the targets. CI calls the same ones.
PY := .venv/bin/python
# A browser is opened where there is a screen; a server only prints the URL.
SCREEN := $(if $(SSH_CONNECTION),,$(or $(DISPLAY),$(WAYLAND_DISPLAY),$(filter Darwin,$(shell uname))))
LAB_FLAGS := $(if $(SCREEN),,--no-browser) $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help install lab test test-slow test-all notebooks book bench lint lock experiments address colab try-colab clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

install: .venv/.installed  ## create .venv (PYTHON=python3.12 names the interpreter)

.venv/.installed: requirements.lock pyproject.toml scripts/install.sh
	@PYTHON="$(PYTHON)" sh scripts/install.sh

lab: install  ## open the course in JupyterLab; it prints its URL (ARGS="--port 9999" adds options)
	$(PY) -m jupyterlab $(LAB_FLAGS) --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(ARGS)

test: install  ## run all tests but the slow ones, two files at a time (ARGS="-k langevin" picks, ARGS="-n 0" debugs)
	$(PY) -m pytest -n 2 -m "not slow" $(ARGS)

test-slow: install  ## run the slow ones: every page executed, runs really killed, real browsers
	$(PY) -m pytest -n 2 -m slow $(ARGS)

test-all: install  ## run all tests
	$(PY) -m pytest -n 2 $(ARGS)

notebooks: install  ## execute every notebook in place (NOTEBOOKS=notebooks/05*.ipynb picks; ARGS=--record keeps the times)
	$(PY) scripts/run_notebooks.py $(ARGS) $(NOTEBOOKS)

book: install  ## build the site into build/book (open build/book/index.html)
	$(PY) -m sphinx -q -W --keep-going -j 2 -c docs/book -d build/doctrees . build/book $(ARGS)

bench: install  ## measure and write benchmarks/RESULTS.md (GPU=1 on a GPU; ARGS="--only layer" a section; --quick tries)
	$(PY) -m benchmarks $(if $(GPU),--gpu) $(ARGS)

experiments: install  ## run what is not on file of the experiments; a killed run goes on (ARGS="--again --only incomplete")
	$(PY) -m experiments $(ARGS)

lint: install  ## check style and format, notebooks included
	$(PY) -m ruff check
	$(PY) -m ruff format --check

lock: install  ## resolve pyproject.toml into requirements.lock (ARGS=--upgrade takes the newest versions)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PY) -m venv "$$folder" && \
	"$$folder/bin/python" -m pip install --quiet --disable-pip-version-check uv && \
	"$$folder/bin/uv" pip compile pyproject.toml --extra lab --extra test --extra book --universal --python-version 3.11 \
		--fork-strategy requires-python --generate-hashes --no-config --quiet \
		--custom-compile-command "make lock" --output-file requirements.lock $(ARGS)

address:  ## set the repository's address: make address URL=https://github.com/you/abp-jax
	@$(or $(wildcard $(PY)),python3) scripts/set_address.py "$(URL)"

colab: install  ## write dist/colab: each notebook with the course inside, to be uploaded to Colab alone
	$(PY) scripts/bundle_for_colab.py

try-colab: install  ## execute the course with Colab's versions (PYTHON=python3.12; ARGS=notebooks/00*.ipynb picks some)
	$(PY) scripts/try_colab.py $(if $(PYTHON),--python $(PYTHON)) $(ARGS)

clean:  ## remove .venv, caches and build output
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} + -o -name .ipynb_checkpoints -prune -exec rm -rf {} +

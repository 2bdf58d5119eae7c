# Every verb of development. `make` alone builds the report; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MIN_PYTHON := $(shell sed -n 's/^min_python *= *//p' settings.ini)
DEBIAN_PACKAGES := postgresql apache2-utils jq openssl prometheus prometheus-alertmanager prometheus-blackbox-exporter restic systemd \
	prometheus-node-exporter prometheus-postgres-exporter chromium chromium-driver mmdebstrap
NOTEBOOKS ?= $(BIN)/nbdev_test
# Packages are installed by uv, which comes from the same index as they do; where it cannot be had, by pip (tools/install.sh).
export UV ?= $(CURDIR)/$(BIN)/uv
INSTALL := sh tools/install.sh
# Scripts that start also where the path has a space; what has a module is called by it.
SELF := --use-pep517 --editable

unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := report
.PHONY: report test e2e measured e2e-long lint coverage licenses audit docs guides lab export golden mutants precision mutation checkov tools bench bare clean help

report: $(VENV)/.runtime ## The comparison of the example stack, in report/ (no AWS account, no root)
	$(BIN)/python -m pretamane_analysis report --out report

test: $(VENV)/.dev $(VENV)/.checkov $(VENV)/.focus $(VENV)/.axe ## Run every notebook, then pytest
	$(NOTEBOOKS)
	$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder --durations=15 tests

e2e: $(VENV)/.dev ## The emitted host, run in a container engine of its own: start, crash, releases (root, Debian; says why where it cannot)
	PRETAMANE_E2E=yes $(BIN)/python tests/e2e/halves.py -v -rs --durations=15

measured: $(VENV)/.dev ## The same, and what the genuine programs took kept as data of the package
	PRETAMANE_E2E=yes PRETAMANE_E2E_MEASURED=pretamane_analysis/data/measured.csv $(BIN)/python tests/e2e/halves.py -q -rs

e2e-long: $(VENV)/.dev ## The same with every kill point and twenty deploys; hours
	PRETAMANE_E2E=long $(BIN)/python tests/e2e/halves.py -v -rs --durations=0

export: $(VENV)/.dev ## Notebooks to modules; outputs, pictures, infra/, README.md and metadata refreshed
	$(BIN)/nbdev_export
	$(BIN)/python -m pretamane_analysis report --out report
	mkdir -p nbs/pictures && cp report/pictures/cost.svg report/pictures/drawing-ec2.svg nbs/pictures/
	$(BIN)/python -m pretamane_analysis emit infra --force
	$(BIN)/python tools/publish.py run
	$(BIN)/nbdev_clean
	$(BIN)/python tools/publish.py readme
	$(MAKE) golden

golden: $(VENV)/.dev ## Write the expected texts that tests compare with: whole answers, schemas, charges; then read the diff
	PRETAMANE_GOLDEN=write $(BIN)/python -m pytest -q -p no:xdist tests/test_formats.py tests/test_answers.py tests/test_damage.py tests/test_stack_damage.py

docs: $(VENV)/.dev ## The site, in _docs/ (no network, no Quarto)
	$(BIN)/python tools/build_site.py --out _docs

guides: $(VENV)/.dev ## Run the commands of the guides and write what they print into them
	$(BIN)/python tools/guide.py docs/guide/*.md

lab: $(VENV)/.lab ## Open the notebooks in JupyterLab
	$(BIN)/python -m jupyter lab nbs

lint: $(VENV)/.dev ## What can be told without running anything
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy pretamane_analysis $(addprefix tools/,publish.py reference.py guide.py site_pages.py build_site.py plan_to_resources.py)

coverage: $(VENV)/.dev $(VENV)/.checkov $(VENV)/.focus $(VENV)/.axe ## The tests, and which lines of the package none of them runs
	$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder --cov --cov-report term:skip-covered --cov-report html:_coverage tests

licenses: $(VENV)/.dev ## What the package installs and under which license, into docs/licenses.md
	$(BIN)/python tools/licenses.py

audit: $(VENV)/.audit ## Known vulnerabilities in what the package installs, where they can be asked for
	$(BIN)/python tools/audit.py

mutants: $(VENV)/.dev ## Put every known defect into the emitted tree and print who notices it
	PYTHONPATH=tests:tools $(BIN)/python -m mutants

precision: $(VENV)/.dev ## How many of check's findings in trees of others' kind a reviewer would sign
	PYTHONPATH=tests:tools $(BIN)/python -m foreign

parity: $(VENV)/.dev ## Run the application's API tests over both sets of adapters and write which behavior each side has
	PYTHONPATH=tests:tools $(BIN)/python tools/parity.py

mutation: $(VENV)/.mutation ## Change the package's own Python in small ways and write who notices into docs/mutation.md
	$(BIN)/python tools/mutation.py

bench: $(VENV)/.bench ## Run the benchmarks, one after the other, and write what they print into docs/benchmarks.md
	$(BIN)/python benchmarks/record.py

checkov: $(VENV)/.checkov ## Install checkov beside the environment, because it pins half of what others need

tools: ## Install what CI needs from Debian, only what is missing
	@PACKAGES="$(DEBIAN_PACKAGES)" sh tools/debian.sh

bare: ## Both commands of README.md in a bare root as an ordinary user, then the wheel alone (needs root and mmdebstrap)
	bash tools/bare_root.sh

clean: ## Remove everything that git does not track and a verb here makes
	rm -rf $(VENV) build dist report _docs _site _coverage .coverage *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## This list
	@sed -n 's/^\([a-z0-9]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r verb text; do \
		printf 'make %-8s %s\n' "$$verb" "$$text"; done

# The stamps: an environment is rebuilt only when the settings change.
$(VENV)/.runtime: settings.ini setup.py
	@PYTHON="$(PYTHON)" MIN_PYTHON="$(MIN_PYTHON)" sh tools/check_python.sh
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || rm -rf $(VENV) # half made, for want of python3-venv
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	[ -x "$$UV" ] || $(BIN)/python -m pip install --quiet uv==0.13.9 || echo "without uv: pip installs, which takes longer"
	$(INSTALL) $(BIN)/python $(SELF) .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime tools/compose.py
	$(INSTALL) $(BIN)/python $(SELF) '.[dev]'
	$(BIN)/python tools/compose.py $(BIN)/docker-compose
	@touch $@

$(VENV)/.checkov: $(VENV)/.runtime
	$(BIN)/python -m venv $(VENV)/checkov
	$(INSTALL) $(VENV)/checkov/bin/python checkov==3.3.30
	@touch $@

# focus-validator wants pandas 2 and Python 3.12: an environment of its own, from the first Python that is new enough.
$(VENV)/.focus: $(VENV)/.runtime
	@for each in $(PYTHON) python3.12 python3.13 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[23].*/bin/python; do \
		"$$each" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && found="$$each" && break; done; \
	if [ -n "$$found" ]; then "$$found" -m venv $(VENV)/focus && \
		$(INSTALL) $(VENV)/focus/bin/python focus-validator==2.2.1 pyarrow==20.0.0; \
	else echo "focus-validator is not installed, for want of Python 3.12: its test is skipped"; fi
	@touch $@

$(VENV)/.axe: $(VENV)/.runtime
	@if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix $(VENV)/axe axe-core@4.14.1; \
	else echo "axe-core is not installed, for want of npm: tests of accessibility are skipped"; fi
	@touch $@

$(VENV)/.mutation: $(VENV)/.dev
	$(INSTALL) $(BIN)/python $(SELF) '.[mutation]'
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(INSTALL) $(BIN)/python $(SELF) '.[bench]'
	@touch $@

$(VENV)/.lab: $(VENV)/.dev
	$(INSTALL) $(BIN)/python $(SELF) '.[lab]'
	@touch $@

$(VENV)/.audit: $(VENV)/.dev
	$(INSTALL) $(BIN)/python $(SELF) '.[audit]'
	@touch $@

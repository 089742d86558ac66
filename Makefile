# Every target does all of its own set-up: a machine with Python >= 3.10, make and a package registry is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OLDEST := .venv-oldest
AUDIT := .venv-audit
BUILD := .venv-build
REVIEW := The plot is thin, but the acting is superb.

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-fast test-oldest fuzz chromium lint audit bench docs reproduce dist try-dist models-page clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 13

demo: $(VENV)/.installed  ## explain a review with the bundled sentiment model
	@$(BIN)/narrows explain "$(REVIEW)"

serve: $(VENV)/.installed-app  ## serve the page on this machine
	@$(BIN)/narrows serve

# Files in their order: by default those with few tests go last, and the site, one long test, keeps one process waiting.
SHARED := --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-dev chromium  ## run the whole test suite
	$(BIN)/python -m pytest -q $(SHARED)

test-fast: $(VENV)/.installed-dev  ## run the tests without the slow ones and those in a browser
	$(BIN)/python -m pytest -q $(SHARED) -m "not slow and not browser"

# What decides whether a model is read right, without the pictures and the page. Some modules of old transformers use
# torch.jit, which torch itself by now calls deprecated when they are loaded.
test-oldest: $(OLDEST)/.installed  ## run the fast part of the suite against the oldest versions that are supported
	$(OLDEST)/bin/python -m pytest -q -W 'ignore:`torch.jit:DeprecationWarning' \
		tests/bottleneck tests/data tests/models tests/methods tests/cli tests/test_*.py

# The cases of the suite 50 times over, other ones in each round. A round that ran clean is not run again: rm -r out/fuzz
# starts anew. What failed is kept in out/fuzz/examples and tried first the next time.
ROUNDS ?= 10
fuzz: $(VENV)/.installed-dev  ## 10,000 random cases in 10 rounds; resumes [ROUNDS=10]
	@mkdir -p out/fuzz; failed=0; \
	for round in $$(seq $(ROUNDS)); do \
		if [ -e out/fuzz/$$round.clean ]; then continue; fi; \
		echo "round $$round of $(ROUNDS)"; \
		if NARROWS_FUZZ=5 $(BIN)/python -m pytest -q tests/fuzz --hypothesis-seed=$$round; \
		then touch out/fuzz/$$round.clean; else failed=1; fi; \
	done; exit $$failed

# The page is tested in a real browser. Without one those tests are skipped, and this says so; it never fails.
chromium:
	@if command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1; then exit 0; \
	elif [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then \
		echo "no Chromium here: the tests of the page in a browser will be skipped (install it, for instance: apt-get install chromium)"; \
	else \
		echo "installing Chromium for the tests of the page"; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null 2>&1 \
		|| echo "Chromium could not be installed: the tests of the page in a browser will be skipped"; \
	fi

lint: $(VENV)/.installed-dev audit  ## ruff and mypy, and the audit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@for folder in . decoders reproduction rivals; do \
		(cd benchmarks/$$folder && "$(abspath $(BIN))/mypy" --config-file "$(CURDIR)/pyproject.toml" \
			--allow-untyped-calls --no-warn-return-any ./*.py) || exit 1; \
	done

# It shows what it finds and fails nothing: an advisory on somebody else's package is no fault of this tree. pip-audit has
# an environment of its own, so that its dependencies do not mix with those that it looks up.
audit: $(VENV)/.installed-dev  ## look installed packages up among known vulnerabilities; skipped where that cannot be done
	@test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && \
		$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit; } >/dev/null 2>&1 || true
	@if ! test -x $(AUDIT)/bin/pip-audit; then echo "audit skipped: pip-audit cannot be installed here"; exit 0; fi; \
	packages=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	found=$$($(AUDIT)/bin/pip-audit --path "$$packages" --progress-spinner off --timeout 10 2>&1 || true); \
	unknown=$$(echo "$$found" | grep -c "could not be audited"); all=$$(ls -d "$$packages"/*.dist-info | wc -l); \
	if test "$$unknown" -ge "$$all"; then found="none of $$all packages is known to the advisory service"; fi; \
	case "$$found" in \
	*"nown vulnerabilit"*) echo "$$found" | grep -v -e "could not be audited" -e "Skip Reason" -e "^--* --*$$"; \
		echo "audit: $$unknown of $$all packages could not be looked up from here" ;; \
	*) echo "audit skipped: no advisories from here ($$(echo "$$found" | tail -n 1 | cut -c 1-120))" ;; \
	esac

bench: $(VENV)/.installed-dev  ## measure speed against the naive implementation
	$(BIN)/python benchmarks/measure.py
	@$(BIN)/python benchmarks/table.py

# make reproduce DATA=DIR LIMIT=20; interrupted or finished, the same line resumes. The pages go to out/, not to docs/.
LIMIT ?= 20
OUT ?= out/reproduction
reproduce: $(VENV)/.installed-dev  ## the paper's experiments: DATA=DIR [LIMIT=20] [OUT=DIR]
	@test -n "$(DATA)" || { echo "say where the data is: make reproduce DATA=DIR [LIMIT=20]" >&2; exit 2; }
	$(BIN)/python benchmarks/reproduction/run.py --data "$(DATA)" --limit $(LIMIT) \
		--runs "$(OUT)/runs" --results "$(OUT)/results" --out "$(OUT)"

# Building needs no torch, so it has an environment of its own. The wheel is built from the tree: the source distribution
# leaves the weights of the demo models out.
dist: $(BUILD)/.installed  ## build the wheel and the source distribution into dist/, and check them
	rm -rf dist
	$(BUILD)/bin/python -m build --wheel
	$(BUILD)/bin/python -m build --sdist
	$(BUILD)/bin/twine check --strict dist/*

# In CI of GitHub everything is installed from a registry; here the environments borrow what .venv has, and no more of it
# than the wheel declares.
try-dist: $(VENV)/.installed-dev dist  ## try the wheel from another folder: the core alone, then each extra
	$(BIN)/python packaging/try_dist.py --borrow

# Nothing is fetched; the notebooks of the tutorials run, and a warning fails. A test of `make test` does the same.
docs: $(VENV)/.installed-dev  ## build the site into out/docs
	$(BIN)/python -m sphinx -q -W --keep-going -E docs out/docs
	@echo "out/docs/index.html"

models-page: $(VENV)/.installed-dev  ## write docs/models.md from the matrix of the tests
	$(BIN)/python docs/write_models.py

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) $(OLDEST) $(AUDIT) $(BUILD) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch goes first and alone: with it in place, no other package can pull a CUDA build of several gigabytes.
$(VENV)/.torch: constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[demo]"
	@touch $@

$(VENV)/.installed-app: pyproject.toml constraints.txt $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[app]"
	@touch $@ $(VENV)/.installed

# 25.1 is the first pip that reads groups.
$(VENV)/.installed-dev: pyproject.toml constraints.txt $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[all]" --group dev
	@touch $@ $(VENV)/.installed $(VENV)/.installed-app

$(BUILD)/.installed:
	$(PYTHON) -m venv $(BUILD)
	$(BUILD)/bin/python -m pip install --quiet --disable-pip-version-check build "twine>=6.1"  # 6.1: licence metadata
	@touch $@

$(OLDEST)/.installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-oldest.txt torch
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-oldest.txt \
		--editable ".[demo,evaluate,finetune,units]" hypothesis pytest
	@touch $@

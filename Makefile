# `make` lists the targets. Works with GNU make 3.81 (macOS) and later.

# The newest Python that is 3.11 or later, first among those that can make a virtual environment.
# It is run and not only found: a version manager's shim may stand for a Python that is not switched on.
ifndef PYTHON
PYTHON := $(shell for able in 'import ensurepip, venv' 'pass'; do \
	for p in python3.13 python3.12 python3.11 python3; do \
	  $$p -c "$$able; import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && echo $$p && exit; \
	done; done; echo python3)
endif
VENV ?= .venv
BIN = $(VENV)/bin
SUITE = pytest --numprocesses auto --dist worksteal
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check

.PHONY: help bench soak canary crash demo fuzz test syscalls lint machine types docs pictures package installs torn words image format lock clean
.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/installed ## Set everything up and tell a whole outage to rehearsal stand-ins; make demo ARGS=--yes does not ask
	@$(BIN)/outagecast demo $(ARGS)

test: $(VENV)/installed ## Set everything up and run the suite; make test ARGS="-k banner" passes arguments to pytest
	$(BIN)/$(SUITE) $(ARGS)

# -B: it writes nothing.
crash: $(VENV)/installed ## Kill a send at every point, with every provider behaving in every way; make crash ARGS=facebook a part of it
	@$(BIN)/python -B -m tests.crash.sweep $(ARGS)

soak: $(VENV)/installed ## Text and mail fifty thousand people while the process is killed again and again
	$(BIN)/python -m tests.soak $(ARGS)

syscalls: $(VENV)/installed ## Fail every n-th file operation of a run in turn, under strace
	OUTAGECAST_SYSCALLS=all $(BIN)/pytest -s tests/test_syscalls.py $(ARGS)

machine: $(VENV)/installed ## Let an officer, a provider, the clock and crashes do what they like, in any order, two thousand times
	OUTAGECAST_MACHINE=$${OUTAGECAST_MACHINE:-2000} $(BIN)/pytest tests/test_machine.py $(ARGS)

lint: $(VENV)/installed ## Check style, format and floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

canary: $(VENV)/installed ## Look for a secret after every command against every fault, with the secrets kept in every way
	OUTAGECAST_CANARY=all $(BIN)/pytest tests/test_canary.py $(ARGS)

fuzz: $(VENV)/installed ## Try twenty times as many odd files, answers and facts as the suite does, at random
	OUTAGECAST_FUZZ=$${OUTAGECAST_FUZZ:-20} $(BIN)/pytest tests/fuzz $(ARGS)

torn: $(VENV)/installed ## Read an outage page while a thousand updates are written to it and the writer is killed
	OUTAGECAST_TORN=$${OUTAGECAST_TORN:-1000} $(BIN)/pytest tests/test_torn.py $(ARGS)

words: $(VENV)/installed ## Tell two thousand made-up incidents in every language on every kind of channel
	OUTAGECAST_WORDS=$${OUTAGECAST_WORDS:-2000} $(BIN)/pytest tests/test_words.py $(ARGS)

types: $(VENV)/installed ## Check types
	$(BIN)/mypy

format: $(VENV)/installed ## Put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/installed ## Write what the code knows into the docs: commands, channels
	$(BIN)/python -m outagecast.cli.reference .

pictures: $(VENV)/installed ## Make the pictures in docs/pictures anew; the wall's need Chromium
	$(BIN)/python tests/pictures.py docs/pictures

# The unpacked sdist without the sources is the empty folder: nothing there can stand in for what the wheel lacks.
package: $(VENV)/installed ## Build sdist and wheel, run the suite on the installed wheel in an empty folder
	rm -rf build dist *.egg-info
	$(BIN)/python -m build --quiet --no-isolation
	@set -e; away=$$(mktemp -d); trap 'rm -rf "$$away"' EXIT; \
	echo "Installing the wheel into an environment of its own"; \
	$(BIN)/python -m venv "$$away/venv"; \
	"$$away/venv/bin/python" $(PIP_INSTALL) --no-compile --require-hashes -r requirements.lock; \
	"$$away/venv/bin/python" $(PIP_INSTALL) --no-deps dist/outagecast-*.whl; \
	mkdir "$$away/suite"; \
	tar -xzf dist/outagecast-*.tar.gz -C "$$away/suite" --strip-components 1; \
	sources=$$PWD; cd "$$away/suite"; \
	rm -rf outagecast channels templates ./*.egg-info; \
	"$$away/venv/bin/outagecast" --version; \
	OUTAGECAST_SOURCES="$$sources" "$$away/venv/bin/"$(SUITE) $(ARGS)

# Both take the dependencies from PyPI, as a user's machine would.
installs: $(VENV)/installed .venvs/uv/bin/uv .venvs/pipx/bin/pipx ## Install the wheel of make package with pipx and with uv, in a scratch folder
	@set -e; away=$$(mktemp -d); trap 'rm -rf "$$away"' EXIT; \
	export PIPX_HOME="$$away/pipx" PIPX_BIN_DIR="$$away/pipx-bin" PIPX_MAN_DIR="$$away/pipx-man"; \
	export UV_TOOL_DIR="$$away/uv" UV_TOOL_BIN_DIR="$$away/uv-bin" UV_PYTHON_DOWNLOADS=never; \
	wheel=$$(ls dist/outagecast-*.whl) || { echo "There is no wheel: make package" >&2; exit 1; }; \
	.venvs/pipx/bin/pipx install --quiet --python "$(abspath $(BIN))/python" "$$wheel" >/dev/null; \
	.venvs/uv/bin/uv tool install --quiet --python "$(abspath $(BIN))/python" "$$wheel"; \
	version=$$($(BIN)/python -c 'import outagecast; print(outagecast.__version__)'); \
	for tool in pipx uv; do \
	  printf '%s: ' "$$tool"; "$$away/$$tool-bin/outagecast" --version | grep -F "$$version"; \
	done

image: ## Build the container image outagecast, where there is docker or podman
	@for builder in docker podman; do \
	  if $$builder info >/dev/null 2>&1; then \
	    $$builder build --tag outagecast . && exec $$builder run --rm outagecast --version; exit; \
	  fi; \
	done; echo "No image was built: neither docker nor podman answers on this machine." >&2; exit 1

# The image gets no tools of ours: what it needs is locked apart, to the same versions; setuptools builds the wheel there.
bench: $(VENV)/installed ## Measure everything in docs/performance.md, side by side with what others do; needs Postfix's smtp-sink
	test -x .venvs/bench/bin/apprise || { $(BIN)/python -m venv .venvs/bench && \
	  .venvs/bench/bin/python $(PIP_INSTALL) --require-hashes -r requirements.lock && \
	  .venvs/bench/bin/python $(PIP_INSTALL) apprise==2.2.0; }
	.venvs/bench/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --force-reinstall .
	.venvs/bench/bin/python $(PIP_INSTALL) aiosmtplib==5.1.3
	$(BIN)/python -m tests.bench.mail .venvs/bench/bin/python
	$(BIN)/python -m tests.bench.texts .venvs/bench/bin/python
	$(BIN)/python -m tests.bench.beside
	$(BIN)/python -m tests.bench.million
	$(BIN)/python tests/bench/startup.py .venvs/bench/bin/outagecast .venvs/bench/bin/apprise
	$(BIN)/python -m tests.bench.page

lock: .venvs/uv/bin/uv ## Lock the dependencies; make lock ARGS=--upgrade takes newer ones
	.venvs/uv/bin/uv pip compile pyproject.toml --extra demo --extra keyring --extra s3 --group dev --universal --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  --quiet --output-file requirements.lock $(ARGS)
	echo setuptools | .venvs/uv/bin/uv pip compile pyproject.toml - --extra demo --constraint requirements.lock \
	  --universal --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" --quiet --output-file requirements-image.lock

clean: ## Remove all that make has made
	rm -rf .venv .venvs build dist *.egg-info .coverage* .hypothesis .import_linter_cache
	rm -rf .mypy_cache .pytest_cache .ruff_cache

# --- virtual environments ---

.venvs/uv/bin/uv:
	$(PYTHON) -m venv .venvs/uv
	.venvs/uv/bin/python $(PIP_INSTALL) uv

.venvs/pipx/bin/pipx:
	$(PYTHON) -m venv .venvs/pipx
	.venvs/pipx/bin/python $(PIP_INSTALL) pipx

$(VENV)/locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "outagecast needs Python 3.11 or later, and $(PYTHON) is not: install one, or name it: make test PYTHON=..."; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv"; \
	  echo "(for a Python beside the system's own, its package: python3.12-venv for python3.12)"; exit 1; } >&2
	@echo "Setting up $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python $(PIP_INSTALL) --no-compile --require-hashes -r requirements.lock
	@touch $@

# Again when the version, the dependencies or the console script may have changed.
$(VENV)/installed: $(VENV)/locked pyproject.toml outagecast/__init__.py
	@$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip --disable-pip-version-check check
	@touch $@

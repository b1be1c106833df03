# Everything a fresh machine needs is git, make, python3 (3.11 or newer) and pip: uv comes into .venv.
.DEFAULT_GOAL := help
.PHONY: help install demo test serve secrets check node bench bench-agentdojo clean

PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
SECRETS := $(or $(TOOLGATE_SECRETS),var/secrets)

help:            ## list what can be made
	@grep -E '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.13 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv

.venv/.installed: $(UV) pyproject.toml uv.lock
	$(UV) sync --quiet --frozen --inexact --compile-bytecode --python $(BIN)/python
	@touch $@

install: .venv/.installed

demo: install    ## run the demonstration: no key, no Docker, about half a minute
	$(BIN)/python -m agents.demo

test: install node  ## run all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

serve: install   ## start the shop's eight tool servers and the gateway in front of them
	$(BIN)/python -m agents.demo --serve

# The folder is for its owner only. The files in it can be read by all, for in a container somebody else has to.
secrets:         ## make the keys and passwords of docker-compose.yml that are not there yet, in var/secrets
	@umask 077; mkdir -p "$(SECRETS)"; for name in $$(sed -n 's|.*var/secrets}/\([a-z_]*\)".*|\1|p' docker-compose.yml); do \
	    file="$(SECRETS)/$$name"; test -s "$$file" && continue; \
	    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$$file.new" && chmod 444 "$$file.new" && mv "$$file.new" "$$file" \
	    && echo "made $$file" || exit 1; done

check: install   ## lint, types, layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/layout

node: tests/node_modules/.installed

# The conformance suite, real peers and real clients run on Node; tests that need it skip where npm is absent.
tests/node_modules/.installed: tests/package.json tests/package-lock.json
	@if command -v npm >/dev/null; then cd tests && npm ci --silent --no-audit --no-fund && touch node_modules/.installed; \
	else echo "npm is not here: tests that need Node will skip"; fi

bench: install   ## measure what the gateway adds to a call (more in bench/)
	$(BIN)/python bench/overhead.py

# AgentDojo and what it needs are 250 MB that nothing else uses: they have an environment of their own.
.venv-bench/.installed: $(UV) pyproject.toml uv.lock
	UV_PROJECT_ENVIRONMENT=.venv-bench $(UV) sync --quiet --frozen --no-default-groups --group bench --python $(BIN)/python
	@touch $@

bench-agentdojo: .venv-bench/.installed  ## measure what policies stop when an agent is hijacked: bench/agentdojo/README.md
	.venv-bench/bin/python bench/agentdojo/replay.py

clean:
	rm -rf .venv .venv-bench tests/node_modules var dist

# The front door. Needs: make, git, python3 (3.11 to 3.13) and its venv module.
# Everything else is installed into $(VENV), into js-client/node_modules, and for `make test`
# as Debian packages if commands are missing.

PYTHON ?= python3
VENV ?= .venv
PORT ?= 9001

PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
# Many tests wait more than they compute, so two at a time (tests/conftest.py says which).
# One that has run out of time has said nothing yet on a busy machine: it runs once more, and the
# summary names it. What fails otherwise has failed.
PYTEST := $(VENV)/bin/python -m pytest -n 2 --reruns 1 --only-rerun 'Timeout|monotonic|within'

# Stamps: each stands for an installation and is older than what would change it.
DEMO_READY := $(VENV)/.installed-demo
TEST_READY := $(VENV)/.installed-test
JS_READY := js-client/node_modules/.installed

.DELETE_ON_ERROR:
# Tests share the machine's time with nothing else of ours; pip and npm want the same folders.
.NOTPARALLEL:
.PHONY: help demo test test-js test-fast test-slow lint format bench soak conformance-server stack test-containers packages clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' Makefile

# In the environment: a password does not belong on a command line.
demo: export DEMO_BROKER := $(or $(BROKER),$(DEMO_BROKER))
demo: $(DEMO_READY) ## run the chat demo; BROKER=amqp://user:password@host for RabbitMQ, ARGS=... for its options
	@$(VENV)/bin/python djangoapp/manage.py demo $(ARGS)

test: packages lint test-js test-fast test-slow ## install what tests need, lint, run every test

test-js: $(JS_READY) ## the JavaScript client: its tests, and whether what is built is up to date
	cd js-client && npm test && npm run check

test-fast: $(TEST_READY) $(JS_READY) ## the tests that need neither a broker nor a browser
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(TEST_READY) $(JS_READY) ## the tests with a real broker and a real browser
	$(PYTEST) -m slow $(ARGS)

lint: $(TEST_READY) ## ruff, mypy, import contracts
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/mypy gateway/roomline djangoapp bench

format: $(TEST_READY) ## let ruff rewrite what it can
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(TEST_READY) ## measure the fan-out against a textbook server and a plain socket.send loop
	$(VENV)/bin/python -m bench $(ARGS)

soak: $(DEMO_READY) ## hold 10,000 sessions for 5 minutes, then let 5,000 more connect in 10 seconds
	$(VENV)/bin/python -m bench.soak $(ARGS)

conformance-server: $(DEMO_READY) ## the SockJS endpoints that suites for SockJS expect, on PORT
	@$(VENV)/bin/python -m roomline.transport.conformance --port $(PORT) $(ARGS)

# One after the other: the tests share a stack.
test-containers: export TEST_CONTAINERS := 1
test-containers: packages $(TEST_READY) ## the container stack, brought up, attacked and deleted; needs docker compose
	$(PYTEST) -n 0 tests/containers $(ARGS)

# The commit goes into the images' labels.
stack: export ROOMLINE_REVISION := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
stack: ## the container stack: secrets into .env if there is none, images, and up until it is healthy
	@sh scripts/stack-secrets
	docker compose up --build --detach --wait
	@echo "Open http://$$(docker compose port proxy 8080)/ and log in as demo with DEMO_PASSWORD from .env"

packages: ## Debian packages that the tests need, if they are missing
	@sh scripts/debian-packages

clean: ## remove everything that make has made
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis djangoapp/demo-data
	rm -rf js-client/node_modules js-client/build
	find gateway djangoapp tests bench -name __pycache__ -prune -exec rm -rf {} +
	rm -rf gateway/*.egg-info djangoapp/*.egg-info gateway/build djangoapp/build

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>&1): Python 3.11 to 3.13 is needed, name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)

$(DEMO_READY): gateway/pyproject.toml djangoapp/pyproject.toml requirements/constraints.txt | $(VENV)/bin/python
	@echo "Installing Roomline into $(VENV) (once)"
	@$(PIP) install --use-pep517 -c requirements/constraints.txt -e 'gateway[server]' -e djangoapp
	@touch $@

$(TEST_READY): $(DEMO_READY) requirements/test.txt
	@echo "Installing the test tools into $(VENV) (once)"
	@$(PIP) install --use-pep517 -c requirements/constraints.txt -r requirements/test.txt
	@touch $@

$(JS_READY): js-client/package-lock.json
	@echo "Installing the JavaScript tools (once)"
	@cd js-client && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

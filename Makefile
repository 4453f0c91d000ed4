# Two commands do everything on a fresh machine: `make demo` and `make test`. Each sets up what it needs.
SHELL := /bin/bash
# The system's own, as nodes take it: others on a developer's machine are often built without the
# compiler's profile, and Python is a third slower then.
PYTHON ?= $(or $(wildcard /usr/bin/python3.11),python3.11)
VENV := .venv
BIN := $(VENV)/bin
DRIVER ?= auto
ENGINE ?= embedded
DEBIAN := systemd-container mmdebstrap iproute2 git

# Where a machine's environment has it, each process compiles its modules anew, and each worker of
# pytest all tests: seven seconds of a processor.
unexport PYTHONDONTWRITEBYTECODE

MINUTES ?= 10
CYCLES ?= 50
RUNS ?= 1000000
NAMES ?=

.PHONY: demo demo-scaling test faults bench bench-growth bench-rollout fuzz powercut simulate lint machines image browser tracker engines servers versitygw lock clean

# ENGINE=aws: the event store on DynamoDB Local, ElasticMQ and an S3 server.
demo: $(VENV)/ready machines $(if $(filter aws,$(ENGINE)),engines)
	$(BIN)/python -m demo --driver $(DRIVER) --engine $(ENGINE)

# Four times the load on a lab whose nodes follow it: processors go from one to three, and back.
demo-scaling: $(VENV)/ready machines
	$(BIN)/python -m demo.scaling --driver $(DRIVER)

# What the tests need is made while lint runs: one computes, the others wait for the network.
test: machines browser
	@$(MAKE) --no-print-directory -j 3 lint image tracker engines servers
	$(BIN)/python -m pytest -p tests.shares -n 4 --dist loadscope --no-loadscope-reorder

# A table on the terminal, and build/bench.json. The usual glue, its baseline, needs a real Redis.
bench: $(VENV)/ready
	$(call debian,redis-server)
	$(BIN)/python -m bench

# Cost as it grows, to 10^8 stored events, and ten minutes at full load: half an hour, 20 GB of disk.
bench-growth: $(VENV)/ready
	$(BIN)/python -m bench.growth

# Rollouts beside Salt's own batches, Ansible and pyinfra on one lab: a quarter of an hour, as root.
bench-rollout: $(VENV)/ready machines
	$(call debian,openssh-client)
	$(BIN)/python -m bench.rollout

# Each prints its seeds: FUZZ_SEED and POWERCUT_SEED repeat a run.
fuzz: $(VENV)/ready
	FUZZ_MINUTES=$(MINUTES) $(BIN)/python -m pytest -s tests/eventstore/test_fuzz.py

powercut: $(VENV)/ready
	POWERCUT_CYCLES=$(CYCLES) $(BIN)/python -m pytest -s tests/eventstore/test_power.py

# Random fleets, faults and interleavings through the decisions of a rollout; `make test` has a tenth.
simulate: $(VENV)/ready
	SIMULATE_RUNS=$(RUNS) $(BIN)/python -m pytest -rP -n 2 tests/rollout/test_simulation.py

# What goes wrong during rollouts, on a lab under load, some forty minutes: a table, and
# build/rollout-faults.json. NAMES="two-operators disk-full" plays only these.
faults: $(VENV)/ready machines
	$(if $(filter process,$(DRIVER)),,$(call debian,nftables gcc libc6-dev))
	$(BIN)/python -m faults --driver $(DRIVER) $(NAMES)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/ready: requirements/dev.lock pyproject.toml
	$(if $(filter /usr/bin/%,$(PYTHON)),$(call debian,python3-venv python3-dev gcc libc6-dev))
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --require-hashes -r requirements/dev.lock
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	touch $@

# Debian packages, as root and where there is apt. Whoever needs what can't be had says "not run".
define debian
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg -s $(1) >/dev/null 2>&1; then \
	  (apt-get update -q && apt-get install -y -q --no-install-recommends $(1)) \
	  || echo "these could not be installed: $(1)" >&2; \
	fi
endef

# Labs of real machines need these; without root, or where they can't be had, labs are processes.
machines:
	$(if $(filter process,$(DRIVER)),,$(call debian,$(DEBIAN)))

# Their base image, else made by the first lab, while the others wait for it.
image: $(VENV)/ready machines
	$(BIN)/python -m cli.lab.nspawn

# The tests look at the demo's report with a real one.
browser:
	$(call debian,chromium)

# A browser's tracker, for a test that runs it in a page; without npm that test says "not run".
tracker:
	@if command -v npm >/dev/null; then npm --prefix tests/browser ci --no-audit --no-fund --silent \
	  || echo "the browser's tracker could not be installed" >&2; \
	fi

# The real engines that the tests of SQS and DynamoDB run on; without Java or Maven they say "not run".
engines: $(VENV)/ready
	@command -v mvn >/dev/null && command -v javac >/dev/null || $(MAKE) --no-print-directory java
	@$(BIN)/python -m cli.lab.engines.fetch

# And the servers for S3, EC2 and the like: Python programs, in environments of their own.
servers: $(VENV)/ready
	@$(BIN)/python -m cli.lab.engines.fetch s3server moto

# Another S3 server for tests, which checks secrets: from its source, for up to half an hour, once.
# Nothing waits for it; where it isn't, its tests say "not run".
versitygw: $(VENV)/ready
	@$(BIN)/python -m cli.lab.engines.build

.PHONY: java
java:
	$(call debian,default-jdk-headless maven)

# Exact versions with hashes and no download addresses; one resolution (dev) binds the others.
lock: $(VENV)/ready
	./requirements/compile

clean:
	rm -rf build $(VENV) *.egg-info tests/browser/node_modules

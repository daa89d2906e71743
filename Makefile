# `make demo`, `make test` and `make test-all` need only Python 3.11 or newer and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.DELETE_ON_ERROR:
.PHONY: install demo test test-all check property crash mutants fuzz bench growth spark-test lock clean

install: .venv/installed

# The lock file pins every package with its hash; the project itself is installed in place, without build isolation,
# so that nothing is fetched which the lock does not name. Metering becomes machine code when it first runs, which takes a
# while; so that happens at the end, and the result is kept.
# Modules are compiled too, for those whose Python writes no bytecode (PYTHONDONTWRITEBYTECODE).
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q billing
	$(BIN)/python -m billing.metering
	$(BIN)/billing estimate call --policy trtc-intl --calls-per-day 1 --users 2 --minutes 1 --camera 640x360 > $@

demo: install
	$(BIN)/python sample_data/demo.py demo-output

# Tests that share a slow fixture run on one worker (tests/conftest.py).
PYTEST := $(BIN)/pytest -n 2 --dist loadgroup

# Seven minutes on two cores: leaves out what is marked `thorough`, and tries fewer examples of slow laws (tests/depth.py).
test: install
	$(PYTEST) -m "not thorough"

# Every test, at full depth.
test-all: install
	HYPOTHESIS_PROFILE=all $(PYTEST)

# Format, lint, types, import directions.
check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The laws on 50,000 generated rooms.
property: install
	HYPOTHESIS_PROFILE=property $(BIN)/pytest -n 2 tests/property

# Small faults in metering and rating, one at a time, each of which some test must notice; see tests/mutants/README.md.
mutants: install
	$(BIN)/python -m tests.mutants

# Every command killed before each of its steps, and at random moments; every disk that fails. Takes a while.
crash: install
	BILLING_KILLS=all $(BIN)/pytest -n 2 tests/crash

# Ten minutes (FUZZ_SECONDS) of made-up bytes for everything that reads files. Linux on x86_64, Python up to 3.13.
.venv/fuzz: .venv/installed requirements-fuzz.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.lock
	touch $@

fuzz: .venv/fuzz
	$(BIN)/python -m tests.fuzz

# Spark is large and comes as source only, so it has a lock file of its own, and is installed for these tests alone. Java
# must be there.
.venv/spark: .venv/installed requirements-spark.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-spark.lock
	touch $@

spark-test: .venv/spark
	BILLING_REQUIRE_SPARK=1 $(BIN)/pytest tests/spark

# The engine beside its rivals, and the picture of its growth up to 100 million events: see benchmarks/README.md.
.venv/bench: .venv/installed requirements-bench.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	touch $@

bench: .venv/bench
	$(BIN)/python -m benchmarks

growth: .venv/bench
	$(BIN)/python -m benchmarks.growth

# Needs uv; writes the versions and hashes of pyproject.toml's ranges for every supported Python.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		--extra postgresql --extra documents --extra serve --group dev --group mutants pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		--group spark -o requirements-spark.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		--group fuzz -o requirements-fuzz.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		--constraint requirements.lock --group bench -o requirements-bench.lock

clean:
	rm -rf .venv demo-output

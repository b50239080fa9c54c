# make demo      train a small SemanIR x2 on real photographs and compare it with bicubic
# make test      run the quick tests;  make test-all  run the slow ones too
# make lint      run ruff and pyright
# make bench     compare our speed with the plain way, in one run
# make schema    write what is made from the code: options/schema.json, and names.json for `basicsr list`
# make venv      set up .venv only;  make clean  remove it and what builds leave behind

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# the first Python that can build PyPI's basicsr 1.4.2; name another with: make demo PYTHON=python3.12
SUITABLE := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.10; do \
	$$p -c '$(SUITABLE)' 2>/dev/null && echo $$p && break; done)

.PHONY: venv demo test test-all lint bench schema clean

venv: $(READY)

$(READY): setup.py constraints.txt
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(SUITABLE)' || { \
		echo "Python 3.10, 3.11 or 3.12 is needed: PyPI's basicsr 1.4.2 cannot be built on 3.13." >&2; \
		echo "Install one of them, then name it: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# torch first: built in isolation, basicsr would fetch a second torch of several GB for its setup_requires
	$(BIN)/python -m pip install -c constraints.txt torch torchvision numpy setuptools wheel cython
	$(BIN)/python -m pip install -c constraints.txt --no-build-isolation basicsr
	$(BIN)/python -m pip install -c constraints.txt --no-build-isolation -e ".[dev]"
	@touch $(READY)

demo: venv
	$(BIN)/python scripts/demo.py

test: venv
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal

test-all: venv
	$(BIN)/python -m pytest

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@test -x $(BIN)/pyright || $(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation -e ".[lint]"
	$(BIN)/pyright

bench: venv
	$(BIN)/python scripts/bench.py
	$(BIN)/python scripts/bench_training.py
	$(BIN)/python scripts/bench_data.py

schema: venv
	$(BIN)/python scripts/write_schema.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache

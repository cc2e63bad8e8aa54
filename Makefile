# Everything a fresh machine needs: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
DEMO = artifacts/demo
PACKAGES = attacks purify export kernels runtime deploy bench

# Hundreds of processes are started; where bytecode may not be kept, each compiles all of torch and transformers again.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test lint types pytest bench gpu-test gpu-bench clean

# Python compiles what it imports; compiling all of torch and transformers would take longer than fetching them.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@echo "installing tokenward and what it needs into $(VENV) (a minute or two) ..."
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-compile -e ".[dev]"
	touch $@

demo: $(STAMP)
	$(BIN)/tokenward demo

test: lint types pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy reads packages from disk, so it is given the tree of links that installation would make.
types: $(STAMP)
	rm -rf build/types && mkdir -p build/types/tokenward
	ln -s $(CURDIR)/tokenward/* build/types/tokenward/
	for p in $(PACKAGES); do ln -s $(CURDIR)/$$p build/types/tokenward/$$p; done
	cd build/types && $(abspath $(BIN))/mypy --config-file $(CURDIR)/pyproject.toml -p tokenward

# One thread each: two test processes share two cores, and threads that wait by spinning slow each other down.
pytest: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# On your own labelled texts: make bench TRAIN=train.tsv TEST=test.tsv
ifdef TRAIN
bench: $(STAMP)
	$(BIN)/tokenward bench all --train $(TRAIN) --test $(or $(TEST),$(error TRAIN is given without TEST: give both))
else
bench: demo
	$(BIN)/tokenward bench all
endif

gpu-test: $(STAMP)
	$(BIN)/python -m pytest tests/kernels tests/runtime/test_engine_torch.py tests/runtime/test_engine_onnx_cuda.py -m gpu

gpu-bench: $(STAMP)
	$(BIN)/python -m tokenward.bench.gpu

clean:
	rm -rf build $(VENV) *.egg-info

# make demo: from an empty clone to a verdict.  make check: the quick half for every commit.  make test: everything.  make bench: our speed.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: demo lint check test bench record gpu-kit bench-gpu audit release lock clean
.DELETE_ON_ERROR:

demo: .venv/run.done
	$(BIN)/fittingroom demo $(ARGS)

lint: .venv/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# a thread for each worker: more would wait for each other
check: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto -m "not slow" $(ARGS)

test: .venv/dev.done
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto $(ARGS)

bench: .venv/run.done .venv-peers/done  # our speed against five peers; nothing else may run meanwhile
	$(BIN)/python benchmarks/bench.py $(ARGS)

record: .venv/run.done  # check a record of docs/records.md, or try to beat it: ARGS=mnist-99
	$(BIN)/python benchmarks/records.py $(ARGS)

# What a machine with a GPU and without internet lacks. GPU_PYTHON is its Python; torch, NumPy, SciPy, pillow, rich, pytest are there.
GPU_PYTHON ?= 3.12
GPU_KIT := pydantic pydantic-core annotated-types typing-inspection typing-extensions platformdirs tomli-w filelock
gpu-kit: .venv/run.done
	rm -rf .gpu-kit && mkdir .gpu-kit
	$(BIN)/fittingroom data get fashion-mnist && $(BIN)/fittingroom data get mnist
	tar -C "$$($(BIN)/python -c 'from fittingroom.store.fetch import home; print(home())')" -cJf .gpu-kit/data.tar.xz data/fashion-mnist data/mnist
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir .gpu-kit .
	$(BIN)/pip download --quiet --no-deps --only-binary=:all: --python-version $(GPU_PYTHON) --implementation cp \
	  --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --dest .gpu-kit \
	  $(foreach name,$(GPU_KIT),$(shell sed -n 's/^\($(name)==[^ ]*\) .*/\1/p' requirements/run.txt)) pytest-timeout

bench-gpu:  # one command, five minutes; `make gpu-kit` before, where the GPU's machine has no internet
	PYTHON=$(PYTHON) sh benchmarks/gpu.sh $(ARGS)

# torch first and by version: that pip call finds the CPU build where there is one. The rest is checked by hash.
.venv/run.done: requirements/run.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "fittingroom needs Python 3.11 or newer; set PYTHON=python3.11, say")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

.venv/dev.done: .venv/run.done requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

.venv-peers/done: requirements/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-peers/bin/pip install --quiet --disable-pip-version-check -r requirements/peers.txt
	touch $@

audit: .venv-tools/done  # known weaknesses of what is pinned, where the advisories can be reached
	.venv-tools/bin/python requirements/audit.py

release: .venv-tools/done .venv/run.done  # dist/: the wheel, what it is pinned to run with (CycloneDX), and the SHA-256 of both
	rm -rf dist
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	.venv-tools/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible -o dist/fittingroom.cdx.json requirements/run.txt
	cd dist && sha256sum * > SHA256SUMS

.venv-tools/done: requirements/tools.txt
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/tools.txt
	touch $@

lock: .venv/dev.done  # write requirements/*.txt anew from pyproject.toml; torch is left out on purpose
	$(BIN)/pip install --quiet pip-tools
	echo torch==2.13.0 > .venv/torch.txt
	cd requirements && CUSTOM_COMPILE_COMMAND="make lock" ../$(BIN)/pip-compile --quiet --generate-hashes --strip-extras \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --no-annotate --allow-unsafe --upgrade \
	  -o run.txt ../pyproject.toml
	cd requirements && CUSTOM_COMPILE_COMMAND="make lock" ../$(BIN)/pip-compile --quiet --generate-hashes --strip-extras \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --no-annotate \
	  --unsafe-package torch --constraint ../.venv/torch.txt --constraint run.txt $(foreach extra,dev audit explain parquet sklearn tune postgresql dashboard ray export serve mlflow tensorboard,--extra $(extra)) -o dev.txt ../pyproject.toml
	cd requirements && CUSTOM_COMPILE_COMMAND="make lock" ../$(BIN)/pip-compile --quiet --generate-hashes --strip-extras \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --no-annotate --allow-unsafe --upgrade \
	  -o tools.txt tools.in

clean:
	rm -rf .venv .venv-peers .venv-tools dist

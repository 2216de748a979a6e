# One script per gate, the same on a laptop and in continuous integration.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# A CPU build where the index serves one; a plain `torch` can bring gigabytes of CUDA libraries.
TORCH  ?= torch==2.13.0

.PHONY: setup demo lab rigs test check soak bench proto clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q $(TORCH)
	$(BIN)/pip install -q -e ".[test,demo]"
	touch $@

demo: setup  ## run the tour headless and print what came back
	$(BIN)/python -m examples.tour

lab: setup   ## open the tour in JupyterLab
	$(BIN)/jupyter lab examples/tour.ipynb

check: setup ## lint
	$(BIN)/ruff check .

rigs: setup  ## what tests need beyond pip: a Docker engine, sshd, nginx; what cannot be had is skipped there
	@for rig in tests/rigs/*.sh; do sh $$rig $(BIN)/python || echo "$$rig: not ready, its tests will be skipped"; done

test: check rigs  ## everything with bounded samples
	$(BIN)/python -m pytest -m "not soak"

soak: rigs   ## the full counts
	$(BIN)/python -m pytest -m soak --timeout=3600

bench: setup ## our figures beside the peers'
	$(BIN)/pip install -q -e ".[bench]"
	$(BIN)/python -m benchmarks cells --json

proto: setup ## regenerate the wire stubs, with the oldest protobuf we support
	$(PYTHON) -m venv build/proto && build/proto/bin/pip install -q "grpcio-tools==1.74.*"
	build/proto/bin/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. remote_runtime/wire/messages.proto

clean:
	rm -rf $(VENV) build dist

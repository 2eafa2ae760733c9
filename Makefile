# The first two are all a new user needs: `make demo`, as root, and `make test`.

BIN := .venv/bin
export PYTHON DOCKER_PY_SUITE

.PHONY: help demo test fuzz parity clients lint bench lock clean

help:
	@echo "make demo   install what is needed and show the three uses of data volumes, on real containers (root)"
	@echo "make test   install what the tests need and run all checks (root; without it, what needs root is skipped)"
	@echo "make fuzz   ten minutes of half-valid requests to the API: no 500, no hang, no leak (root; SECONDS, SEED)"
	@echo "make parity play the scenarios of tests/parity on Bireme and on Docker, side by side (root, Docker)"
	@echo "make clients run docker-py's own suite, from the checkout that DOCKER_PY_SUITE names, on a served engine (root)"
	@echo "make lint   ruff and mypy alone"
	@echo "make bench  measure, beside Docker, podman and others: table and plots in bench/results (root)"
	@echo "make lock   write requirements.lock anew"
	@echo "make clean  remove .venv and all caches"

demo:
	@[ "$$(id -u)" = 0 ] || { echo "make demo: containers need root: sudo make demo" >&2; exit 1; }
	@bash .ci/setup demo
	@$(BIN)/python docs/demo.py

test: lint
	@$(BIN)/python -m pytest $(PYTEST_FLAGS)

parity:
	@[ "$$(id -u)" = 0 ] || { echo "make parity: containers need root: sudo make parity" >&2; exit 1; }
	@bash .ci/setup test
	@$(BIN)/python -m tests.parity $(SCENARIOS)

fuzz:
	@[ "$$(id -u)" = 0 ] || { echo "make fuzz: containers need root: sudo make fuzz" >&2; exit 1; }
	@bash .ci/setup test
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))

clients:
	@[ "$$(id -u)" = 0 ] || { echo "make clients: containers need root: sudo make clients" >&2; exit 1; }
	@bash .ci/setup test
	@$(BIN)/python -m tests.clients $(CLIENTS_FLAGS)

lint:
	@bash .ci/setup test
	@echo "ruff:"; $(BIN)/ruff check
	@echo "mypy:"; $(BIN)/mypy

bench:
	@[ "$$(id -u)" = 0 ] || { echo "make bench: containers need root: sudo make bench" >&2; exit 1; }
	@bash .ci/setup test
	@$(BIN)/python -m bench --install $(BENCH_FLAGS)

lock:
	@bash .ci/lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find actors runtime tests bench docs -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: demo test check tools install docs format bench growth simulate fuzz kill release

SEEDS := 1000
INPUTS := 1000000
KILLS := 100

PY := .venv/bin/python

demo: install  ## play six incidents on an in-memory cluster and keep serving
	@.venv/bin/remediator demo

test: tools check  ## set up what the tests need, then run everything

install: .venv/installed

.venv/installed: pyproject.toml
	@test -d .venv || python3 -m venv .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . --group dev
	@touch $@

tools:  ## build or install the real parts that tests start (once, into the user's cache folder)
	@python3 tools/install.py

check: install  ## lint, format, types, import arrows, generated files, all tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/remediator check rules/
	.venv/bin/pytest -n 2 --dist loadfile --durations 40

docs: install  ## write the generated pages
	.venv/bin/remediator generate reference --output docs/reference
	.venv/bin/remediator generate permissions > helm/remediator/files/permissions.yaml
	$(PY) tools/dashboards.py
	$(PY) tools/layers.py > docs/reference/layers.md
	$(PY) -m tests.integration.walk > docs/reference/walk.md

format: install
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: install  ## measure; writes docs/performance.md
	$(PY) -m bench.run

growth: install  ## time what is asked again and again on a journal with years of history (1 M remediations, 10 M episodes; 11 GB)
	$(PY) -m bench.growth

release: tools install  ## wheel, chart and SBOM of the version that the code names in dist/, and a tag; nothing is pushed
	$(PY) tools/release.py

simulate: install  ## play SEEDS=1000 worlds of two replicas on virtual time, and look for the bugs made on purpose
	$(PY) -m tests.simulation --seeds $(SEEDS)

kill: tools install  ## kill -9 the daemon KILLS=100 times under load, on SQLite and again on PostgreSQL; count acts in the audit log
	REMEDIATOR_KILLS=$(KILLS) .venv/bin/pytest tests/e2e/test_load.py -s

fuzz: install  ## INPUTS=1000000 of coverage-guided fuzzing, shared among every text that comes from outside
	$(PY) -m tests.fuzz --inputs $(INPUTS)

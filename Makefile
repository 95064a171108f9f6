# Everything here runs in .venv, made on first use with the versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: demo test test-web test-all sweep check web clean

demo: $(INSTALLED)          ## the main job: train plain, residual and dense nets side by side, explain what was seen
	$(BIN)/gradpath compare

test: $(INSTALLED)          ## every test but the slow ones and the page's in a browser (at most 6 minutes)
	$(BIN)/python -m pytest -n 2 -m "not slow" --ignore tests/web

test-web: $(INSTALLED)      ## the page in a browser (Chromium; skipped where there is none)
	$(BIN)/python -m pytest -n 2 -m "not slow" tests/web

test-all: $(INSTALLED)      ## every test
	$(BIN)/python -m pytest -n 2

sweep: $(INSTALLED)         ## architectures of timm, torchvision and transformers (torchvision's wheel asks for another torch)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps timm torchvision
	$(BIN)/python -m pytest tests/sweep

check: $(INSTALLED)         ## formatting, lint, types
	$(BIN)/ruff format --check src tests bench scripts examples
	$(BIN)/ruff check src tests bench scripts examples
	$(BIN)/mypy

web:                        ## the page's scripts and style sheets from web/, with their checks; needs Node 20 and npm
	cd web && npm ci --no-audit --no-fund && npm run check && npm test && npm run build

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev,examples]'
	touch $@

clean:
	rm -rf .venv build dist

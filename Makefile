# Every command that a person or CI runs. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
# Where the public data sets lie: NIH ChestX-ray14 in nih/, ChestX-Det in chestx-det/ (docs/data.md).
DATA ?= ../shared/data
# YOLOv5n trained on COCO, as safetensors (docs/data.md).
COCO_START ?= ../shared/weights/yolov5n-coco.safetensors
RUNS ?= runs
# The published classifier that `make evaluate-classifier` measures.
CLASSIFIER ?= models/classifier/lite0-nih14

# In the order in which they build on one another.
SERVING_PACKAGES := $(addprefix services/,contracts serving classifier detector gateway launcher)
PACKAGES := $(SERVING_PACKAGES) training gan
DEV := .venv-dev/bin/python
CXR := .venv-train/bin/cxr
CXR_GAN := .venv-train/bin/cxr-gan
PYTHON_CODE := services training gan benchmarks deploy tests
CHROMIUM ?= /usr/bin/chromium
# What DICOM rendering is held against; dcmj2pnm and dcml2pnm lie beside it.
DCMTK ?= /usr/bin/dcm2pnm
# 0 runs the tests in one process, one after the other.
TEST_PROCESSES ?= 2
# With promtool beside it.
PROMETHEUS ?= $(or $(shell command -v prometheus),.prometheus/usr/bin/prometheus)
# The plug-in, or the older program of the same name.
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-22s %s\n", $$1, $$2}'

# --- environments ---------------------------------------------------------------------------

.uv/bin/uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	@touch $@

# An environment at $(1): what $(2) locks, then this project's packages in $(3), editable.
define sync_environment
	test -x $(1)/bin/python || .uv/bin/uv venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(1)
	.uv/bin/uv pip sync --quiet --require-hashes --python $(1)/bin/python $(2) requirements/build.txt
	.uv/bin/uv pip install --quiet --no-deps --no-index --no-build-isolation --python $(1)/bin/python $(addprefix --editable ,$(3))
	@touch $(1)/.synced
endef
manifests = requirements/build.txt $(addsuffix /pyproject.toml,$(1))

.venv/.synced: requirements/serving.txt $(call manifests,$(SERVING_PACKAGES)) | .uv/bin/uv
	$(call sync_environment,.venv,$<,$(SERVING_PACKAGES))

.venv-train/.synced: requirements/training.txt $(call manifests,$(PACKAGES)) | .uv/bin/uv
	$(call sync_environment,.venv-train,$<,$(PACKAGES))

.venv-dev/.synced: requirements/dev.txt $(call manifests,$(PACKAGES)) | .uv/bin/uv
	$(call sync_environment,.venv-dev,$<,$(PACKAGES))

PAGE_SOURCES := $(shell find frontend -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/test-results/*' 2>/dev/null)

frontend/node_modules/.installed: frontend/package-lock.json frontend/package.json
	@node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' \
	  || { echo "Node 20 or newer is needed to build the page"; exit 1; }
	cd frontend && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

frontend/dist/index.html: frontend/node_modules/.installed $(PAGE_SOURCES)
	cd frontend && npm run --silent build
	@touch $@

.PHONY: setup
setup: .venv/.synced frontend/dist/index.html ## Make the serving environment and build the page
	@echo "The commands are in .venv/bin: cxr-gateway, or after 'source .venv/bin/activate' without a path."

.PHONY: setup-training
setup-training: .venv-train/.synced ## Make the environment that trains: cxr, cxr-gan (PyTorch, some GB)
	@echo "The commands are in .venv-train/bin: cxr and cxr-gan, or after 'source .venv-train/bin/activate' without a path."

.PHONY: setup-dev
setup-dev: .venv-dev/.synced frontend/node_modules/.installed ## Make the environment of lint and tests

# --- run ------------------------------------------------------------------------------------

.PHONY: run
run: setup ## Start everything on http://localhost:8000 and read the sample radiograph
	@exec .venv/bin/python -m cxr_launcher

# --- check ----------------------------------------------------------------------------------

.PHONY: format
format: .venv-dev/.synced ## Format the code
	$(DEV) -m ruff format $(PYTHON_CODE)
	$(DEV) -m ruff check --fix $(PYTHON_CODE)

.PHONY: lint
lint: .venv-dev/.synced frontend/node_modules/.installed ## Style and types, Python and TypeScript
	$(DEV) -m ruff format --check $(PYTHON_CODE)
	$(DEV) -m ruff check $(PYTHON_CODE)
	$(DEV) -m mypy services training gan
	$(DEV) -m mypy --explicit-package-bases benchmarks deploy tests
	cd frontend && npm run --silent lint && npm run --silent typecheck

$(CHROMIUM):
	@command -v apt-get >/dev/null || { echo "A Chromium is needed for the browser tests: install one and set CHROMIUM=/path/to/chromium"; exit 1; }
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null

$(DCMTK):
	@command -v apt-get >/dev/null || { echo "DCMTK is needed for the tests of rendering: install it and set DCMTK=/path/to/dcm2pnm"; exit 1; }
	{ apt-get install -y -qq --no-install-recommends dcmtk || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends dcmtk; }; } >/dev/null

# Debian's package, unpacked and not installed: that would start a service on this machine.
.prometheus/usr/bin/prometheus:
	@command -v apt-get >/dev/null || { echo "A Prometheus is needed for the tests of the monitoring: install one and set PROMETHEUS=/path/to/prometheus"; exit 1; }
	mkdir -p .prometheus
	cd .prometheus && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } \
	  && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin && rm prometheus_*.deb
	@touch $@

# Everything but what starts services, browsers, containers or breaks them.
FAST_TESTS = $(filter-out %/integration/ %/e2e/ %/compose/ %/chaos/ %/support/,$(wildcard tests/*/))
PYTEST = $(DEV) -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

.PHONY: test-fast
test-fast: lint ## Before each commit: lint, types, unit and contract tests; no browser, nothing slow
	$(PYTEST) -m "not slow and not browser" --durations 10 --durations-min 2 $(FAST_TESTS)

.PHONY: test
test: lint secrets setup docs $(CHROMIUM) $(PROMETHEUS) $(DCMTK) ## Everything that must hold, the page in a real browser included
	CXR_CHROMIUM=$(CHROMIUM) CXR_PROMETHEUS=$(abspath $(PROMETHEUS)) $(PYTEST) --durations 20

.PHONY: test-images
test-images: .venv-dev/.synced $(DCMTK) ## DICOM rendering against DCMTK over the whole grid; make test takes a sample
	CXR_ALL_IMAGES=1 $(PYTEST) tests/gateway/imaging/test_against_dcmtk.py

# A compiler, for the clock that jumps.
.PHONY: test-chaos
test-chaos: .venv-dev/.synced ## Broken on purpose: killed, stopped, full, garbled, at the wrong time; writes docs/results/chaos/
	@command -v cc >/dev/null || { echo "A C compiler called cc is needed: install gcc"; exit 1; }
	$(DEV) -m pytest tests/chaos --chaos-results docs/results/chaos

EXAMPLES ?= 100
.PHONY: fuzz
fuzz: .venv-dev/.synced ## What make test fuzzes, with EXAMPLES for each operation and decoder, others each time
	CXR_FUZZ_EXAMPLES=$(EXAMPLES) $(DEV) -m pytest tests/contract/test_fuzzed_by_openapi.py tests/gateway/imaging/test_imaging_survives.py tests/gateway/imaging/test_structures_survive.py

.PHONY: secrets
secrets: .venv-dev/.synced ## Look for passwords, keys and tokens in the tracked files
	git ls-files -z --cached --others --exclude-standard | xargs -0 .venv-dev/bin/detect-secrets-hook --no-verify --baseline .secrets.baseline

.PHONY: audit
audit: secrets ## Secrets, and known vulnerabilities of what is locked (asks the network)
	deploy/audit-dependencies.sh

.PHONY: docs
docs: .venv-dev/.synced ## Build the documentation site in site/; a broken link is an error
	.venv-dev/bin/mkdocs build --strict

.PHONY: generate
generate: .venv-dev/.synced frontend/node_modules/.installed ## Write what is generated: OpenAPI, types, triage table, figures
	$(DEV) -m cxr_gateway docs openapi > docs/openapi.json
	$(DEV) -m cxr_gateway docs triage > docs/triage.md
	$(DEV) -m cxr_gateway docs permissions > docs/permissions.md
	$(DEV) -m deploy.settings_table > docs/settings.md
	$(DEV) -m cxr_training.report.figures
	cd frontend && npm run --silent generate

# Each list from the dependencies that the packages name; a list builds on the ones before it.
LOCK = .uv/bin/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-emit-index-url --python-version 3.11 \
  $(addprefix --no-emit-package cxr-,$(notdir $(PACKAGES)))
INFERENCE_MANIFESTS := $(patsubst %,services/%/pyproject.toml,contracts serving classifier detector)
MANIFESTS := $(addsuffix /pyproject.toml,$(PACKAGES))
.PHONY: lock
lock: .uv/bin/uv ## Resolve the packages' dependencies and requirements/*.in again, with hashes and no index address
	for name in uv build; do $(LOCK) requirements/$$name.in -o requirements/$$name.txt; done
	$(LOCK) $(INFERENCE_MANIFESTS) -c requirements/build.txt -o requirements/inference.txt
	$(LOCK) $(addsuffix /pyproject.toml,$(SERVING_PACKAGES)) -c requirements/build.txt -c requirements/inference.txt -o requirements/serving.txt
	$(LOCK) $(MANIFESTS) -c requirements/build.txt -c requirements/serving.txt -o requirements/training.txt
	$(LOCK) --extra cuda $(INFERENCE_MANIFESTS) -c requirements/inference.txt -c requirements/training.txt -o requirements/cuda.txt
	$(LOCK) $(MANIFESTS) requirements/dev.in -c requirements/build.txt -c requirements/training.txt -o requirements/dev.txt

# --- containers -----------------------------------------------------------------------------

# A build needs no secret, but compose reads the whole file.
.PHONY: images
images: export CXR_REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
images: export CXR_DATABASE_PASSWORD ?= not-used-by-a-build
images: ## Build the images of docker-compose.yml
	$(COMPOSE) build

.PHONY: test-compose
test-compose: .venv-dev/.synced images ## The system under docker compose: up, analysed, killed, scaled, refused; needs an engine
	$(DEV) -m pytest tests/compose

.PHONY: sbom
sbom: .venv-dev/.synced ## Write what each image installs from the locked lists to sbom/, as CycloneDX documents
	mkdir -p sbom
	for list in inference serving cuda; do \
	  .venv-dev/bin/cyclonedx-py requirements --output-reproducible --validate --output-file sbom/$$list.cdx.json requirements/$$list.txt; done
	cd frontend && npm sbom --sbom-format cyclonedx --package-lock-only > ../sbom/frontend.cdx.json

# --- measure --------------------------------------------------------------------------------

.PHONY: bench
bench: .venv-dev/.synced setup ## Speed and memory against two peers; writes docs/results/speed/
	$(DEV) -m benchmarks

MINUTES ?= 20
.PHONY: load
load: .venv-dev/.synced setup ## A long run at the rated load and a short one beyond it; MINUTES=; writes docs/results/load/
	$(DEV) -m benchmarks.sustained --minutes $(MINUTES)

# --- models ---------------------------------------------------------------------------------
# One verb each: `train-` trains into $(RUNS) and measures the run on validation patients, `publish-`
# writes that run into models/, `evaluate-` measures a published model and writes its figures,
# `verify-` recomputes the published figures and changes nothing. docs/data.md says what DATA and
# COCO_START are.

.PHONY: verify
verify: verify-classifier verify-detector verify-ood verify-rescoring ## Recompute the figures of every published model

.PHONY: train-classifier publish-classifier evaluate-classifier verify-classifier
CLASSIFIER_RUN = --data $(DATA) --run $(RUNS)/classifier
train-classifier: .venv-train/.synced ## Train the classifier and measure the run
	$(CXR) classifier train --config training/configs/classifier.yaml --data $(DATA) --out $(RUNS)/classifier
	$(CXR) classifier evaluate $(CLASSIFIER_RUN)
publish-classifier: .venv-train/.synced ## Write the measured classifier into models/, with figures of test patients
	$(CXR) classifier publish $(CLASSIFIER_RUN)
	$(CXR) classifier evaluate --data $(DATA) --model $(CLASSIFIER) --split test
evaluate-classifier: .venv-train/.synced ## Measure the published classifier and write its figures
	$(CXR) classifier evaluate --data $(DATA) --model $(CLASSIFIER)
	$(CXR) classifier evaluate --data $(DATA) --model $(CLASSIFIER) --split test
verify-classifier: .venv-train/.synced ## Recompute the published classifier's figures, change nothing
	$(CXR) classifier verify --data $(DATA) --model $(CLASSIFIER)

# A recipe of training/configs/detector, which is the name of its model, too. COCO's weights fit
# YOLOv5n only; a recipe on the classifier's network starts from the published classifier, too.
RECIPE ?= yolov5n-both
START ?= $(if $(filter yolov5n-%,$(notdir $(RECIPE))),--coco-start $(COCO_START)) \
  $(if $(findstring -lite0-,$(notdir $(RECIPE))),--backbone-start $(CLASSIFIER))
DETECTORS = $(patsubst %/manifest.json,--model %,$(wildcard models/detector/*/manifest.json))
DETECTOR_RUN = $(RUNS)/detector/$(RECIPE)
# Of the evaluate- targets: test is reported on, nothing is chosen on it.
SPLIT ?= validation
.PHONY: train-detector publish-detector fuse-detectors evaluate-detector verify-detector
train-detector: .venv-train/.synced ## Train a detector and measure the run: RECIPE=yolov5s-both, default yolov5n-both
	$(CXR) detector train --data $(DATA) --config training/configs/detector/$(RECIPE).yaml $(START) --out $(DETECTOR_RUN)
	$(CXR) detector evaluate --data $(DATA) --run $(DETECTOR_RUN)
publish-detector: .venv-train/.synced ## Write a detector's run into models/: RECIPE=..., VERSION=...
	$(CXR) detector publish --run $(DETECTOR_RUN) $(if $(VERSION),--version $(VERSION))
MEMBERS ?= yolov5n-both yolov5n-lite0-both yolov5s-both yolo26n-both
fuse-detectors: .venv-train/.synced ## Write models/detector/fused-both from published ones: MEMBERS=...
	$(CXR) detector fuse --data $(DATA) $(addprefix --model models/detector/,$(MEMBERS)) $(if $(VERSION),--version $(VERSION))
evaluate-detector: .venv-train/.synced ## Measure every published detector and write the tables: SPLIT=test
	$(CXR) detector evaluate --data $(DATA) $(DETECTORS) --split $(SPLIT)
verify-detector: .venv-train/.synced ## Recompute every published detector's figures
	$(CXR) detector verify --data $(DATA) $(DETECTORS)

# In the tools' environment: the photographs it learns to refuse come with packages of requirements/dev.in.
.PHONY: train-ood publish-ood evaluate-ood verify-ood
OOD = .venv-dev/bin/cxr ood
train-ood: .venv-dev/.synced ## Train the out-of-distribution detector
	$(OOD) train --data $(DATA) --out $(RUNS)/ood
publish-ood: .venv-dev/.synced ## Write it into models/ and measure it: VERSION=...
	$(OOD) publish --run $(RUNS)/ood --version $(VERSION)
	$(MAKE) evaluate-ood
evaluate-ood: .venv-dev/.synced ## Measure the published out-of-distribution detector and write its figures
	$(OOD) evaluate --data $(DATA) --split validation
	$(OOD) evaluate --data $(DATA) --split test
verify-ood: .venv-dev/.synced ## Recompute its figures, change nothing
	$(OOD) verify --data $(DATA) --split validation
	$(OOD) verify --data $(DATA) --split test

.PHONY: fit-rescoring evaluate-rescoring verify-rescoring
RESCORING = --data $(DATA) $(if $(RESCORED),--detector $(RESCORED))
fit-rescoring: .venv-train/.synced ## Fit how the classifier moves a detector's scores: RESCORED=yolov5n-both, default the served one
	$(CXR) rescoring fit $(RESCORING)
evaluate-rescoring: .venv-train/.synced ## Measure the published rescorings and write the tables: SPLIT=test
	$(CXR) rescoring evaluate $(RESCORING) --split $(SPLIT)
verify-rescoring: .venv-train/.synced ## Recompute the published rescorings' figures
	$(CXR) rescoring verify $(RESCORING)

.PHONY: evaluate-triage drift-reference
evaluate-triage: .venv-train/.synced ## Measure how the triage table orders radiographs: SPLIT=test
	$(CXR) triage evaluate --data $(DATA) --split $(SPLIT)
drift-reference: .venv-train/.synced ## Write what drift is measured against; after publishing a classifier or an OOD detector
	$(CXR) drift reference --data $(DATA) --classifier $(CLASSIFIER)

GAN ?= pggan-modern
GENERATOR ?= models/gan/$(notdir $(GAN))
.PHONY: train-gan publish-gan evaluate-gan verify-gan examples
train-gan: .venv-train/.synced ## Train a generator and measure the run: GAN=dcgan or gpu/dcgan, a recipe of gan/configs
	$(CXR_GAN) train --config gan/configs/$(GAN).yaml --data $(DATA) --out $(RUNS)/gan/$(GAN)
	$(MAKE) evaluate-gan
evaluate-gan: .venv-train/.synced ## Measure a trained generator: GAN=...
	$(CXR_GAN) evaluate --model $(RUNS)/gan/$(GAN) --data $(DATA) --results docs/results/gan
publish-gan: .venv-train/.synced ## Write a generator's run into models/: GAN=..., VERSION=...
	$(CXR_GAN) publish --run $(RUNS)/gan/$(GAN) --version $(VERSION) --models models/gan --results docs/results/gan
verify-gan: .venv-train/.synced ## Recompute a published generator's figures: GENERATOR=models/gan/NAME
	$(CXR_GAN) verify --model $(GENERATOR) --data $(DATA)
examples: .venv-train/.synced ## Make the page's example radiographs: GENERATOR=models/gan/NAME
	$(CXR_GAN) examples --model $(GENERATOR)

# STUDY=--status says what is done and left; STUDY=--smoke tries the way, and STUDY='--jobs 1' one training at a time.
STUDY ?=
.PHONY: gan-study
gan-study: .venv-train/.synced ## Do synthetic images help rare findings? Resumes; writes docs/results/gan-study.md
	$(CXR_GAN) study --data $(DATA) $(STUDY)

clean: ## Remove environments, builds and caches (never the archive in var/)
	rm -rf .prometheus .uv .venv .venv-train .venv-dev frontend/node_modules frontend/dist site sbom .mypy_cache .ruff_cache .pytest_cache
.PHONY: clean

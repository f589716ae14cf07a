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

comma := ,
space := $(subst ,, )
PACKAGE_DIRS := $(addprefix services/,contracts serving gateway classifier detector launcher) training gan
export PYTHONPATH := $(subst $(space),:,$(addprefix $(CURDIR)/,$(PACKAGE_DIRS)))
SERVE := .venv/bin/python
TRAIN := .venv-train/bin/python
DEV := .venv-dev/bin/python
PYTHON_CODE := services training gan benchmarks deploy tests
CHROMIUM ?= /usr/bin/chromium
# 0 runs the tests in one process, one after the other.
TEST_PROCESSES ?= 2
# With promtool beside it.
PROMETHEUS ?= $(or $(shell command -v prometheus),.prometheus/usr/bin/prometheus)
# The plug-in, or the older program of the same name.
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

# --- environments ---------------------------------------------------------------------------

.uv/bin/uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	@touch $@

define sync_environment
	test -x $(1)/bin/python || .uv/bin/uv venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(1)
	.uv/bin/uv pip sync --quiet --require-hashes --python $(1)/bin/python $(2)
	@touch $(1)/.synced
endef

.venv/.synced: requirements/serving.txt | .uv/bin/uv
	$(call sync_environment,.venv,$<)

.venv-train/.synced: requirements/training.txt | .uv/bin/uv
	$(call sync_environment,.venv-train,$<)

.venv-dev/.synced: requirements/dev.txt | .uv/bin/uv
	$(call sync_environment,.venv-dev,$<)

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

# --- run ------------------------------------------------------------------------------------

.PHONY: run
run: setup ## Start everything on http://localhost:8000 and read the sample radiograph
	@exec $(SERVE) -m cxr_launcher

# --- check ----------------------------------------------------------------------------------

.PHONY: format
format: .venv-dev/.synced ## Format the code
	$(DEV) -m ruff format $(PYTHON_CODE)
	$(DEV) -m ruff check --fix $(PYTHON_CODE)

.PHONY: lint
lint: .venv-dev/.synced frontend/node_modules/.installed ## Style and types, Python and TypeScript
	$(DEV) -m ruff format --check $(PYTHON_CODE)
	$(DEV) -m ruff check $(PYTHON_CODE)
	$(DEV) -m mypy services/*/cxr_* training/cxr_training gan/cxr_gan benchmarks deploy tests
	cd frontend && npm run --silent lint && npm run --silent typecheck

$(CHROMIUM):
	@command -v apt-get >/dev/null || { echo "A Chromium is needed for the browser tests: install one and set CHROMIUM=/path/to/chromium"; exit 1; }
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null

# Debian's package, unpacked and not installed: that would start a service on this machine.
.prometheus/usr/bin/prometheus:
	@command -v apt-get >/dev/null || { echo "A Prometheus is needed for the tests of the monitoring: install one and set PROMETHEUS=/path/to/prometheus"; exit 1; }
	mkdir -p .prometheus
	cd .prometheus && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } \
	  && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin && rm prometheus_*.deb
	@touch $@

.PHONY: test
test: lint setup $(CHROMIUM) $(PROMETHEUS) ## Everything that must hold, the page in a real browser included
	CXR_CHROMIUM=$(CHROMIUM) CXR_PROMETHEUS=$(abspath $(PROMETHEUS)) $(DEV) -m pytest \
	  --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --durations 20

# A compiler, for the clock that jumps.
.PHONY: test-chaos
test-chaos: .venv-dev/.synced ## Broken on purpose: killed, stopped, full, garbled, at the wrong time; writes docs/results/chaos/
	@command -v cc >/dev/null || { echo "A C compiler called cc is needed: install gcc"; exit 1; }
	$(DEV) -m pytest tests/chaos --chaos-results docs/results/chaos

EXAMPLES ?= 100
.PHONY: fuzz
fuzz: .venv-dev/.synced ## What make test fuzzes, with EXAMPLES for each operation and decoder, others each time
	CXR_FUZZ_EXAMPLES=$(EXAMPLES) $(DEV) -m pytest tests/contract/test_fuzzed_by_openapi.py tests/unit/gateway/intake/test_intake_survives.py tests/unit/gateway/intake/test_structures_survive.py

.PHONY: audit
audit: .venv-dev/.synced ## Secrets in the tree, known vulnerabilities of what is locked
	$(DEV) -m deploy.secret_scan
	$(DEV) -m deploy.dependency_audit

.PHONY: generate
generate: .venv-dev/.synced frontend/node_modules/.installed ## Write what is generated: OpenAPI, types, triage table, figures
	$(DEV) -m cxr_gateway.openapi > docs/openapi.json
	$(DEV) -m cxr_gateway.triage > docs/triage.md
	$(DEV) -m cxr_gateway.access.permissions > docs/permissions.md
	$(DEV) -m deploy.settings_table > docs/settings.md
	$(DEV) -m cxr_training.report.figures
	cd frontend && npm run --silent generate

.PHONY: lock
lock: .uv/bin/uv ## Resolve requirements/*.in again, with hashes and no index address
	for name in uv readers serving training cuda dev; do \
	  .uv/bin/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-emit-index-url \
	    --python-version 3.11 requirements/$$name.in -o requirements/$$name.txt; done

# --- containers -----------------------------------------------------------------------------

# A build needs no secret, but compose reads the whole file.
.PHONY: images
images: export CXR_REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
images: export CXR_DATABASE_PASSWORD ?= not-used-by-a-build
images: ## Build the images of docker-compose.yml
	$(COMPOSE) build

.PHONY: test-compose
test-compose: .venv-dev/.synced images ## The system under docker compose: up, read, killed, scaled, refused; needs an engine
	$(DEV) -m pytest tests/compose

.PHONY: sbom
sbom: .venv-dev/.synced ## Write what each built image is made of to sbom/, as CycloneDX
	$(DEV) -m deploy.sbom

# --- measure --------------------------------------------------------------------------------

.PHONY: bench
bench: .venv-dev/.synced setup ## Speed and memory against two peers; writes docs/results/speed/
	$(DEV) -m benchmarks

MINUTES ?= 20
.PHONY: load
load: .venv-dev/.synced setup ## A long run at the rated load and a short one beyond it; MINUTES=; writes docs/results/load/
	$(DEV) -m benchmarks.sustained --minutes $(MINUTES)

# --- models ---------------------------------------------------------------------------------
# Each model: `train-` trains into $(RUNS) and judges the run on validation patients, `publish-`
# writes that run into models/. docs/data.md says what DATA and COCO_START are.

# A recipe of training/configs/detector, which is the name of its model, too. COCO's weights fit
# YOLOv5n only; the others start from random ones. A recipe on the classifier's network starts from
# the published classifier, too.
RECIPE ?= yolov5n-both
START ?= $(if $(filter yolov5n-%,$(notdir $(RECIPE))),--coco-start $(COCO_START)) \
  $(if $(findstring -lite0-,$(notdir $(RECIPE))),--trunk-start $(CLASSIFIER))
DETECTOR = $(TRAIN) -m cxr_training.detector --nih $(DATA)/nih --chestx-det $(DATA)/chestx-det
DETECTOR_RUN = --out $(RUNS)/detector/$(RECIPE)

.PHONY: publish evaluate
publish: publish-classifier ## Write every judged run into models/
evaluate: evaluate-classifier evaluate-detector evaluate-gate evaluate-joining ## Measure every published model again and compare it with its manifest

.PHONY: train-classifier publish-classifier evaluate-classifier verify-classifier
CLASSIFIER_VERB = $(TRAIN) -m cxr_training classifier
train-classifier: .venv-train/.synced ## Train the classifier and measure the run
	$(CLASSIFIER_VERB) train --config training/configs/classifier.yaml --data $(DATA) --out $(RUNS)/classifier
	$(CLASSIFIER_VERB) evaluate --data $(DATA) --run $(RUNS)/classifier
publish-classifier: .venv-train/.synced ## Write the measured classifier into models/, with figures of test patients
	$(CLASSIFIER_VERB) publish --data $(DATA) --run $(RUNS)/classifier
	$(CLASSIFIER_VERB) evaluate --data $(DATA) --model $(CLASSIFIER) --split test
evaluate-classifier: .venv-train/.synced ## Measure the published classifier and write its figures
	$(CLASSIFIER_VERB) evaluate --data $(DATA) --model $(CLASSIFIER)
	$(CLASSIFIER_VERB) evaluate --data $(DATA) --model $(CLASSIFIER) --split test
verify-classifier: .venv-train/.synced ## Recompute the published classifier's figures, change nothing
	$(CLASSIFIER_VERB) verify --data $(DATA) --model $(CLASSIFIER)

.PHONY: train-detector publish-detector fuse-detectors evaluate-detector
train-detector: .venv-train/.synced ## Train and judge a detector: RECIPE=yolov5s-both, default yolov5n-both
	$(DETECTOR) train --config training/configs/detector/$(RECIPE).yaml $(START) $(DETECTOR_RUN)
	$(DETECTOR) evaluate $(DETECTOR_RUN)
publish-detector: .venv-train/.synced ## Write the judged detector into models/: RECIPE=..., VERSION=...
	$(DETECTOR) publish $(DETECTOR_RUN) $(if $(VERSION),--version $(VERSION))
MEMBERS ?= yolov5n-both yolov5n-lite0-both yolov5s-both yolo26n-both
fuse-detectors: .venv-train/.synced ## Write models/detector/fused-both from published ones: MEMBERS=...
	$(DETECTOR) fuse $(addprefix --model models/detector/,$(MEMBERS)) $(if $(VERSION),--version $(VERSION))
evaluate-detector: .venv-train/.synced ## Judge every published detector again and compare it with its manifest
	$(DETECTOR) judge $(patsubst %/manifest.json,--model %,$(wildcard models/detector/*/manifest.json)) --check

.PHONY: fit-joining evaluate-joining
fit-joining: .venv-train/.synced ## Join a detector's boxes with the served classifier's opinion: JOINED=yolov5n-both, default the served one
	$(TRAIN) -m cxr_training.joining fit --data $(DATA) --out $(RUNS)/joining $(if $(JOINED),--detector $(JOINED))
evaluate-joining: .venv-train/.synced ## Judge the published joinings again and compare them with their manifests
	$(TRAIN) -m cxr_training.joining evaluate --data $(DATA) --out $(RUNS)/joining

.PHONY: drift-reference
drift-reference: .venv-train/.synced ## Write what drift is measured against, for the served gate and classifier; after every publish
	$(TRAIN) -m cxr_training.drift --data $(DATA) --classifier $(CLASSIFIER)

.PHONY: train-gate publish-gate evaluate-gate
train-gate: .venv-dev/.synced ## Train the gate (its photographs come with packages of requirements/dev.txt)
	$(DEV) -m cxr_training.gate train --data $(DATA)/nih --out $(RUNS)/gate
publish-gate: .venv-dev/.synced ## Write the gate into models/ and judge it; GATE_VERSION names it
	$(DEV) -m cxr_training.gate publish --run $(RUNS)/gate --version $(GATE_VERSION)
	$(DEV) -m cxr_training.gate evaluate --data $(DATA)/nih --out docs/results/ood
evaluate-gate: .venv-dev/.synced ## Judge the published gate again and compare it with its manifest
	$(DEV) -m cxr_training.gate evaluate --check --data $(DATA)/nih --out docs/results/ood

GAN ?= pggan-modern
GENERATOR ?= models/gan/$(notdir $(GAN))
.PHONY: train-gan evaluate-gan verify-gan publish-gan examples
train-gan: .venv-train/.synced ## Train and evaluate a generator; GAN=dcgan, or GAN=gpu/dcgan, names its recipe in gan/configs
	./cxr-gan train --config gan/configs/$(GAN).yaml --data $(DATA) --out $(RUNS)/gan/$(GAN)
	$(MAKE) evaluate-gan
evaluate-gan: .venv-train/.synced ## Measure a trained generator; GAN names it
	./cxr-gan evaluate --model $(RUNS)/gan/$(GAN) --data $(DATA) --results docs/results/gan
verify-gan: .venv-train/.synced ## Measure a published generator's figures again; GENERATOR=models/gan/NAME
	./cxr-gan verify --model $(GENERATOR) --data $(DATA)
publish-gan: .venv-train/.synced ## Write an evaluated generator into models/; GAN, GAN_VERSION name it
	./cxr-gan publish --run $(RUNS)/gan/$(GAN) --version $(GAN_VERSION) --models models/gan --results docs/results/gan
examples: .venv-train/.synced ## Make the page's example images; GENERATOR=models/gan/NAME makes them
	./cxr-gan examples --model $(GENERATOR)

# STUDY=--status says what is done and left; STUDY=--smoke tries the way, and STUDY='--jobs 1' one training at a time.
STUDY ?=
.PHONY: gan-study
gan-study: .venv-train/.synced ## Do synthetic images help rare findings? Goes on where it was; writes docs/results/gan-study.md
	./cxr-gan study --data $(DATA) $(STUDY)

.PHONY: evaluate-triage
evaluate-triage: .venv-train/.synced ## Measure how the triage table orders validation radiographs
	$(TRAIN) -m cxr_training.triage --data $(DATA)

clean: ## Remove environments, builds and caches (never the archive in var/)
	rm -rf .prometheus .uv .venv .venv-train .venv-dev frontend/node_modules frontend/dist .mypy_cache .ruff_cache .pytest_cache
.PHONY: clean

# Every command that a person or CI runs. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Where it is set, as in many images, every process compiles again all that it imports: half of the
# time that a gateway or a training takes to start, and the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
# Where the public data sets lie: NIH ChestX-ray14 in nih/, ChestX-Det in chestx-det/ (docs/data.md).
DATA ?= ../shared/data
# YOLOv5n trained on COCO, as safetensors (docs/data.md).
COCO_START ?= ../shared/weights/yolov5n-coco.safetensors
RUNS ?= runs
# The published classifier that `make evaluate-classifier` measures.
CLASSIFIER ?= models/classifier/lite0-cxr

# In the order in which they build on one another.
SERVING_PACKAGES := $(addprefix services/,contracts serving classifier detector gateway dicom launcher)
PACKAGES := $(SERVING_PACKAGES) training gan
# In no image of a service: Ray is large. Its environment is its own; tests and lint have all.
SCREENING_PACKAGES := $(addprefix services/,contracts serving classifier detector gateway) screening
ALL_PACKAGES := $(PACKAGES) screening clients/python
DEV := .venv-dev/bin/python
CXR := .venv-train/bin/cxr
CXR_GAN := .venv-train/bin/cxr-gan
PYTHON_CODE := services training gan screening clients benchmarks deploy tests
CHROMIUM ?= /usr/bin/chromium
# What DICOM rendering is held against; dcmj2pnm and dcml2pnm lie beside it.
DCMTK ?= /usr/bin/dcm2pnm
# Whose decoders ours are held against.
GDCMCONV ?= /usr/bin/gdcmconv
# 0 runs the tests in one process, one after the other.
TEST_PROCESSES ?= 2
# With promtool beside it.
PROMETHEUS ?= $(or $(shell command -v prometheus),.prometheus/usr/bin/prometheus)
NGINX ?= $(or $(shell command -v nginx),.nginx/usr/sbin/nginx)
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

.venv-screening/.synced: requirements/screening.txt $(call manifests,$(SCREENING_PACKAGES)) | .uv/bin/uv
	$(call sync_environment,.venv-screening,$<,$(SCREENING_PACKAGES))

.venv-dev/.synced: requirements/dev.txt $(call manifests,$(ALL_PACKAGES)) | .uv/bin/uv
	$(call sync_environment,.venv-dev,$<,$(ALL_PACKAGES))

# For one peer of `make bench`; it runs the networks of these packages.
BENCH_PACKAGES := $(addprefix services/,contracts serving classifier detector)
.venv-bench/.synced: requirements/bench.txt $(call manifests,$(BENCH_PACKAGES)) | .uv/bin/uv
	$(call sync_environment,.venv-bench,$<,$(BENCH_PACKAGES))

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

.PHONY: setup-screening
setup-screening: .venv-screening/.synced ## Make the environment of cxr-screen: Ray, and the services' models
	@echo "The command is in .venv-screening/bin: cxr-screen, or after 'source .venv-screening/bin/activate' without a path."

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

.PHONY: lint lint-python lint-page
lint: ## Style and types, Python and TypeScript
	@$(MAKE) --no-print-directory --jobs 2 lint-python lint-page
lint-python: .venv-dev/.synced
	$(DEV) -m ruff format --check $(PYTHON_CODE)
	$(DEV) -m ruff check $(PYTHON_CODE)
	$(DEV) -m mypy services training gan screening clients
	$(DEV) -m mypy --explicit-package-bases benchmarks deploy tests
lint-page: frontend/node_modules/.installed
	cd frontend && npm run --silent lint && npm run --silent typecheck

$(CHROMIUM):
	@command -v apt-get >/dev/null || { echo "A Chromium is needed for the browser tests: install one and set CHROMIUM=/path/to/chromium"; exit 1; }
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null

$(DCMTK):
	@command -v apt-get >/dev/null || { echo "DCMTK is needed for the tests of rendering: install it and set DCMTK=/path/to/dcm2pnm"; exit 1; }
	{ apt-get install -y -qq --no-install-recommends dcmtk || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends dcmtk; }; } >/dev/null

$(GDCMCONV):
	@command -v apt-get >/dev/null || { echo "GDCM is needed for the tests of decoding: install it and set GDCMCONV=/path/to/gdcmconv"; exit 1; }
	{ apt-get install -y -qq --no-install-recommends libgdcm-tools || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libgdcm-tools; }; } >/dev/null

# By which a release is signed and checked.
MINISIGN ?= /usr/bin/minisign
$(MINISIGN):
	@command -v apt-get >/dev/null || { echo "minisign is needed for the tests of releases: install it and set MINISIGN=/path/to/minisign"; exit 1; }
	{ apt-get install -y -qq --no-install-recommends minisign || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends minisign; }; } >/dev/null

# A real archive and two validators, for the tests of DICOM. A service that a package would start is not
# wanted here, so Orthanc's is kept from starting.
ORTHANC ?= /usr/sbin/Orthanc
PIXELMED ?= /usr/bin/DicomSRValidator
DICOM3TOOLS ?= /usr/bin/dciodvfy
$(ORTHANC) $(PIXELMED) $(DICOM3TOOLS) &:
	@command -v apt-get >/dev/null || { echo "Orthanc with its DICOMweb plug-in, dicom3tools, PixelMed's applications and a JDK are needed for the tests of DICOM: install them and set ORTHANC, DICOM3TOOLS and PIXELMED"; exit 1; }
	apt-get update -qq
	if ! test -e /usr/sbin/policy-rc.d; then trap 'rm -f /usr/sbin/policy-rc.d' EXIT; \
	  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; fi; \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	  orthanc orthanc-dicomweb dicom3tools pixelmed-apps default-jdk-headless >/dev/null

# What generated Java clients are compiled with, beside the generator's own JAR.
JAVA_LIBRARIES ?= /usr/share/java
$(JAVA_LIBRARIES)/httpclient5.jar:
	@command -v apt-get >/dev/null || { echo "A JDK and Apache HttpClient 4 and 5 are needed for the tests of generated clients: install them and set JAVA_LIBRARIES=/path/to/jars"; exit 1; }
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	  default-jdk-headless libhttpmime-java libhttpclient5-java libgeronimo-annotation-1.3-spec-java >/dev/null

# What generated C# clients are compiled with, and the example of docs/api.md is run by.
MCS ?= /usr/bin/mcs
$(MCS):
	@command -v apt-get >/dev/null || { echo "Mono with its C# compiler and Newtonsoft.Json are needed for the tests of generated clients: install them and set MCS=/path/to/mcs"; exit 1; }
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mono-mcs libnewtonsoft-json5.0-cil \
	  $(patsubst %,libmono-system-%4.0-cil,net-http runtime-serialization componentmodel-dataannotations web) >/dev/null

# The parser by which OHIF reads structured reports.
tests/ohif/node_modules/.installed: tests/ohif/package-lock.json tests/ohif/package.json
	cd tests/ohif && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# Debian's package, unpacked and not installed: that would start a service on this machine.
.prometheus/usr/bin/prometheus:
	@command -v apt-get >/dev/null || { echo "A Prometheus is needed for the tests of the monitoring: install one and set PROMETHEUS=/path/to/prometheus"; exit 1; }
	mkdir -p .prometheus
	cd .prometheus && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } \
	  && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin && rm prometheus_*.deb
	@touch $@

# Likewise: an installed one would take port 80.
.nginx/usr/sbin/nginx:
	@command -v apt-get >/dev/null || { echo "An nginx is needed for the tests of the reverse proxy: install one and set NGINX=/path/to/nginx"; exit 1; }
	mkdir -p .nginx
	cd .nginx && { apt-get download -qq nginx || { apt-get update -qq && apt-get download -qq nginx; }; } \
	  && dpkg-deb --fsys-tarfile nginx_*.deb | tar -x ./usr/sbin && rm nginx_*.deb
	@touch $@

# Everything but what starts services, browsers, containers or breaks them.
FAST_TESTS = $(filter-out %/integration/ %/e2e/ %/compose/ %/chaos/ %/support/,$(wildcard tests/*/))
PYTEST = $(DEV) -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

.PHONY: test-fast
test-fast: lint ## Before each commit: lint, types, unit and contract tests; no browser, nothing slow
	$(PYTEST) -m "not slow and not browser" --durations 10 --durations-min 2 $(FAST_TESTS)

# Ray needs both cores to start in the time that it gives itself, so these do not run beside others.
RAY_TESTS = $(addprefix tests/screening/test_,runs.py killed.py equal_to_the_service.py)
.PHONY: test
test: setup $(CHROMIUM) $(PROMETHEUS) $(NGINX) $(MINISIGN) $(DCMTK) $(GDCMCONV) $(ORTHANC) $(PIXELMED) $(DICOM3TOOLS) $(JAVA_LIBRARIES)/httpclient5.jar $(MCS) tests/ohif/node_modules/.installed ## Everything that must hold, the page in a real browser included
	@$(MAKE) --no-print-directory --jobs 2 lint-python lint-page secrets docs
	CXR_SCREENING_ON_RAY=1 $(DEV) -m pytest $(RAY_TESTS)
	CXR_CHROMIUM=$(CHROMIUM) CXR_PROMETHEUS=$(abspath $(PROMETHEUS)) CXR_NGINX=$(abspath $(NGINX)) GDCMCONV=$(GDCMCONV) \
	  CXR_JAVA_LIBRARIES=$(JAVA_LIBRARIES) $(PYTEST) --durations 20

# What docs/security.md names, on PostgreSQL and nginx: each attack has to fail.
SECURITY_TESTS = tests/gateway/access tests/gateway/audit tests/gateway/retention tests/gateway/exports tests/gateway/backup \
  $(addprefix tests/gateway/core/test_,$(addsuffix .py,sealing turns)) tests/gateway/screening \
  $(addprefix tests/contract/test_gateway_,$(addsuffix .py,access_tokens audit audit_watched changes deletion departments exports failing_services \
    guard keys page permissions readiness sessions sign_in uploads webhooks)) \
  $(addprefix tests/contract/test_,$(addsuffix .py,containers fuzzed_by_openapi http_semantics kubernetes monitoring_files permission_probes)) \
  $(addprefix tests/integration/test_,$(addsuffix .py,commit_unanswered continuous_archiving patients_stay_out_of_logs reverse_proxy rolling_update slow_uploads tls_proxy)) \
  $(addprefix tests/dicom/test_,$(addsuffix .py,delivery fetching forwarding operations orders receiving transports)) tests/screening/test_kubernetes.py \
  $(addprefix tests/serving/test_,$(addsuffix .py,inference_processes model_folder mutual_tls overload service_frame service_token)) \
  $(addprefix tests/architecture/test_,$(addsuffix .py,imports packaging release secrets)) \
  tests/gateway/archive/test_files.py $(addprefix tests/gateway/imaging/test_,$(addsuffix .py,decoders dicom_refusals imaging_survives \
    jpeg2000 png structures_survive))
.PHONY: test-security
test-security: .venv-dev/.synced $(PROMETHEUS) $(NGINX) $(MINISIGN) $(DCMTK) $(ORTHANC) $(PIXELMED) $(DICOM3TOOLS) tests/ohif/node_modules/.installed ## The attacks of docs/security.md, on PostgreSQL and nginx
	CXR_TEST_DATABASE=postgresql CXR_PROBES=10000 CXR_PROMETHEUS=$(abspath $(PROMETHEUS)) CXR_NGINX=$(abspath $(NGINX)) $(PYTEST) $(SECURITY_TESTS)

.PHONY: test-images
test-images: .venv-dev/.synced $(DCMTK) $(GDCMCONV) ## DICOM rendering against DCMTK and GDCM, all of it; make test takes a sample; writes docs/results/rendering/
	CXR_ALL_IMAGES=1 CXR_IMAGE_RESULTS=docs/results/rendering $(DEV) -m pytest -q tests/gateway/imaging/test_against_dcmtk.py tests/gateway/imaging/test_against_gdcm.py

# A compiler, for the clock that jumps.
.PHONY: test-chaos
test-chaos: .venv-dev/.synced $(DCMTK) $(ORTHANC) ## Broken on purpose: killed, stopped, full, garbled, at the wrong time; writes docs/results/chaos/
	@command -v cc >/dev/null || { echo "A C compiler called cc is needed: install gcc"; exit 1; }
	$(DEV) -m pytest tests/chaos --chaos-results docs/results/chaos

# A pass for each killed run, and the API beside it on as many images.
.PHONY: test-screening
test-screening: .venv-dev/.synced $(ORTHANC) ## Screening killed 20 times, and 200 images through the API and through it
	CXR_SCREENING_ON_RAY=1 CXR_SCREENING_KILLS=20 CXR_SCREENING_IMAGES=200 $(DEV) -m pytest tests/screening

EXAMPLES ?= 10000
.PHONY: fuzz fuzz-api
fuzz: .venv-dev/.synced ## Decode EXAMPLES broken files, more than the last time; writes docs/results/fuzz/
	cd tests && ../$(DEV) -m fuzz --inputs $(EXAMPLES) --state ../$(RUNS)/fuzz-$(EXAMPLES).jsonl --results ../docs/results/fuzz
fuzz-api: .venv-dev/.synced ## What make test fuzzes of the API, with 1,000 inputs for each operation, others each time
	CXR_FUZZ_EXAMPLES=1000 $(DEV) -m pytest tests/contract/test_fuzzed_by_openapi.py

.PHONY: secrets
secrets: .venv-dev/.synced ## Look for passwords, keys and tokens in the tracked files
	git ls-files -z --cached --others --exclude-standard | xargs -0 .venv-dev/bin/detect-secrets-hook --no-verify --baseline .secrets.baseline

.PHONY: audit
audit: secrets ## Secrets, and known vulnerabilities of what is locked (asks the network)
	deploy/audit-dependencies.sh

# Exports of OSV's database, of PyPI and npm; a site, or CI with a network, provides them.
ADVISORIES ?=
.PHONY: advisories
advisories: .venv-dev/.synced ## Known vulnerabilities of what is locked, from files: ADVISORIES="pypi.zip npm.zip"
	$(DEV) -m deploy.advisories --database $(ADVISORIES)

.PHONY: docs
docs: .venv-dev/.synced ## Build the documentation site in site/; a broken link is an error
	.venv-dev/bin/mkdocs build --strict

.PHONY: generate
generate: .venv-dev/.synced frontend/node_modules/.installed ## Write what is generated: OpenAPI, types, triage table, figures
	$(DEV) -m cxr_gateway docs openapi > docs/openapi.json
	$(DEV) -m cxr_gateway docs triage > docs/triage.md
	$(DEV) -m cxr_gateway docs permissions > docs/permissions.md
	$(DEV) -m cxr_gateway docs problems > docs/problems.md
	$(DEV) -m deploy.client_models > clients/python/cxr_client/models.py
	$(DEV) -m ruff format --quiet clients/python/cxr_client/models.py
	$(DEV) -m deploy.settings_table > docs/settings.md
	$(DEV) -m deploy.conformance > docs/conformance.md
	$(DEV) -m deploy.server_sentences > frontend/src/i18n/sentences.json
	$(DEV) -m cxr_training.report.figures
	cd frontend && npm run --silent generate

.PHONY: moving-picture
moving-picture: .venv-dev/.synced setup $(CHROMIUM) ## The README's moving picture, of the real page; writes docs/moving-picture.webp
	CXR_CHROMIUM=$(CHROMIUM) $(DEV) -m benchmarks.beside_stack -- $(DEV) -m deploy.moving_picture

# Each list from the dependencies that the packages name; a list builds on the ones before it.
# The one for BentoML takes all versions but OpenTelemetry's from them: it needs others.
LOCK = .uv/bin/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-emit-index-url --python-version 3.11 \
  $(addprefix --no-emit-package cxr-,$(notdir $(PACKAGES)) screening client)
INFERENCE_MANIFESTS := $(patsubst %,services/%/pyproject.toml,contracts serving classifier detector)
MANIFESTS := $(addsuffix /pyproject.toml,$(PACKAGES))
.PHONY: lock
lock: .uv/bin/uv ## Resolve the packages' dependencies and requirements/*.in again, with hashes and no index address
	for name in uv build; do $(LOCK) requirements/$$name.in -o requirements/$$name.txt; done
	$(LOCK) $(INFERENCE_MANIFESTS) -c requirements/build.txt -o requirements/inference.txt
	$(LOCK) $(addsuffix /pyproject.toml,$(SERVING_PACKAGES)) -c requirements/build.txt -c requirements/inference.txt -o requirements/serving.txt
	$(LOCK) $(MANIFESTS) -c requirements/build.txt -c requirements/serving.txt -o requirements/training.txt
	$(LOCK) --extra cuda $(INFERENCE_MANIFESTS) -c requirements/inference.txt -c requirements/training.txt -o requirements/cuda.txt
	$(LOCK) $(addsuffix /pyproject.toml,$(SCREENING_PACKAGES)) -c requirements/build.txt -c requirements/serving.txt -c requirements/training.txt -o requirements/screening.txt
	$(LOCK) $(MANIFESTS) screening/pyproject.toml clients/python/pyproject.toml requirements/dev.in -c requirements/build.txt -c requirements/training.txt -c requirements/screening.txt -o requirements/dev.txt
	$(LOCK) --no-annotate --extra cuda $(INFERENCE_MANIFESTS) requirements/bench.in -c requirements/build.txt \
	  -c <(grep -oE '^[a-z0-9.-]+==[^ ]+' requirements/training.txt | grep -v ^opentelemetry) -o requirements/bench.txt

# --- containers -----------------------------------------------------------------------------

# A build needs no secret, but compose reads the whole file.
SECRETS_OF_COMPOSE = CXR_DATABASE_PASSWORD CXR_DATABASE_MIGRATOR_PASSWORD CXR_DATABASE_APP_PASSWORD CXR_SERVICE_TOKEN
.PHONY: images
images: export CXR_REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
images: ## Build the images of docker-compose.yml
	for name in $(SECRETS_OF_COMPOSE); do export $$name="$${!name:-not used by a build}"; done; \
	  $(COMPOSE) --profile dicom --profile pacs build

.PHONY: test-compose
test-compose: .venv-dev/.synced $(DCMTK) images ## The system under docker compose: up, analysed, killed, scaled, refused; needs an engine
	$(DEV) -m pytest tests/compose

.PHONY: sbom
sbom: .venv-dev/.synced ## Write what each image installs from the locked lists to sbom/, as CycloneDX documents
	mkdir -p sbom
	for list in inference serving cuda; do \
	  .venv-dev/bin/cyclonedx-py requirements --output-reproducible --validate --output-file sbom/$$list.cdx.json requirements/$$list.txt; done
	cd frontend && npm sbom --sbom-format cyclonedx --package-lock-only > ../sbom/frontend.cdx.json

# To sign: MINISIGN_KEY=file, COSIGN_KEY=file. RELEASE=--trial makes one of an untagged checkout.
RELEASE ?=
.PHONY: release
release: .venv-dev/.synced sbom ## A release of the tagged commit in dist/: wheels, notes, SBOM, advisories, provenance, sums
	CXR_REVISION=$$(git rev-parse HEAD) $(if $(shell command -v docker),$(MAKE) images,true)
	$(DEV) -m deploy.release --database $(ADVISORIES) $(if $(REGISTRY),--registry $(REGISTRY)) $(RELEASE)

BUNDLE ?= dist/bundle
.PHONY: bundle
bundle: setup ## What an installation without internet needs, in one folder: BUNDLE=
	deploy/bundle.sh $(BUNDLE)

.PHONY: restore-drill
restore-drill: setup ## Restore a backup beside the archive, and read it: BACKUP=file or folder
	.venv/bin/cxr-gateway drill --from $(BACKUP)

# --- measure --------------------------------------------------------------------------------

# One eager process more, with the detector of this folder, e.g. of an earlier release's tree.
EARLIER_DETECTOR ?=
.PHONY: bench
bench: .venv-dev/.synced .venv-bench/.synced setup ## Speed and memory against three peers and the networks alone; EARLIER_DETECTOR=; writes docs/results/speed/
	$(DEV) -m benchmarks $(if $(EARLIER_DETECTOR),--earlier-detector $(EARLIER_DETECTOR))

MINUTES ?= 20
.PHONY: load
load: .venv-dev/.synced setup ## A long run at the rated load and a short one beyond it; MINUTES=; writes docs/results/load/
	$(DEV) -m benchmarks.sustained --minutes $(MINUTES)

.PHONY: bench-versions
bench-versions: .venv-dev/.synced setup ## What an upload takes now, and took at BEFORE=COMMIT, side by side; writes docs/results/versions/
	$(DEV) -m benchmarks.versions $(BEFORE)

.PHONY: flame-graphs
flame-graphs: .venv-dev/.synced setup ## Where the gateway's time of an upload goes now, and went at BEFORE=COMMIT; writes docs/results/speed/
	$(DEV) -m benchmarks.flame_graphs $(BEFORE)

.PHONY: bench-page
bench-page: .venv-dev/.synced setup $(CHROMIUM) ## The page in a real browser over 10,000 studies; writes docs/results/page/
	CXR_CHROMIUM=$(CHROMIUM) $(DEV) -m benchmarks.page

.PHONY: pictures
pictures: .venv-dev/.synced setup $(CHROMIUM) ## Take the documentation's pictures of the page, with synthetic radiographs
	CXR_CHROMIUM=$(CHROMIUM) $(DEV) -m benchmarks.pictures

IMAGES ?= 10000
.PHONY: bench-dicom
bench-dicom: .venv-dev/.synced $(DCMTK) $(ORTHANC) ## Radiographs through the DICOM node while everything is killed in turn; IMAGES=; writes docs/results/dicom/
	$(DEV) -m pytest -q -p no:xdist tests/chaos/test_dicom_flood.py --flood-images $(IMAGES) --flood-intake $(IMAGES) --flood-results docs/results/dicom

.PHONY: bench-backups
bench-backups: .venv-dev/.synced ## What daily backups and a restore of 100,000 small studies take, SQLite and PostgreSQL; writes docs/results/backups/
	$(DEV) -m benchmarks.backups

.PHONY: bench-screening
bench-screening: .venv-dev/.synced setup ## An archive by cxr-screen, by a plain loop and by uploads; writes docs/results/screening/
	$(DEV) -m benchmarks.screening

# --- models ---------------------------------------------------------------------------------
# A model of that name is replaced by `REPLACE=--replace` alone.
REPLACE ?=
# One verb each: `train-` trains into $(RUNS) and measures the run on validation patients, `publish-`
# writes that run into models/, `evaluate-` measures a published model and writes its figures,
# `verify-` recomputes the published figures and changes nothing. docs/data.md says what DATA and
# COCO_START are.

.PHONY: evaluate verify
evaluate: evaluate-classifier evaluate-ood ## Measure every published model on validation and test patients, and write the figures
	for split in validation test; do \
	  $(MAKE) evaluate-detector evaluate-triage SPLIT=$$split; done
verify: verify-classifier verify-detector verify-ood verify-triage ## Recompute the figures of every published model

.PHONY: train-classifier publish-classifier evaluate-classifier verify-classifier
CLASSIFIER_RUN = --data $(DATA) --run $(RUNS)/classifier
# The folder that `cxr-gateway export feedback` wrote: its corrections are learned from, too.
FEEDBACK ?=
FEEDBACK_MANIFEST = $(if $(FEEDBACK),--manifest $(FEEDBACK)/manifest.csv)
train-classifier: .venv-train/.synced ## Train the classifier and measure the run; FEEDBACK=folder of readers' corrections
	$(CXR) classifier train --config training/configs/classifier.yaml --data $(DATA) $(FEEDBACK_MANIFEST) --out $(RUNS)/classifier
	$(CXR) classifier evaluate $(CLASSIFIER_RUN) $(FEEDBACK_MANIFEST)
publish-classifier: .venv-train/.synced ## Write the measured classifier into models/, with figures of test patients
	$(CXR) classifier publish $(CLASSIFIER_RUN) $(REPLACE)
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
  $(if $(findstring -distilled,$(notdir $(RECIPE))),--start models/detector/$(RECIPE) --pseudo-labels $(PSEUDO_LABELS)) \
  $(if $(findstring -lite0-,$(notdir $(RECIPE))),--backbone-start $(CLASSIFIER))
DETECTORS = $(patsubst %/manifest.json,--model %,$(wildcard models/detector/*/manifest.json))
DETECTOR_RUN = $(RUNS)/detector/$(RECIPE)
# Of the evaluate- targets: test is reported on, nothing is chosen on it.
SPLIT ?= validation
.PHONY: train-detector publish-detector fuse-detectors resize-detector calibrate-detector pseudo-labels evaluate-detector verify-detector quantise
train-detector: .venv-train/.synced ## Train a detector and measure the run: RECIPE=yolo26n-both, default yolov5n-both
	$(CXR) detector train --data $(DATA) --config training/configs/detector/$(RECIPE).yaml $(START) --out $(DETECTOR_RUN)
	$(CXR) detector evaluate --data $(DATA) --run $(DETECTOR_RUN)
publish-detector: .venv-train/.synced ## Write a detector's run into models/: RECIPE=..., VERSION=...
	$(CXR) detector publish --run $(DETECTOR_RUN) $(if $(VERSION),--version $(VERSION)) $(REPLACE)
MEMBERS ?= yolov5n-both yolov5n-lite0-both yolo26n-both
fuse-detectors: .venv-train/.synced ## Write models/detector/fused-both from published ones: MEMBERS=...
	$(CXR) detector fuse --data $(DATA) $(addprefix --model models/detector/,$(MEMBERS)) $(if $(VERSION),--version $(VERSION)) $(REPLACE)
resize-detector: .venv-train/.synced ## Publish a detector anew for an input of another size: RECIPE=..., INPUT_PX=384, VERSION=1.1.0
	$(CXR) detector resize --data $(DATA) --model models/detector/$(RECIPE) --input-px $(INPUT_PX) --version $(VERSION)
calibrate-detector: .venv-train/.synced ## Fit what a published detector's scores mean: RECIPE=fused-both
	$(CXR) detector calibrate --data $(DATA) --model models/detector/$(RECIPE)
PSEUDO_LABELS ?= $(RUNS)/distil/fused-both.jsonl
pseudo-labels: .venv-train/.synced ## Let fused-both label radiographs without drawn boxes, for a student: PSEUDO_LABELS=...
	$(CXR) detector pseudo-label --data $(DATA) --model models/detector/fused-both --out $(PSEUDO_LABELS)
quantise: .venv-train/.synced ## Write a model's 8-bit file where it passes its gate: QUANTISED=models/detector/...
	$(CXR) quantise --data $(DATA) --model $(QUANTISED)
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
	$(OOD) publish --run $(RUNS)/ood --version $(VERSION) $(REPLACE)
	$(MAKE) evaluate-ood
evaluate-ood: .venv-dev/.synced ## Measure the published out-of-distribution detector and write its figures
	$(OOD) evaluate --data $(DATA) --split validation
	$(OOD) evaluate --data $(DATA) --split test
verify-ood: .venv-dev/.synced ## Recompute its figures, change nothing
	$(OOD) verify --data $(DATA) --split validation
	$(OOD) verify --data $(DATA) --split test

.PHONY: fit-triage verify-triage evaluate-triage drift-reference evaluate-quality
fit-triage: .venv-train/.synced ## Fit how urgent an image is to validation patients' images
	$(CXR) triage fit --data $(DATA) --classifier $(CLASSIFIER)
evaluate-triage: .venv-train/.synced ## Measure how triage orders radiographs: SPLIT=test
	$(CXR) triage evaluate --data $(DATA) --split $(SPLIT) --classifier $(CLASSIFIER)
evaluate-quality: .venv-train/.synced ## Measure who is warned of for the image's quality, and what it is worth
	$(CXR) quality evaluate --data $(DATA) --classifier $(CLASSIFIER)
drift-reference: .venv-train/.synced ## Write what drift is measured against; after publishing a classifier or an OOD detector
	$(CXR) drift reference --data $(DATA) --classifier $(CLASSIFIER)

GAN ?= pggan-modern
GENERATOR ?= models/gan/$(notdir $(GAN))
# Of the examples: findings that are chosen anew while the others stay, and seeds that look wrong.
ONLY ?=
REFUSE ?=
.PHONY: train-gan publish-gan evaluate-gan verify-gan examples
train-gan: .venv-train/.synced ## Train a generator and measure the run: GAN=dcgan or gpu/dcgan, a recipe of gan/configs
	$(CXR_GAN) train --config gan/configs/$(GAN).yaml --data $(DATA) --out $(RUNS)/gan/$(GAN)
	$(MAKE) evaluate-gan
evaluate-gan: .venv-train/.synced ## Measure a trained generator: GAN=...
	$(CXR_GAN) evaluate --model $(RUNS)/gan/$(GAN) --data $(DATA) --results docs/results/gan
publish-gan: .venv-train/.synced ## Write a generator's run into models/: GAN=..., VERSION=...
	$(CXR_GAN) publish --run $(RUNS)/gan/$(GAN) --version $(VERSION) --models models/gan --results docs/results/gan $(REPLACE)
verify-triage: .venv-train/.synced ## Recompute the published triage model's figures, change nothing
	$(CXR) triage verify --data $(DATA) --classifier $(CLASSIFIER)

verify-gan: .venv-train/.synced ## Recompute a published generator's figures: GENERATOR=models/gan/NAME
	$(CXR_GAN) verify --model $(GENERATOR) --data $(DATA)
examples: .venv-train/.synced .venv/.synced ## Make the page's example radiographs, those that the served models agree with: GENERATOR=models/gan/NAME, ONLY="Mass Edema"
	.venv-train/bin/python -m benchmarks.beside_stack -- $(CXR_GAN) examples --model $(GENERATOR) --truncation 0.8 \
	  $(addprefix --only ,$(ONLY)) $(addprefix --refuse ,$(REFUSE)) --system

# STUDY=--status says what is done and left; STUDY=--smoke tries the way.
STUDY ?=
.PHONY: gan-study
gan-study: .venv-train/.synced ## Do synthetic images help rare findings? Resumes; writes docs/results/gan-study.md
	$(CXR_GAN) study --data $(DATA) $(STUDY)

clean: ## Remove environments, builds and caches (never the archive in var/)
	rm -rf .prometheus .nginx .uv .venv .venv-train .venv-screening .venv-bench .venv-dev frontend/node_modules frontend/dist site sbom .mypy_cache .ruff_cache .pytest_cache
.PHONY: clean

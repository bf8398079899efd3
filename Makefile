# `make help` lists the targets. JOBS=N compiles N files at once; THALWEG_DEPS=DIR keeps what is fetched elsewhere
# than in .deps; THALWEG_TORCH=DIR uses a LibTorch that you have; CMAKE_ARGS="-D..." reaches CMake.
.DEFAULT_GOAL := release
JOBS ?= 2
PREFIX ?= /usr/local
CMAKE_ARGS ?=
export THALWEG_DEPS := $(abspath $(or $(THALWEG_DEPS),.deps))
export THALWEG_TORCH
BUILD := build/release
PROGRAM := $(BUILD)/thalweg
PYTHON := $(THALWEG_DEPS)/venv/bin/python
CONFIGURE := $(CMAKE_ARGS) $(if $(THALWEG_TORCH),-DTHALWEG_TORCH="$(THALWEG_TORCH)")
SECONDS ?= 600
KILLS ?= 50
FUZZ_TARGETS := safetensors job tokenizer png jpeg config video http
ON_BUILD := THALWEG_PROGRAM="$(CURDIR)/$(PROGRAM)" THALWEG_BUILD="$(CURDIR)/$(BUILD)" PYTHONDONTWRITEBYTECODE=1
PYTEST := $(ON_BUILD) $(PYTHON) -m pytest -q -p no:cacheprovider
SOURCES = $(shell find engine samplers rewards plugins pipelines tests -regex '.*\.\(cpp\|hpp\|h\|c\|cu\)')

.PHONY: help setup setup-cuda release demo demo-video demo-serve test test-build soak asan fuzz format format-check lint install clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: ## Install what is missing to build: packages, LibTorch (0.5 GB)
	@cmake/setup.sh

setup-cuda: ## The same with a LibTorch for NVIDIA GPUs (3 GB); then: cmake --preset cuda
	@cmake/setup.sh --cuda

release: setup ## Build the program and its plugins: build/release/thalweg (the default)
	cmake --preset release $(CONFIGURE)
	cmake --build $(BUILD) -j$(JOBS) --target thalweg plugins

demo: release ## Align the embedded model on the CPU and write a report, in minutes
	$(PROGRAM) run assets/jobs/demo.json
	@echo; echo "The report: $(CURDIR)/runs/demo/report.html (open it in a browser)"

demo-video: release ## The same with the embedded video model and a reward on motion
	$(PROGRAM) run assets/jobs/demo_video.json
	@echo; echo "The report: $(CURDIR)/runs/demo_video/report.html (open it in a browser)"

demo-serve: release ## The demo as a job of the service; Ctrl-C ends both
	@$(PROGRAM) serve --store runs/service & server=$$!; trap 'kill $$server; wait $$server' INT TERM; sleep 1; \
	  $(PROGRAM) submit assets/jobs/demo.json && echo "Watch it: http://127.0.0.1:8080/" && wait $$server

test-build:
	@cmake/setup.sh --tests
	cmake --preset release -DTHALWEG_TESTS=ON $(CONFIGURE)
	cmake --build $(BUILD) -j$(JOBS)

test: test-build ## Build everything and run all tests, C++ and Python
	ctest --test-dir $(BUILD) --output-on-failure -j$(JOBS)
	$(PYTEST) -n $(JOBS) --dist loadfile -m "not soak" tests
	@echo; echo "PASSED: all C++ and Python tests"

soak: test-build ## What is too long for test: KILLS (default 50) killed runs a method, and tests marked soak
	@echo "soak 1 of 2: $(KILLS) kills of a run of each method; every resumed run must equal the uninterrupted one"
	$(ON_BUILD) $(PYTHON) tests/jobs/kill_campaign.py --kills $(KILLS)
	@echo "soak 2 of 2: the tests that are marked soak"
	$(PYTEST) -v -m soak tests || [ $$? -eq 5 ]  # 5: none is
	@echo; echo "PASSED: soak"

asan: ## Build and run the C++ tests and those of hostile files under the sanitizers
	@cmake/setup.sh --tests
	cmake --preset asan $(CONFIGURE)
	cmake --build build/asan -j$(JOBS)
	ctest --test-dir build/asan --output-on-failure -j$(JOBS)
	THALWEG_PROGRAM="$(CURDIR)/build/asan/thalweg" THALWEG_BUILD="$(CURDIR)/build/asan" PYTHONDONTWRITEBYTECODE=1 \
	  ASAN_OPTIONS=detect_leaks=0 $(PYTHON) -m pytest -q -p no:cacheprovider tests/hostile

fuzz: ## Fuzz each reader of files from outside for SECONDS (default 600), one after the other
	@cmake/setup.sh --tests --fuzz
	cmake --preset fuzz $(CONFIGURE)
	cmake --build build/fuzz -j$(JOBS) --target fuzzers
	cmake --preset release -DTHALWEG_TESTS=ON $(CONFIGURE)  # again: libFuzzer may be new here
	cmake --build $(BUILD) -j$(JOBS) --target fuzz_http
	ln -sf "$(CURDIR)/$(BUILD)/tests/fuzz_http" build/fuzz/tests/fuzz_http
	@for target in $(FUZZ_TARGETS); do tests/fuzz/run.sh $$target $(SECONDS) || exit 1; done

format: ## Format all C, C++ and CUDA sources
	@clang-format -i $(SOURCES)

format-check: ## Fail where a source is not formatted
	@clang-format --dry-run -Werror $(SOURCES)

lint: ## Run clang-tidy over all C++ sources (slow)
	@cmake/setup.sh --tests --lint
	cmake --preset dev -B build/lint -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON -DTHALWEG_CCACHE=OFF $(CONFIGURE)
	run-clang-tidy -quiet -p build/lint -j$(JOBS) '/(engine|samplers|rewards|pipelines|plugins)/.*\.cpp$$'

install: release ## Install to PREFIX (default /usr/local); DESTDIR is honoured
	DESTDIR="$(DESTDIR)" cmake --install $(BUILD) --prefix "$(PREFIX)"

clean: ## Remove what was built; .deps and runs stay
	rm -rf build

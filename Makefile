# Umsicht: `make help` says what there is. Each target installs what it lacks (scripts/prepare.sh) and does nothing twice.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build demo test test-all bench faults arm64 deb deb-trial
.PHONY: prepare-build prepare-demo prepare-test prepare-faults prepare-arm64 prepare-deb
.NOTPARALLEL:

# Again and again until Ctrl-C, so that nobody has to hurry to see it.
DEMO_ARGS ?= --loop
# For a shorter trial: FAULTS_ARGS='--events 5000 --kills 10'.
FAULTS_ARGS ?=
ENV := source scripts/env.sh &&
UI_SOURCES := $(shell find ui -path ui/node_modules -prune -o -path ui/dist -prune -o -type f -print 2>/dev/null)

help: ## this list
	@echo 'make TARGET, where TARGET is one of:'
	@sed -n 's/^\([a-z0-9-]*\):.* ## \(.*\)/  \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z0-9-]*\):.* ## \(.*\)/  \1: \2/p' Makefile
	@echo
	@echo 'UMSICHT_CACHE (~/.cache/umsicht) keeps downloads and compiled code between clones.'
	@echo "DEMO_ARGS is handed to \`umsicht demo\`, for example DEMO_ARGS='--video drive.mp4 --gnss drive.nmea'; it is --loop otherwise."

build: prepare-build ui/dist/index.html ## everything, ready to run: the user interface and the release binary
	@$(ENV) say 'cargo: building the release binary (about 10 minutes the first time)' && cargo build --release --locked
	@$(ENV) echo "ready: $$CARGO_TARGET_DIR/release/umsicht --help"

demo: prepare-demo build ## a simulated drive through a simulated town, in the browser; stop it with Ctrl-C
	@$(ENV) exec "$$CARGO_TARGET_DIR/release/umsicht" demo $(DEMO_ARGS)

test: prepare-test ui/node_modules/.package-lock.json ## formatting, lints, all tests; ends with their count
	@scripts/test.sh

test-all: prepare-test prepare-arm64 prepare-deb ui/node_modules/.package-lock.json ## as test, and licences of dependencies, aarch64, packages
	@scripts/test.sh all

bench: build ## how fast the spool is, how much memory it takes and how much it writes, against bare appends
	@$(ENV) cargo bench --locked --bench spool

faults: prepare-faults build ## device, broker and town killed 200 times over a lossy link; needs root; writes target/faults.json
	@$(ENV) cargo bench --locked --bench faults -- $(FAULTS_ARGS)

arm64: prepare-arm64 ## the edge for aarch64 (Raspberry Pi, Jetson and others), its unit tests run under qemu
	@scripts/arm64.sh

deb: prepare-deb ui/dist/index.html ## Debian packages umsicht-edge and umsicht-central for amd64 and arm64, into target/deb
	@scripts/deb.sh

deb-trial: deb ## these packages installed, upgraded, removed and purged in a fresh Debian 12 apart; needs root
	@scripts/deb-trial.sh

prepare-build prepare-demo prepare-test prepare-faults prepare-arm64 prepare-deb: prepare-%:
	@scripts/prepare.sh $*

# Not `npm ci`: some versions of npm refuse a lock file that leaves out optional packages of other systems.
ui/node_modules/.package-lock.json: ui/package.json ui/package-lock.json | prepare-build
	@$(ENV) say 'npm: installing what the user interface is built with' && npm --prefix ui install --no-save --no-audit --no-fund
	@touch $@

ui/dist/index.html: $(UI_SOURCES) ui/node_modules/.package-lock.json
	@$(ENV) say 'npm: building the user interface' && npm --prefix ui run --silent build

# SPDX-FileCopyrightText: The polynic authors
# SPDX-License-Identifier: Apache-2.0

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.SILENT:
MAKEFLAGS += --no-print-directory

BIN      ?= bin
PROGRAMS ?= ./cmd/...
VERSION   = $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS   = -s -w -X main.version=$(VERSION)
# Without gRPC's tracing pages, for whose sake the linker would keep 5 MB of
# code that nobody calls.
TAGS      = grpcnotrace
TOOL      = go tool -modfile=tools/go.mod
# How thoroughly "bench" and "bench-cluster" measure, quick or full: the one takes
# two minutes or some ten, the other some five or half an hour.
FIGURES  ?=
# Architectures that package memif is compiled for, with 32 bits, with other byte
# and memory orders.
ELSEWHERE = 386 arm64 s390x riscv64
# Modules that are tests alone, for what they need nobody else should.
TESTS     = test/deploy test/ligato
# How much "fuzz" tries.
MUTATIONS ?= 10000000
SEQUENCES ?= 1000000
RINGS     ?= 100000
# The race detector needs a C compiler; "setup" installs one where it can.
RACE      = $(if $(shell command -v gcc),-race)
TEST      = timeout --foreground 30m $(TOOL) gotestsum --format pkgname --format-hide-empty-pkg -- -timeout 10m

.PHONY: help build portmap image setup demo test need-vpp test-vpp test-vpp-cluster test-vm vpp-page test-cluster walkthrough bench bench-cluster fuzz check lint vet fix deadcode generated rules modules fmt clean

help: ## list the targets
	grep -hE '^[a-z-]+:.* ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.* ## /\1\t/' | expand -t 18

build: ## every program, static, into bin/
	echo "==> build: $(PROGRAMS) into $(BIN)/"
	mkdir -p $(BIN)
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags $(TAGS) -ldflags '$(LDFLAGS)' -o $(BIN)/ $(PROGRAMS)

portmap: ## the reference plugin for hostPort, beside the programs
	CGO_ENABLED=0 go build -modfile=tools/go.mod -trimpath -buildvcs=false -ldflags '-s -w' -o $(BIN)/ \
		github.com/containernetworking/plugins/plugins/meta/portmap

image: ## a container image, polynic:VERSION, by docker or podman
	$(or $(shell command -v docker),$(shell command -v podman),$(error there is neither docker nor podman)) build \
		--build-arg VERSION=$(VERSION) --tag polynic:$(VERSION) --file deploy/Containerfile .

setup: ## install, or name, the Debian packages that demo and test need
	test/setup

demo: setup build ## two pods, every interface, every ping, and nothing left behind
	timeout --foreground 10m test/demo

test: setup build ## all tests; REQUIRE=kernel,peers makes a skip in these suites a failure
	echo "==> test$(if $(RACE), with the race detector, without the race detector: there is no gcc)"
	failed=0
	$(TEST) $(RACE) $$(go list ./... | grep -vE '^[^/]+/[^/]+/[^/]+(/test/.*)?$$') || failed=1
	echo "==> test: the repository's rules, and the programs as they are shipped"
	$(TEST) -p 1 . $$(go list ./test/... | grep -v /test/cluster$$) || failed=1
	echo "==> test: the manifests, with what reads them in a cluster"
	(cd test/deploy && timeout --foreground 20m go test -count=1 ./...) || failed=1
	echo "==> test: what pods' own agents are told, with the models of theirs"
	(cd test/ligato && timeout --foreground 10m go test -count=1 ./...) || failed=1
	echo "==> test: what allocates nothing, without the race detector, which does"
	$(TEST) -run Nothing ./memif ./internal/relay/rings || failed=1
	exit $$failed

need-vpp:
	command -v "$${POLYNIC_VPP:-vpp}" || {
		echo "==> there is no VPP here, so nothing was done: install FD.io VPP 25.10 or 26.06, or set POLYNIC_VPP to the program"
		exit 1
	}

test-vpp: need-vpp setup build ## what needs a real VPP: that of POLYNIC_VPP, or the one on the PATH
	echo "==> test-vpp: the driver, and the messages that the server in its place must answer as VPP does"
	export REQUIRE=vpp,kernel
	failed=0
	$(TEST) -count=1 ./internal/dataplane/vpp/... ./internal/vppcli || failed=1
	echo "==> test-vpp: the lab's packets"
	$(TEST) -count=1 -run VPP ./internal/lab/... || failed=1
	$(MAKE) test-vpp-cluster || failed=1
	exit $$failed

test-vpp-cluster: need-vpp setup build ## of these, the overlays that have VPP in a Kubernetes cluster (compiles Kubernetes once: 15 minutes)
	test/cluster/build
	echo "==> test-vpp-cluster: the overlays vpp and vpp-taps, with an image that is put together of VPP's files here"
	failed=0
	for test in TestVPP TestVPPTaps; do
		REQUIRE=cluster,vpp POLYNIC_TEST_BIN=$(abspath $(BIN)) timeout --foreground 15m \
			go test -count=1 -v -timeout 14m -run "^$$test$$" ./test/cluster || failed=1
	done
	exit $$failed

test-vm: need-vpp setup ## what needs vhost-net, VPP's own taps: in a virtual machine with Debian's kernel (some five minutes)
	echo "==> test-vm: QEMU and a kernel"
	folder=$$(test/vm/setup)
	echo "==> test-vm"
	REQUIRE=vm,vpp,kernel POLYNIC_VM_KERNEL=$$folder $(TEST) -count=1 -timeout 20m ./test/vm

vpp-page: need-vpp setup build ## the views and figures of docs/vpp.md, from a lab with VPP
	views=$$(timeout --foreground 15m test/vpp-views $(BIN)) || { echo "$$views"; exit 1; }
	{ sed '/^<!-- views -->$$/q' docs/vpp.md; echo "$$views"; echo; sed -n '/^<!-- end -->$$/,$$p' docs/vpp.md; } > docs/vpp.md.new
	mv docs/vpp.md.new docs/vpp.md

test-cluster: setup build ## a Kubernetes cluster of its own with the product in it (compiles Kubernetes once: 15 minutes)
	test/cluster/build
	echo "==> test-cluster: TestCluster has the programs as processes, TestDeployed and TestConformance as deploy/polynic.yaml has them"
	failed=0
	# The API server and etcd alone.
	REQUIRE=cluster timeout --foreground 10m go test -count=1 -v -run "^TestCustomConfigurations$$" ./internal/controller || failed=1
	# Each test makes a cluster, and needs a machine for it.
	for test in TestClusterWorksWithReferencePlugins TestCluster TestDeployed TestConformance; do
		POLYNIC_TEST_BIN=$(abspath $(BIN)) timeout --foreground 15m go test -count=1 -v -timeout 14m -run "^$$test$$" ./test/cluster || failed=1
	done
	exit $$failed

walkthrough: setup build ## docs/walkthrough.md, from what a cluster answers to the documents' commands
	test/cluster/build
	page=$$(POLYNIC_TEST_BIN=$(abspath $(BIN)) timeout --foreground 15m go test -count=1 -v -timeout 14m \
		-run '^TestDeployed$$/^walkthrough$$' ./test/cluster -walkthrough) || { echo "$$page"; exit 1; }
	sed -n '/^<!-- walkthrough -->$$/,/^<!-- end -->$$/{//!p}' <<<"$$page" > docs/walkthrough.md

bench: setup build ## the ratios that the project promises (FIGURES=quick for a first look)
	cd test/bench
	POLYNIC_TEST_BIN=$(abspath $(BIN)) timeout --foreground 20m go test -count=1 -timeout 19m -run TestFigures -figures $(or $(FIGURES),full)

bench-cluster: setup build ## the same in a Kubernetes cluster, beside Multus (FIGURES=full for more rounds)
	test/cluster/build
	echo "==> bench-cluster"
	cd test/cluster
	failed=0
	for test in TestFigures TestFiguresOfServices; do
		POLYNIC_TEST_BIN=$(abspath $(BIN)) timeout --foreground 30m go test -count=1 -timeout 29m -run "^$$test$$" -figures $(or $(FIGURES),quick) || failed=1
	done
	exit $$failed

fuzz: ## the totals of hostile memif peers: 10^7 racing descriptors, 10^6 control sequences a role (some 15 minutes)
	echo "==> fuzz: $(MUTATIONS) descriptors rewritten while they are read, in each role"
	timeout 10m go test ./memif -count=1 -run 'TestRacing(Slave|Master)' -mutations $(MUTATIONS) -v | grep -E 'mutations|^(---|ok|FAIL|panic)'
	for target in FuzzMasterHandshake FuzzSlaveHandshake; do
		echo "==> fuzz: $$target, $(SEQUENCES) control sequences"
		timeout 30m go test ./memif -run NONE -fuzz "^$$target$$" -fuzztime $(SEQUENCES)x
	done
	echo "==> fuzz: FuzzRings, $(RINGS) sequences of what peers do to rings"
	timeout 20m go test ./memif -run NONE -fuzz '^FuzzRings$$' -fuzztime $(RINGS)x

check: lint vet fix deadcode generated modules rules ## everything but the tests
	echo "==> check: all is well"

lint:
	echo "==> check: format and lint (the first run compiles the linter: some minutes)"
	timeout 20m $(TOOL) golangci-lint run ./...
	for dir in $(TESTS); do
		(cd $$dir && timeout 10m go tool -modfile=$(abspath tools/go.mod) golangci-lint run --config $(abspath .golangci.yml) ./...)
	done

vet:
	echo "==> check: vet"
	timeout 10m go vet ./...
	go vet -tags failpoints ./...
	echo "==> check: memif elsewhere: $(ELSEWHERE)"
	for arch in $(ELSEWHERE); do
		GOARCH=$$arch CGO_ENABLED=0 go vet ./memif/...
		GOARCH=$$arch CGO_ENABLED=0 go build ./memif/...
	done
	for dir in $(TESTS); do
		(cd $$dir && go vet ./...)
	done
	GOARCH=arm64 CGO_ENABLED=0 go build -tags $(TAGS) ./...

fix:
	echo "==> check: modern Go (to repair: go fix ./...)"
	go fix -diff ./...
	for dir in $(TESTS); do
		(cd $$dir && go fix -diff ./...)
	done

deadcode:
	echo "==> check: dead code"
	dead=$$($(TOOL) deadcode -test -tags failpoints ./...)
	[ -z "$$dead" ] || { echo "$$dead"; exit 1; }

generated:
	echo "==> check: generated files (to repair: go generate ./... and commit)"
	grep -rq --include='*.go' '^//go:generate' . || exit 0
	state() { git status --porcelain=v1 -uall && git diff | sha256sum; }
	before=$$(state)
	go generate ./...
	[ "$$before" = "$$(state)" ] || { git status --short; exit 1; }

modules:
	echo "==> check: modules (to repair: go mod tidy)"
	for dir in . tools test/cluster/programs test/cluster/multus $(TESTS); do
		(cd $$dir && go mod tidy -diff && go mod verify >/dev/null)
	done

rules:
	echo "==> check: the repository's rules"
	go test -count=1 -timeout 5m .

fmt: ## put every file into the form that lint wants
	$(TOOL) golangci-lint fmt ./...

clean: ## remove what build made
	rm -rf $(BIN)

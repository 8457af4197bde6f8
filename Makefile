# Every job of the repository by name. The modules are joined by go.work, and
# "work" is the go command's pattern for all their packages. What each target
# is good for, and what to do when it fails, stands in docs/HACKING.md.

GO       ?= go
FUZZTIME ?= 15s# at least, for each fuzz target
BENCH    ?= .# which benchmarks
COUNT    ?= 1# how often each runs; benchstat wants 10
MAX      ?= 90m# of make bench-full, for the grid

# Systems that must compile, tests included. 386 for its 32-bit words, arm64
# for the system calls that it does not have.
CROSS ?= linux/386 linux/arm64 darwin/arm64 freebsd/amd64 netbsd/amd64 openbsd/amd64 dragonfly/amd64 windows/amd64

help: ## List the targets (this).
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

build: ## Compile every package of every module.
	$(GO) build work

fmt: ## Format all Go files.
	gofmt -l -w .

fmt-check: ## Fail if a Go file is not formatted, and name it.
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not formatted, run make fmt:"; echo "$$files"; exit 1; }

vet: ## go vet, plain and under each build tag of ours.
	$(GO) vet work
	$(GO) vet -tags interop work
	$(GO) vet -tags invariants work

lint: ## staticcheck, at the version pinned in tools/go.mod.
	$(GO) tool staticcheck -tags interop work

tidy: ## go mod tidy in every module.
	tools/tidy.sh

tidy-check: ## Fail if a go.mod or go.sum is not tidy.
	tools/tidy.sh -diff

generate: ## Write the generated parts of docs/libevent.md.
	$(GO) generate ./internal/lint

test: ## The tests of every module. Needs Go and nothing else.
	$(GO) test work

race: ## The same under the race detector. Needs gcc.
	$(GO) test -race work

invariants: ## The same with every invariant checked at every step.
	$(GO) test -tags invariants work

narrow: ## The same with words of 32 bits, but for the bench. Needs Linux on amd64, which runs such programs.
	GOARCH=386 $(GO) test $$($(GO) list work | grep -v '/bev/bench')

interop: ## Tests against other programs. Needs Debian's packages listed in .ci/run.
	$(GO) test -tags interop -run '^TestInterop' -count=1 work

conformance: ## The same scenarios through C libevent and through bev. Needs libevent-dev and gcc.
	$(GO) test -tags interop -count=1 ./conformance/...

standalone: ## Build and vet the root module without the workspace, as users get it.
	GOWORK=off $(GO) build ./... && GOWORK=off $(GO) vet ./...

cross: ## go vet for other systems, but for the bench, whose peers are Linux only: CROSS="darwin/arm64 ..."
	@set -e; for t in $(CROSS); do export CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/}; echo "GOOS=$$GOOS GOARCH=$$GOARCH $(GO) vet"; $(GO) vet $$($(GO) list work | grep -v '/bev/bench'); done

fuzz: ## Every fuzz target for FUZZTIME=15s or a little longer.
	tools/fuzz.sh $(FUZZTIME)

bench: ## bev beside its peers, a short grid in under ten minutes. Needs gcc, strace and Debian's libevent-dev, haproxy, nginx, libnginx-mod-stream.
	cd bench && $(GO) run .

bench-full: ## The whole grid and the buffers, in MAX=90m, into bench/RESULTS.md. The machine should have nothing else to do.
	cd bench && $(GO) run ./buffer >results/buffer.tmp && mv results/buffer.tmp results/buffer.md && $(GO) run . -full -max $(MAX) -out .

microbench: ## Go's benchmarks of every module: BENCH=pattern COUNT=10
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count=$(COUNT) work

bench-buffer: ## The buffer beside C libevent's evbuffer and peers, as a table. Needs libevent-dev and gcc.
	cd bench && $(GO) run ./buffer

attacks: ## bev flood against bev and its peers, as a table, five minutes. Linux; needs libevent-dev and gcc.
	cd bench && $(GO) run ./attacks

cover: ## Coverage of the root module; leaves coverage.out for go tool cover -html.
	$(GO) test -coverpkg=./... -coverprofile=coverage.out ./... && $(GO) tool cover -func=coverage.out | tail -1

ci: ## All that CI runs, in its order. Installs Debian packages that are missing.
	.ci/run

.PHONY: help build fmt fmt-check vet lint tidy tidy-check generate test race invariants narrow interop conformance standalone cross fuzz bench bench-full microbench bench-buffer attacks cover ci

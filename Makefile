# What one types here. A newcomer's bare `make` shows the targets: it must not
# download linters or run for minutes.
.DEFAULT_GOAL := help
SHELL         := bash
.SHELLFLAGS   := -eu -o pipefail -c
.NOTPARALLEL:

# Relative names, so that a checkout path with spaces works.
export PATH := $(CURDIR)/.bin:$(PATH)
FUZZTIME    ?= 10s

.PHONY: help demo check fmt lint deps test race fuzz mutants proof bench servers

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Tell the story: a payments API, the sidecar, lost answers (needs only Go)
	@echo 'Building the command. The first time this fetches and compiles SQLite, which takes a minute.'
	@go build -o .bin/semel ./cmd/semel && exec .bin/semel demo

check: fmt lint deps test ## Everything before a commit
	@echo 'check: all of fmt, lint, deps and test passed'

fmt: .bin/gofumpt ## Fail on unformatted files (.bin/gofumpt -w . repairs them)
	@unformatted=$$(.bin/gofumpt -l .); \
	if [ -n "$$unformatted" ]; then \
		printf 'fmt: not formatted, run .bin/gofumpt -w .\n%s\n' "$$unformatted" >&2; exit 1; \
	fi

lint: .bin/golangci-lint ## Vet and lint every module in one run
	go vet work
	go list -f '{{.Dir}}/...' -m | tr '\n' '\0' | xargs -0 .bin/golangci-lint run

deps: ## Who may depend on what; every module builds alone and is tidy
	@tools/deps.sh

test: ## Test every module (needs only Go; make servers for the whole of it)
	go test work
	@tools/servers.sh --missing
	@echo 'test: every test of every module passed'

race: ## Test shuffled under the race detector (needs a C compiler)
	@command -v "$$(go env CC)" >/dev/null || { echo 'race: the race detector needs a C compiler: install gcc' >&2; exit 1; }
	CGO_ENABLED=1 go test -race -shuffle=on -count=1 work

fuzz: ## Run each fuzz target of each module for FUZZTIME (10s)
	@FUZZTIME='$(FUZZTIME)' tools/fuzz.sh

mutants: ## Break every guard once and see its test fail (takes minutes)
	SEMEL_MUTANTS=1 go test -count=1 -timeout 60m -v -run Caught ./proof

proof: ## Let everything fail on every store and check every answer (takes half an hour)
	SEMEL_PROOF=long go test -count=1 -timeout 90m -v -run 'Linear|Live|Engine|Checker' ./proof

bench: ## Measure and write docs/benchmarks.md and its plot
	go run ./bench -out docs

servers: ## Install the foreign programs that tests drive, into .bin
	@tools/servers.sh

# The tools have a module of their own that is not in go.work: their
# dependencies must not choose versions for ours.
.bin/%: tools/go.mod tools/go.sum
	GOWORK=off go build -C tools -o ../.bin/ tool
	@touch .bin/*

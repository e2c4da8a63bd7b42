# zkd. `make help` lists the targets.
GO      ?= go
VERSION ?= 0.1.0
BUILT   ?= $(shell git log -1 --format=%cd --date=format:'%Y-%m-%d %H:%M UTC' 2>/dev/null)
LDFLAGS  = -s -w -X 'github.com/zkd-project/zkd/daemon.Version=$(VERSION)' -X 'github.com/zkd-project/zkd/daemon.Built=$(BUILT)'
TOOLS    = build/tools
LINT     = $(TOOLS)/golangci-lint
FUZZTIME ?= 10s

.PHONY: help build run test race lint vuln fuzz bench docs test-interop clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

build: ## build the binaries into build/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o build/ ./cmd/...

run: build ## run one server on loopback, port 2181, data in build/run; Ctrl-C stops it
	@mkdir -p build/run
	@printf 'tickTime=2000\ndataDir=%s\nclientPort=2181\nclientPortAddress=127.0.0.1\n4lw.commands.whitelist=*\n' "$(CURDIR)/build/run" > build/run.cfg
	@echo "connection string: 127.0.0.1:2181 (Ctrl-C stops the server)"
	@build/zkd run -c build/run.cfg

test: ## run every test that needs nothing but Go
	$(GO) vet ./...
	$(GO) test ./...

race: ## run the tests with the race detector
	$(GO) test -race -short ./...

$(LINT):
	@mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

lint: $(LINT) ## check form and common mistakes
	@test -z "$$(gofmt -l cmd daemon)" || { gofmt -l cmd daemon; echo "run gofmt -w on these"; exit 1; }
	$(LINT) run ./...

fuzz: ## fuzz every decoder for FUZZTIME each
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
		$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$p || exit 1; done; done

bench: build ## measure zkd and Debian's Java ZooKeeper side by side
	cmd/zkbench/compare.sh

docs: ## write the documents that are generated
	$(GO) run ./docs/generate

test-interop: build ## test with real clients and against the Java server; installs what it needs
	daemon/interop/run.sh

clean: ## remove what was built
	rm -rf build

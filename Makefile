# zkd. `make help` lists the targets.
GO      ?= go
VERSION ?= 0.1.0
BUILT   ?= $(shell TZ=UTC git log -1 --format=%cd --date=format-local:'%Y-%m-%d %H:%M UTC' 2>/dev/null)
LDFLAGS  = -s -w -X 'github.com/zkd-project/zkd/daemon.Version=$(VERSION)' -X 'github.com/zkd-project/zkd/daemon.Built=$(BUILT)' \
           -X 'main.version=$(VERSION)' -X 'main.built=$(BUILT)'
BUILDFLAGS = -trimpath -buildvcs=false
EPOCH   ?= $(shell git log -1 --format=%ct 2>/dev/null)
TOOLS    = build/tools
LINT     = $(TOOLS)/golangci-lint
FUZZTIME ?= 10s
SEEDS    ?= 2000
FIRST    ?= 1
PARALLEL ?= $(shell nproc)

.PHONY: help build run test race lint vuln fuzz bench docs pkg deb rpm test-packages bench-ensemble bench-snap test-interop test-ensemble test-mixed sim clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

build: ## build the binaries into build/
	CGO_ENABLED=0 $(GO) build $(BUILDFLAGS) -ldflags "$(LDFLAGS)" -o build/ ./cmd/...

run: build ## run an ensemble of three servers on loopback, ports 2181 to 2183; Ctrl-C stops it
	@packaging/ensemble.sh

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

VULN = $(TOOLS)/govulncheck
$(VULN):
	@mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@v1.9.0

vuln: $(VULN) ## look for known vulnerabilities in what is used; asks Go's database of them
	$(VULN) ./...

fuzz: ## fuzz every decoder for FUZZTIME each, which may be a number of inputs, as 20000x
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
		$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$p || exit 1; done; done

bench: build ## measure zkd and Debian's Java ZooKeeper side by side
	cmd/zkbench/compare.sh

bench-ensemble: build ## measure ensembles of three servers side by side
	cmd/zkbench/ensemble.sh

bench-snap: build ## measure how an empty server joins a large ensemble, side by side
	cmd/zkbench/snap.sh

NFPM = $(TOOLS)/nfpm
$(NFPM):
	@mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) $(GO) install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2

ARCHES ?= amd64 arm64
PKG     = build/pkg
export SOURCE_DATE_EPOCH = $(EPOCH)
pkg: $(NFPM)
	@rm -rf $(PKG) && mkdir -p $(PKG)/man $(PKG)/doc
	@for arch in $(ARCHES); do CGO_ENABLED=0 GOARCH=$$arch $(GO) build $(BUILDFLAGS) -ldflags "$(LDFLAGS)" \
		-o $(PKG)/$$arch/ ./cmd/zkd ./cmd/zkctl || exit 1; done
	@$(GO) run $(BUILDFLAGS) ./packaging/inventory $(VERSION) $(PKG)/doc $(PKG)/$(firstword $(ARCHES))/zkd $(PKG)/$(firstword $(ARCHES))/zkctl
	@$(GO) build $(BUILDFLAGS) -tags pages -o $(PKG)/zkctl-pages ./cmd/zkctl
	@env -u ZKCTL_SERVER $(PKG)/zkctl-pages pages $(PKG)/man
	@$(GO) build $(BUILDFLAGS) -o $(PKG)/zkd-pages ./cmd/zkd
	@for shell in bash zsh fish; do for p in zkd zkctl; do $(PKG)/$$p-pages completion $$shell > $(PKG)/$$p.$$shell || exit 1; done; done
	@cp packaging/man/* $(PKG)/man/ && gzip -9n $(PKG)/man/*
	@cp docs/CONFIG.md docs/INSTALL.md docs/MIGRATION.md docs/MONITORING.md docs/OPERATIONS.md $(PKG)/doc/
	@gzip -9nc CHANGELOG.md > $(PKG)/doc/changelog.gz
	@printf -- '- semver: %s-1\n  date: %s\n  packager: zkd maintainers <maintainers@zkd.invalid>\n  deb:\n    urgency: medium\n    distributions: [unstable]\n  changes:\n    - note: What has changed is in changelog.gz.\n' \
		"$(VERSION)" "$$(date -u +%Y-%m-%dT%H:%M:%SZ -d @$(EPOCH))" > $(PKG)/changelog.yml

deb rpm: pkg ## build the packages into build/, the same bytes each time
	@for arch in $(ARCHES); do ARCH=$$arch VERSION=$(VERSION) $(NFPM) package -f nfpm.yaml -p $@ -t build/ || exit 1; done

test-packages: deb rpm ## install, run, upgrade and remove the packages in booted systemd boxes
	packaging/test.sh

docs: ## write the documents that are generated
	$(GO) run ./docs/generate

test-interop: build ## test with real clients and against the Java server; installs what it needs
	daemon/interop/run.sh -skip '^Test(Ensemble|Mixed)'

test-ensemble: build ## kill, stop and cut off servers of real ensembles, as root; installs what it needs; TESTS=part of a name
	daemon/interop/ensemble.sh -run '^TestEnsemble.*$(TESTS)' -v

test-mixed: build ## ensembles of zkd and Apache's servers; installs what it needs; TESTS=part of a name
	daemon/interop/run.sh -run '^TestMixed.*$(TESTS)' -v

sim: ## run SEEDS seeds of the simulator from FIRST, PARALLEL at a time
	$(GO) test ./daemon/sim -run TestSeeds -v -timeout 10h -parallel $(PARALLEL) -seeds $(SEEDS) -first $(FIRST)

clean: ## remove what was built
	rm -rf build

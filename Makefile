# Two targets matter to a newcomer: `make run` and `make test`.

GO      ?= go
BIN     := bin/tombolo
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
TOOLS   := .tools
SEEDS   ?= 20
FROM    ?= 1
LABS    ?= 1
SCALE   ?= 1
DURATION?= 60s

.PHONY: help build run test check unit race install long lab fuzz conformance clean docs pgo figures-queue

# The program is compiled with the profile beside it (cmd/tombolo/default.pgo),
# and with it everything that it imports. Checks and unit tests do without: they
# would compile all of it a second time. The end-to-end tests ask for it.
check unit race: export GOFLAGS := $(GOFLAGS) -pgo=off

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

build: ## build bin/tombolo
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/tombolo

run: build ## start three nodes on this machine to try out (loopback only)
	$(BIN) dev --nodes 3

test: install check unit race ## everything: installs what it needs, checks, tests, race detector

install: ## install the real clients and brokers that the tests use (Debian packages, npm)
	bash .ci/install

check: ## formatting, vet, staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'run: gofmt -w on these'; exit 1; }
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./internal/conn ./cmd/tombolo
	$(GO) tool staticcheck ./...

# These measure, or hold real nodes to promised times: one after the other, with
# the machine to themselves, after all the others side by side.
ALONE := /internal/lab|/internal/e2e|/internal/cluster|/bench

unit: ## all tests
	$(GO) test -count=1 -timeout 20m $$($(GO) list ./... | grep -vE '$(ALONE)')
	$(GO) test -count=1 -timeout 20m -p 1 $$($(GO) list ./... | grep -E '$(ALONE)')

# The end-to-end tests, the laboratory and the benchmarks drive child processes,
# which the race detector does not see into; of the laboratory its own parts run.
race: ## the same under the race detector, in a smaller dose
	$(GO) test -race -short -count=1 -timeout 25m $$($(GO) list ./... | grep -vE '$(ALONE)')
	$(GO) test -race -short -count=1 -timeout 5m ./internal/cluster
	$(GO) test -race -count=1 -timeout 5m ./internal/lab -run 'Cut|Groups|Delay|Throttle|History|Parse'

long: ## hours of kill -9 under load, and of simulated clusters; seeds are printed
	E2E_KILLS=1000 $(GO) test ./internal/e2e -run 'Kill9' -count=1 -timeout 3h -v
	for profile in network crashes losses members everything; do \
		$(GO) run ./internal/sim/cmd/simlong -core replica -profile $$profile -seeds 20000 || exit 1; \
	done

lab: build ## random schedules on real nodes in network namespaces, as root: make lab SEEDS=100 FROM=1 LABS=2
	$(GO) run ./internal/lab/cmd/lablong -program $(BIN) -seeds $(SEEDS) -from $(FROM) -labs $(LABS)

fuzz: ## a minute of fuzzing for each target
	bash .ci/fuzz 60s

conformance: ## Eclipse Paho's interoperability suite: make conformance SUITE=DIRECTORY
	SUITE="$(SUITE)" bash .ci/conformance

pgo: build ## make cmd/tombolo/default.pgo anew: a profile of the broker under load (100 s; machine otherwise idle)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	$(BIN) bench compare --broker tombolo --profile cpu --profile-dir "$$dir" \
		--run 'latency --pairs 50 --duration 20s' --run 'p2p --duration 5s' --run 'p2p -q 1 --duration 5s' --run 'p2p -q 1 --persistent --duration 4s' \
		--run 'fanout --duration 4s' --run 'fanout -q 1 --duration 3s' --run 'fanin --duration 3s' \
		--run 'connect --connections 10000' --run 'connect --connections 10000 --window 50' && \
	$(BIN) bench compare --broker tombolo-3-cross --profile cpu --profile-dir "$$dir/across" \
		--run 'p2p --duration 4s' --run 'p2p -q 1 --duration 4s' && \
	$(GO) tool pprof -proto $$(find "$$dir" -name cpu.pprof) > "$$dir/merged" && mv "$$dir/merged" cmd/tombolo/default.pgo

figures-queue: build ## what queues have to bear, beside what is asked (quiet machine, 15 min): make figures-queue SCALE=0.05
	$(BIN) bench queue --scale $(SCALE) --duration $(DURATION) --quiet
	TOMBOLO_QUEUE_LOAD=$$(awk 'BEGIN { n = int(100 * $(SCALE)); print n < 1 ? 1 : n }') $(GO) test ./queue -count=1 -run TestLoadCompaction -v
	TOMBOLO_MOVES=$$(awk 'BEGIN { n = int(1000 * $(SCALE)); print n < 10 ? 10 : n }') $(GO) test ./mqtt/broker -count=1 -run TestR21Moves -v

docs: ## regenerate the generated pages
	$(GO) test ./internal/option ./internal/admin ./cmd/tombolo ./mqtt/conformance -run 'Fresh|Page' -args -update

clean: ## remove what was built
	rm -rf bin $(TOOLS)

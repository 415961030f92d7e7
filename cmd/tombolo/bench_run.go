package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"tombolo/bench"
	"tombolo/bench/compare"
	"tombolo/bench/peer"
)

func (f *benchFlags) run(cmd *cobra.Command) error {
	if err := f.resolve(cmd.Flags()); err != nil {
		return err
	}
	if f.repeat < 1 {
		return fmt.Errorf("--repeat %d: give 1 or more", f.repeat)
	}
	if f.theirs != "" && f.broker == "" {
		return errors.New("--broker-profile needs --broker: only a broker that the bench started can be told to write one")
	}
	once, err := f.runner()
	if err != nil {
		return err
	}
	stop, err := f.own.start()
	if err != nil {
		return err
	}
	defer stop()
	ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	var results []*bench.Result
	for i := range f.repeat {
		view := f.out.view(cmd.ErrOrStderr(), fmt.Sprintf("run %d/%d", i+1, f.repeat))
		r, err := once(ctx, i, view.show)
		view.clear()
		if err != nil {
			return explainBench(ctx, err)
		}
		stamp(&r.Machine)
		results = append(results, r)
		if err := f.out.one(cmd.OutOrStdout(), r); err != nil {
			return err
		}
	}
	if err := f.out.all(cmd.OutOrStdout(), results); err != nil {
		return err
	}
	return verdict(results)
}

// runner is how the scenario is run: on what is there, or on a broker that is
// started for it.
func (f *benchFlags) runner() (func(context.Context, int, func(bench.Progress)) (*bench.Result, error), error) {
	if f.broker == "" {
		return func(ctx context.Context, _ int, show func(bench.Progress)) (*bench.Result, error) {
			cfg := f.cfg
			cfg.Tick = show
			return bench.Run(ctx, cfg)
		}, nil
	}
	d, err := findBroker(f.broker)
	if err != nil {
		return nil, err
	}
	p := profiling{kind: f.theirs, dir: f.own.dir}
	if err := p.check(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(p.dir)
	if err != nil {
		return nil, fail(exitEnvironment, err)
	}
	return func(ctx context.Context, i int, show func(bench.Progress)) (*bench.Result, error) {
		into := peer.Profile{Kind: p.kind, Dir: filepath.Join(dir, fmt.Sprintf("broker-%d", i+1))}
		return compare.Once(ctx, d, f.cfg, into, show)
	}, nil
}

// verdict fails for what no broker should do at any load that a window bounds.
func verdict(results []*bench.Result) error {
	for _, r := range results {
		d := r.Delivery
		if d.Lost+d.Reordered > 0 || d.Duplicated > 0 && r.Settings.QoS != 1 {
			return fail(exitFailure, errors.New("messages were lost, duplicated or reordered: see the warnings"))
		}
	}
	return nil
}

func explainBench(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fail(exitInterrupted, nil)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fail(exitUnreachable, fmt.Errorf("%w: is a broker running there? Start one with: tombolo dev", err))
	case errors.Is(err, syscall.EMFILE):
		return fail(exitEnvironment, fmt.Errorf("%w: raise the limit of descriptors (ulimit -n), or ask for fewer clients", err))
	case strings.Contains(err.Error(), "the broker refused"):
		return fail(exitRefused, fmt.Errorf("%w: give -u and -P, or have the broker admit anonymous clients", err))
	case strings.HasPrefix(err.Error(), "process "):
		return fail(exitUsage, fmt.Errorf("%w: --pid must be a process of this machine", err))
	}
	return fail(exitFailure, err)
}

// stamp names the build where the build system did not.
func stamp(m *bench.Machine) {
	if m.Revision == "" {
		m.Revision = version
	}
}

// findBroker is the definition that a name or a file stands for.
func findBroker(name string) (peer.Definition, error) {
	if strings.HasSuffix(name, ".json") {
		d, err := peer.Load(name)
		if err != nil {
			return d, fail(exitUsage, err)
		}
		return d, nil
	}
	for _, d := range brokers() {
		if d.Name != name {
			continue
		}
		if !d.Installed() {
			return d, fail(exitEnvironment, fmt.Errorf("broker %s: %s is not installed", name, d.Command[0]))
		}
		return d, nil
	}
	return peer.Definition{}, fail(exitUsage, fmt.Errorf("there is no broker %q: give %s", name, brokerNames()))
}

// brokers are those that have a name: this program, and what is built in.
func brokers() []peer.Definition {
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0]
	}
	own := "tombolo " + version
	return append([]peer.Definition{
		peer.Tombolo(program, own), peer.TomboloTLS(program, own), peer.TomboloCluster(program, own, false), peer.TomboloCluster(program, own, true),
	}, peer.Builtin()...)
}

func brokerNames() string {
	names := []string{"tombolo", overTLS, threeNodes, threeAcross}
	for _, d := range peer.Builtin() {
		names = append(names, d.Name)
	}
	return strings.Join(names, ", ") + ", or a .json file that says how"
}

// clientTLS is how brokers' certificates are verified.
func clientTLS(caFile string, insecure bool) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure}
	if caFile == "" {
		return cfg, nil
	}
	var err error
	cfg.RootCAs, err = readAuthorities(caFile)
	return cfg, err
}

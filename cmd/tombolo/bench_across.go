package main

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tombolo/bench"
	"tombolo/bench/across"
	"tombolo/bench/peer"
)

func newBenchAcross() *cobra.Command {
	cfg := across.Config{Repeat: 5, Duration: 3 * time.Second, WarmUp: 500 * time.Millisecond}
	var out benchOutput
	cmd := &cobra.Command{
		Use:   "across",
		Short: "What a message to another node costs, against one that stays",
		Long: `What a message to another node of a cluster costs, against one that stays on its
node: deliveries for a second of processor time of all nodes, and latency at 1,000
messages a second, each with publisher and subscriber on one node and on two, in
turn. Without --target three nodes of this program are started for it.`,
		Example: `  tombolo bench across
  tombolo bench across --repeat 3 --duration 2s --json
  tombolo bench across --target n1:1883 --target n2:1883 --pid 4711 --pid 4712`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAcross(cmd, cfg, &out) },
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringArrayVar(&cfg.Targets, "target", nil, "every node of a cluster as host:port; repeat it. Without: start three")
	fl.IntSliceVar(&cfg.PIDs, "pid", nil, "process of a node given, to measure its CPU; repeatable")
	fl.IntVar(&cfg.Repeat, "repeat", cfg.Repeat, "repetitions; figures are their medians")
	fl.DurationVar(&cfg.Duration, "duration", cfg.Duration, "length of each of the ten runs of a repetition")
	fl.DurationVar(&cfg.WarmUp, "warm-up", cfg.WarmUp, "load before each")
	out.plainFlags(fl)
	return cmd
}

// runAcross runs and prints.
func runAcross(cmd *cobra.Command, cfg across.Config, out *benchOutput) error {
	ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if len(cfg.Targets) == 0 {
		program, err := os.Executable()
		if err != nil {
			return fail(exitEnvironment, err)
		}
		b, err := peer.Start(ctx, peer.TomboloCluster(program, "tombolo "+version, false), peer.Profile{})
		if err != nil {
			return explainBench(ctx, err)
		}
		defer func() { _ = b.Stop() }()
		cfg.Targets, cfg.PIDs = b.Targets, b.PIDs()
	}
	view := out.view(cmd.ErrOrStderr(), "")
	cfg.Tick = func(name string, p bench.Progress) {
		p.Phase = name + ", " + p.Phase
		view.show(p)
	}
	r, err := across.Run(ctx, cfg)
	view.clear()
	if err != nil {
		return explainBench(ctx, err)
	}
	stamp(&r.Machine)
	if err := out.print(cmd.OutOrStdout(), r, func(w io.Writer) error { return across.Write(w, r) }, nil); err != nil {
		return err
	}
	if len(r.Faults) > 0 {
		return fail(exitFailure, errors.New("messages were lost, duplicated or reordered: see the warnings"))
	}
	return nil
}

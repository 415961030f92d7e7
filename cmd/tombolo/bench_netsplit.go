package main

import (
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"tombolo/bench/report"
	"tombolo/bench/split"
	"tombolo/mqtt/packet"
)

func newBenchNetsplit() *cobra.Command {
	cfg := split.Defaults()
	var version, cut, heal string
	var out benchOutput
	cmd := &cobra.Command{
		Use:   "netsplit",
		Short: "Cut a cluster and heal it: what clients of every node saw",
		Long: `Cut a cluster and heal it, while clients of every node connect, publish at QoS 1
and subscribe. The table has a line for each second: what was answered well, what
was refused and with which code, what failed. Below it stands after how long each
node was gated and open again.

The cluster is cut and healed by commands. Their defaults are for the cluster of
tombolo dev; give those of your laboratory for any other.`,
		Example: `  tombolo dev --nodes 3
  tombolo bench netsplit --target 127.0.0.1:1883 --target 127.0.0.1:1884 --target 127.0.0.1:1885
  tombolo bench netsplit --target 127.0.0.1:1883 --target 127.0.0.1:1884 --target 127.0.0.1:1885 --html split.html
  tombolo bench netsplit --target n1:1883 --target n2:1883 --cut 'ssh n1 ./cut' --heal 'ssh n1 ./heal'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := parseVersion(version)
			if err != nil || v == packet.V31 {
				return fail(exitUsage, fmt.Errorf("-V %s: bench speaks mqttv311 and mqttv5", version))
			}
			cfg.Version = v
			cfg.Cut, cfg.Heal = []string{"sh", "-c", cut}, []string{"sh", "-c", heal}
			if err := cfg.Check(); err != nil {
				return fail(exitUsage, err)
			}
			return runNetsplit(cmd, cfg, &out)
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringArrayVar(&cfg.Targets, "target", nil, "every node of the cluster as host:port; repeat it")
	fl.StringVar(&cut, "cut", "tombolo dev split 1 2,3", "shell command that cuts the cluster")
	fl.StringVar(&heal, "heal", "tombolo dev heal", "shell command that heals it")
	fl.DurationVar(&cfg.Before, "before", cfg.Before, "time before the cut")
	fl.DurationVar(&cfg.During, "during", cfg.During, "time between cut and heal")
	fl.DurationVar(&cfg.After, "after", cfg.After, "time after the heal")
	fl.DurationVar(&cfg.Every, "every", cfg.Every, "time between two probes of one kind at one node")
	fl.StringVarP(&version, "protocol-version", "V", "mqttv5", "mqttv311 or mqttv5; also 311, 5")
	fl.StringVarP(&cfg.Username, "username", "u", "", "user name of every client")
	fl.StringVarP(&cfg.Password, "pw", "P", "", "password of every client")
	out.flags(fl)
	return cmd
}

// runNetsplit runs and prints.
func runNetsplit(cmd *cobra.Command, cfg split.Config, out *benchOutput) error {
	ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	last := ""
	cfg.Tick = func(second int, phase string) {
		if !out.quiet && phase != last {
			last = phase
			fmt.Fprintf(cmd.ErrOrStderr(), "%3d s %s\n", second, phase)
		}
	}
	r, err := split.Run(ctx, cfg)
	if err != nil {
		return explainBench(ctx, err)
	}
	stamp(&r.Machine)
	table := func(w io.Writer) error { return split.Write(w, r) }
	if err := out.print(cmd.OutOrStdout(), r, table, func(w io.Writer) error { return report.WriteSplitHTML(w, r) }); err != nil {
		return err
	}
	if r.Hung > 0 {
		return fail(exitFailure, errors.New("some clients got no answer: see the last line"))
	}
	return nil
}

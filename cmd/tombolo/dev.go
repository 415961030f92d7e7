package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tombolo/internal/node"
	"tombolo/internal/option"
)

func init() { register(newDev) }

// devDefaults is what tombolo dev sets before anything else is read.
var devDefaults = [][2]string{
	{"listener.tcp.default", "127.0.0.1:1883"},
	{"listener.ws.default", "127.0.0.1:8083"},
	{"listener.http.default", "127.0.0.1:8888"},
	{"allow_anonymous", "on"},
	{"log.console.level", "notice"},
}

func newDev() *cobra.Command {
	nodes, first, line := 1, 0, false
	c := &cobra.Command{
		Use:   "dev [--nodes N] [--OPTION VALUE ...]",
		Short: "Start a broker or a cluster to try things out, open to this machine only",
		Long: `Dev runs a broker with everything set for a first look: MQTT on 127.0.0.1:1883,
MQTT over WebSocket on 127.0.0.1:8083, metrics and the API on 127.0.0.1:8888, no
passwords, everything allowed, data in ./data. It listens on loopback addresses
only and refuses any other. Ctrl-C stops it; what was stored stays in ./data.

With --nodes 3 it runs three nodes, one process each, that form a cluster: node 2
has the next port of each kind, and so on; data in ./data/node1 and so on. The
commands split and heal rehearse a netsplit.

Any option can be set beside it as a flag: tombolo config doc lists them.`,
		Example: `  tombolo dev
  tombolo dev --nodes 3
  tombolo dev --listener.tcp.default 127.0.0.1:1884 --data_dir /tmp/broker`,
	}
	c.Flags().IntVar(&nodes, "nodes", 1, "how many nodes")
	c.Flags().IntVar(&first, "first-port", 0, "with --nodes: MQTT port of node 1; the ports of every kind lie within 50 of it (0: 1883, 8083, 8888, …)")
	c.Flags().BoolVar(&line, "one-line", false, "say one line only")
	_ = c.Flags().MarkHidden("one-line") // it was defined above
	p := &profiling{}
	p.flags(c.Flags())
	c.Flags().Lookup("profile-dir").Usage = "directory of the profile; with --nodes that of node 1 in node1 below it, and so on"
	c.AddCommand(newDevSplit(), newDevHeal())
	return withOptions(c, func(cmd *cobra.Command, src option.Sources) error {
		if nodes > 1 {
			if err := p.check(); err != nil {
				return err
			}
			return runDevNodes(cmd, nodes, devPortsFrom(first), src, *p)
		}
		stop, err := p.start()
		if err != nil {
			return err
		}
		defer stop() // after the drain
		for _, d := range devDefaults {
			src.Base = append(src.Base, option.Assignment{Key: d[0], Value: d[1], Origin: option.Origin{Kind: option.FromOption, Name: "tombolo dev"}})
		}
		greet := devBanner
		if line {
			greet = oneLine
		}
		return runNode(cmd, src, node.Config{LoopbackOnly: true, AllowAll: true}, greet)
	})
}

func devBanner(cmd *cobra.Command, set *option.Settings, n *node.Node) {
	fmt.Fprintf(cmd.OutOrStdout(), `tombolo %s is ready. No passwords, everything allowed, loopback only: for trying out.

`, version)
	for _, a := range n.Addresses() {
		fmt.Fprintln(cmd.OutOrStdout(), "  "+a)
	}
	fmt.Fprintf(cmd.OutOrStdout(), `  data      %[1]s
  admin     %[2]s

Try, in other terminals:
  %[3]s sub -t 'hello/#' -v
  %[3]s pub -t hello/you -m 'good morning'
  %[3]s session show

Ctrl-C stops.
`, set.String("data_dir"), node.SocketPath(set), invoked())
}

// invoked is how this program was called, for commands that are to be pasted:
// bin/tombolo after make run, tombolo where it is installed.
func invoked() string {
	if strings.ContainsAny(os.Args[0], " \t'\"$&") {
		return "tombolo" // a shell would take it apart
	}
	return os.Args[0]
}

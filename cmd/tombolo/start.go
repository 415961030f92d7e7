package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"tombolo/internal/node"
	"tombolo/internal/option"
	"tombolo/internal/systemd"
)

func init() { register(newStart) }

func newStart() *cobra.Command {
	c := &cobra.Command{
		Use:   "start [--config FILE] [--OPTION VALUE ...]",
		Short: "Start a broker node",
		Long: `Start runs one broker node in the foreground until SIGTERM or SIGINT, which
drains it: listeners close, MQTT 5 clients are told with DISCONNECT 0x8B, what is
queued is flushed, and the process ends, five seconds after shutdown_timeout at
the latest. SIGHUP reads password, ACL and certificate files again and reopens the
log files.

Options come from the configuration file, then the environment (TOMBOLO_ and the
key in upper case, __ for each dot), then flags; tombolo config doc explains each.
On success start prints one line; everything else goes to the log.`,
		Example: `  tombolo start --config /etc/tombolo/tombolo.conf
  tombolo start --listener.tcp.default 127.0.0.1:1883 --allow_anonymous on
  TOMBOLO_DATA_DIR=/var/lib/tombolo tombolo start --config tombolo.conf`,
	}
	p := &profiling{}
	p.flags(c.Flags())
	return withOptions(c, func(cmd *cobra.Command, src option.Sources) error {
		stop, err := p.start()
		if err != nil {
			return err
		}
		defer stop() // after the drain
		src.CheckFiles = true
		return runNode(cmd, src, node.Config{}, oneLine)
	})
}

// runNode loads the configuration and runs a node with it until a signal ends
// it.
func runNode(cmd *cobra.Command, src option.Sources, c node.Config, greet func(*cobra.Command, *option.Settings, *node.Node)) error {
	set, faults := option.Load(src)
	if len(faults) > 0 {
		for _, f := range faults {
			fmt.Fprintln(cmd.ErrOrStderr(), f)
		}
		return fail(exitUsage, fmt.Errorf("%d fault(s) in the configuration; nothing was started. Explain an option with: tombolo config doc KEY", len(faults)))
	}
	for _, w := range set.Warnings() {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // to the end: one that nobody takes would kill the process
	defer signal.Stop(hup)
	ready := false
	c.Settings, c.Version = set, buildVersion()
	c.Version.Node = set.String("nodename")
	manager := systemd.New(os.Getenv)
	c.OnStopping = func() { _ = manager.Stopping() } // the manager may be gone; the stop goes on
	c.OnReady = func(n *node.Node) {
		ready = true
		if err := manager.Ready("serving " + strings.Join(n.Addresses(), ", ")); err != nil {
			n.Logger().Warn("the service manager could not be told", "error", err)
		}
		go manager.RunWatchdog(ctx, n.Alive, func(err error) { n.Logger().Warn("no sign of life could be given", "error", err) })
		// A second signal while draining ends the process at once.
		context.AfterFunc(ctx, stop)
		greet(cmd, set, n)
		go reloadOnHangup(ctx, hup, n)
	}
	if err := node.New(c).Run(ctx); err != nil {
		if ready {
			return fail(exitFailure, err)
		}
		return fail(exitEnvironment, err)
	}
	return nil
}

// reloadOnHangup reads files again on each SIGHUP until ctx ends. One that came while
// the node was starting is taken first.
func reloadOnHangup(ctx context.Context, hup <-chan os.Signal, n *node.Node) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			if err := n.Reload(); err != nil {
				n.Logger().Error("reload failed; what was read before stays in force", "error", err)
			} else {
				n.Logger().Info("files were read again")
			}
		}
	}
}

// oneLine is all that start says: listeners, data, authentication, what next.
func oneLine(cmd *cobra.Command, set *option.Settings, n *node.Node) {
	waits := ""
	if w := n.Waits(); w != "" {
		waits = " | admits nobody: " + w
	}
	fmt.Fprintf(cmd.OutOrStdout(), "tombolo %s is ready: %s | data %s | %s%s | next: tombolo ping --socket %s\n",
		version, strings.Join(n.Addresses(), ", "), set.String("data_dir"), authentication(set), waits, node.SocketPath(set))
}

func authentication(set *option.Settings) string {
	if set.Bool("allow_anonymous") {
		return "authentication off (allow_anonymous)"
	}
	return "password file " + set.String("vmq_passwd.password_file")
}

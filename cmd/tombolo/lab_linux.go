package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tombolo/internal/lab"
)

func init() { register(newLab) }

// labSocket is where the laboratory that runs is told what to do.
const labSocket = "/run/tombolo-lab.sock"

// labCommandMax bounds how long one command may take: a start that waits.
const labCommandMax = time.Minute

func newLab() *cobra.Command {
	c := &cobra.Command{
		Use:   "lab up | COMMAND [ARGUMENT...]",
		Short: "Rehearse a netsplit: a cluster of hosts of their own on this machine",
		Long: `Lab up starts a cluster in which every node is a host of its own: a network
namespace whose packets all pass through this program, so that it can cut, delay
and lose them in each direction, links, gossip and all, and nobody is told. It
stays in the foreground; the other commands, from another terminal, tell it what
to do. It wants Linux, root and the ip command, and changes nothing that remains.

The nodes are at 10.77.0.1, 10.77.0.2 and so on, and this machine reaches them:
clients are never cut off. With --config the nodes take your configuration, but for
what belongs to one host: name, data directory, addresses, seeds and the listener
listener.tcp.default. So a split can be rehearsed with the flags, limits and
plugins of production, before production.

Commands:
` + indent(lab.Commands) + `
  down              stop the nodes and end the laboratory`,
		Example: `  sudo tombolo lab up --nodes 3 --config /etc/tombolo/tombolo.conf
  sudo tombolo lab split 1 2,3
  sudo tombolo cluster show --socket /tmp/tombolo-lab/node1/data/admin.sock
  sudo tombolo lab heal
  sudo tombolo lab down`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return labTell(c, args)
		},
	}
	c.AddCommand(newLabUp())
	return c
}

func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }

func newLabUp() *cobra.Command {
	cfg := lab.TrialConfig{Here: true, Nodes: 3}
	c := &cobra.Command{
		Use:   "up",
		Short: "Start the laboratory; Ctrl-C ends it",
		Long: `Up starts the nodes and waits for Ctrl-C or tombolo lab down. What the nodes
store stays in --dir, and so does the log of each.`,
		Example: `  sudo tombolo lab up
  sudo tombolo lab up --nodes 5 --config /etc/tombolo/tombolo.conf --dir /var/tmp/lab`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return labUp(c, cfg) },
	}
	c.Flags().IntVar(&cfg.Nodes, "nodes", cfg.Nodes, "how many nodes, 1 to 9")
	c.Flags().StringVarP(&cfg.Base, "config", "c", "", "configuration file that all nodes take")
	c.Flags().StringVar(&cfg.Dir, "dir", "/tmp/tombolo-lab", "directory for data and logs")
	return c
}

func labUp(c *cobra.Command, cfg lab.TrialConfig) error {
	if cfg.Nodes < 1 || cfg.Nodes > 9 {
		return fail(exitUsage, fmt.Errorf("--nodes %d: 1 to 9 are possible", cfg.Nodes))
	}
	var err error
	if cfg.Binary, err = os.Executable(); err != nil {
		return fail(exitEnvironment, err)
	}
	if cfg.Base != "" {
		if cfg.Base, err = filepath.Abs(cfg.Base); err != nil {
			return fail(exitEnvironment, err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := labListen()
	if err != nil {
		return fail(exitEnvironment, err)
	}
	defer l.Close()
	starting, cancel := context.WithTimeout(ctx, labCommandMax)
	defer cancel()
	t, err := lab.NewTrial(starting, cfg)
	if err != nil {
		return fail(exitEnvironment, err)
	}
	shown, _ := t.Do(ctx, []string{"show"})
	fmt.Fprintf(c.OutOrStdout(), "The laboratory is up; it takes commands at %s, data and logs are in %s.\n\n%s\n\nTry, in another terminal:\n"+
		"  tombolo lab split 1 2,3\n  tombolo cluster show --socket %s/node1/data/admin.sock\n  tombolo lab heal\n\nCtrl-C ends it.\n",
		labSocket, cfg.Dir, shown, cfg.Dir)
	labServe(ctx, stop, l, t)
	return t.Close()
}

// labListen opens the control socket; one that a killed laboratory left behind
// is replaced.
func labListen() (net.Listener, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces want root: run it with sudo")
	}
	if conn, err := net.Dial("unix", labSocket); err == nil {
		_ = conn.Close()
		return nil, errors.New("a laboratory is up already; end it with: tombolo lab down")
	}
	_ = os.Remove(labSocket) // there may be none
	l, err := net.Listen("unix", labSocket)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(labSocket, 0o600)
}

// labAnswer is what the laboratory says to one command.
type labAnswer struct {
	Text  string `json:"text"`
	Error string `json:"error,omitempty"`
	Usage bool   `json:"usage,omitempty"` // the command was not understood
}

// labServe does what it is told, one command after the other, until ctx ends.
func labServe(ctx context.Context, stop func(), l net.Listener, t *lab.Trial) {
	context.AfterFunc(ctx, func() { _ = l.Close() })
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		var words []string
		var a labAnswer
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		line, err := bufio.NewReader(conn).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &words)
		}
		down := len(words) == 1 && words[0] == "down"
		switch {
		case err != nil:
			a.Error = err.Error()
		case down:
			a.Text = "the laboratory goes down"
		default:
			within, cancel := context.WithTimeout(ctx, labCommandMax)
			if a.Text, err = t.Do(within, words); err != nil {
				a.Error, a.Usage = err.Error(), errors.Is(err, lab.ErrCommand)
			}
			cancel()
		}
		_ = json.NewEncoder(conn).Encode(a) // who has gone needs no answer
		_ = conn.Close()
		if down {
			stop()
		}
	}
}

// labTell gives the laboratory a command and prints its answer.
func labTell(c *cobra.Command, words []string) error {
	conn, err := net.Dial("unix", labSocket)
	if errors.Is(err, os.ErrPermission) {
		return fail(exitEnvironment, errors.New("the laboratory belongs to root: run it with sudo"))
	}
	if err != nil {
		return fail(exitUnreachable, errors.New("no laboratory is up; start one with: sudo tombolo lab up"))
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(labCommandMax + 5*time.Second))
	var a labAnswer
	if err := json.NewEncoder(conn).Encode(words); err != nil {
		return fail(exitUnreachable, err)
	}
	if err := json.NewDecoder(conn).Decode(&a); err != nil {
		return fail(exitUnreachable, fmt.Errorf("the laboratory does not answer: %w", err))
	}
	if a.Text != "" {
		fmt.Fprintln(c.OutOrStdout(), a.Text)
	}
	switch {
	case a.Usage:
		return fail(exitUsage, errors.New(a.Error))
	case a.Error != "":
		return fail(exitFailure, errors.New(a.Error))
	}
	return nil
}

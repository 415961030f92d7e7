package main

import "github.com/spf13/cobra"

// commands is filled by the init function beside each subcommand, so that a
// subcommand is one file; main reads it once.
var commands []func() *cobra.Command

func register(f func() *cobra.Command) { commands = append(commands, f) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tombolo",
		Short: "An MQTT broker cluster that keeps its promises when the network splits",
		Long: `Tombolo is an MQTT 3.1, 3.1.1 and 5 broker.

First steps:
  tombolo dev                      start a broker on this machine, open to loopback only
  tombolo sub -t 'hello/#'         in a second terminal: print what is published
  tombolo pub -t hello/you -m hi   in a third one: publish

For a server: tombolo config doc > tombolo.conf, then tombolo start --config tombolo.conf`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	for _, f := range commands {
		root.AddCommand(f())
	}
	return root
}

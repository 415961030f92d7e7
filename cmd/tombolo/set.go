package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

func init() { register(newSet) }

// setting is one KEY=VALUE of the command line. A value.
type setting struct{ key, value string }

func newSet() *cobra.Command {
	return adminCommand(&cobra.Command{
		Use:   "set OPTION=VALUE...",
		Short: "Change settings of the running broker",
		Long: `Set changes settings while the broker runs. The change lasts until the next
start; write it into the configuration file as well to keep it. Before anything
is changed, all names are looked up: a wrong one changes nothing.`,
		Example: `  tombolo set allow_publish_during_netsplit=majority
  tombolo set max_message_rate=100 max_inflight_messages=50`,
		Args: cobra.MinimumNArgs(1),
	}, func(a *asker, args []string) error {
		settings, err := parseSettings(args)
		if err != nil {
			return err
		}
		for _, s := range settings {
			var o admin.Option
			if err := a.do("GET", optionPath(s.key), nil, nil, &o); err != nil {
				return err
			}
			if !o.Reloadable {
				return fail(exitFailure, fmt.Errorf("%s cannot change while the broker runs; write it into the configuration file and restart", s.key))
			}
		}
		return applySettings(a, settings)
	})
}

func parseSettings(args []string) ([]setting, error) {
	out := make([]setting, len(args))
	for i, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, fail(exitUsage, fmt.Errorf("%q is not OPTION=VALUE; an example: tombolo set allow_anonymous=off", arg))
		}
		out[i] = setting{strings.TrimSpace(key), strings.TrimSpace(value)}
	}
	return out, nil
}

func applySettings(a *asker, settings []setting) error {
	done := admin.OptionList{Options: []admin.Option{}}
	for _, s := range settings {
		var o admin.Option
		if err := a.do("PUT", optionPath(s.key), nil, admin.OptionValue{Value: &s.value}, &o); err != nil {
			return err
		}
		done.Options = append(done.Options, o)
		if !a.flags.json {
			fmt.Fprintf(a.out, "%s set to %s\n", o.Key, printable(o.Value))
		}
	}
	if a.flags.json {
		return a.printJSON(done)
	}
	return nil
}

package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

func init() { register(newSet) }

// setting is one KEY=VALUE of the command line. A value.
type setting struct{ key, value string }

func newSet() *cobra.Command {
	on := &onFlags{}
	c := adminCommand(&cobra.Command{
		Use:   "set OPTION=VALUE...",
		Short: "Change settings of the running broker",
		Long: `Set changes settings while the broker runs. The change lasts until the next
start; write it into the configuration file as well to keep it. Before anything
is changed, all names are looked up: a wrong one changes nothing. In a cluster it
changes the node that is asked, another one with --node, or every one with --all.`,
		Example: `  tombolo set allow_publish_during_netsplit=majority
  tombolo set allow_publish_during_netsplit=majority --all
  tombolo set max_message_rate=100 max_inflight_messages=50 --node node2`,
		Args: cobra.MinimumNArgs(1),
	}, func(a *asker, args []string) error {
		settings, err := parseSettings(args)
		if err != nil {
			return err
		}
		if on.all {
			return setEverywhere(a, settings)
		}
		for _, s := range settings {
			var o admin.Option
			if err := a.do("GET", optionPath(s.key), on.query(), nil, &o); err != nil {
				return err
			}
			if !o.Reloadable {
				return fail(exitFailure, fmt.Errorf("%s cannot change while the broker runs; write it into the configuration file and restart", s.key))
			}
		}
		return applySettings(a, settings, on.query())
	})
	on.bind(c)
	return c
}

// setEverywhere changes settings on every member. It says of each whether it was
// done: a member that cannot be reached keeps what it has.
func setEverywhere(a *asker, settings []setting) error {
	failed := 0
	for _, s := range settings {
		var list admin.NodeAnswers
		if err := a.do("PUT", optionPath(s.key), url.Values{"on": {"all"}}, admin.OptionValue{Value: &s.value}, &list); err != nil {
			return err
		}
		if a.flags.json {
			if err := a.printJSON(list); err != nil {
				return err
			}
		}
		for _, n := range list.Nodes {
			if err := answerError(n); err != nil {
				failed++
				fmt.Fprintf(a.errs, "%s: %v\n", n.Node, err)
			} else if !a.flags.json {
				fmt.Fprintf(a.out, "%s: %s set to %s\n", n.Node, s.key, printable(s.value))
			}
		}
	}
	if failed > 0 {
		return fail(exitFailure, fmt.Errorf("%d change(s) were not made", failed))
	}
	return nil
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

func applySettings(a *asker, settings []setting, q url.Values) error {
	done := admin.OptionList{Options: []admin.Option{}}
	for _, s := range settings {
		var o admin.Option
		if err := a.do("PUT", optionPath(s.key), q, admin.OptionValue{Value: &s.value}, &o); err != nil {
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

package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

func init() { register(newShow) }

func newShow() *cobra.Command {
	var describe, changed, all bool
	on := &onFlags{}
	c := adminCommand(&cobra.Command{
		Use:   "show [OPTION...]",
		Short: "Show the settings of the running broker",
		Long: `Show prints settings as the running broker has them, with where each was set.
Secrets are masked. Without names it prints all that are not hidden.`,
		Example: `  tombolo show
  tombolo show --changed
  tombolo show allow_anonymous max_inflight_messages
  tombolo show allow_publish_during_netsplit --node node2
  tombolo show --describe topic_max_depth`,
	}, func(a *asker, keys []string) error {
		list, err := fetchOptions(a, keys, all, on.query())
		if err != nil {
			return err
		}
		if changed {
			list = onlyChanged(list)
		}
		switch {
		case a.flags.json:
			return a.printJSON(admin.OptionList{Options: list})
		case describe:
			return describeOptions(a, list)
		}
		t := newTable("OPTION", "VALUE", "SET BY")
		for _, o := range list {
			t.add(o.Key, o.Value, o.Origin)
		}
		return t.print(a.out)
	})
	c.Flags().StringVar(&on.node, "node", "", "ask this member of the cluster instead")
	c.Flags().BoolVar(&describe, "describe", false, "print what each option does as well")
	c.Flags().BoolVar(&changed, "changed", false, "only options that differ from their default")
	c.Flags().BoolVar(&all, "all", false, "hidden options as well")
	return c
}

func fetchOptions(a *asker, keys []string, hidden bool, q url.Values) ([]admin.Option, error) {
	if len(keys) == 0 {
		var list admin.OptionList
		if hidden {
			q.Set("hidden", "true")
		}
		err := a.do("GET", "/api/v1/options", q, nil, &list)
		return list.Options, err
	}
	list := make([]admin.Option, len(keys))
	for i, key := range keys {
		if err := a.do("GET", optionPath(key), q, nil, &list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// optionPath is where an option is read and changed. A key that is a path of
// its own ("", ".", "..") would lead elsewhere and is no option.
func optionPath(key string) string {
	escaped := url.PathEscape(key)
	if strings.Trim(escaped, ".") == "" {
		escaped = "%2F" + escaped
	}
	return "/api/v1/options/" + escaped
}

func onlyChanged(list []admin.Option) []admin.Option {
	out := []admin.Option{}
	for _, o := range list {
		if o.Value != o.Default {
			out = append(out, o)
		}
	}
	return out
}

func describeOptions(a *asker, list []admin.Option) error {
	for i, o := range list {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		change := "at the next start"
		if o.Reloadable {
			change = "at run time: tombolo set " + o.Key + "=…"
		}
		if _, err := fmt.Fprintf(a.out, "%s = %s\n  set by: %s; default: %s\n  changes %s\n", o.Key, printable(o.Value), o.Origin, printable(o.Default), change); err != nil {
			return err
		}
		for _, line := range strings.Split(strings.TrimSpace(o.Doc), "\n") {
			if line != "" {
				fmt.Fprintln(a.out, "  "+line)
			}
		}
	}
	return nil
}

package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

func init() { register(newListener) }

func newListener() *cobra.Command {
	return group("listener", "Look at listeners", newListenerShow())
}

func newListenerShow() *cobra.Command {
	return adminCommand(&cobra.Command{
		Use:   "show",
		Short: "List listeners with their state and connections",
		Example: `  tombolo listener show
  tombolo listener show --json`,
		Args: cobra.NoArgs,
	}, func(a *asker, _ []string) error {
		var list admin.ListenerList
		if err := a.do("GET", "/api/v1/listeners", nil, nil, &list); err != nil {
			return err
		}
		if a.flags.json {
			return a.printJSON(list)
		}
		t := newTable("TYPE", "NAME", "STATUS", "ADDRESS", "PORT", "MOUNTPOINT", "MAX", "ACTIVE", "ALL")
		for _, l := range list.Listeners {
			limit := "-"
			if l.MaxConnections > 0 {
				limit = strconv.Itoa(l.MaxConnections)
			}
			t.add(l.Type, l.Name, l.Status, l.Address, strconv.Itoa(l.Port), l.Mountpoint, limit,
				strconv.Itoa(l.ActiveConnections), strconv.FormatUint(l.AllConnections, 10))
		}
		return t.print(a.out)
	})
}

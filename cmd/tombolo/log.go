package main

import (
	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

func init() { register(newLog) }

// commonLevel is the common level's name on the command line; in the API it
// is the empty one.
const commonLevel = "all"

func newLog() *cobra.Command {
	return group("log", "Look at and change log levels", newLogLevel())
}

func newLogLevel() *cobra.Command {
	return adminCommand(&cobra.Command{
		Use:   "level [SUBSYSTEM=LEVEL...]",
		Short: "Show log levels, or change them until the next start",
		Long: `Level shows the log level of each subsystem. With arguments it changes levels
until the next start: SUBSYSTEM=LEVEL for one, all=LEVEL for those that have none
of their own, SUBSYSTEM= to follow the common level again.

Levels: debug, info, notice, warning, error, critical, alert, emergency.`,
		Example: `  tombolo log level
  tombolo log level mqtt=debug
  tombolo log level all=warning mqtt=`,
	}, func(a *asker, args []string) error {
		var list admin.LevelList
		method, body := "GET", any(nil)
		if len(args) > 0 {
			settings, err := parseSettings(args)
			if err != nil {
				return err
			}
			change := admin.LevelList{}
			for _, s := range settings {
				name := s.key
				if name == commonLevel {
					name = ""
				}
				change.Levels = append(change.Levels, admin.Level{Subsystem: name, Level: s.value})
			}
			method, body = "PUT", change
		}
		if err := a.do(method, "/api/v1/log/levels", nil, body, &list); err != nil {
			return err
		}
		if a.flags.json {
			return a.printJSON(list)
		}
		return printLevels(a, list.Levels)
	})
}

func printLevels(a *asker, list []admin.Level) error {
	t := newTable("SUBSYSTEM", "LEVEL", "SET")
	for _, l := range list {
		name, set := l.Subsystem, "for itself"
		if name == "" {
			name, set = commonLevel, "for all"
		} else if !l.Own {
			set = "by all"
		}
		t.add(name, l.Level, set)
	}
	return t.print(a.out)
}

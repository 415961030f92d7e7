package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

func init() { register(newPing) }

func newPing() *cobra.Command {
	return adminCommand(&cobra.Command{
		Use:   "ping",
		Short: "Ask whether the broker is alive",
		Long: `Ping asks the broker over its admin socket and prints pong when it answers.
Whether it serves clients is another question: see /health and /ready.`,
		Example: `  tombolo ping
  tombolo ping --socket /var/lib/tombolo/admin.sock`,
		Args: cobra.NoArgs,
	}, func(a *asker, _ []string) error {
		var v admin.Version
		if err := a.do("GET", "/api/v1/version", nil, nil, &v); err != nil {
			return err
		}
		if a.flags.json {
			return a.printJSON(struct {
				Answer string `json:"answer"`
				admin.Version
			}{"pong", v})
		}
		_, err := fmt.Fprintln(a.out, "pong")
		return err
	})
}

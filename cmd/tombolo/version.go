package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

func init() { register(newVersion) }

// version is set by the release build: -ldflags "-X main.version=1.2.3".
var version = "development"

// buildVersion tells what this program was built from, as far as the
// toolchain wrote it down.
func buildVersion() admin.Version {
	v := admin.Version{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.BuiltFrom = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func newVersion() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Long: `Version prints what this program was built from. It asks no broker: what runs
there is told by tombolo ping --json.`,
		Example: `  tombolo version
  tombolo version --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v := buildVersion()
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(v)
			}
			line := "tombolo " + v.Version
			if v.Revision != "" {
				line += " (" + v.Revision
				if v.Modified {
					line += ", with local changes"
				}
				line += ")"
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s, %s, %s\n", line, v.Go, v.Platform)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the answer as JSON")
	return c
}

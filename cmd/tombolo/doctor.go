package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"tombolo/internal/doctor"
	"tombolo/internal/option"
)

func init() { register(newDoctor) }

func newDoctor() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine against the configuration",
		Long: `Doctor looks at what a broker with this configuration needs of the machine: open
files, the data directory and its disk, the clock, the ports, memory. Each thing
that is not right comes with its remedy. It takes the options of tombolo start.

It exits with 1 if there is a fault; warnings leave it at 0.`,
		Example: `  tombolo doctor --config /etc/tombolo/tombolo.conf
  sudo -u tombolo tombolo doctor --data_dir /var/lib/tombolo
  tombolo doctor --json`,
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	return withOptions(c, func(c *cobra.Command, src option.Sources) error {
		s, faults := option.Load(src)
		list := configFindings(faults)
		parent := c.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, stop := signal.NotifyContext(parent, os.Interrupt)
		defer stop()
		list = append(list, doctor.Run(ctx, doctorConfig(s))...)
		if err := printFindings(c.OutOrStdout(), list, asJSON); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return fail(exitInterrupted, nil)
		}
		if !doctor.Healthy(list) {
			return fail(exitFailure, nil)
		}
		return nil
	})
}

// configFindings shows a wrong configuration as what it is for the operator:
// one more thing to mend.
func configFindings(faults []option.Fault) []doctor.Finding {
	out := make([]doctor.Finding, len(faults))
	for i, f := range faults {
		out[i] = doctor.Finding{Check: "configuration", State: doctor.Fault, Found: f.String(), Remedy: "correct it; tombolo config check tells when it is right"}
	}
	return out
}

// doctorConfig takes from the settings what the checks need.
func doctorConfig(s *option.Settings) doctor.Config {
	c := doctor.Config{
		DataDir:      s.Text("data_dir"),
		StoreBytes:   s.Bytes("leveldb.maximum_memory"),
		StorePercent: s.Int("leveldb.maximum_memory.percent"),
	}
	for _, l := range s.Listeners() {
		c.Listeners = append(c.Listeners, doctor.Listener{Name: l.Kind + "." + l.Name, Network: l.Address.Network, Address: l.Address.String()})
		switch {
		case l.MaxConnections < 0 || c.ConnectionsMax < 0:
			c.ConnectionsMax = -1
		default:
			c.ConnectionsMax += l.MaxConnections
		}
	}
	return c
}

func printFindings(w io.Writer, list []doctor.Finding, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(map[string]any{"findings": list})
	}
	width := 0
	for _, f := range list {
		width = max(width, len(f.Check))
	}
	for _, f := range list {
		_, err := fmt.Fprintf(w, "%-7s  %-*s  %s\n", f.State, width, f.Check, f.Found)
		if err == nil && f.Remedy != "" {
			_, err = fmt.Fprintf(w, "%s→ %s\n", strings.Repeat(" ", width+11), f.Remedy)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

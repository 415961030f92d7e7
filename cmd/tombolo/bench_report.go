package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tombolo/bench"
	"tombolo/bench/compare"
	"tombolo/bench/report"
)

func newBenchReport() *cobra.Command {
	out := &benchOutput{}
	cmd := &cobra.Command{
		Use:   "report FILE...",
		Short: "Hold kept results beside each other",
		Long: `Read what tombolo bench --json printed, one or more files of it, and show the
results side by side; with --html with plots. What tombolo bench compare --json
printed is shown as that command showed it, and stands alone.`,
		Example: `  tombolo bench p2p --broker tombolo --json > a.json
  tombolo bench p2p --broker mosquitto --json > b.json
  tombolo bench report a.json b.json --html out.html`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			results, comparison, err := readResults(files)
			if err != nil {
				return fail(exitUsage, err)
			}
			if comparison != nil {
				return (&compareFlags{out: *out}).write(cmd.OutOrStdout(), comparison)
			}
			return writeReport(cmd.OutOrStdout(), out, results)
		},
	}
	cmd.Flags().StringVar(&out.html, "html", "", "write a report with plots to this file; it needs nothing beside itself")
	return cmd
}

// readResults reads results from several files, or a comparison from one.
func readResults(files []string) (results []report.Labelled, c *compare.Comparison, err error) {
	for _, file := range files {
		found, comparison, err := readFile(file)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		case comparison != nil && len(files) > 1:
			return nil, nil, fmt.Errorf("%s holds a comparison: give it alone", file)
		}
		results, c = append(results, found...), comparison
	}
	return results, c, nil
}

func readFile(file string) (results []report.Labelled, c *compare.Comparison, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	name := strings.TrimSuffix(filepath.Base(file), ".json")
	for d := json.NewDecoder(f); ; {
		var raw json.RawMessage
		if err := d.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, err
		}
		var both struct {
			bench.Result
			Rows json.RawMessage `json:"rows"`
		}
		if err := json.Unmarshal(raw, &both); err != nil {
			return nil, nil, err
		}
		switch {
		case both.Rows != nil:
			c = &compare.Comparison{}
			err := json.Unmarshal(raw, c)
			for i := range c.Rows {
				if err == nil && len(c.Rows[i].Cells) != len(c.Brokers) {
					err = fmt.Errorf("scenario %q has %d columns for %d brokers", c.Rows[i].Name, len(c.Rows[i].Cells), len(c.Brokers))
				}
			}
			return nil, c, err
		case both.Settings.Scenario == "":
			return nil, nil, errors.New("it holds no result of tombolo bench --json")
		}
		results = append(results, report.Labelled{Label: name, Result: &both.Result})
	}
	if len(results) == 0 {
		return nil, nil, errors.New("it is empty")
	}
	for i := range results {
		if len(results) > 1 {
			results[i].Label = fmt.Sprintf("%s %d", name, i+1)
		}
	}
	return results, nil, nil
}

func writeReport(w io.Writer, out *benchOutput, results []report.Labelled) error {
	if err := report.WriteResults(w, results); err != nil {
		return fail(exitEnvironment, err)
	}
	return out.page(func(w io.Writer) error { return report.WriteHTML(w, results) })
}

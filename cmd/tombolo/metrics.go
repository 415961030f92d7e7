package main

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
)

func init() { register(newMetrics) }

func newMetrics() *cobra.Command {
	return group("metrics", "Look at what the broker counts", newMetricsShow())
}

func newMetricsShow() *cobra.Command {
	var describe, verne bool
	c := adminCommand(&cobra.Command{
		Use:   "show [PART-OF-A-NAME]",
		Short: "Show metrics with their values",
		Long: `Show prints the broker's metrics, or those whose name contains the argument.
Prometheus reads the same figures at /metrics, under the prefix tombolo_.`,
		Example: `  tombolo metrics show
  tombolo metrics show queue_ --describe
  tombolo metrics show mqtt_publish --json`,
		Args: cobra.MaximumNArgs(1),
	}, func(a *asker, args []string) error {
		q := url.Values{}
		if len(args) == 1 {
			q.Set("filter", args[0])
		}
		var list admin.MetricList
		if err := a.do("GET", "/api/v1/metrics", q, nil, &list); err != nil {
			return err
		}
		if len(list.Metrics) == 0 {
			return fail(exitFailure, fmt.Errorf("no metric has %q in its name; tombolo metrics show lists all", q.Get("filter")))
		}
		if a.flags.json {
			return a.printJSON(list)
		}
		return printMetrics(a, list.Metrics, describe, verne)
	})
	c.Flags().BoolVar(&describe, "describe", false, "print what each metric means as well")
	c.Flags().BoolVar(&verne, "vernemq-names", false, "print VerneMQ's name where a metric means the same")
	return c
}

func printMetrics(a *asker, list []admin.Metric, describe, verne bool) error {
	headings := []string{"METRIC", "VALUE"}
	if describe {
		headings = append(headings, "KIND", "MEANING")
	}
	t := newTable(headings...)
	for _, m := range list {
		name := m.Name
		if verne && m.Verne != "" {
			name = m.Verne
		}
		add := func(name, labels, value string) {
			cells := []string{name + labels, value}
			if describe {
				cells = append(cells, m.Kind, m.Help)
			}
			t.add(cells...)
		}
		labels := ""
		if m.Label != "" {
			labels = fmt.Sprintf("{%s=%q}", m.Label, m.LabelValue)
		}
		value := "-"
		if m.Value != nil {
			value = figure(*m.Value)
		}
		if m.Kind != "histogram" {
			add(name, labels, value)
			continue
		}
		for _, b := range m.Buckets {
			add(name+"_bucket", fmt.Sprintf("{le=%q}", figure(b.UpperBound)), fmt.Sprint(b.Count))
		}
		add(name+"_bucket", `{le="+Inf"}`, fmt.Sprint(m.Count))
		add(name+"_count", "", fmt.Sprint(m.Count))
		add(name+"_sum", "", value)
	}
	return t.print(a.out)
}

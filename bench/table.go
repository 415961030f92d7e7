package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// WriteTable writes the results of repeated runs side by side, with their
// medians if there are several, and their warnings below.
func WriteTable(w io.Writer, results []*Result) error {
	if len(results) == 0 {
		return nil
	}
	s := &results[0].Settings
	fmt.Fprintf(w, "%s, %s, MQTT %s, QoS %d", s.Scenario, strings.Join(s.Targets, " "), s.Version, s.QoS)
	switch {
	case s.Connections > 0:
		fmt.Fprintf(w, ", %d connections\n", s.Connections)
	case s.Filters > 0:
		fmt.Fprintf(w, ", %d filters, %d %% with wildcards, %d → %d clients\n", s.Filters, s.Wildcards, s.Publishers, s.Subscribers)
	case s.Messages > 0:
		fmt.Fprintf(w, ", %d B, %d messages, %d → %d clients\n", s.PayloadSize, s.Messages, s.Publishers, s.Subscribers)
	case s.Rate > 0:
		fmt.Fprintf(w, ", %d B, %d → %d clients, %g msg/s\n", s.PayloadSize, s.Publishers, s.Subscribers, s.Rate)
	default:
		fmt.Fprintf(w, ", %d B, %d → %d clients, window %d\n", s.PayloadSize, s.Publishers, s.Subscribers, s.Window)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(results) > 1 {
		for i := range results {
			fmt.Fprintf(t, "\trun %d", i+1)
		}
		fmt.Fprint(t, "\tmedian\t\n")
	}
	for i := range rows {
		rows[i].write(t, results)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i, r := range results {
		for _, warning := range r.Warnings {
			fmt.Fprintf(w, "warning: run %d: %s\n", i+1, warning)
		}
	}
	return nil
}

func (l *Row) write(w io.Writer, results []*Result) {
	var values []float64
	for _, r := range results {
		if v, ok := l.Value(r); ok {
			values = append(values, v)
		}
	}
	if len(values) != len(results) {
		return
	}
	fmt.Fprint(w, l.Name)
	for _, v := range values {
		fmt.Fprintf(w, "\t"+l.Form, v)
	}
	if len(values) > 1 {
		fmt.Fprintf(w, "\t"+l.Form, median(values))
	}
	fmt.Fprint(w, "\t\n")
}

// median sorts values.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

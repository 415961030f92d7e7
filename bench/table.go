package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// row is one line of the summary: a figure of each run.
type row struct {
	name  string
	value func(*Result) (float64, bool) // false: not known
	form  string
}

func known(f func(*Result) float64) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) { return f(r), true }
}

func count(f func(*Delivery) uint64) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) { return float64(f(&r.Delivery)), r.Idle == nil }
}

func micros(f func(*Distribution) float64) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) { return f(&r.Latency), r.Latency.Count > 0 }
}

func ofBroker(f func(*Broker) float64) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) {
		if r.Broker == nil {
			return 0, false
		}
		return f(r.Broker), true
	}
}

func ofIdle(f func(*IdleFigures) float64) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) {
		if r.Idle == nil {
			return 0, false
		}
		return f(r.Idle), true
	}
}

var rows = []row{
	{"published /s", func(r *Result) (float64, bool) { return r.Rates.Published, r.Idle == nil }, "%.0f"},
	{"delivered /s", func(r *Result) (float64, bool) { return r.Rates.Delivered, r.Idle == nil }, "%.0f"},
	{"latency p50 µs", micros(func(d *Distribution) float64 { return d.P50 }), "%.0f"},
	{"latency p90 µs", micros(func(d *Distribution) float64 { return d.P90 }), "%.0f"},
	{"latency p99 µs", micros(func(d *Distribution) float64 { return d.P99 }), "%.0f"},
	{"latency p99.9 µs", micros(func(d *Distribution) float64 { return d.P999 }), "%.0f"},
	{"latency max µs", micros(func(d *Distribution) float64 { return d.Max }), "%.0f"},
	{"broker CPU %", ofBroker(func(b *Broker) float64 { return b.CPUPercent }), "%.1f"},
	{"broker deliveries /CPU s", ofBroker(func(b *Broker) float64 { return b.DeliveriesPerCPU }), "%.0f"},
	{"broker CPU µs /delivery", ofBroker(func(b *Broker) float64 { return b.MicrosPerDelivery }), "%.2f"},
	{"broker resident MiB", ofBroker(func(b *Broker) float64 { return float64(b.ResidentBytes) / (1 << 20) }), "%.1f"},
	{"sent", count(func(d *Delivery) uint64 { return d.Sent }), "%.0f"},
	{"received", count(func(d *Delivery) uint64 { return d.Received }), "%.0f"},
	{"lost", count(func(d *Delivery) uint64 { return d.Lost }), "%.0f"},
	{"duplicated", count(func(d *Delivery) uint64 { return d.Duplicated }), "%.0f"},
	{"reordered", count(func(d *Delivery) uint64 { return d.Reordered }), "%.0f"},
	{"connections", ofIdle(func(f *IdleFigures) float64 { return float64(f.Connections) }), "%.0f"},
	{"connects /s", ofIdle(func(f *IdleFigures) float64 { return f.ConnectsPerSecond }), "%.0f"},
	{"connects /broker CPU s", ofIdle(func(f *IdleFigures) float64 { return f.ConnectsPerCPU }), "%.0f"},
	{"bytes /connection", ofIdle(func(f *IdleFigures) float64 { return f.BytesEach }), "%.0f"},
	{"broker idle CPU %", ofIdle(func(f *IdleFigures) float64 { return f.CPUPercent }), "%.1f"},
	{"generator busy", known(func(r *Result) float64 { return r.Generator.Busy }), "%.2f"},
	{"generator lag p99 µs", func(r *Result) (float64, bool) {
		if r.Generator.Lag == nil {
			return 0, false
		}
		return r.Generator.Lag.P99, true
	}, "%.0f"},
}

// WriteTable writes the results of repeated runs side by side, with their
// medians if there are several, and their warnings below.
func WriteTable(w io.Writer, results []*Result) error {
	if len(results) == 0 {
		return nil
	}
	s := &results[0].Settings
	fmt.Fprintf(w, "%s, %s, MQTT %s, QoS %d", s.Scenario, strings.Join(s.Targets, " "), s.Version, s.QoS)
	switch {
	case s.Scenario == Idle:
		fmt.Fprintf(w, ", %d connections\n", s.Connections)
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

func (l *row) write(w io.Writer, results []*Result) {
	var values []float64
	for _, r := range results {
		if v, ok := l.value(r); ok {
			values = append(values, v)
		}
	}
	if len(values) != len(results) {
		return
	}
	fmt.Fprint(w, l.name)
	for _, v := range values {
		fmt.Fprintf(w, "\t"+l.form, v)
	}
	if len(values) > 1 {
		fmt.Fprintf(w, "\t"+l.form, median(values))
	}
	fmt.Fprint(w, "\t\n")
}

// median sorts values.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

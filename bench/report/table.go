package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"tombolo/bench"
	"tombolo/bench/compare"
)

// WriteComparison writes a table for each scenario: the median of each broker,
// the least and the most if there are several runs, and its ratio to the first
// broker that the scenario was run on.
func WriteComparison(w io.Writer, c *compare.Comparison) error {
	fmt.Fprintf(w, "%s, %d CPUs, %s, load %s; %d runs each\n", c.Machine.System, c.Machine.CPUs, c.Machine.Go, c.Machine.Load, c.Repeat)
	for _, b := range c.Brokers {
		fmt.Fprintf(w, "%s: %s; %s\n", b.Name, b.Version, b.Settings)
	}
	for i := range c.Rows {
		row := &c.Rows[i]
		fmt.Fprintf(w, "\n%s\n", row.Name)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		for _, k := range row.Present() {
			fmt.Fprintf(t, "\t%s\t", c.Brokers[k].Name)
		}
		fmt.Fprintln(t, "\t")
		for _, figure := range bench.Rows() {
			writeFigure(t, row, &figure)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		for _, text := range append(pairs(c, row), remarks(c, row)...) {
			fmt.Fprintln(w, text)
		}
	}
	return nil
}

func writeFigure(w io.Writer, row *compare.Row, figure *bench.Row) {
	spreads, any := spreadsOf(row, figure)
	if !any {
		return
	}
	fmt.Fprint(w, figure.Name)
	for i, s := range spreads {
		text, times := "–", ""
		if s != nil {
			text, times = span(s, figure.Form), ratio(spreads, i, figure)
		}
		fmt.Fprintf(w, "\t%s\t%s", text, times)
	}
	fmt.Fprintln(w, "\t")
}

// ratio is how figure i stands to the first; "" where that says nothing.
func ratio(spreads []*compare.Spread, i int, figure *bench.Row) string {
	if i == 0 || spreads[0] == nil || spreads[0].Median == 0 || figure.Better == bench.Neither {
		return ""
	}
	return fmt.Sprintf("× %.2f", spreads[i].Median/spreads[0].Median)
}

// WriteResults writes results side by side, one column each.
func WriteResults(w io.Writer, results []Labelled) error {
	for _, l := range results {
		fmt.Fprintf(w, "%s: %s\n", l.Label, describe(&l.Result.Settings))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, l := range results {
		fmt.Fprintf(t, "\t%s", l.Label)
	}
	fmt.Fprintln(t, "\t")
	for _, figure := range bench.Rows() {
		if cells, any := cells(results, &figure); any {
			fmt.Fprintln(t, figure.Name+"\t"+strings.Join(cells, "\t")+"\t")
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, l := range results {
		for _, warning := range l.Result.Warnings {
			fmt.Fprintf(w, "%s: warning: %s\n", l.Label, warning)
		}
	}
	return nil
}

// cells are a figure of each result; any is false if none knows it.
func cells(results []Labelled, figure *bench.Row) (cells []string, any bool) {
	for _, l := range results {
		v, ok := figure.Value(l.Result)
		any = any || ok
		if ok {
			cells = append(cells, fmt.Sprintf(figure.Form, v))
		} else {
			cells = append(cells, "–")
		}
	}
	return cells, any
}

// spreadsOf is a figure of each broker that the row was run on, nil where it is
// not known.
func spreadsOf(row *compare.Row, figure *bench.Row) (spreads []*compare.Spread, any bool) {
	for _, i := range row.Present() {
		if s, ok := row.Cells[i].Spread(figure); ok {
			spreads, any = append(spreads, &s), true
		} else {
			spreads = append(spreads, nil)
		}
	}
	return spreads, any
}

// span is a median with its least and most.
func span(s *compare.Spread, form string) string {
	if s.Least == s.Most {
		return fmt.Sprintf(form, s.Median)
	}
	return fmt.Sprintf(form+" ("+form+"–"+form+")", s.Median, s.Least, s.Most)
}

// pairedFigures are those whose ratio is worth taking run by run: the processor
// time of the broker, which hides less than the rest in what the machine does beside.
var pairedFigures = []string{"broker CPU µs /delivery", "connects /broker CPU s"}

// pairs are the ratios to the first broker, run by run, where there are runs enough.
func pairs(c *compare.Comparison, row *compare.Row) (texts []string) {
	for _, figure := range bench.Rows() {
		if !slices.Contains(pairedFigures, figure.Name) {
			continue
		}
		for i := range row.Cells {
			if p, ok := row.Paired(&figure, i); ok {
				texts = append(texts, fmt.Sprintf("%s / %s, %s: median of %d pairs of runs %.2f, 95 %% certain between %.2f and %.2f",
					c.Brokers[i].Name, c.Brokers[0].Name, figure.Name, p.Pairs, p.Median, p.Low, p.High))
			}
		}
	}
	return texts
}

// remarks are the failures and warnings of a scenario, each once for a broker, and
// how often it was run if that is more than the rest.
func remarks(c *compare.Comparison, row *compare.Row) (texts []string) {
	runs := 0
	for i := range row.Cells {
		runs = max(runs, len(row.Cells[i].Results)+len(row.Cells[i].Failures))
	}
	if runs > c.Repeat {
		texts = append(texts, fmt.Sprintf("%d runs each", runs))
	}
	for i := range row.Cells {
		times, order := map[string]int{}, []string{}
		note := func(text string) {
			if times[text]++; times[text] == 1 {
				order = append(order, text)
			}
		}
		for _, f := range row.Cells[i].Failures {
			note("failed: " + f)
		}
		for _, r := range row.Cells[i].Results {
			for _, warning := range r.Warnings {
				note("warning: " + warning)
			}
		}
		for _, text := range order {
			if times[text] > 1 {
				text = fmt.Sprintf("%s (%d times)", text, times[text])
			}
			texts = append(texts, c.Brokers[i].Name+": "+text)
		}
	}
	return texts
}

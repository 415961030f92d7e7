package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"tombolo/bench"
	"tombolo/bench/compare"
)

// Labelled is a result under the name that it has on the page.
type Labelled struct {
	Label  string
	Result *bench.Result
}

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what the template shows. A value.
type page struct {
	Title    string
	Facts    []string
	Brokers  []compare.Broker
	Sections []section
}

// section is a scenario.
type section struct {
	Title   string
	Heads   []string
	Lines   []line
	Bars    []template.HTML
	Plots   []template.HTML
	Legend  []key
	Remarks []string
}

type line struct {
	Name  string
	Cells []string
}

type key struct {
	Class, Label string
}

// WriteComparisonHTML writes the page of a comparison.
func WriteComparisonHTML(w io.Writer, c *compare.Comparison) error {
	p := page{Title: "Brokers compared", Facts: facts(&c.Machine), Brokers: c.Brokers}
	p.Facts = append(p.Facts, fmt.Sprintf("%d runs each, interleaved; medians, with the least and the most", c.Repeat))
	if c.Command != "" {
		p.Facts = append(p.Facts, "command: "+c.Command)
	}
	for i := range c.Rows {
		p.Sections = append(p.Sections, comparedSection(c, &c.Rows[i]))
	}
	return pageTemplate.Execute(w, &p)
}

// WriteHTML writes the page of results, side by side. Results of one scenario
// share their plots.
func WriteHTML(w io.Writer, results []Labelled) error {
	p := page{Title: "Benchmark"}
	var titles []string
	groups := map[string][]Labelled{}
	for _, l := range results {
		title := describe(&l.Result.Settings)
		if groups[title] == nil {
			titles = append(titles, title)
		}
		groups[title] = append(groups[title], l)
	}
	if len(results) > 0 {
		p.Facts = facts(&results[0].Result.Machine)
	}
	for _, title := range titles {
		p.Sections = append(p.Sections, resultSection(title, groups[title]))
	}
	return pageTemplate.Execute(w, &p)
}

func facts(m *bench.Machine) []string {
	f := []string{m.Time.Format("2006-01-02 15:04 UTC"), fmt.Sprintf("%s, %d CPUs", m.System, m.CPUs), m.Go}
	if m.Load != "" {
		f = append(f, "load "+m.Load)
	}
	if m.Revision != "" {
		f = append(f, "revision "+m.Revision)
	}
	return f
}

// describe is the scenario with what makes it different from others.
func describe(s *bench.Settings) string {
	parts := []string{string(s.Scenario), "MQTT " + s.Version, fmt.Sprintf("QoS %d", s.QoS)}
	add := func(when bool, format string, args ...any) {
		if when {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(s.Connections > 0, "%d connections", s.Connections)
	add(s.Connections == 0, "%d B, %d → %d clients", s.PayloadSize, s.Publishers, s.Subscribers)
	add(s.Filters > 0, "%d filters, %d %% with wildcards", s.Filters, s.Wildcards)
	add(s.Messages > 0, "%d messages", s.Messages)
	add(s.Rate > 0, "%g msg/s", s.Rate)
	add(s.Window > 0, "window %d", s.Window)
	return strings.Join(parts, ", ")
}

func resultSection(title string, results []Labelled) section {
	s := section{Title: title}
	for i, l := range results {
		s.Heads = append(s.Heads, l.Label)
		s.Legend = append(s.Legend, key{class(i), l.Label})
		for _, warning := range l.Result.Warnings {
			s.Remarks = append(s.Remarks, l.Label+": warning: "+warning)
		}
	}
	for _, figure := range bench.Rows() {
		if cells, any := cells(results, &figure); any {
			s.Lines = append(s.Lines, line{figure.Name, cells})
		}
	}
	s.Plots = plots(results)
	return s
}

func comparedSection(c *compare.Comparison, row *compare.Row) section {
	s := section{Title: row.Name, Remarks: append(pairs(c, row), remarks(c, row)...)}
	var first []Labelled
	for _, i := range row.Present() {
		s.Legend = append(s.Legend, key{class(len(s.Heads)), c.Brokers[i].Name})
		s.Heads = append(s.Heads, c.Brokers[i].Name)
		l := Labelled{Label: c.Brokers[i].Name, Result: &bench.Result{}}
		if len(row.Cells[i].Results) > 0 {
			l.Result = row.Cells[i].Results[0]
		}
		first = append(first, l)
	}
	for _, figure := range bench.Rows() {
		spreads, any := spreadsOf(row, &figure)
		if !any {
			continue
		}
		l := line{Name: figure.Name}
		for i, spread := range spreads {
			if spread == nil {
				l.Cells = append(l.Cells, "–")
			} else {
				l.Cells = append(l.Cells, strings.TrimSpace(span(spread, figure.Form)+" "+ratio(spreads, i, &figure)))
			}
		}
		s.Lines = append(s.Lines, l)
		if figure.Better != bench.Neither && largest(spreads) > 0 {
			s.Bars = append(s.Bars, bars(&figure, s.Heads, spreads))
		}
	}
	s.Plots = plots(first)
	return s
}

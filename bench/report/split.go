package report

import (
	"fmt"
	"html/template"
	"io"
	"strings"

	"tombolo/bench/split"
)

// WriteSplitHTML writes the page of a run that cut a cluster: for each node what its
// clients saw, over time and second by second.
func WriteSplitHTML(w io.Writer, r *split.Result) error {
	p := page{Title: "A cluster cut and healed", Facts: facts(&r.Machine)}
	p.Facts = append(p.Facts, fmt.Sprintf("cut after %.1f s, healed after %.1f s", r.CutAt, r.HealAt),
		fmt.Sprintf("MQTT %s, a probe of each kind every %g s", r.Settings.Version, r.Settings.Every),
		"cut by "+strings.Join(r.Settings.Cut, " "), "healed by "+strings.Join(r.Settings.Heal, " "), r.Hanging())
	for i := range r.Nodes {
		p.Sections = append(p.Sections, nodeSection(r, &r.Nodes[i]))
	}
	return pageTemplate.Execute(w, &p)
}

// nodeSection is what clients of one node saw. In a cell stand good answers, then
// refusals with their code, then failures.
func nodeSection(r *split.Result, n *split.Node) section {
	s := section{Title: n.Target, Remarks: n.Told()}
	for i, p := range split.Probes() {
		s.Legend = append(s.Legend, key{class(i), string(p)})
		s.Heads = append(s.Heads, string(p))
	}
	marks := len(s.Legend)
	s.Legend = append(s.Legend, key{class(marks), "cut"}, key{class(marks + 1), "healed"})
	for second := range n.Seconds {
		l := line{Name: fmt.Sprintf("second %d", second)}
		for _, p := range split.Probes() {
			l.Cells = append(l.Cells, n.Seconds[second][p].String())
		}
		s.Lines = append(s.Lines, l)
	}
	over := func(title string, value func(c split.Cell) float64) {
		s.Plots = append(s.Plots, splitPlot(title, r, n, value))
	}
	over("answered well, in each second", func(c split.Cell) float64 { return float64(c.OK) })
	over("refused or failed, in each second", func(c split.Cell) float64 { return float64(c.Refused + c.Failed) })
	over("slowest answer to what began in the second, s", func(c split.Cell) float64 { return c.Slowest })
	return s
}

// splitPlot draws one figure of a node, with the instants of cut and heal.
func splitPlot(title string, r *split.Result, n *split.Node, value func(c split.Cell) float64) template.HTML {
	var curves []curve
	most := 0.0
	for _, p := range split.Probes() {
		c := curve{label: string(p)}
		for second := range n.Seconds {
			c.x = append(c.x, float64(second))
			c.y = append(c.y, value(n.Seconds[second][p]))
			most = max(most, c.y[second])
		}
		curves = append(curves, c)
	}
	if most == 0 {
		most = 1 // an axis is drawn also where nothing happened
	}
	for _, at := range []struct {
		label  string
		second float64
	}{{"cut", r.CutAt}, {"healed", r.HealAt}} {
		curves = append(curves, curve{label: at.label, x: []float64{at.second, at.second}, y: []float64{0, most}})
	}
	x, y, _ := axes(curves, false)
	x.label = func(v float64) string { return short(v) + " s" }
	return draw(title, curves, x, y)
}

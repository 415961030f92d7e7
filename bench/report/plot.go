package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"

	"tombolo/bench"
	"tombolo/bench/compare"
)

// The inside of a plot, in the units of its view box.
const (
	plotWidth, plotHeight       = 460, 220
	left, right, top, bottom    = 54, 12, 10, 24
	barHeight, barLeft, barWide = 22, 120, 240
	colours                     = 8
	spotsMax                    = 60 // points with a hint under the pointer
)

func class(i int) string { return fmt.Sprint(i % colours) }

// curve is the data of one result.
type curve struct {
	label string
	x, y  []float64
	at    []string // what the hint calls x, if not what its axis says
}

// axis maps values to places and says where its ticks are. Immutable.
type axis struct {
	least, most float64
	log         bool
	ticks       []float64
	label       func(float64) string
}

func (a *axis) place(v float64) float64 {
	least, most := a.least, a.most
	if a.log {
		v, least, most = math.Log10(max(v, a.least)), math.Log10(least), math.Log10(most)
	}
	if most == least {
		return 0.5
	}
	return (v - least) / (most - least)
}

// plots are those of results of one scenario.
func plots(results []Labelled) (out []template.HTML) {
	over := func(title string, logarithmic bool, value func(*bench.Sample) float64) {
		var curves []curve
		for _, l := range results {
			c := curve{label: l.Label}
			for i := range l.Result.Series {
				c.x = append(c.x, l.Result.Series[i].At)
				c.y = append(c.y, value(&l.Result.Series[i]))
			}
			curves = append(curves, c)
		}
		if x, y, ok := axes(curves, logarithmic); ok {
			x.label = func(v float64) string { return short(v) + " s" }
			out = append(out, draw(title, curves, x, y))
		}
	}
	over("deliveries a second, over time", false, func(s *bench.Sample) float64 { return s.Delivered })
	over("latency p50 over time, µs", true, func(s *bench.Sample) float64 { return s.P50 })
	over("latency p99 over time, µs", true, func(s *bench.Sample) float64 { return s.P99 })
	if p, ok := percentilePlot(results); ok {
		out = append(out, p)
	}
	over("resident memory of the broker over time, MiB", false, func(s *bench.Sample) float64 { return float64(s.Resident) / (1 << 20) })
	return out
}

// percentilePlot stretches the upper percentiles: each nine is as wide as the
// one before.
func percentilePlot(results []Labelled) (template.HTML, bool) {
	nines := func(percentile float64) float64 { return -math.Log10(max(1-percentile/100, 1e-6)) }
	var curves []curve
	for _, l := range results {
		c := curve{label: l.Label}
		for _, p := range l.Result.Curve {
			at := nines(p.Percentile)
			c.at = append(c.at, fmt.Sprintf("%g %%", p.Percentile))
			if p.Percentile >= 100 {
				// The greatest has no place of its own: a little behind the last.
				at = 0.3
				if len(c.x) > 0 {
					at += c.x[len(c.x)-1]
				}
			}
			c.x, c.y = append(c.x, at), append(c.y, p.Micros)
		}
		curves = append(curves, c)
	}
	x, y, ok := axes(curves, true)
	if !ok {
		return "", false
	}
	x.ticks = nil
	for _, p := range []float64{0, 90, 99, 99.9, 99.99, 99.999} {
		if nines(p) <= x.most {
			x.ticks = append(x.ticks, nines(p))
		}
	}
	x.label = func(v float64) string { return fmt.Sprintf("%.6g %%", 100-100*math.Pow(10, -v)) }
	return draw("latency by percentile, µs", curves, x, y), true
}

// axes fit the data; false if there is none, or only zeros.
func axes(curves []curve, logarithmic bool) (x, y axis, ok bool) {
	x, y = axis{least: math.Inf(1), most: math.Inf(-1)}, axis{least: math.Inf(1), most: math.Inf(-1), log: logarithmic}
	for _, c := range curves {
		for i := range c.x {
			x.least, x.most = min(x.least, c.x[i]), max(x.most, c.x[i])
			if !logarithmic || c.y[i] > 0 {
				y.least, y.most = min(y.least, c.y[i]), max(y.most, c.y[i])
			}
		}
	}
	if math.IsInf(x.least, 1) || math.IsInf(y.least, 1) || y.most <= 0 {
		return x, y, false
	}
	x.least = 0
	x.ticks, x.label, y.label = steps(x.most), short, short
	if !logarithmic {
		y.least, y.most = 0, y.most*1.05
		y.ticks = steps(y.most)
		return x, y, true
	}
	y.least = math.Pow(10, math.Floor(math.Log10(y.least)))
	y.most = math.Pow(10, math.Ceil(math.Log10(y.most)))
	if y.most == y.least {
		y.most *= 10
	}
	for v := y.least; v <= y.most*1.01; v *= 10 {
		y.ticks = append(y.ticks, v)
	}
	return x, y, true
}

// steps are round values from 0 to most, about five.
func steps(most float64) []float64 {
	if most <= 0 {
		return []float64{0}
	}
	step := math.Pow(10, math.Floor(math.Log10(most/4)))
	for _, f := range []float64{5, 2} {
		if most/(step*f) >= 3 {
			step *= f
			break
		}
	}
	var ticks []float64
	for i := 0; float64(i)*step <= most; i++ {
		ticks = append(ticks, float64(i)*step)
	}
	return ticks
}

// short writes 12300 as 12.3k.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.3gk", v/1e3)
	}
	return fmt.Sprintf("%.3g", v)
}

func draw(title string, curves []curve, x, y axis) template.HTML {
	var b strings.Builder
	px := func(v float64) float64 { return left + x.place(v)*(plotWidth-left-right) }
	py := func(v float64) float64 { return plotHeight - bottom - y.place(v)*(plotHeight-top-bottom) }
	fmt.Fprintf(&b, `<figure><figcaption>%s</figcaption><svg viewBox="0 0 %d %d" role="img" aria-label="%s">`,
		html.EscapeString(title), plotWidth, plotHeight, html.EscapeString(title))
	for _, t := range y.ticks {
		fmt.Fprintf(&b, `<line class="gridline" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, left, plotWidth-right, py(t), py(t))
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`, left-6, py(t)+4, html.EscapeString(y.label(t)))
	}
	for _, t := range x.ticks {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`, px(t), plotHeight-8, html.EscapeString(x.label(t)))
	}
	for i, c := range curves {
		if len(c.x) == 0 {
			continue
		}
		fmt.Fprintf(&b, `<polyline class="curve l%s" points="`, class(i))
		for k := range c.x {
			fmt.Fprintf(&b, "%.1f,%.1f ", px(c.x[k]), py(c.y[k]))
		}
		b.WriteString(`"/>`)
		for k := range c.x {
			if len(c.x) > spotsMax {
				break
			}
			at := x.label(c.x[k])
			if c.at != nil {
				at = c.at[k]
			}
			fmt.Fprintf(&b, `<circle class="spot f%s" cx="%.1f" cy="%.1f" r="4"><title>%s</title></circle>`, class(i), px(c.x[k]), py(c.y[k]),
				html.EscapeString(fmt.Sprintf("%s: %s at %s", c.label, y.label(c.y[k]), at)))
		}
	}
	b.WriteString("</svg></figure>\n")
	return template.HTML(b.String()) // every text in it was escaped above
}

func largest(spreads []*compare.Spread) (most float64) {
	for _, s := range spreads {
		if s != nil {
			most = max(most, s.Most)
		}
	}
	return most
}

// bars compare one figure of several brokers: the median as a bar, the least
// and the most as a whisker.
func bars(figure *bench.Row, labels []string, spreads []*compare.Spread) template.HTML {
	most := largest(spreads)
	direction := "more is better"
	if figure.Better == bench.Less {
		direction = "less is better"
	}
	title := figure.Name + ", " + direction
	var b strings.Builder
	fmt.Fprintf(&b, `<figure><figcaption>%s</figcaption><svg viewBox="0 0 %d %d" role="img" aria-label="%s">`,
		html.EscapeString(title), plotWidth, len(spreads)*barHeight+6, html.EscapeString(title))
	for i, s := range spreads {
		y := i * barHeight
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, barLeft-6, y+16, html.EscapeString(labels[i]))
		if s == nil {
			fmt.Fprintf(&b, `<text x="%d" y="%d">–</text>`, barLeft, y+16)
			continue
		}
		scale := func(v float64) float64 {
			return max(v, 0) / most * barWide
		}
		fmt.Fprintf(&b, `<rect class="f%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`, class(i), barLeft, y+4, max(scale(s.Median), 1), barHeight-7)
		if s.Least != s.Most {
			middle := float64(y) + barHeight/2.0 + 0.5
			fmt.Fprintf(&b, `<line class="whisker" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, barLeft+scale(s.Least), barLeft+scale(s.Most), middle, middle)
		}
		fmt.Fprintf(&b, `<text class="value" x="%d" y="%d">%s</text>`, barLeft+barWide+8, y+16, html.EscapeString(fmt.Sprintf(figure.Form, s.Median)))
	}
	b.WriteString("</svg></figure>\n")
	return template.HTML(b.String()) // every text in it was escaped above
}

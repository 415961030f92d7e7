package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tombolo/bench"
	"tombolo/bench/compare"
	"tombolo/bench/split"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a result that depends on nothing but its arguments.
func sample(broker string, factor float64) *bench.Result {
	r := &bench.Result{
		Settings: bench.Settings{Scenario: bench.P2P, Broker: broker, Version: "5", QoS: 1, PayloadSize: 128, Publishers: 2, Subscribers: 2, Window: 20},
		Machine:  bench.Machine{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), CPUs: 2, System: "linux/amd64", Go: "go1", Load: "1 2 3", Revision: "abc"},
		Delivery: bench.Delivery{Sent: 10, Expected: 10, Received: 9, Lost: 1},
		Rates:    bench.Rates{Published: 1000 * factor, Delivered: 999 * factor},
		Latency:  bench.Distribution{Count: 9, P50: 100 * factor, P90: 200 * factor, P99: 300 * factor, P999: 400 * factor, Max: 500 * factor},
		Broker:   &bench.Broker{CPUPercent: 10, DeliveriesPerCPU: 1e5 * factor, MicrosPerDelivery: 10 / factor, ResidentBytes: 10 << 20},
		Warnings: []string{"1 delivery was lost & <found>"},
	}
	for i := range 4 {
		at := float64(i + 1)
		r.Series = append(r.Series, bench.Sample{At: at / 4, Delivered: 900*factor + 20*at, P50: 90 * at, P99: 300 * at, Resident: int64(at) << 20})
	}
	r.Curve = []bench.Point{{Percentile: 0, Micros: 50}, {Percentile: 50, Micros: 100 * factor}, {Percentile: 99, Micros: 300 * factor}, {Percentile: 100, Micros: 500}}
	return r
}

func comparison() *compare.Comparison {
	return &compare.Comparison{
		Machine: sample("", 1).Machine, Command: "tombolo bench compare", Repeat: 2,
		Brokers: []compare.Broker{{Name: "one", Version: "one 1.0", Settings: "as it is"}, {Name: "two", Version: "<two>", Settings: "other"}, {Name: "three"}},
		Rows: []compare.Row{{Name: "p2p -q 1", Cells: []compare.Cell{
			{Results: []*bench.Result{sample("one", 1), sample("one", 1.5)}},
			{Results: []*bench.Result{sample("two", 3)}},
			{Failures: []string{"it did not start"}},
		}}},
	}
}

// cutCluster is a run on two nodes of which one was closed for some seconds.
func cutCluster() *split.Result {
	r := &split.Result{
		Machine: sample("", 1).Machine, CutAt: 1.5, HealAt: 3, Hung: 1,
		Settings: split.Settings{Version: "5", Every: 0.2, Cut: []string{"sh", "-c", "cut 1 <2>"}, Heal: []string{"heal"}},
	}
	for _, target := range []string{"a:1883", "b<b>:1883"} {
		n := split.Node{Target: target, Noticed: map[split.Probe]float64{}, OpenAgain: map[split.Probe]float64{}}
		for second := range 6 {
			cells := map[split.Probe]split.Cell{}
			for _, p := range split.Probes() {
				cells[p] = split.Cell{OK: 5, Slowest: 0.01}
			}
			if target != "a:1883" && second >= 2 && second < 4 {
				cells[split.ProbePublish] = split.Cell{OK: 1, Refused: 3, Failed: 1, Codes: map[string]int{"0x83": 3}, Slowest: 2.5}
			}
			n.Seconds = append(n.Seconds, cells)
		}
		r.Nodes = append(r.Nodes, n)
	}
	r.Nodes[1].Noticed[split.ProbePublish], r.Nodes[1].OpenAgain[split.ProbePublish] = 0.75, 1.25
	return r
}

// TestGolden pins the table and the page of a comparison and of results.
func TestGolden(t *testing.T) {
	results := []Labelled{{"a", sample("", 1)}, {"b <c>", sample("", 2)}}
	for _, c := range []struct {
		file  string
		write func(io.Writer) error
	}{
		{"comparison.txt", func(w io.Writer) error { return WriteComparison(w, comparison()) }},
		{"comparison.html", func(w io.Writer) error { return WriteComparisonHTML(w, comparison()) }},
		{"split.html", func(w io.Writer) error { return WriteSplitHTML(w, cutCluster()) }},
		{"results.txt", func(w io.Writer) error { return WriteResults(w, results) }},
		{"results.html", func(w io.Writer) error { return WriteHTML(w, results) }},
	} {
		var got bytes.Buffer
		if err := c.write(&got); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", c.file)
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s is not what it was: look at it, then go test ./bench/report -update\n%s", c.file, got.String())
		}
	}
}

// TestPageStandsAlone: no script, nothing from outside, everything escaped,
// and each drawing is well-formed.
func TestPageStandsAlone(t *testing.T) {
	for _, write := range []func(io.Writer) error{
		func(w io.Writer) error { return WriteComparisonHTML(w, comparison()) },
		func(w io.Writer) error {
			return WriteHTML(w, []Labelled{{`<script>alert("x")</script>`, sample("", 1)}, {"empty", &bench.Result{}}})
		},
		func(w io.Writer) error { return WriteHTML(w, nil) },
		func(w io.Writer) error { return WriteSplitHTML(w, cutCluster()) },
		func(w io.Writer) error {
			return WriteSplitHTML(w, &split.Result{Nodes: []split.Node{{Target: "none"}}})
		},
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		if bad := regexp.MustCompile(`(?i)<script|https?:|src=|@import|url\(|<two>|NaN|Inf\b`).FindString(b.String()); bad != "" {
			t.Errorf("the page has %q", bad)
		}
		for _, drawing := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(b.String(), -1) {
			if err := wellFormed(drawing); err != nil {
				t.Errorf("%v in %s", err, drawing)
			}
			if outside := outside(t, drawing); outside != "" {
				t.Errorf("%s is outside of %s", outside, drawing)
			}
		}
	}
}

// outside is a coordinate beyond the view box, or "".
func outside(t *testing.T, drawing string) string {
	t.Helper()
	var width, height float64
	if _, err := fmt.Sscanf(drawing, `<svg viewBox="0 0 %f %f"`, &width, &height); err != nil {
		t.Fatal(err)
	}
	for _, c := range regexp.MustCompile(` (x|x1|x2|cx|y|y1|y2|cy)="([^"]*)"|([0-9.e+-]+),([0-9.e+-]+) `).FindAllStringSubmatch(drawing, -1) {
		x, y := c[3], c[4]
		if strings.Contains(c[1], "x") {
			x = c[2]
		} else if c[1] != "" {
			y = c[2]
		}
		for value, most := range map[string]float64{x: width, y: height} {
			if v, err := strconv.ParseFloat(value, 64); value != "" && (err != nil || v < 0 || v > most) {
				return c[0]
			}
		}
	}
	return ""
}

func wellFormed(text string) error {
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestSteps(t *testing.T) {
	for _, most := range []float64{0, 0.3, 1, 3, 7, 10, 99, 1234, 5e6} {
		ticks := steps(most)
		if most > 0 && (len(ticks) < 4 || len(ticks) > 11 || ticks[len(ticks)-1] > most) {
			t.Errorf("ticks up to %v: %v", most, ticks)
		}
	}
	for v, want := range map[float64]string{0: "0", 12.34: "12.3", 12345: "12.3k", 2e6: "2M"} {
		if got := short(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}

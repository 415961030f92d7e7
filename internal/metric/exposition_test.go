package metric

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func scrape(t *testing.T, r *Registry, e Exposition) []string {
	t.Helper()
	rec := httptest.NewRecorder()
	r.HandlerWith(e).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != 200 || !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("status %d, type %q", rec.Code, rec.Header().Get("Content-Type"))
	}
	return strings.Split(rec.Body.String(), "\n")
}

func filled() *Registry {
	r := New()
	r.CounterVec(Opts{
		Name: "mqtt_publish_received_total", Help: "PUBLISH packets\nin.", Verne: "mqtt_publish_received", Label: "mqtt_version",
	}, "4", `"5"`)["4"].Add(12)
	r.Gauge(Opts{Name: "sessions", Help: "Sessions."}).Set(2)
	r.Histogram(Opts{Name: "commit_seconds", Help: "Commits."}, []float64{0.5, 2}).Observe(1)
	return r
}

func TestExpositionLines(t *testing.T) {
	if got := (Exposition{Namespace: `""`}).names(Opts{Name: "x"}); got[0] != "x" {
		t.Errorf("two quotes mean no prefix, as in VerneMQ; got %s", got[0])
	}
	cases := []struct {
		name   string
		e      Exposition
		want   []string
		absent []string
	}{
		{"both names", Exposition{Namespace: "tombolo", Node: "n1", Verne: true, VerneNamespace: VerneNamespace}, []string{
			`# HELP tombolo_mqtt_publish_received_total PUBLISH packets\nin.`,
			`# TYPE tombolo_mqtt_publish_received_total counter`,
			`tombolo_mqtt_publish_received_total{mqtt_version="4",node="n1"} 12`,
			`tombolo_mqtt_publish_received_total{mqtt_version="\"5\"",node="n1"} 0`,
			`vernemq_mqtt_publish_received{mqtt_version="4",node="n1"} 12`,
			`tombolo_sessions{node="n1"} 2`,
			`tombolo_commit_seconds_bucket{node="n1",le="0.5"} 0`,
			`tombolo_commit_seconds_bucket{node="n1",le="2"} 1`,
			`tombolo_commit_seconds_bucket{node="n1",le="+Inf"} 1`,
			`tombolo_commit_seconds_sum{node="n1"} 1`,
			`tombolo_commit_seconds_count{node="n1"} 1`,
			`# TYPE go_goroutines gauge`,
		}, nil},
		{"ours only, bare", Exposition{}, []string{
			`mqtt_publish_received_total{mqtt_version="4"} 12`, `sessions 2`,
		}, []string{`vernemq_mqtt_publish_received{mqtt_version="4"} 12`, `mqtt_publish_received{mqtt_version="4"} 12`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := scrape(t, filled(), c.e)
			for _, line := range c.want {
				if !slices.Contains(got, line) {
					t.Errorf("no line %q in:\n%s", line, strings.Join(got, "\n"))
				}
			}
			for _, line := range c.absent {
				if slices.Contains(got, line) {
					t.Errorf("line %q must not be there", line)
				}
			}
		})
	}
}

func TestHandlerShowsWhatIsRegisteredLater(t *testing.T) {
	r := New()
	h := r.Handler("tombolo_", "")
	r.Gauge(Opts{Name: "late", Help: "Late."})
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(rec.Body.String(), "\ntombolo_late 0\n") {
		t.Fatalf("tombolo_late is missing in:\n%s", rec.Body)
	}
}

func TestMarkdownHasARowForEachMetric(t *testing.T) {
	var samples []Sample
	filled().Each(func(s Sample) { samples = append(samples, s) })
	page := string(Markdown(samples))
	for _, row := range []string{
		"| `mqtt_publish_received_total` | counter | `mqtt_version`: \"5\", 4 | `mqtt_publish_received` | PUBLISH packets in. |\n",
		"| `commit_seconds` | histogram |  |  | Commits. |\n| `mqtt_",
		"| `sessions` | gauge |  |  | Sessions. |\n",
	} {
		if !strings.Contains(page, row) {
			t.Errorf("no row %q in:\n%s", row, page)
		}
	}
}

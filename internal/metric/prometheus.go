package metric

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// HandlerWith serves the registry as e says, together with what the Go runtime
// and the operating system tell about the process. It uses a Prometheus
// registry of its own: what other packages put into the global one does not
// show.
func (r *Registry) HandlerWith(e Exposition) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{registry: r, exposition: e},
	)
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: nil})
}

// collector shows a Registry to Prometheus. Immutable once built.
type collector struct {
	registry   *Registry
	exposition Exposition
}

// Describe sends nothing: families may be registered after the handler was
// made, so the set cannot be told in advance. Registry.add checks what
// Prometheus would have checked here.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the present value of every series under each of its names.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	c.registry.Each(func(s Sample) {
		for _, name := range c.exposition.names(s.Opts) {
			out <- c.metric(name, s)
		}
	})
}

func (c *collector) metric(name string, s Sample) prometheus.Metric {
	var fixed prometheus.Labels
	if c.exposition.Node != "" {
		fixed = prometheus.Labels{"node": c.exposition.Node}
	}
	var keys, values []string
	if s.Label != "" {
		keys, values = []string{s.Label}, []string{s.LabelValue}
	}
	desc := prometheus.NewDesc(name, s.Help, keys, fixed)
	switch s.Kind {
	case KindHistogram:
		buckets := make(map[float64]uint64, len(s.Buckets))
		for _, b := range s.Buckets {
			buckets[b.UpperBound] = b.Count
		}
		return prometheus.MustNewConstHistogram(desc, s.Count, s.Value, buckets, values...)
	case KindGauge:
		return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, s.Value, values...)
	default:
		return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, s.Value, values...)
	}
}

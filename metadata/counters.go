package metadata

import "tombolo/internal/metric"

// counters is what the store counts. Immutable once built; the values are
// atomic.
type counters struct {
	commits      *metric.Counter
	writes       *metric.Counter
	watchResyncs *metric.Counter
}

func newCounters(r *metric.Registry) counters {
	return counters{
		commits:      r.Counter(metric.Opts{Name: "metadata_commits_total", Help: "Batches that the metadata store made durable."}),
		writes:       r.Counter(metric.Opts{Name: "metadata_writes_total", Help: "Changes of keys that this node made durable."}),
		watchResyncs: r.Counter(metric.Opts{Name: "metadata_watch_resyncs_total", Help: "Times that a reader of changes fell behind and had to read the table again."}),
	}
}

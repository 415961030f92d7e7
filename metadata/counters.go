package metadata

import (
	"tombolo/internal/metric"
	"tombolo/metadata/replica"
)

// counters is what the store counts. Immutable once built; the values are
// atomic.
type counters struct {
	commits      *metric.Counter
	writes       *metric.Counter
	watchResyncs *metric.Counter
	sent         *metric.Counter
	received     *metric.Counter
	overrun      *metric.Counter
	wakes        *metric.Counter
	events       map[string]*metric.Counter
}

func newCounters(r *metric.Registry, waiting func() float64) counters {
	r.GaugeFunc(metric.Opts{Name: "metadata_replication_waits", Help: "Callers that wait for the other members to hold what was written here."}, waiting)
	var kinds []string
	for _, k := range replica.EventKinds() {
		kinds = append(kinds, k.String())
	}
	return counters{
		events:       r.CounterVec(metric.Opts{Name: "metadata_events_total", Help: "What the replica found worth counting, by kind.", Label: "kind"}, kinds...),
		sent:         r.Counter(metric.Opts{Name: "metadata_sent_bytes_total", Help: "Bytes of replication frames that were handed to links."}),
		received:     r.Counter(metric.Opts{Name: "metadata_received_bytes_total", Help: "Bytes of replication frames that came from links."}),
		overrun:      r.Counter(metric.Opts{Name: "metadata_frames_dropped_total", Help: "Replication frames dropped because too many waited; the exchange makes up for them."}),
		wakes:        r.Counter(metric.Opts{Name: "metadata_wakes_total", Help: "Times that the metadata store's loop had to look whether there is something to do."}),
		commits:      r.Counter(metric.Opts{Name: "metadata_commits_total", Help: "Batches that the metadata store made durable."}),
		writes:       r.Counter(metric.Opts{Name: "metadata_writes_total", Help: "Changes of keys that this node made durable."}),
		watchResyncs: r.Counter(metric.Opts{Name: "metadata_watch_resyncs_total", Help: "Times that a reader of changes fell behind and had to read the table again."}),
	}
}

package cluster

import (
	"tombolo/internal/link"
	"tombolo/internal/metric"
)

// counters are what a cluster counts. Immutable; the values are atomic.
type counters struct {
	detected, resolved, suspects, downs, ups, stalls, refused *metric.Counter
	closed                                                    map[string]*metric.Counter // links by why they ended
	shown                                                     map[string]uint64          // of closed; owned by the judge
}

func newCounters(c *Cluster, m *metric.Registry) *counters {
	n := &counters{
		detected: m.Counter(metric.Opts{Name: "netsplit_detected_total", Help: "Times that a member of the cluster was found missing.", Verne: "netsplit_detected"}),
		resolved: m.Counter(metric.Opts{Name: "netsplit_resolved_total", Help: "Times that all members were found again.", Verne: "netsplit_resolved"}),
		suspects: m.Counter(metric.Opts{Name: "cluster_links_suspect_total", Help: "Times that a member was silent for more than a second."}),
		downs:    m.Counter(metric.Opts{Name: "cluster_links_down_total", Help: "Times that a link was judged down."}),
		ups:      m.Counter(metric.Opts{Name: "cluster_links_up_total", Help: "Times that a link was judged up."}),
		stalls:   m.Counter(metric.Opts{Name: "cluster_stalls_total", Help: "Times that this node did not run for more than a second."}),
		refused:  m.Counter(metric.Opts{Name: "cluster_messages_refused_total", Help: "Messages of other members that could not be read."}),
	}
	gauge := func(name, help string, f func(s *state) float64) {
		m.GaugeFunc(metric.Opts{Name: name, Help: help}, func() float64 { return f(c.current.Load()) })
	}
	gauge("cluster_members", "Members of the cluster, this node included.", func(s *state) float64 { return float64(len(s.members)) })
	gauge("cluster_members_reachable", "Members that this node reaches, itself included.", func(s *state) float64 { return float64(len(s.reachable)) })
	gauge("netsplit_active", "1 while a member is missing.", func(s *state) float64 { return truth(s.verdict.Split) })
	gauge("cluster_majority", "1 while this node is on the side of the majority.", func(s *state) float64 { return truth(s.verdict.Majority) })
	n.closed = m.CounterVec(metric.Opts{Name: "cluster_links_closed_total", Help: "Connections of links that ended, by reason; docs/formats/link.md lists them.", Label: "reason"},
		link.CloseReasons()...)
	n.shown = map[string]uint64{}
	n.links(c, m)
	return n
}

// links shows the sums over all links.
func (n *counters) links(c *Cluster, m *metric.Registry) {
	sum := func(name, help, verne string, f func(s *link.Stats) uint64) {
		m.CounterFunc(metric.Opts{Name: name, Help: help, Verne: verne}, func() float64 { s := c.mesh.Stats(); return float64(f(&s)) })
	}
	sum("cluster_sent_bytes_total", "Bytes written to links.", "cluster_bytes_sent", func(s *link.Stats) uint64 { return s.SentBytes })
	sum("cluster_batches_total", "Writes to links.", "", func(s *link.Stats) uint64 { return s.Batches })
	sum("cluster_frames_received_total", "Frames received over links.", "", func(s *link.Stats) uint64 { return s.Frames })
	sum("cluster_datagrams_dropped_total", "QoS 0 publishes and replication frames that no link took.", "", func(s *link.Stats) uint64 { return s.DatagramsDropped })
	sum("cluster_resent_total", "Frames sent again after a link ended.", "", func(s *link.Stats) uint64 { return s.Resent })
	sum("cluster_spool_errors_total", "Times that the spool failed.", "", func(s *link.Stats) uint64 { return s.SpoolErrors })
	spool := func(name, help string, f func(s *link.PeerStatus) float64) {
		m.GaugeFunc(metric.Opts{Name: name, Help: help}, func() float64 {
			total := 0.0
			for _, s := range c.mesh.Status() {
				total += f(&s)
			}
			return total
		})
	}
	spool("cluster_spooled_messages", "Messages on disk for members that are away or slow.", func(s *link.PeerStatus) float64 { return float64(s.Spooled) })
	spool("cluster_links_slow", "Members that grant no credit: they are slow.", func(s *link.PeerStatus) float64 { return truth(s.Starved) })
	spool("cluster_links_standing", "Members with both connections.", func(s *link.PeerStatus) float64 { return truth(s.Up) })
}

// show brings the reasons for which links ended up to date.
func (n *counters) show(s link.Stats) {
	for why, count := range s.Closes {
		if counter := n.closed[why]; counter != nil && count > n.shown[why] {
			counter.Add(count - n.shown[why])
			n.shown[why] = count
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

package broker

import (
	"syscall"
	"testing"

	"tombolo/metadata"
)

// BenchmarkSubscribeOwed has a session that outlives its connection subscribe, one
// filter at a time, with nothing retained under it and with one message. What is
// delivered counts, and so does the client. Without a disk.
func BenchmarkSubscribeOwed(b *testing.B) {
	t := &testing.T{}
	n := rig(t, 1).nodes[0]
	n.meta.PutRetained("", "r/x", &metadata.Retained{QoS: 1, Payload: []byte("v")}, nil)
	s := n.dial(t, "s", lasting)
	go func() {
		for range s.Messages() {
		}
	}()
	for _, filter := range []string{"q/x", "r/x"} { // nothing is retained under the first
		b.Run(filter, func(b *testing.B) {
			b.ReportAllocs()
			b.ResetTimer()
			before, wrote := processorTime(), n.wrote.Load()
			for range b.N {
				s.subscribe(1, filter)
			}
			eventually(t, "nothing is owed", func() bool { return n.owes("s") == 0 && n.waits("s") == 0 })
			b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(n.wrote.Load()-wrote)/float64(b.N), "metadata-B/op")
		})
	}
}

// processorTime is what this process has used so far, in ns.
func processorTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

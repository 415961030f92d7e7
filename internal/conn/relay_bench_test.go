package conn

import (
	"sync"
	"testing"
)

// relayBatch is how many messages a sender of the benchmark gives one write.
const relayBatch = 64

// BenchmarkRelay sends as fast as the relay takes it, over all pairs, and reports
// the deliveries for each second of the relay's CPU.
func BenchmarkRelay(b *testing.B) {
	for _, role := range []string{"driver", "driver-loop", "control"} {
		b.Run(role, func(b *testing.B) {
			p := startRelay(b, role)
			batches := max(1, b.N/(relayPairs*relayBatch))
			total := int64(batches * relayPairs * relayBatch)
			base, before := p.delivered.Load(), p.usage(b)
			b.ResetTimer()
			var wg sync.WaitGroup
			for _, sender := range p.senders {
				wg.Go(func() {
					batch := make([]byte, relayBatch*relayMessage)
					for range batches {
						if _, err := sender.Write(batch); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			eventually(b, "all deliveries", func() bool { return p.delivered.Load()-base == total })
			b.StopTimer()
			cpu := p.usage(b).cpuMicros - before.cpuMicros
			b.ReportMetric(float64(total)/cpu*1e6, "deliveries/cpu-s")
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

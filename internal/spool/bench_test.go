package spool

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tombolo/internal/kv"
	"tombolo/internal/link"
)

// BenchmarkAppend compares appends of one node's lane, which come one after the
// other, and of several nodes', with as many goroutines that put the same into a
// bare database, in the same run:
//
//	go test ./internal/spool -bench Append -benchtime 2s
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ nodes, list int }{{1, 1}, {1, 64}, {1, 512}, {4, 1}, {4, 64}} {
		name := fmt.Sprintf("nodes=%d/list=%d", c.nodes, c.list)
		b.Run(name+"/spool", func(b *testing.B) {
			s, _, err := Open(b.TempDir(), Config{BytesMax: roomy, NoCompression: true})
			if err != nil {
				b.Fatal(err)
			}
			share(b, c.nodes, c.list, func(node int, list []link.Spooled) error { return s.Append(link.NodeID(node), list) })
			closeIt(b, s)
		})
		b.Run(name+"/bare", func(b *testing.B) {
			db, _, err := kv.OpenLevel(b.TempDir(), kv.Options{MemoryBudget: 16 << 20, NoCompression: true})
			if err != nil {
				b.Fatal(err)
			}
			var next atomic.Uint64
			share(b, c.nodes, c.list, func(node int, list []link.Spooled) error {
				var batch kv.Batch
				for i := range list {
					batch.Put(chunkKey('b', link.NodeID(node), next.Add(1)), list[i].Body)
				}
				return db.Write(&batch, true)
			})
			if err := db.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// share has every node append its part of b.N messages of 256 bytes.
func share(b *testing.B, nodes, size int, add func(node int, list []link.Spooled) error) {
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	start := time.Now()
	for node := 1; node <= nodes; node++ {
		wg.Go(func() {
			list := make([]link.Spooled, size)
			for i := range list {
				list[i] = message(i, 256)
			}
			for left.Add(-int64(size)) > -int64(size) {
				if err := add(node, list); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "messages/s")
}

// BenchmarkDrain reads and removes what was appended, as a lane does.
func BenchmarkDrain(b *testing.B) {
	s, _, err := Open(b.TempDir(), Config{BytesMax: roomy, NoCompression: true})
	if err != nil {
		b.Fatal(err)
	}
	list := make([]link.Spooled, 512)
	for i := range list {
		list[i] = message(i, 256)
	}
	for n := 0; n < b.N; n += len(list) {
		if err := s.Append(1, list); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	start := time.Now()
	for after := uint64(0); ; {
		got, err := s.Read(1, after, 512, 1<<20)
		if err != nil {
			b.Fatal(err)
		}
		if len(got) == 0 {
			break
		}
		places := make([]uint64, len(got))
		for i := range got {
			places[i] = got[i].Place
		}
		after = places[len(places)-1]
		if err := s.Remove(1, places); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "messages/s")
	closeIt(b, s)
}

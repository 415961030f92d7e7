package metadata

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tombolo/internal/kv"
)

// TestMeasurePush: how long after it is durable here a write is seen there, by a
// reader of the store and by a watch, and when Replicated says so.
func TestMeasurePush(t *testing.T) {
	writes := sized(20, 2000)
	for _, disk := range []string{"memory", "disk"} {
		n := newNetwork(1)
		var list []*Store
		for id := uint64(1); id <= 3; id++ {
			db := kv.DB(kv.OpenMemory())
			if disk == "disk" {
				db = level(t)
			}
			list = append(list, n.start(t, id, db, nil))
		}
		join(t, list)
		w := list[1].Watch(TableConfig, nil)
		defer w.Close()
		var committed, seen, told, held []time.Duration
		for i := range writes {
			key := fmt.Appendf(nil, "key%d", i)
			var durable time.Time
			done := make(chan time.Time, 2)
			start := time.Now()
			list[0].Put(TableConfig, key, []byte("v"), func(error) {
				done <- time.Now()
				list[0].Replicated(func(error) { done <- time.Now() })
			})
			durable = <-done
			committed = append(committed, durable.Sub(start))
			for !has(t, list[1], string(key)) {
				<-w.Ready()
			}
			seen = append(seen, time.Since(durable))
			for waiting := true; waiting; {
				events, _, err := w.Take()
				if err != nil {
					t.Fatal(err)
				}
				waiting = !slices.ContainsFunc(events, func(e Event) bool { return string(e.Key) == string(key) })
				if waiting {
					<-w.Ready()
				}
			}
			told = append(told, time.Since(durable))
			held = append(held, (<-done).Sub(durable))
		}
		fmt.Printf("push (%s): median and p99: commit %v %v, visible at a peer %v %v after it, told by a watch %v %v, Replicated %v %v\n", disk,
			median(committed), p99(committed), median(seen), p99(seen), median(told), p99(told), median(held), p99(held))
	}
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2].Round(time.Microsecond)
}

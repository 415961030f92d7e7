package metadata

import (
	"context"
	"fmt"

	"tombolo/internal/kv"
)

// areaObject is the first byte of the keys that hold records.
const areaObject byte = 'o'

// policy is how a table resolves what a key holds.
type policy struct{}

func policyOf(Table) policy { return policy{} }

func (policy) resolve(raw []byte) (value []byte, ok bool, err error) { return raw, true, nil }

// commitLoop turns what is queued into batches, one at a time: batch, sync,
// then acknowledge.
func (s *Store) commitLoop(ctx context.Context) error {
	var batch kv.Batch
	var writes []write
	for {
		writes = s.queue.take(writes[:0], s.config.CommitBytes)
		if len(writes) == 0 {
			if ctx.Err() != nil {
				return nil
			}
			select {
			case <-s.queue.ready:
			case <-ctx.Done():
			}
			continue
		}
		batch.Reset()
		var keys [][]byte
		for _, w := range writes {
			for _, o := range w.ops {
				if o.delete {
					batch.Delete(o.key)
				} else {
					batch.Put(o.key, o.value)
				}
				keys = append(keys, o.key)
			}
		}
		err := s.db.Write(&batch, true)
		if err != nil {
			err = fmt.Errorf("metadata: commit: %w", err)
		}
		s.overlay.settle(writes)
		list := make([]completion, len(writes))
		for i, w := range writes {
			list[i] = completion{done: w.done, err: err}
		}
		s.completer.add(list)
		if err != nil {
			return err
		}
		s.counters.commits.Inc()
		s.counters.writes.Add(uint64(len(keys)))
		s.watches.note(keys)
		clear(writes)
	}
}

package handover

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tombolo/internal/kv"
	"tombolo/internal/link"
	"tombolo/internal/spool"
	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/queue"
)

// The names in a data directory: docs/data-directory.md.
const (
	idFile      = "node.id"
	metadataDir = "metadata"
	messagesDir = "messages"
	spoolDir    = "spool"

	incarnationFile = "incarnation"

	partCountMax = 500
	partBytesMax = 256 << 10 // of bodies, beyond the first message
)

// ErrNoData is a directory that holds no data of a node.
var ErrNoData = errors.New("it holds no data of a node")

// Queue is one queue that the node holds. A value.
type Queue struct {
	Mountpoint, ClientID string
	Messages             int
	Spooled              int // more, in the spool, which Sort puts there
}

func (q Queue) name() string { return queue.Name(q.Mountpoint, q.ClientID) }

// Result is what became of one queue. A value.
type Result struct {
	Passed  int // messages
	Expired int // by their own time
}

// Holding is the data directory of a stopped node. Owned by its caller.
type Holding struct {
	node  string // 16 hexadecimal digits
	meta  kv.DB
	db    kv.DB
	store *queue.Store
	spool *spool.Spool     // nil: there is none
	life  wire.Incarnation // of the node's last process: who was started since may have given places in the spool anew
	stop  context.CancelFunc
	ran   sync.WaitGroup
}

// Open opens a data directory, which no process may use.
func Open(dir string) (*Holding, error) {
	id, err := os.ReadFile(filepath.Join(dir, idFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoData)
	}
	if err != nil {
		return nil, err
	}
	h := &Holding{node: strings.TrimSpace(string(id))}
	if raw, err := hex.DecodeString(h.node); err != nil || len(raw) != 8 {
		return nil, fmt.Errorf("%s does not hold a node id", filepath.Join(dir, idFile))
	}
	if h.life, err = link.LastIncarnation(filepath.Join(dir, incarnationFile)); err != nil {
		return nil, err
	}
	h.life = max(h.life, 1)
	if h.db, _, err = kv.OpenLevel(filepath.Join(dir, messagesDir), kv.Options{MustExist: true}); err != nil {
		return nil, err
	}
	if h.meta, _, err = kv.OpenLevel(filepath.Join(dir, metadataDir), kv.Options{ReadOnly: true, MustExist: true}); err != nil {
		return nil, errors.Join(err, h.db.Close())
	}
	if h.spool, err = openSpool(dir); err != nil {
		return nil, errors.Join(err, h.meta.Close(), h.db.Close())
	}
	if h.store, err = queue.OpenStore(h.db, queue.StoreConfig{}); err != nil {
		return nil, errors.Join(err, h.closeSpool(), h.meta.Close(), h.db.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	h.ran.Go(func() { _ = h.store.Run(ctx) })
	return h, nil
}

// Close ends the use of the directory.
func (h *Holding) Close() error {
	h.stop()
	h.ran.Wait()
	return errors.Join(h.store.Err(), h.store.Close(), h.closeSpool(), h.meta.Close(), h.db.Close())
}

func (h *Holding) closeSpool() error {
	if h.spool == nil {
		return nil
	}
	return h.spool.Close()
}

// Node is the id of the node, 16 hexadecimal digits.
func (h *Holding) Node() string { return h.node }

// Queues lists what is there, by name. nobody is how many messages in the spool are
// for no session that the node knew.
func (h *Holding) Queues() (list []Queue, nobody int, err error) {
	more, nobody, err := h.spooled()
	if err != nil {
		return nil, 0, err
	}
	err = h.store.Each(func(name string, _ queue.QueueID, st queue.State) bool {
		list = append(list, queueOf(name, st.Total(), more[name]))
		delete(more, name)
		return true
	})
	for name, count := range more {
		list = append(list, queueOf(name, 0, count))
	}
	slices.SortFunc(list, func(a, b Queue) int { return strings.Compare(a.name(), b.name()) })
	return list, nobody, err
}

func queueOf(name string, messages, spooled int) Queue {
	mountpoint, id := queue.SplitName(name)
	return Queue{mountpoint, id, messages, spooled}
}

// Pass gives a queue to put, part by part, each the body of a migration frame, and
// deletes it.
func (h *Holding) Pass(ctx context.Context, q Queue, put func(ctx context.Context, part []byte) error) (out Result, err error) {
	m := wire.Migration{Client: wire.Client{Mountpoint: q.Mountpoint, ID: q.ClientID}}
	session, found, err := metadata.ReadStopped(h.meta).GetSession(metadata.ClientKey{Mountpoint: q.Mountpoint, ClientID: q.ClientID})
	if err != nil {
		return out, err
	}
	if found {
		m.Epoch = wire.Epoch{HLC: session.Epoch.HLC, Node: wire.NodeID(session.Epoch.Node)}
	}
	id, _, err := h.store.Open(q.name(), false)
	if err != nil {
		return out, err
	}
	for at := (queue.Place{Generation: 1}); ; { // behind the packet ids
		b, err := h.part(id, at)
		if err != nil {
			return out, err
		}
		if len(b.Records) == 0 && b.Next == at {
			return out, h.drop(id)
		}
		expired := unexpired(b, time.Now().UnixMilli())
		b.Frame(&m)
		if err := put(ctx, wire.AppendMigration(nil, &m)); err != nil {
			return out, err
		}
		if err := h.gone(id, b); err != nil {
			return out, err
		}
		out.Passed, out.Expired, at = out.Passed+len(b.Records), out.Expired+expired, b.Next
	}
}

// unexpired takes out of a batch what is over by its own time, and counts it.
func unexpired(b *queue.Batch, now int64) (expired int) {
	kept := b.Records[:0]
	for _, r := range b.Records {
		if r.Msg.Expired(now) {
			expired++
			continue
		}
		kept = append(kept, r)
	}
	b.Records = kept
	return expired
}

// Discard drops a queue.
func (h *Holding) Discard(q Queue) error {
	id, _, err := h.store.Open(q.name(), false)
	if err != nil {
		return err
	}
	return h.drop(id)
}

func (h *Holding) part(id queue.QueueID, at queue.Place) (batch *queue.Batch, err error) {
	done := make(chan struct{})
	h.store.Export(id, at, partCountMax, partBytesMax, func(b *queue.Batch, e error) {
		batch, err = b, e
		close(done)
	})
	<-done
	return batch, err
}

func (h *Holding) gone(id queue.QueueID, b *queue.Batch) error {
	done := make(chan error, 1)
	h.store.Exported(id, b.Receipt, func(err error) { done <- err })
	return <-done
}

func (h *Holding) drop(id queue.QueueID) error {
	done := make(chan error, 1)
	h.store.Drop(id, func(err error) { done <- err })
	return <-done
}

package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"tombolo/internal/kv"
	"tombolo/internal/metric"
	"tombolo/metadata"
	"tombolo/queue"
)

// Names in the data directory, documented in docs/data-directory.md.
const (
	idFile    = "node.id"
	metaDir   = "metadata"
	queueDir  = "messages"
	socketNam = "admin.sock"
)

// openStores opens the data directory and the two databases in it.
func (n *Node) openStores() error {
	dir := n.set.String("data_dir")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data_dir %s cannot be made: %w; choose a directory that this user may write", dir, err)
	}
	if err := writable(dir); err != nil {
		return err
	}
	var err error
	meta, msgs := n.memoryBudgets()
	if n.metaDB, err = n.openDB(filepath.Join(dir, metaDir), meta); err != nil {
		return err
	}
	if n.queueDB, err = n.openDB(filepath.Join(dir, queueDir), msgs); err != nil {
		return err
	}
	if n.id, err = nodeID(filepath.Join(dir, idFile)); err != nil {
		return err
	}
	n.metrics.GaugeFunc(metric.Opts{Name: "leveldb_memory_limit_bytes", Help: "What both databases may use together for caches and buffers (leveldb.maximum_memory)."},
		func() float64 { return float64(meta + msgs) })
	n.countStores()
	if err := n.openCluster(); err != nil {
		return err
	}
	return n.openAbove()
}

// countStores shows what the databases say about themselves.
func (n *Node) countStores() {
	for name, db := range map[string]kv.DB{"metadata": n.metaDB, "messages": n.queueDB} {
		gauge := func(what, help string, f func(kv.Stats) float64) {
			n.metrics.GaugeFunc(metric.Opts{Name: "leveldb_" + name + "_" + what, Help: help + " (" + name + " database)."},
				func() float64 { return f(db.Stats()) })
		}
		gauge("memory_bytes", "Memory in caches and buffers", func(s kv.Stats) float64 { return float64(s.MemoryBytes) })
		gauge("table_bytes", "Size of the tables on disk", func(s kv.Stats) float64 { return float64(s.TableBytes) })
		gauge("level0_tables", "Tables that wait for compaction; writes are throttled when there are many", func(s kv.Stats) float64 { return float64(s.Level0Tables) })
		gauge("read_only", "1 if the database refuses writes after an error", func(s kv.Stats) float64 {
			if s.Failed != "" {
				return 1
			}
			return 0
		})
	}
}

// openAbove opens the stores on the databases.
func (n *Node) openAbove() error {
	var err error
	config := metadata.Config{Node: n.id, Metrics: n.metrics, Clock: n.wall, Steady: n.steady, OnEvent: n.replicaEvent}
	if n.cluster != nil {
		config.Replica.DriftMax = n.set.Duration("cluster.max_clock_drift")
		config.Transport, config.OnExchange, config.Join = n.cluster.Transport(), n.cluster.Exchange, n.joins()
	}
	n.metadata, err = metadata.Open(n.metaDB, config)
	if err != nil {
		return fmt.Errorf("metadata store: %w", err)
	}
	logger := n.log.For("queue")
	n.queue, err = queue.OpenStore(n.queueDB, queue.StoreConfig{
		Durability: durability(n.set.String("durability")), Metrics: n.metrics, Clock: n.steady,
		BatchEnd: func() { n.broker.BatchEnd() },
		Fault:    func(err error) { logger.Error("message store is damaged", "error", err) },
	})
	if err != nil {
		return fmt.Errorf("message store: %w", err)
	}
	return nil
}

// grave are the events of the metadata store that an operator should look into.
var grave = []string{"amnesia", "rollback", "quarantined", "digest", "refused", "drift", "capped", "damaged"}

// replicaEvent logs what the metadata store has found; all of it is counted.
func (n *Node) replicaEvent(e metadata.ReplicaEvent) {
	level := slog.LevelInfo
	if slices.Contains(grave, e.Kind.String()) {
		level = slog.LevelWarn
	}
	n.log.For("metadata").Log(context.Background(), level, "replication", "event", e.Kind.String(), "peer", fmt.Sprintf("%016x", e.Peer), "text", e.Text)
}

func durability(s string) queue.Durability {
	switch s {
	case "os":
		return queue.OS
	case "memory":
		return queue.Memory
	default:
		return queue.Fsync
	}
}

// openDB opens one database and says what recovery found.
func (n *Node) openDB(dir string, budget int64) (kv.DB, error) {
	o := kv.Options{MemoryBudget: budget, NoCompression: !n.set.Bool("leveldb.compression")}
	if n.set.String("durability") != "fsync" {
		o.Sync = kv.SyncNever
	}
	db, report, err := kv.OpenLevel(dir, o)
	switch {
	case errors.Is(err, kv.ErrLocked):
		return nil, fmt.Errorf("%s is in use by another process; stop it, or give this node a data_dir of its own: %w", dir, err)
	case err != nil:
		return nil, fmt.Errorf("database %s: %w", dir, err)
	}
	n.logReport(dir, report)
	return db, nil
}

// logReport says what opening a database has found.
func (n *Node) logReport(dir string, report *kv.Report) {
	for _, what := range report.Dropped {
		n.logger.Error("data could not be read and was left out", "database", dir, "what", what)
	}
	for _, path := range report.SetAside {
		n.logger.Error("damaged file set aside", "database", dir, "file", path)
	}
}

// closeStores closes what openStores opened.
func (n *Node) closeStores() error {
	var errs []error
	if n.queue != nil {
		errs = append(errs, n.queue.Close())
	}
	if n.metadata != nil {
		errs = append(errs, n.metadata.Close())
	}
	if n.spool != nil {
		errs = append(errs, n.spool.Close())
	}
	for _, db := range []kv.DB{n.queueDB, n.metaDB} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// memoryBudgets divides leveldb.maximum_memory: a quarter for metadata, the
// rest for messages.
func (n *Node) memoryBudgets() (meta, messages int64) {
	total := n.set.Bytes("leveldb.maximum_memory")
	if !n.set.IsSet("leveldb.maximum_memory") || total <= 0 {
		total = machineMemory() * int64(n.set.Int("leveldb.maximum_memory.percent")) / 100
	}
	return total / 4, total - total/4
}

// writable finds out whether files can be made in dir, with an error that says
// what to do.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".write-test-")
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return err // its owner is not to blame
	case err != nil:
		return fmt.Errorf("data_dir %s is not writable: %w; change its owner, or set data_dir", dir, err)
	}
	name := f.Name()
	return errors.Join(f.Close(), os.Remove(name))
}

// nodeID reads the node's identity, or makes one. It names the node for as
// long as its data lives, whatever its name and address.
func nodeID(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil || len(raw) != 8 {
			return 0, fmt.Errorf("%s does not hold a node id (16 hexadecimal digits); restore it from a backup, or remove it to make this a new node", path)
		}
		return binary.BigEndian.Uint64(raw), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("node id: %w", err)
	}
	var raw [8]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return 0, fmt.Errorf("node id: %w", err)
	}
	raw[0] &= 0x7f
	tmp := path + ".new"
	if err := writeSynced(tmp, []byte(hex.EncodeToString(raw[:])+"\n")); err != nil {
		return 0, fmt.Errorf("node id: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return 0, fmt.Errorf("node id: %w", err)
	}
	return binary.BigEndian.Uint64(raw[:]), nil
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

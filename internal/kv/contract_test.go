package kv_test

import (
	"testing"

	"tombolo/internal/kv"
	"tombolo/internal/kv/faulty"
	"tombolo/internal/kv/kvtest"
)

// small makes goleveldb rotate and compact within a test.
var small = kv.Options{MemoryBudget: 1 << 20}

func openOn(t testing.TB, d kv.Disk, o kv.Options) (kv.DB, *kv.Report) {
	t.Helper()
	db, report, err := kv.OpenLevelOn(d, o)
	if err != nil {
		t.Fatalf("open %s: %v", d.Name(), err)
	}
	return db, report
}

func onDisks(disk func(*testing.T) kv.Disk) kvtest.Maker {
	disks := map[kv.DB]kv.Disk{} // tests of one maker run one after the other
	start := func(t *testing.T, d kv.Disk) kv.DB {
		db, report := openOn(t, d, small)
		if len(report.Suspect)+len(report.Dropped)+len(report.SetAside) > 0 {
			t.Fatalf("a healthy database reports %+v", report)
		}
		disks[db] = d
		return db
	}
	return kvtest.Maker{
		Open: func(t *testing.T) kv.DB { return start(t, disk(t)) },
		Reopen: func(t *testing.T, db kv.DB) kv.DB {
			if err := db.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			return start(t, disks[db])
		},
	}
}

func TestContractMemory(t *testing.T) {
	kvtest.Run(t, kvtest.Maker{Open: func(*testing.T) kv.DB { return kv.OpenMemory() }})
}

func TestContractDirectory(t *testing.T) {
	kvtest.Run(t, onDisks(func(t *testing.T) kv.Disk { return kv.OSDisk(t.TempDir()) }))
}

func TestContractFaultyDisk(t *testing.T) {
	kvtest.Run(t, onDisks(func(*testing.T) kv.Disk { return faulty.New(1) }))
}

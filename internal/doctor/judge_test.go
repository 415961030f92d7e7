package doctor

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"
	"time"
)

// errOdd is a failure that no check foresees.
var errOdd = errors.New("odd")

// TestJudgements goes through what each probe may see.
func TestJudgements(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	tcp := Listener{Name: "tcp.default", Network: "tcp", Address: "127.0.0.1:1883"}
	in := func(p process) port { return port{err: syscall.EADDRINUSE, holder: p} }
	cases := []struct {
		name string
		got  Finding
		want State
	}{
		{"descriptors enough", judgeDescriptors(20_000, nil, 10_000), Well},
		{"descriptors just enough", judgeDescriptors(1500, nil, 1000), Well},
		{"descriptors one short", judgeDescriptors(1499, nil, 1000), Warning},
		{"descriptors unlimited clients", judgeDescriptors(20_000, nil, -1), Well},
		{"descriptors unlimited clients, low", judgeDescriptors(1024, nil, -1), Warning},
		{"descriptors unknown", judgeDescriptors(0, errOdd, 1), Unknown},
		{"backlog", judgeBacklog(4096, nil), Well},
		{"backlog low", judgeBacklog(128, nil), Warning},
		{"backlog unknown", judgeBacklog(0, errOdd), Unknown},
		{"directory", judgeDirectory(directory{path: "d", exists: true, isDir: true, mode: 0o750}), Well},
		{"directory to be made", judgeDirectory(directory{path: "d"}), Well},
		{"directory not to be made", judgeDirectory(directory{path: "d", writable: fs.ErrPermission}), Fault},
		{"directory is a file", judgeDirectory(directory{path: "d", exists: true}), Fault},
		{"directory not writable", judgeDirectory(directory{path: "d", exists: true, isDir: true, writable: fs.ErrPermission}), Fault},
		{"directory open to all", judgeDirectory(directory{path: "d", exists: true, isDir: true, mode: 0o755}), Warning},
		{"directory unknown", judgeDirectory(directory{err: errOdd}), Fault},
		{"files", judgeFiles(files{seen: 3}), Well},
		{"files of another", judgeFiles(files{strange: "x"}), Fault},
		{"files readable", judgeFiles(files{readable: "x"}), Warning},
		{"files unknown", judgeFiles(files{err: errOdd}), Unknown},
		{"sync", judgeSync(syncSeen{count: 9, median: time.Millisecond, p99: 2 * time.Millisecond}), Well},
		{"sync slow", judgeSync(syncSeen{count: 9, median: 11 * time.Millisecond, p99: 12 * time.Millisecond}), Warning},
		{"sync tail", judgeSync(syncSeen{count: 9, median: time.Millisecond, p99: time.Second}), Warning},
		{"sync in memory", judgeSync(syncSeen{count: 9, volatile: true}), Warning},
		{"sync failed", judgeSync(syncSeen{err: errOdd}), Fault},
		{"space", judgeSpace(space{free: 2 << 30, total: 4 << 30}), Well},
		{"space low", judgeSpace(space{free: 1 << 29}), Warning},
		{"space out", judgeSpace(space{free: 1 << 20}), Fault},
		{"space unknown", judgeSpace(space{err: errOdd}), Unknown},
		{"clock", judgeClock(clockSeen{now: now, ntp: true, synced: true, errorUs: 4000}), Well},
		{"clock in the past", judgeClock(clockSeen{now: time.Unix(0, 0), ntp: true, synced: true}), Fault},
		{"clock stepped back", judgeClock(clockSeen{now: now, step: -time.Second, ntp: true, synced: true}), Warning},
		{"clock not synchronised", judgeClock(clockSeen{now: now, ntp: true}), Warning},
		{"clock unknown", judgeClock(clockSeen{now: now}), Unknown},
		{"port free", judgePort(tcp, port{}), Well},
		{"port of our broker", judgePort(tcp, in(process{7, "tombolo"})), Well},
		{"port of another", judgePort(tcp, in(process{7, "mosquitto"})), Fault},
		{"port of somebody", judgePort(tcp, in(process{})), Fault},
		{"port forbidden", judgePort(tcp, port{err: syscall.EACCES}), Fault},
		{"port elsewhere", judgePort(tcp, port{err: syscall.EADDRNOTAVAIL}), Fault},
		{"port odd", judgePort(tcp, port{err: errOdd}), Fault},
		{"memory", judgeMemory(memory{bytes: 4 << 30}, 600<<20, 10_000), Well},
		{"memory short", judgeMemory(memory{bytes: 1 << 30, group: true}, 800<<20, 10_000), Warning},
		{"memory unknown", judgeMemory(memory{err: errOdd}, 0, 0), Unknown},
	}
	for _, c := range cases {
		if c.got.State != c.want {
			t.Errorf("%s: %+v, want %s", c.name, c.got, c.want)
		}
		if c.got.Check == "" || c.got.Found == "" || (c.got.State == Well) != (c.got.Remedy == "") {
			t.Errorf("%s: %+v: a finding says what was found, and has a remedy if it is not well", c.name, c.got)
		}
	}
}

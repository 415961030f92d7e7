package doctor

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// listing names what is in a directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestRunOnThisMachine(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	list := Run(t.Context(), Config{
		DataDir: dir, ConnectionsMax: 10, StorePercent: 1,
		Listeners: []Listener{{"tcp.taken", "tcp", ln.Addr().String()}, {"tcp.free", "tcp", "127.0.0.1:0"}},
	})
	states := map[string]State{}
	for _, f := range list {
		states[f.Check] = f.State
		t.Logf("%s: %s: %s", f.Check, f.State, f.Found)
	}
	for check, want := range map[string]State{
		"descriptors": Well, "data directory": Well, "data files": Well, "listener tcp.taken": Fault, "listener tcp.free": Well,
	} {
		if states[check] != want {
			t.Errorf("%s is %q, want %q", check, states[check], want)
		}
	}
	for _, check := range []string{"disk sync", "disk space", "clock", "memory", "accept backlog"} {
		if states[check] == "" {
			t.Errorf("%s was not looked at", check)
		}
	}
	if Healthy(list) {
		t.Error("a taken port is not healthy")
	}
	if left := listing(t, dir); left != "" {
		t.Errorf("the check left %q behind", left)
	}
}

func TestPortHolderIsFound(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p := tryListen(t.Context(), Listener{"x", "tcp", ln.Addr().String()})
	if p.holder.id != os.Getpid() || p.holder.name == "" {
		t.Fatalf("the holder is %+v, want process %d", p.holder, os.Getpid())
	}
	if p := holderOf(t.TempDir(), 1883); p.id != 0 {
		t.Fatalf("without /proc the holder is %+v", p)
	}
}

// TestPortHolderIsTheListener has a client whose own port is the one asked
// for: it stands in the table as well, and holds nothing.
func TestPortHolderIsTheListener(t *testing.T) {
	proc := t.TempDir()
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:075B 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 111 1
   1: 0100007F:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1
`
	for id, inode := range map[string]string{"41": "111", "42": "222"} {
		fd := filepath.Join(proc, id, "fd")
		if err := os.MkdirAll(fd, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("socket:["+inode+"]", filepath.Join(fd, "3")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(proc, "net"), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{"net/tcp": table, "42/comm": "mosquitto\n"} {
		if err := os.WriteFile(filepath.Join(proc, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if p := holderOf(proc, 1883); p != (process{42, "mosquitto"}) {
		t.Errorf("the holder is %+v", p)
	}
	if p := holderOf(proc, 1884); p.id != 0 {
		t.Errorf("nobody's port is held by %+v", p)
	}
}

func TestPortsThatCannotBe(t *testing.T) {
	for address, part := range map[string]string{
		"192.0.2.1:1883":   "no address of this machine",
		"127.0.0.1:banana": "correct listener.",
	} {
		l := Listener{"tcp.x", "tcp", address}
		f := judgePort(l, tryListen(t.Context(), l))
		if f.State != Fault || !strings.Contains(f.Found+f.Remedy, part) {
			t.Errorf("%s: %+v, want %q", address, f, part)
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "mqtt.sock")
	if p := tryListen(t.Context(), Listener{"x", "unix", path}); p.err != nil || listing(t, dir) != "" {
		t.Errorf("a free socket path: %v, left %q", p.err, listing(t, dir))
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if p := tryListen(t.Context(), Listener{"x", "unix", path}); p.err == nil {
		t.Error("a socket path that is answered counts as free")
	}
}

func TestDirectoryProbe(t *testing.T) {
	dir := t.TempDir()
	if d := lookAtDirectory(filepath.Join(dir, "a", "b")); d.exists || d.writable != nil || judgeDirectory(d).State != Well {
		t.Errorf("a directory that can be made: %+v", d)
	}
	if listing(t, dir) != "" {
		t.Errorf("looking made %q", listing(t, dir))
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d := lookAtDirectory(file); d.usable() || judgeDirectory(d).State != Fault {
		t.Errorf("a file: %+v", d)
	}
	if d := lookAtDirectory(filepath.Join(file, "x")); judgeDirectory(d).State != Fault {
		t.Errorf("below a file: %+v", d)
	}
}

func TestFilesProbe(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if w := walkFiles(t.Context(), dir); w.seen != 4 || w.strange != "" || w.readable != "" || w.err != nil {
		t.Errorf("clean files: %+v", w)
	}
	open := filepath.Join(dir, "1")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if w := walkFiles(t.Context(), dir); w.readable != open {
		t.Errorf("a readable file: %+v", w)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if w := walkFiles(t.Context(), dir); w.readable != "" {
		t.Errorf("a readable file behind a closed directory: %+v", w)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(open, 4711, -1); err != nil {
			t.Fatal(err)
		}
		if w := walkFiles(t.Context(), dir); w.strange != open {
			t.Errorf("a file of another user: %+v", w)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if w := walkFiles(ended, dir); w.err == nil {
		t.Error("a walk whose time is over says nothing")
	}
}

func TestSyncProbe(t *testing.T) {
	dir := t.TempDir()
	s := measureSync(t.Context(), dir, 10*time.Millisecond)
	if s.err != nil || s.count == 0 || s.median > s.p99 || s.p99 == 0 {
		t.Errorf("%+v", s)
	}
	if s := measureSync(t.Context(), filepath.Join(dir, "none"), time.Millisecond); judgeSync(s).State != Fault {
		t.Errorf("a directory that is not there: %+v", s)
	}
	if listing(t, dir) != "" {
		t.Errorf("measuring left %q", listing(t, dir))
	}
}

func TestMemoryProbe(t *testing.T) {
	if m := lookAtMemory(); m.err != nil || m.bytes < 1<<20 {
		t.Errorf("%+v", m)
	}
	if n, err := readBacklog(); err != nil || n < 1 {
		t.Errorf("somaxconn %d, %v", n, err)
	}
}

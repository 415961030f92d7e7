package systemd

import (
	"context"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// manager is a service manager's end of the socket.
func manager(t *testing.T, name string) (env map[string]string, receive func() string) {
	t.Helper()
	address := name
	if name[0] == '@' {
		address = "\x00" + name[1:]
	}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return map[string]string{"NOTIFY_SOCKET": name}, func() string {
		t.Helper()
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("nothing came: %v", err)
		}
		return string(b[:n])
	}
}

func from(env map[string]string) *Notifier {
	return New(func(name string) string { return env[name] })
}

func TestMessages(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@tombolo-test-" + strconv.FormatInt(time.Now().UnixNano(), 36)} {
		env, receive := manager(t, name)
		n := from(env)
		for _, c := range []struct {
			send func() error
			want string
		}{
			{func() error { return n.Ready("two\nlines") }, "READY=1\nSTATUS=two lines"},
			{func() error { return n.Reloading(5 * time.Millisecond) }, "RELOADING=1\nMONOTONIC_USEC=5000"},
			{n.Stopping, "STOPPING=1"},
			{func() error { return n.Status("draining") }, "STATUS=draining"},
			{func() error { return n.Extend(time.Second) }, "EXTEND_TIMEOUT_USEC=1000000"},
		} {
			if err := c.send(); err != nil {
				t.Fatal(err)
			}
			if got := receive(); got != c.want {
				t.Errorf("%s: got %q, want %q", name, got, c.want)
			}
		}
	}
}

func TestNobodyListens(t *testing.T) {
	if err := from(nil).Ready("x"); err != nil {
		t.Errorf("without a manager: %v", err)
	}
	from(nil).RunWatchdog(t.Context(), func() bool { t.Error("asked without a watchdog"); return true }, func(error) {})
	if err := from(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "none")}).Ready("x"); err == nil {
		t.Error("a socket that is not there was notified")
	}
}

func TestWatchdog(t *testing.T) {
	env, receive := manager(t, filepath.Join(t.TempDir(), "notify"))
	env["WATCHDOG_USEC"], env["WATCHDOG_PID"] = "2000", "1"
	if n := from(env); n.watchdog != 0 {
		t.Error("a watchdog meant for another process was taken")
	}
	env["WATCHDOG_PID"] = ""
	n := from(env)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	asked := make(chan struct{}, 1)
	go func() {
		defer close(done)
		n.RunWatchdog(ctx, func() bool {
			select {
			case asked <- struct{}{}:
				return false // silent the first time: a broker that hangs gives no sign
			default:
				return true
			}
		}, func(err error) { t.Error(err) })
	}()
	for range 3 {
		if got := receive(); got != "WATCHDOG=1" {
			t.Errorf("got %q", got)
		}
	}
	cancel()
	<-done
	if len(asked) != 1 {
		t.Error("the watchdog did not ask whether the broker is alive")
	}
}

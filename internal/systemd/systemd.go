// Package systemd tells the service manager how the broker is: started,
// reloading, stopping, alive.
//
// State owned: none. Concurrency: a Notifier is immutable and safe for
// concurrent use. Guarantees: (1) without NOTIFY_SOCKET every call does nothing
// and succeeds; (2) no call blocks longer than a moment. Failure: an error is
// returned to be logged; the broker runs on without the manager knowing.
package systemd

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// sendTimeout bounds a notification: the socket's buffer may be full.
const sendTimeout = time.Second

// Notifier speaks the protocol of sd_notify(3). Immutable once built.
type Notifier struct {
	socket   string        // "" when nobody wants to know
	watchdog time.Duration // 0 when nobody waits for a sign of life
}

// New reads what the service manager put into the environment; getenv is
// os.Getenv outside tests.
func New(getenv func(string) string) *Notifier {
	n := &Notifier{socket: getenv("NOTIFY_SOCKET")}
	us, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	pid := getenv("WATCHDOG_PID")
	if n.socket != "" && err == nil && us > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.watchdog = time.Duration(us) * time.Microsecond
	}
	return n
}

// Ready says that the broker serves clients; status is a line for people.
func (n *Notifier) Ready(status string) error {
	return n.send("READY=1", "STATUS="+oneLine(status))
}

// Reloading says that the configuration is being read again; Ready ends it.
// sinceBoot is the monotonic clock's time.
func (n *Notifier) Reloading(sinceBoot time.Duration) error {
	return n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(sinceBoot.Microseconds(), 10))
}

// Stopping says that the broker drains.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Status changes the line for people.
func (n *Notifier) Status(status string) error { return n.send("STATUS=" + oneLine(status)) }

// Extend asks for more time to start or to stop.
func (n *Notifier) Extend(by time.Duration) error {
	return n.send("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(by.Microseconds(), 10))
}

// RunWatchdog gives signs of life, twice an interval, as long as alive says
// so, until ctx ends. Without a watchdog it returns at once. A sign that could
// not be sent is told to failed.
func (n *Notifier) RunWatchdog(ctx context.Context, alive func() bool, failed func(error)) {
	if n.watchdog == 0 {
		return
	}
	tick := time.NewTicker(n.watchdog / 2)
	defer tick.Stop()
	for {
		if alive() {
			if err := n.send("WATCHDOG=1"); err != nil {
				failed(err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Notifier) send(lines ...string) error {
	if n.socket == "" {
		return nil
	}
	name := n.socket
	if strings.HasPrefix(name, "@") {
		name = "\x00" + name[1:] // Linux's abstract namespace
	}
	c, err := net.DialTimeout("unixgram", name, sendTimeout)
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	defer c.Close()
	if err = c.SetWriteDeadline(time.Now().Add(sendTimeout)); err == nil {
		_, err = c.Write([]byte(strings.Join(lines, "\n")))
	}
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	return nil
}

// oneLine keeps a status from ending its assignment.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }

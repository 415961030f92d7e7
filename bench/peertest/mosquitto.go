// Package peertest starts other people's brokers as real processes for tests.
//
// State owned: one process for each call, ended with its test. Concurrency:
// each call stands alone. Guarantee: when a call returns, the broker accepts
// connections. Failure: the test fails and says what is missing.
package peertest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tombolo/internal/freeport"
)

// startTimeoutMax bounds one start on a busy machine.
const startTimeoutMax = 20 * time.Second

// Broker is a running process. Immutable once started.
type Broker struct {
	Address string   // host:port of the first listener
	PID     int      // of the process
	Extra   []string // host:port of the further listeners, in order
}

// Mosquitto starts mosquitto with an anonymous listener on loopback. Each of
// listeners adds one more: its lines of configuration, such as "protocol
// websockets".
func Mosquitto(tb testing.TB, listeners ...string) *Broker {
	tb.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto"
	}
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("this test needs the mosquitto broker (Debian: apt-get install mosquitto): %v", err)
	}
	var reason string
	for range 5 { // another process may take a port between our look and the start
		b, said := start(tb, path, listeners)
		if b != nil {
			return b
		}
		reason = said
	}
	tb.Fatalf("mosquitto did not start: %s", reason)
	return nil
}

func start(tb testing.TB, path string, listeners []string) (*Broker, string) {
	tb.Helper()
	b := &Broker{Address: freeAddress(tb)}
	var conf strings.Builder
	conf.WriteString("user root\nallow_anonymous true\nmax_queued_messages 0\n")
	listen(&conf, b.Address, "")
	for _, lines := range listeners {
		address := freeAddress(tb)
		b.Extra = append(b.Extra, address)
		listen(&conf, address, lines)
	}
	file := filepath.Join(tb.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(path, "-c", file)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("starting %s: %v", path, err)
	}
	b.PID = cmd.Process.Pid
	running := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		watch(bufio.NewScanner(stderr), running)
		_ = cmd.Wait() // killed below, so always an error
	}()
	stop := func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	timer := time.NewTimer(startTimeoutMax)
	defer timer.Stop()
	select {
	case said := <-running:
		if said == "" {
			tb.Cleanup(stop)
			return b, ""
		}
		stop()
		return nil, said
	case <-timer.C:
		stop()
		return nil, fmt.Sprintf("no word within %v", startTimeoutMax)
	}
}

// watch reads the log to its end and sends once: "" when the broker runs, its
// last words when it ended before.
func watch(log *bufio.Scanner, running chan<- string) {
	said, told := "it ended without a word", false
	for log.Scan() {
		if !told {
			said = log.Text()
			if strings.HasSuffix(said, " running") {
				running <- ""
				told = true
			}
		}
	}
	if !told {
		running <- said
	}
}

func listen(conf *strings.Builder, address, lines string) {
	host, port, _ := net.SplitHostPort(address)
	fmt.Fprintf(conf, "listener %s %s\n%s\n", port, host, lines)
}

func freeAddress(tb testing.TB) string {
	address, err := freeport.Address()
	if err != nil {
		tb.Fatal(err)
	}
	return address
}

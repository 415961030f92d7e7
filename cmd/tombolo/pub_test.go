package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tombolo/bench/peertest"
)

// toolRun is one run of a subcommand within the test process, with the exit
// code that main would end with.
type toolRun struct {
	out, err toolOutput
	code     int
	done     chan struct{}
}

// toolOutput is safe for a reader beside the writer; words are seen by until.
type toolOutput struct {
	mu struct {
		sync.Mutex
		text  bytes.Buffer
		grown chan struct{}
	}
}

func (b *toolOutput) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.grown != nil {
		close(b.mu.grown)
		b.mu.grown = nil
	}
	return b.mu.text.Write(p)
}

func (b *toolOutput) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.text.String()
}

// until waits for words to appear.
func (b *toolOutput) until(t *testing.T, words string) {
	t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for {
		b.mu.Lock()
		found := strings.Contains(b.mu.text.String(), words)
		if b.mu.grown == nil {
			b.mu.grown = make(chan struct{})
		}
		grown := b.mu.grown
		b.mu.Unlock()
		if found {
			return
		}
		select {
		case <-grown:
		case <-limit.C:
			t.Fatalf("%q did not appear in %q", words, b.String())
		}
	}
}

// toolLimit ends a command that hangs. Two dozen scenarios on brokers that are
// started for each of them take half a minute where the race detector looks on.
const toolLimit = 5 * time.Minute

func startTool(t *testing.T, stdin string, args ...string) *toolRun {
	t.Helper()
	c := &toolRun{done: make(chan struct{})}
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&c.out)
	root.SetErr(&c.err)
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(t.Context()), toolLimit,
		fmt.Errorf("the test gave up after %v", toolLimit))
	go func() {
		defer close(c.done)
		defer cancel()
		if err := root.ExecuteContext(ctx); err != nil {
			c.code = exitUsage
			var e *exitError
			if errors.As(err, &e) {
				c.code = e.code
			}
			_, _ = c.err.Write([]byte(err.Error()))
			if ctx.Err() != nil {
				_, _ = c.err.Write([]byte(context.Cause(ctx).Error()))
			}
		}
	}()
	t.Cleanup(func() { <-c.done })
	return c
}

func (c *toolRun) wait() *toolRun {
	<-c.done
	return c
}

func runTool(t *testing.T, stdin string, args ...string) *toolRun {
	t.Helper()
	return startTool(t, stdin, args...).wait()
}

// atBroker puts the broker's address into the arguments.
func atBroker(b *peertest.Broker, args ...string) []string {
	host, port, _ := net.SplitHostPort(b.Address)
	return append(args, "-h", host, "-p", port)
}

// subscribed starts tombolo sub and returns once the broker has taken the
// subscription.
func subscribed(t *testing.T, b *peertest.Broker, args ...string) *toolRun {
	t.Helper()
	c := startTool(t, "", append(atBroker(b, "sub", "-d"), args...)...)
	c.err.until(t, "subscribed ")
	return c
}

// TestPubSources: a message from every source arrives as it was.
func TestPubSources(t *testing.T) {
	b := peertest.Mosquitto(t)
	file := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(file, []byte("from\nfile"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"31", "mqttv311", "5"} {
		sub := subscribed(t, b, "-t", "t/#", "-C", "8", "-F", `%t %q %l [%p]`, "-q", "2", "-V", version)
		for _, c := range []struct {
			stdin string
			args  []string
		}{
			{"", []string{"-m", "text"}},
			{"", []string{"-f", file, "-q", "1"}},
			{"all\nof it\n", []string{"-s", "-q", "2"}},
			{"one\r\n\nthree", []string{"-l", "-q", "1"}},
			{"", []string{"-n"}},
			{"", []string{"-f", "-", "-q", "2"}},
		} {
			args := append(atBroker(b, "pub", "-t", "t/x", "-V", version), c.args...)
			if got := runTool(t, c.stdin, args...); got.code != 0 {
				t.Fatalf("%v: exit code %d: %s", c.args, got.code, got.err.String())
			}
		}
		want := "t/x 0 4 [text]\nt/x 1 9 [from\nfile]\nt/x 2 10 [all\nof it\n]\n" +
			"t/x 1 3 [one]\nt/x 1 0 []\nt/x 1 5 [three]\nt/x 0 0 []\nt/x 2 0 []\n"
		if got := sub.wait(); got.code != 0 || got.out.String() != want {
			t.Errorf("MQTT %s: exit code %d, got\n%swant\n%s", version, got.code, got.out.String(), want)
		}
	}
}

// TestPubProperties: what -D says arrives, user properties in order.
func TestPubProperties(t *testing.T) {
	b := peertest.Mosquitto(t)
	sub := subscribed(t, b, "-t", "t", "-C", "1", "-F", "%C|%R|%D|%E|%F|%P|%S|%p",
		"-D", "subscription-identifier=7")
	got := runTool(t, "", atBroker(b, "pub", "-t", "t", "-m", "x", "-D", "content-type=json", "-D", "response-topic=re/ply",
		"-D", "correlation-data=17", "-D", "message-expiry-interval=3600", "-D", "payload-format-indicator=1",
		"-D", "user-property=b=1", "-D", "user-property=a=2=3", "-D", "topic-alias=1",
		"-D", "connect.receive-maximum=5")...)
	if got.code != 0 {
		t.Fatalf("exit code %d: %s", got.code, got.err.String())
	}
	if want := "json|re/ply|17|3600|1|b:1 a:2=3|7|x\n"; sub.wait().out.String() != want {
		t.Errorf("got %q, want %q", sub.out.String(), want)
	}
}

func TestPubRepeat(t *testing.T) {
	b := peertest.Mosquitto(t)
	sub := subscribed(t, b, "-t", "t", "-C", "3", "-N")
	runTool(t, "", atBroker(b, "pub", "-t", "t", "-m", "x", "--repeat", "3", "--repeat-delay", "1ms")...)
	if got := sub.wait().out.String(); got != "xxx" {
		t.Errorf("got %q", got)
	}
}

// TestPubWill: a will with its properties is sent when the client vanishes; a
// second connection with the same client id makes it vanish.
func TestPubWill(t *testing.T) {
	b := peertest.Mosquitto(t)
	sub := subscribed(t, b, "-t", "will/#", "-C", "1", "-F", "%t %p %q %C")
	victim := subscribed(t, b, "-t", "none", "-i", "victim", "--will-topic", "will/v", "--will-payload", "gone",
		"--will-qos", "1", "-D", "will.content-type=text")
	if got := runTool(t, "", atBroker(b, "pub", "-t", "x", "-m", "y", "-i", "victim")...); got.code != 0 {
		t.Fatalf("exit code %d: %s", got.code, got.err.String())
	}
	if got := sub.wait().out.String(); got != "will/v gone 0 text\n" {
		t.Errorf("got %q", got)
	}
	if victim.wait().code == 0 {
		t.Errorf("the client that was thrown out ended with exit code 0")
	}
}

// TestPubFaults: exit codes, and errors that name what to do.
func TestPubFaults(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"pub -t a -m x -p 1", exitUnreachable, "tombolo dev"},
		{"pub -m x", exitUsage, "add -t"},
		{"pub -t a", exitUsage, "add -m TEXT"},
		{"pub -t a -m x -n", exitUsage, "give one"},
		{"pub -t a/# -m x", exitUsage, "one publishes on a name"},
		{"pub -t a -m x -q 3", exitUsage, "QoS is 0, 1 or 2"},
		{"pub -t a -m x -V 4", exitUsage, "mqttv311"},
		{"pub -t a -m x -c", exitUsage, "add -i"},
		{"pub -t a -m x -D colour=red", exitUsage, "there are: payload-format-indicator"},
		{"pub -t a -m x -D publish", exitUsage, "-D content-type=json"},
		{"pub -t a -m x -V 311 -D content-type=x", exitUsage, "use -V mqttv5"},
		{"pub -t a -m x --will-payload x", exitUsage, "add --will-topic"},
		{"pub -t a -m x --cert x", exitUsage, "--cert and --key belong together"},
		{"pub -t a -m x --cafile /nowhere", exitUsage, "--cafile"},
		{"pub -t a -f /nowhere", exitEnvironment, "reading the message"},
		{"pub -t a -m x -V 311 -P secret", exitUsage, "needs a user name"},
		{"pub -t a -m x -L http://h", exitUsage, "use mqtt, mqtts, ws or wss"},
		{"pub -t a -l --repeat 2", exitUsage, "each line is sent once"},
		{"sub -t a/#/b", exitUsage, "a filter is such as"},
		{"sub", exitUsage, "add -t"},
		{"sub -t a -F %y", exitUsage, "no such mark"},
		{"sub -t a -v --json", exitUsage, "give one"},
		{"sub -t a -R --retained-only", exitUsage, "give one"},
		{"sub -t a -V 311 --no-local", exitUsage, "use -V mqttv5"},
		{"sub -t a -W x", exitUsage, "give seconds"},
	} {
		got := runTool(t, "", strings.Fields(c.args)...)
		if got.code != c.code || !strings.Contains(got.err.String(), c.want) {
			t.Errorf("%s: exit code %d, %q; want %d and %q", c.args, got.code, got.err.String(), c.code, c.want)
		}
	}
}

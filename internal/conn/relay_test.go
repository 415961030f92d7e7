package conn

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// relayRole names the variable that turns the test binary into a relay: a
// process of its own, so that its CPU can be told from that of its clients.
const relayRole = "TOMBOLO_CONN_TEST_RELAY"

const (
	relayPairs   = 50
	relayMessage = 128
	relayRunsMin = 3
	relayRunsMax = 5
	relayRunTime = 600 * time.Millisecond
	relayTick    = time.Millisecond // one message each
)

// relayMain serves one relay until standard input ends. It prints its address,
// and for each line that comes what it has used.
func relayMain(role string) {
	address, stats := "", &Stats{}
	role, onLoop := strings.CutSuffix(role, "-loop")
	if role == "control" {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		go controlRelay(ln)
		address = ln.Addr().String()
	} else {
		if role == "limited" {
			limitDescriptors()
		}
		cfg := Config{Kind: KindTCP, Address: "127.0.0.1:0"}
		if onLoop {
			cfg.Loops = 1
		}
		if role == "idle-tls" {
			cfg.Kind, cfg.TLS = KindSSL, selfSigned()
		}
		l, err := Listen(cfg)
		if err != nil {
			panic(err)
		}
		accept := echo
		switch role {
		case "driver":
			accept = (&relay{}).accept
		case "idle", "idle-tls":
			accept = deepEcho
		}
		go l.Serve(context.Background(), accept)
		address, stats = l.AddrString(), l.Stats()
	}
	fmt.Println(address)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			panic(err)
		}
		cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		fmt.Println(cpu.Microseconds(), usage.Nvcsw, residentBytes(), stats.Refused(RefusedDescriptors), readCalls())
	}
}

// readCalls is how often this process has called read, 0 where that is not counted.
func readCalls() (n int64) {
	data, _ := os.ReadFile("/proc/self/io")
	_, rest, _ := strings.Cut(string(data), "syscr:")
	_, _ = fmt.Sscan(rest, &n)
	return n
}

// relay passes what comes on one connection of a pair to the other. A client's
// first byte is the number of its pair. Its table is guarded by mu.
type relay struct {
	mu    sync.Mutex
	pairs [256][2]Conn
}

func (r *relay) accept(c Conn) Handler {
	var peer Conn
	pair := -1
	return &funcHandler{
		bytes: func(b []byte) (int, int, error) {
			n := len(b)
			if pair < 0 {
				pair, b = int(b[0]), b[1:]
				r.mu.Lock()
				if r.pairs[pair][0] == nil {
					r.pairs[pair][0] = c
				} else {
					r.pairs[pair][1] = c
				}
				r.mu.Unlock()
				appendBytes(c, []byte{1})
				c.Flush()
			}
			if len(b) == 0 {
				return n, 0, nil
			}
			if peer == nil {
				r.mu.Lock()
				if peer = r.pairs[pair][0]; peer == c {
					peer = r.pairs[pair][1]
				}
				r.mu.Unlock()
			}
			appendBytes(peer, b)
			return n, 0, nil
		},
		roundEnd: func() {
			if peer != nil {
				peer.Flush()
			}
		},
	}
}

// controlRelay is the same as most servers in Go are written: a goroutine a
// connection, blocking reads and writes of net.Conn.
func controlRelay(ln net.Listener) {
	var mu sync.Mutex
	var pairs [256][2]net.Conn
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			buf := make([]byte, 4096)
			if _, err := io.ReadFull(nc, buf[:1]); err != nil {
				return
			}
			pair := buf[0]
			mu.Lock()
			if pairs[pair][0] == nil {
				pairs[pair][0] = nc
			} else {
				pairs[pair][1] = nc
			}
			mu.Unlock()
			_, _ = nc.Write([]byte{1})
			var peer net.Conn
			for {
				n, err := nc.Read(buf)
				if err != nil {
					return
				}
				if peer == nil {
					mu.Lock()
					if peer = pairs[pair][0]; peer == nc {
						peer = pairs[pair][1]
					}
					mu.Unlock()
				}
				_, _ = peer.Write(buf[:n])
			}
		}()
	}
}

// relayProcess is a relay in a process of its own, with its clients.
type relayProcess struct {
	in        io.WriteCloser
	out       *bufio.Scanner
	address   string
	all       []net.Conn
	senders   []net.Conn
	delivered atomic.Int64
	readers   sync.WaitGroup
}

// startProcess runs this binary in a role and waits for its address.
func startProcess(t testing.TB, role string) *relayProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), relayRole+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &relayProcess{in: in, out: bufio.NewScanner(out)}
	t.Cleanup(func() {
		p.hangUp()
		p.readers.Wait()
		_ = in.Close()
		_ = cmd.Wait()
	})
	if !p.out.Scan() {
		t.Fatal("the process says no address")
	}
	p.address = p.out.Text()
	return p
}

// hangUp closes all clients.
func (p *relayProcess) hangUp() {
	for _, nc := range p.all {
		_ = nc.Close()
	}
	p.all = nil
}

// dial connects a client that ends with the test.
func (p *relayProcess) dial(t testing.TB) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.all = append(p.all, nc)
	return nc
}

// startRelay starts a relay and connects its pairs.
func startRelay(t testing.TB, role string) *relayProcess {
	t.Helper()
	p := startProcess(t, role)
	for i := range 2 * relayPairs {
		nc := p.dial(t)
		if _, err := nc.Write([]byte{byte(i / 2)}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			p.senders = append(p.senders, nc)
			continue
		}
		p.readers.Go(func() {
			buf := make([]byte, relayMessage*relayBatch)
			for whole, part := 0, 0; ; {
				n, err := nc.Read(buf)
				if err != nil {
					return
				}
				part += n
				whole, part = part/relayMessage, part%relayMessage
				p.delivered.Add(int64(whole))
			}
		})
	}
	return p
}

// usage is what a process has used so far, or what one delivery has cost it.
type usage struct {
	cpuMicros, sleeps, resident, refused, reads float64
}

func (p *relayProcess) usage(t testing.TB) (u usage) {
	t.Helper()
	if _, err := fmt.Fprintln(p.in); err != nil || !p.out.Scan() {
		t.Fatal("the relay has ended")
	}
	if _, err := fmt.Sscan(p.out.Text(), &u.cpuMicros, &u.sleeps, &u.resident, &u.refused, &u.reads); err != nil {
		t.Fatal(err)
	}
	return u
}

// run sends lone messages for a while and returns what each delivery has cost
// the relay.
func (p *relayProcess) run(t testing.TB) usage {
	t.Helper()
	before, base := p.usage(t), p.delivered.Load()
	message := make([]byte, relayMessage)
	tick := time.NewTicker(relayTick)
	defer tick.Stop()
	end := time.Now().Add(relayRunTime)
	sent := int64(0)
	for now := range tick.C {
		if now.After(end) {
			break
		}
		if _, err := p.senders[sent%relayPairs].Write(message); err != nil {
			t.Fatal(err)
		}
		sent++
	}
	eventually(t, "all deliveries", func() bool { return p.delivered.Load()-base == sent })
	after := p.usage(t)
	return usage{
		cpuMicros: (after.cpuMicros - before.cpuMicros) / float64(sent),
		sleeps:    (after.sleeps - before.sleeps) / float64(sent),
		reads:     (after.reads - before.reads) / float64(sent),
	}
}

// The reason for the raw driver: for lone messages it costs at most 0.6 of the CPU
// that blocking calls do, because no call wakes the runtime's monitor thread.
//
// On a quiet machine the ratio is about 0.35. What both relays have in common, the
// kernel's work for a packet on loopback, grows severalfold when other processes
// take the caches, and moves the ratio towards one though the cause is as it was.
// The cause can be counted: a relay whose monitor sleeps goes to sleep once a
// message, the control more than twice. If that ratio is below one half, the bound on
// CPU is 0.8.
func TestRawCostsLessThanPlain(t *testing.T) {
	if runtime.GOOS != "linux" || raceEnabled {
		t.Log("the raw driver is measured on Linux without the race detector")
		return
	}
	driver, loop, control := startRelay(t, "driver"), startRelay(t, "driver-loop"), startRelay(t, "control")
	driver.run(t) // warm up: pools, stacks, page tables
	control.run(t)
	var cpu, sleeps []float64
	for i := range relayRunsMax {
		raw, looped, plain := driver.run(t), loop.run(t), control.run(t)
		t.Logf("CPU per delivery: raw %.1f µs, loop %.1f µs, plain %.1f µs; sleeps: %.2f, %.2f and %.2f",
			raw.cpuMicros, looped.cpuMicros, plain.cpuMicros, raw.sleeps, looped.sleeps, plain.sleeps)
		cpu = append(cpu, raw.cpuMicros/plain.cpuMicros)
		sleeps = append(sleeps, raw.sleeps/plain.sleeps)
		if i+1 >= relayRunsMin && median(cpu) <= 0.55 {
			break
		}
	}
	bound := 0.6
	if median(sleeps) < 0.5 {
		bound = 0.8
	}
	t.Logf("median ratios: CPU %.2f, sleeps %.2f", median(cpu), median(sleeps))
	if median(cpu) > bound || median(sleeps) > 0.6 {
		t.Errorf("the raw driver costs %.2f of the plain control's CPU, want at most %.2f, and %.2f of its sleeps, want at most 0.60", median(cpu), bound, median(sleeps))
	}
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

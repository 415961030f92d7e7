package across

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"tombolo/bench"
	"tombolo/mqtt/packet"
)

// asRelay has the test's program be a relay; its value is the address of the
// relay to which it is joined, if there is one.
const asRelay = "TOMBOLO_RELAY_TO"

func TestMain(m *testing.M) {
	if to, is := os.LookupEnv(asRelay); is {
		relay(to)
		return
	}
	os.Exit(m.Run())
}

// BenchmarkFloor is what the way of a crossing message costs without a broker: a
// client's socket, a process, a socket, a process, a client's socket, and the
// answer back, at 1,000 messages a second of ten pairs. The relays parse what they
// must, keep nothing, and read and write with raw calls. It reports the medians from
// when messages were written and from when they were due.
func BenchmarkFloor(b *testing.B) {
	for range b.N {
		first, link := startRelay(b, "")
		second, _ := startRelay(b, link)
		for qos := range uint8(2) {
			c := bench.Defaults(bench.Latency)
			c.Targets, c.Cross, c.QoS, c.Duration, c.WarmUp = []string{first, second}, true, qos, 3*time.Second, 500*time.Millisecond
			res, err := bench.Run(b.Context(), c)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(res.Written.P50, fmt.Sprintf("µs-QoS%d", qos))
			b.ReportMetric(res.Latency.P50, fmt.Sprintf("µs-since-due-QoS%d", qos))
		}
	}
}

// startRelay returns where clients and where another relay may connect.
func startRelay(b *testing.B, to string) (clients, link string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asRelay+"="+to)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	clients, link, _ = strings.Cut(strings.TrimSpace(line), " ")
	return clients, link
}

// wire is one connection of a relay. Reading is one goroutine's, writing
// anybody's.
type wire struct {
	raw syscall.RawConn
	mu  sync.Mutex
}

func (w *wire) read(p []byte) (n int) {
	_ = w.raw.Read(func(fd uintptr) bool { // n says it
		got, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		if errno == 0 {
			n = int(got)
		}
		return errno != syscall.EAGAIN
	})
	return n
}

func (w *wire) write(p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.raw.Write(func(fd uintptr) bool { // a reader sees the end
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		if errno == 0 {
			p = p[n:]
		}
		return len(p) == 0 || errno != 0 && errno != syscall.EAGAIN
	})
}

// hub is what a relay knows. Guarded by mu.
type hub struct {
	mu       sync.Mutex
	subs     map[string]*wire // by topic
	askers   map[string]*wire // publishers at QoS 1, by topic
	neighbor *wire
}

func relay(to string) {
	h := &hub{subs: map[string]*wire{}, askers: map[string]*wire{}}
	links, clients := listen(), listen()
	if to != "" {
		conn, err := net.Dial("tcp", to)
		if err != nil {
			panic(err)
		}
		h.neighbor = h.serve(conn)
	} else {
		go func() {
			w := h.serve(accept(links))
			h.mu.Lock()
			h.neighbor = w
			h.mu.Unlock()
		}()
	}
	fmt.Println(clients.Addr(), links.Addr())
	for {
		h.serve(accept(clients))
	}
}

func listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return l
}

func accept(l net.Listener) net.Conn {
	c, err := l.Accept()
	if err != nil {
		panic(err)
	}
	return c
}

// serve reads packets until the connection ends.
func (h *hub) serve(c net.Conn) *wire {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		panic(err)
	}
	w := &wire{raw: raw}
	go func() {
		defer c.Close()
		buf, have := make([]byte, 256<<10), 0
		for {
			n := w.read(buf[have:])
			if n == 0 {
				return
			}
			rest := buf[:have+n]
			for {
				f, size, err := packet.Split(rest, 0)
				if err != nil || size == 0 {
					break
				}
				h.take(w, f, rest[:size])
				rest = rest[size:]
			}
			have = copy(buf, rest)
		}
	}()
	return w
}

func (h *hub) take(from *wire, f packet.Frame, bytes []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch f.Type {
	case packet.TypeConnect:
		from.write(packet.AppendConnack(nil, packet.V311, &packet.Connack{}))
	case packet.TypeSubscribe:
		var s packet.Subscribe
		if packet.DecodeSubscribe(f, packet.V311, &s) != nil {
			return
		}
		name := string(s.Subscriptions[0].Filter)
		if from == h.neighbor {
			if asker := h.askers[name]; asker != nil {
				asker.write(packet.AppendAck(nil, packet.V311, &packet.Ack{Type: packet.TypePuback, ID: s.ID}))
			}
		} else {
			h.subs[name] = from
			from.write(packet.AppendSuback(nil, packet.V311, &packet.Suback{ID: s.ID, Reasons: []packet.ReasonCode{packet.ReasonCode(s.Subscriptions[0].QoS)}}))
		}
	case packet.TypePublish:
		var p packet.Publish
		if packet.DecodePublish(f, packet.V311, &p) != nil {
			return
		}
		if from != h.neighbor {
			if p.QoS > 0 && h.askers[string(p.Topic)] == nil {
				h.askers[string(p.Topic)] = from
			}
			h.neighbor.write(bytes)
			return
		}
		if to := h.subs[string(p.Topic)]; to != nil {
			to.write(bytes)
		}
		if p.QoS > 0 { // the answer names the topic, so that the other relay knows who asked
			from.write(packet.AppendSubscribe(nil, packet.V311, &packet.Subscribe{ID: p.ID, Subscriptions: []packet.Subscription{{Filter: p.Topic}}}))
		}
	}
}

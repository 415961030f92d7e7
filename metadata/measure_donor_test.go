package metadata

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"syscall"
	"testing"
	"time"

	"tombolo/internal/kv"
)

// pipe carries frames over a connection, each behind its length, from a goroutine of
// its own: Send does not block. A frame without bytes says that the joiner has all keys.
// Its channel is its only state.
type pipe struct{ out chan []byte }

func (p pipe) Send(_ uint64, frame []byte) {
	select {
	case p.out <- frame:
	default: // lost, as a link may lose it
	}
}

func (p pipe) write(conn net.Conn) {
	w := bufio.NewWriter(conn)
	for f := range p.out {
		var head [4]byte
		binary.BigEndian.PutUint32(head[:], uint32(len(f)))
		w.Write(head[:])
		w.Write(f)
		if len(p.out) == 0 && w.Flush() != nil {
			return
		}
	}
}

// read hands over frames until the connection or ended says that it is over.
func (p pipe) read(conn net.Conn, deliver func(frame []byte), ended func()) {
	r := bufio.NewReader(conn)
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}
		if len(frame) == 0 {
			ended()
			continue
		}
		deliver(frame)
	}
}

const joinSocket = "TOMBOLO_JOIN_SOCKET"

// joinerProcess is the empty store, in memory: what it writes is on no disk of the
// donor's. It runs until it is killed.
func joinerProcess(t *testing.T, keys int) {
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, env("TOMBOLO_JOINER_NICE", 19)); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", os.Getenv(joinSocket))
	if err != nil {
		t.Fatal(err)
	}
	p := pipe{make(chan []byte, 4096)}
	go p.write(conn)
	config := measured(&trio{}, 2)
	config.Transport, config.Replica.Join = p, true
	s := open(t, kv.NewMemory(), config)
	s.SetMembers(1, []Member{{ID: 1}, {ID: 2}})
	s.PeerUp(1)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		p.read(conn, func(f []byte) { s.Deliver(1, f) }, func() {})
	}()
	eventually(t, "all keys", func() bool { return s.Status().Live >= int64(keys) })
	p.out <- nil
	<-gone
}

// TestMeasureDonor: what a join costs the writers of its donor, the joiner being another
// process that has no disk and gives way on the processor, as one on a machine of its
// own would.
func TestMeasureDonor(t *testing.T) {
	keys := env("TOMBOLO_JOIN_KEYS", sized(2000, 1_000_000))
	if os.Getenv(joinSocket) != "" {
		joinerProcess(t, keys)
		return
	}
	p := pipe{make(chan []byte, 4096)}
	config := measured(&trio{}, 1)
	config.Transport = p
	donor := open(t, level(t), config)
	fill(t, donor, "k", keys)
	donor.SetMembers(1, []Member{{ID: 1}, {ID: 2}})
	idle := latencies(t, donor, sized(50, 3000))
	before := heap()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	joiner := exec.Command(os.Args[0], "-test.run=^TestMeasureDonor$")
	joiner.Env, joiner.Stdout, joiner.Stderr = append(os.Environ(), joinSocket+"="+socket), os.Stderr, os.Stderr
	if err := joiner.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go p.write(conn)
	go p.read(conn, func(f []byte) { donor.Deliver(2, f) }, func() { close(ended) })
	used := cpuTime()
	start := time.Now()
	donor.PeerUp(2)
	var during []time.Duration
	most := uint64(0)
	for over := false; !over; {
		during = append(during, latencies(t, donor, 20)...)
		most = max(most, inUse())
		select {
		case <-ended:
			over = true
		default:
		}
	}
	took, cpu := time.Since(start), cpuTime()-used
	conn.Close()
	if err := joiner.Wait(); err != nil {
		t.Errorf("the joiner: %v", err)
	}
	again := latencies(t, donor, sized(50, 3000))
	fmt.Printf("donor: %d keys in %v, %v of its CPU; writes idle %s, during %s, idle again %s; p99 %.1f × idle; heap %d MB before, %d MB at most in use\n",
		keys, took.Round(time.Millisecond), cpu.Round(time.Millisecond), spread(idle), spread(during), spread(again),
		float64(p99(during))/float64(p99(idle)), before>>20, most>>20)
}

// inUse is the heap as it is, with what is not collected yet.
func inUse() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// spread is the median, the 99th percentile and the longest.
func spread(list []time.Duration) string {
	slices.Sort(list)
	at := func(n int) time.Duration { return list[(len(list)-1)*n/1000].Round(10 * time.Microsecond) }
	return fmt.Sprintf("%d writes p50 %v p90 %v p99 %v p999 %v max %v", len(list), at(500), at(900), at(990), at(999), at(1000))
}

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// prefix begins the name of every namespace of a laboratory; the process id, the
// network's number in it and the host's number follow.
const prefix = "tombolo-lab-"

// networks counts the networks of this process, for the names of their hosts.
var networks atomic.Uint64

// HostsMax is how many hosts a network may have.
const HostsMax = 32

// packetMax is the size of the largest packet, which is also the devices' MTU.
const packetMax = 9000

// Network is a set of hosts and what lies between them. Safe for concurrent use;
// its fields are immutable once New has returned.
type Network struct {
	number uint64
	hosts  []*Host
	ways   [][]*direction // by source, then destination
	stop   chan struct{}
	wg     sync.WaitGroup
	once   sync.Once
	err    error
}

// New makes a network of n hosts with the addresses 10.77.0.1 and following.
// Everything passes until rules are set.
func New(n int) (*Network, error) { return newNetwork(n, false) }

// NewWithHere makes one in which the last of n hosts is this machine itself, for
// the tools of who sits at it. There can be one such network at a time.
func NewWithHere(n int) (*Network, error) { return newNetwork(n, true) }

func newNetwork(n int, here bool) (*Network, error) {
	if n < 1 || n > HostsMax {
		return nil, fmt.Errorf("lab: %d hosts; 1 to %d are possible", n, HostsMax)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("lab: network namespaces want root: run it with sudo")
	}
	if err := sweep(); err != nil {
		return nil, err
	}
	w := &Network{number: networks.Add(1), stop: make(chan struct{})}
	for i := range n {
		h, err := func() (*Host, error) {
			if here && i == n-1 {
				return newHere(i)
			}
			return newHost(w, i)
		}()
		if err != nil {
			return nil, errors.Join(err, w.Close())
		}
		w.hosts = append(w.hosts, h)
	}
	w.ways = make([][]*direction, n)
	for from := range n {
		w.ways[from] = make([]*direction, n)
		for to := range n {
			d := newDirection(w.hosts[to].deliver)
			w.ways[from][to] = d
			w.wg.Go(func() { d.run(w.stop) })
		}
	}
	for _, h := range w.hosts {
		w.wg.Go(func() { w.read(h) })
	}
	return w, nil
}

// namespaces is where the ip command keeps them.
const namespaces = "/run/netns"

// sweep removes the namespaces of laboratories that were killed.
func sweep() error {
	list, err := os.ReadDir(namespaces)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	for _, e := range list {
		rest, ours := strings.CutPrefix(e.Name(), prefix)
		if !ours {
			continue
		}
		pid, _, _ := strings.Cut(rest, "-")
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join("/proc", pid)); err == nil {
			continue
		}
		if err := ip("netns", "del", e.Name()); err != nil {
			if _, gone := os.Stat(filepath.Join(namespaces, e.Name())); errors.Is(gone, os.ErrNotExist) {
				continue // another laboratory sweeps at the same time
			}
			return err
		}
	}
	return nil
}

// Hosts is the number of hosts.
func (w *Network) Hosts() int { return len(w.hosts) }

// Host returns the host with this number, from 0.
func (w *Network) Host(i int) *Host { return w.hosts[i] }

// SetRule sets the rule from one host to another; the other direction keeps its.
func (w *Network) SetRule(from, to int, r Rule) { w.ways[from][to].rule.Store(&r) }

// RuleOf returns the rule in force from one host to another.
func (w *Network) RuleOf(from, to int) Rule { return *w.ways[from][to].rule.Load() }

// Cut cuts both directions between hosts of different groups, and heals those
// within a group. Hosts in no group keep their rules.
func (w *Network) Cut(groups ...[]int) {
	side := make(map[int]int)
	for g, hosts := range groups {
		for _, h := range hosts {
			side[h] = g + 1
		}
	}
	for a, ga := range side {
		for b, gb := range side {
			if a != b {
				r := w.RuleOf(a, b)
				r.Cut = ga != gb
				w.SetRule(a, b, r)
			}
		}
	}
}

// Heal lets everything pass again.
func (w *Network) Heal() {
	for from := range w.hosts {
		for to := range w.hosts {
			w.SetRule(from, to, Rule{})
		}
	}
}

// Dropped is how many packets were dropped from one host to another.
func (w *Network) Dropped(from, to int) uint64 { return w.ways[from][to].dropped.Load() }

// read carries what a host sends until its device is closed.
func (w *Network) read(h *Host) {
	buf := make([]byte, packetMax+64)
	for {
		n, err := h.tun.Read(buf)
		if err != nil {
			return
		}
		if to, ok := w.destination(buf[:n]); ok && to != h.number {
			w.ways[h.number][to].take(buf[:n])
		}
	}
}

// destination is the host that an IPv4 packet is for; others are not carried.
func (w *Network) destination(packet []byte) (int, bool) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return 0, false
	}
	i := int(binary.BigEndian.Uint32(packet[16:20])) - firstAddress
	return i, i >= 0 && i < len(w.hosts)
}

// firstAddress is 10.77.0.1, the address of host 0.
const firstAddress = 10<<24 | 77<<16 | 1

func address(i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(firstAddress+i))
	return netip.AddrFrom4(b)
}

// Close ends what runs on the hosts and removes them.
func (w *Network) Close() error {
	w.once.Do(func() {
		close(w.stop)
		var errs []error
		for _, h := range w.hosts {
			errs = append(errs, h.close())
		}
		w.wg.Wait()
		w.err = errors.Join(errs...)
	})
	return w.err
}

package netsplit

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the expected text of the scripts in testdata")

// TestScripts runs the stories in testdata: commands, each followed by what
// happened and an empty line. Time moves only by advance. Run one alone with
// -run TestScripts/NAME.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := playScript(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("%s differs; got:\n%s", file, got)
			}
		})
	}
}

func playScript(t *testing.T, text string) string {
	var c *cluster
	var out bytes.Buffer
	for i, block := range strings.Split(strings.TrimRight(text, "\n"), "\n\n") {
		if i > 0 {
			out.WriteByte('\n')
		}
		for _, line := range strings.Split(block, "\n") {
			fmt.Fprintln(&out, line)
			if strings.HasPrefix(line, "#") {
				continue
			}
			if strings.HasPrefix(line, "nodes ") {
				c = newCluster(line)
			} else if c == nil {
				t.Fatalf("%q before nodes", line)
			} else {
				c.do(t, line)
			}
			out.WriteString(c.take())
			break // the rest of the block is what was expected
		}
	}
	return out.String()
}

// cluster is some detectors and the network between them. Heartbeats take
// 20 ms; a link can be cut for each direction and plane.
type cluster struct {
	now    int64
	nodes  []*scripted
	cut    map[[2]int]bool // from, to: both planes
	cutOne map[[3]int]bool // from, to, plane
	flight []flying
	policy Policy
	log    bytes.Buffer
	start  int64
	lag    func() int64 // what exchanges take; nil: nothing
}

type scripted struct {
	d      *Detector
	wake   int64
	frozen bool
	inbox  []flying           // what waits while frozen
	ready  map[[2]int64]int64 // by peer and steadyFrom: when exchanges with it are done
}

type flying struct {
	at   int64
	to   int
	beat Heartbeat
}

const transit = 20

// newCluster reads "nodes 3 [tiebreaker=1] [stopped=2] [absent=3] [joins=3]"; one
// that joins is by itself until "join".
func newCluster(line string) *cluster {
	words := strings.Fields(line)
	n, _ := strconv.Atoi(words[1])
	c := &cluster{now: 1_000_000, start: 1_000_000, cut: map[[2]int]bool{}, cutOne: map[[3]int]bool{}}
	c.policy = Policy{Majority, Majority, Majority, Majority}
	var config Config
	states := map[int]State{}
	joins := 0
	for _, w := range words[2:] {
		name, value, _ := strings.Cut(w, "=")
		id, _ := strconv.Atoi(value)
		switch name {
		case "tiebreaker":
			config.Tiebreaker = NodeID(id)
		case "stopped":
			states[id] = Stopped
		case "absent":
			states[id] = Absent
		case "joins":
			joins = id
		}
	}
	var members []Member
	for i := 1; i <= n; i++ {
		if i == joins {
			continue
		}
		members = append(members, Member{ID: NodeID(i), State: states[i]})
	}
	set := NewMembers(1, members...)
	for i := 1; i <= n; i++ {
		c.nodes = append(c.nodes, &scripted{d: NewDetector(config, NodeID(i), 7, set, c.now), wake: c.now})
	}
	for id := range states {
		c.nodes[id-1].frozen = true
	}
	if joins > 0 {
		c.nodes[joins-1] = &scripted{d: NewDetector(config, NodeID(joins), 7, NewMembers(0, Member{ID: NodeID(joins)}), c.now), wake: c.now}
	}
	return c
}

func (c *cluster) do(t *testing.T, line string) {
	words := strings.Fields(line)
	switch words[0] {
	case "advance":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			t.Fatal(err)
		}
		c.advance(d.Milliseconds())
	case "stop": // as planned: the mark, then the end of the process; or the other way round
		id, _ := strconv.Atoi(words[1])
		c.stop(id, words[2:])
	case "start": // one that was stopped
		id, _ := strconv.Atoi(words[1])
		c.freeze(id, false)
	case "join":
		var all []Member
		for i := range c.nodes {
			all = append(all, Member{ID: NodeID(i + 1)})
		}
		for i, n := range c.nodes {
			var e Effects
			n.d.SetMembers(NewMembers(2, all...), c.now, &e)
			c.effects(i, &e)
		}
	case "cut", "heal":
		c.change(words[1:], words[0] == "cut")
	case "freeze", "thaw":
		for _, w := range words[1:] {
			id, _ := strconv.Atoi(w)
			c.freeze(id, words[0] == "freeze")
		}
	case "verdict":
		for _, n := range c.nodes {
			if !n.frozen {
				c.print(n, n.d.Verdict())
			}
		}
	case "exchanges": // how long one takes from now on
		d, err := time.ParseDuration(words[1])
		if err != nil {
			t.Fatal(err)
		}
		c.lag = func() int64 { return d.Milliseconds() }
	case "policy":
		for i, w := range words[1:] {
			m, err := ParseMode(w)
			if err != nil {
				t.Fatal(err)
			}
			c.policy[i] = m
		}
	default:
		t.Fatalf("unknown command %q", line)
	}
}

// stop ends a node for the others: "mark" is what the record says, "close" the end of
// its connections.
func (c *cluster) stop(id int, how []string) {
	c.freeze(id, true)
	for _, w := range how {
		for i, n := range c.nodes {
			if n.frozen {
				continue
			}
			var e Effects
			if w == "close" {
				n.d.Closed(NodeID(id), c.now, &e)
			} else {
				var all []Member
				for j := range c.nodes {
					all = append(all, Member{ID: NodeID(j + 1), State: map[bool]State{true: Stopped}[j+1 == id]})
				}
				n.d.SetMembers(NewMembers(2, all...), c.now, &e)
			}
			c.effects(i, &e)
		}
	}
}

// change reads "1-2" (both directions), "1>2" (one), "1>2.bulk" (one plane),
// "1,2|3" (every pair across).
func (c *cluster) change(words []string, cut bool) {
	for _, w := range words {
		if left, right, ok := strings.Cut(w, "|"); ok {
			for _, a := range strings.Split(left, ",") {
				for _, b := range strings.Split(right, ",") {
					x, _ := strconv.Atoi(a)
					y, _ := strconv.Atoi(b)
					c.cut[[2]int{x, y}], c.cut[[2]int{y, x}] = cut, cut
				}
			}
			continue
		}
		word, plane, one := strings.Cut(w, ".")
		var x, y int
		if both := strings.Contains(word, "-"); both {
			fmt.Sscanf(word, "%d-%d", &x, &y)
			c.cut[[2]int{x, y}], c.cut[[2]int{y, x}] = cut, cut
			continue
		}
		fmt.Sscanf(word, "%d>%d", &x, &y)
		if !one {
			c.cut[[2]int{x, y}] = cut
			continue
		}
		p := int(Control)
		if plane == "bulk" {
			p = int(Bulk)
		}
		c.cutOne[[3]int{x, y, p}] = cut
	}
}

func (c *cluster) freeze(id int, frozen bool) {
	n := c.nodes[id-1]
	n.frozen = frozen
	if frozen {
		return
	}
	// A process that goes on runs its timer first and reads its sockets then.
	c.tick(id-1, n)
	for _, f := range n.inbox {
		c.hear(f)
	}
	n.inbox = nil
}

// advance moves time in steps of 10 ms.
func (c *cluster) advance(ms int64) {
	for end := c.now + ms; c.now < end; {
		c.now += 10
		for len(c.flight) > 0 && c.flight[0].at <= c.now {
			f := c.flight[0]
			c.flight = c.flight[1:]
			if n := c.nodes[f.to-1]; n.frozen {
				n.inbox = append(n.inbox, f)
				continue
			}
			c.hear(f)
		}
		for i, n := range c.nodes {
			if !n.frozen && c.now >= n.wake {
				c.tick(i, n)
			}
		}
	}
}

func (c *cluster) hear(f flying) {
	var e Effects
	c.nodes[f.to-1].d.Heard(&f.beat, c.now, &e)
	c.effects(f.to-1, &e)
}

func (c *cluster) tick(i int, n *scripted) {
	var e Effects
	n.d.Tick(c.now, &e)
	n.wake = e.Wake
	c.effects(i, &e)
	// The exchange of metadata and of registries follows as soon as a link is
	// steady, and is quick.
	for _, l := range n.d.links {
		if l.steadyFrom > 0 && !l.exchanged {
			if c.lag != nil {
				k := [2]int64{int64(l.id), l.steadyFrom}
				if n.ready == nil {
					n.ready = map[[2]int64]int64{}
				}
				if _, ok := n.ready[k]; !ok {
					n.ready[k] = c.now + c.lag()
				}
				if c.now < n.ready[k] {
					continue
				}
			}
			var e Effects
			n.d.Exchanged(l.id, c.now, c.now, &e)
			n.d.Registered(l.id, c.now, &e)
			c.effects(i, &e)
		}
	}
}

func (c *cluster) effects(i int, e *Effects) {
	from := i + 1
	for _, s := range e.Send {
		to := int(s.To)
		if !c.cut[[2]int{from, to}] && !c.cutOne[[3]int{from, to, int(s.Heartbeat.Plane)}] {
			c.flight = append(c.flight, flying{at: c.now + transit, to: to, beat: s.Heartbeat})
		}
	}
	names := map[EventKind]string{LinkSuspect: "suspects", LinkDown: "gives up", LinkUp: "reaches", SplitBegan: "sees a split", SplitEnded: "sees it whole", Stalled: "stalled"}
	for _, ev := range e.Events {
		fmt.Fprintf(&c.log, "%5.2fs  %d %s", float64(c.now-c.start)/1000, from, names[ev.Kind])
		if ev.Peer != 0 {
			fmt.Fprintf(&c.log, " %d", ev.Peer)
		}
		if ev.Kind == SplitEnded || ev.Kind == Stalled {
			fmt.Fprintf(&c.log, " after %v", ev.For)
		}
		c.log.WriteByte('\n')
	}
}

func (c *cluster) print(n *scripted, v *Verdict) {
	s := c.policy.Snapshot(v)
	open := []string{}
	for o, name := range [...]string{"register", "publish", "subscribe", "unsubscribe"} {
		if s.Allows(Operation(o)) {
			open = append(open, name)
		}
	}
	fmt.Fprintf(&c.log, "%d: split=%v unreachable=%v missing=%v primary=%v majority=%v unproven=%v open=%s\n",
		n.d.self, v.Split, v.Unreachable, v.Missing, v.Primary, v.Majority, v.Unproven, strings.Join(open, ","))
}

// take returns what happened since the last call, and checks the invariants.
func (c *cluster) take() string {
	out := c.log.String()
	c.log.Reset()
	c.start = c.now
	for _, n := range c.nodes {
		if err := n.d.check(); err != nil {
			out += "BROKEN: " + err.Error() + "\n"
		}
	}
	return out + c.checkMajority()
}

// check holds a detector to the invariants in its comment.
func (d *Detector) check() error {
	want := []NodeID{}
	d.members.Each(func(m Member) {
		if m.ID != d.self {
			want = append(want, m.ID)
		}
	})
	have := []NodeID{}
	for _, l := range d.links {
		have = append(have, l.id)
		if l.state == linkUp && l.steadyFrom == 0 {
			return fmt.Errorf("(2) link to %d is up and not steady", l.id)
		}
	}
	if !slices.Equal(want, have) {
		return fmt.Errorf("(1) links %v, members %v", have, want)
	}
	if d.verdict.Split != (len(d.verdict.Missing) > 0) {
		return fmt.Errorf("(3) split=%v with %v missing", d.verdict.Split, d.verdict.Missing)
	}
	return nil
}

// checkMajority holds the cluster to guarantee 4: two nodes that are open reach
// each other, or at least one counts the other in its group and has not heard
// yet that it fell out. Neither would be two groups. Frozen nodes admit
// nothing, since they do not run.
func (c *cluster) checkMajority() string {
	var open []*scripted
	for _, n := range c.nodes {
		if v := n.d.Verdict(); !n.frozen && v.Split && v.Majority && !v.Unproven {
			open = append(open, n)
		}
	}
	for i, a := range open {
		for _, b := range open[i+1:] {
			va, vb := a.d.Verdict(), b.d.Verdict()
			if !(a.d.reaches(b.d.self) && b.d.reaches(a.d.self)) && !slices.Contains(va.Primary, b.d.self) && !slices.Contains(vb.Primary, a.d.self) {
				return fmt.Sprintf("BROKEN: (guarantee 4) node %d is open in %v and node %d in %v\n", a.d.self, va.Primary, b.d.self, vb.Primary)
			}
		}
	}
	return ""
}

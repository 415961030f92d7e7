package lab

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Action is what a Step of a schedule does.
type Action uint8

// The actions.
const (
	Split   Action = iota // cut into the two groups: A and the rest
	OneWay                // cut from A[0] to B
	Apart                 // cut both ways between A[0] and B: others reach both
	Slow                  // delay and loss from A[0] to B
	Heal                  // everything passes again
	Freeze                // SIGSTOP for a while
	Thaw                  // SIGCONT
	Kill                  // kill -9, and start again
	Restart               // SIGTERM, and start again
	Wander                // subscribers go to another broker
	Full                  // the disk of a node is filled
	Room                  // ... and has room again, and the node is killed and started
	actions
)

var actionNames = [actions]string{"split", "one way", "apart", "slow", "heal", "freeze", "thaw", "kill", "restart", "wander", "full", "room"}

// String is the action's name.
func (a Action) String() string { return actionNames[a] }

// Step is one thing that happens to a cluster. A value.
type Step struct {
	After  time.Duration // since the step before
	Action Action
	A      []int // nodes
	B      int   // the other node, where there is one
}

// String tells the step.
func (s Step) String() string {
	switch s.Action {
	case OneWay, Apart, Slow:
		return fmt.Sprintf("%s %d and %d", s.Action, s.A[0], s.B)
	case Heal, Wander:
		return s.Action.String()
	}
	return fmt.Sprintf("%s %v", s.Action, s.A)
}

// Random makes a schedule of n steps for a cluster of nodes. At most one node is
// frozen, full or restarting at a time, and the last step leaves everything whole.
// One seed always makes one schedule.
func Random(seed uint64, nodes, n int) []Step {
	r := rand.New(rand.NewPCG(seed, 0x7461_6e67))
	var steps []Step
	ill, cure := -1, Thaw // who is frozen or full, and what ends it
	add := func(a Action, list []int, b int) {
		steps = append(steps, Step{After: time.Duration(200+r.IntN(4000)) * time.Millisecond, Action: a, A: list, B: b})
	}
	for len(steps) < n {
		a := r.IntN(nodes)
		b := (a + 1 + r.IntN(nodes-1)) % nodes
		switch k := Action(r.IntN(int(actions))); {
		case k == Thaw, k == Room, (k == Freeze || k == Full) && ill >= 0, (k == Kill || k == Restart) && ill == a:
			if ill >= 0 {
				add(cure, []int{ill}, 0)
				ill = -1
			}
		case k == Freeze:
			ill, cure = a, Thaw
			add(Freeze, []int{a}, 0)
		case k == Full:
			ill, cure = a, Room
			add(Full, []int{a}, 0)
		case k == Split && nodes > 3 && r.IntN(2) == 0:
			add(Split, []int{a, b}, 0)
		default:
			add(k, []int{a}, b)
		}
	}
	if ill >= 0 {
		add(cure, []int{ill}, 0)
	}
	add(Heal, nil, 0)
	return steps
}

// Parse reads a schedule as String writes its steps, each after the time in
// seconds that follows it: "wander 0.5, one way 2 and 0, restart [1] 2".
func Parse(text string) ([]Step, error) {
	var steps []Step
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		s := Step{After: time.Second}
		rest, found := part, false
		for a, name := range actionNames {
			if r, ok := strings.CutPrefix(part, name); ok {
				s.Action, rest, found = Action(a), r, true
			}
		}
		if !found {
			return nil, fmt.Errorf("lab: %q is no step", part)
		}
		fields := strings.Fields(strings.NewReplacer("[", "", "]", "", " and ", " ").Replace(rest))
		want := map[Action]int{OneWay: 2, Apart: 2, Slow: 2, Heal: 0, Wander: 0}
		nodes, ok := want[s.Action]
		if !ok {
			nodes = 1
		}
		if len(fields) < nodes || len(fields) > nodes+1 {
			return nil, fmt.Errorf("lab: %q wants %d nodes, and the seconds before it", part, nodes)
		}
		if len(fields) > nodes {
			d, err := time.ParseDuration(fields[nodes] + "s")
			if err != nil {
				return nil, fmt.Errorf("lab: %q: %w", part, err)
			}
			s.After = d
		}
		for i, f := range fields[:nodes] {
			n, err := strconv.Atoi(f)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("lab: %q: %q is no node", part, f)
			}
			if i == 0 {
				s.A = []int{n}
			} else {
				s.B = n
			}
		}
		steps = append(steps, s)
	}
	return steps, nil
}

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
	Clock                 // the wall clock of A[0] is set, By before the machine's
	actions
)

var actionNames = [actions]string{"split", "one way", "apart", "slow", "heal", "freeze", "thaw", "kill", "restart", "wander", "full", "room", "clock"}

// String is the action's name.
func (a Action) String() string { return actionNames[a] }

// pair says that the action is between two nodes, A[0] and B.
func (a Action) pair() bool { return a == OneWay || a == Apart || a == Slow }

// everywhere says that the action names no nodes.
func (a Action) everywhere() bool { return a == Heal || a == Wander }

// Step is one thing that happens to a cluster. A value.
type Step struct {
	After  time.Duration // since the step before
	Action Action
	A      []int // nodes
	B      int   // the other node, where there is one
	By     time.Duration
}

// String tells the step.
func (s Step) String() string {
	switch {
	case s.Action.pair():
		return fmt.Sprintf("%s %d and %d", s.Action, s.A[0], s.B)
	case s.Action.everywhere():
		return s.Action.String()
	case s.Action == Clock:
		return fmt.Sprintf("%s %v by %v", s.Action, s.A, s.By)
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
		case k == Clock:
			add(Clock, []int{a}, 0)
			steps[len(steps)-1].By = clockSteps[r.IntN(len(clockSteps))] * time.Duration(1-2*r.IntN(2))
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

// clockSteps are by how much a wall clock is set wrong: minutes to hours.
var clockSteps = []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour}

// Text writes a schedule for Parse.
func Text(steps []Step) string {
	var list []string
	for _, s := range steps {
		list = append(list, fmt.Sprintf("%s %.3f", s, s.After.Seconds()))
	}
	return strings.Join(list, ", ")
}

// Parse reads a schedule as String writes its steps, each after the time in
// seconds that follows it: "wander 0.5, one way 2 and 0, restart [1] 2".
func Parse(text string) ([]Step, error) {
	var steps []Step
	for part := range strings.SplitSeq(text, ",") {
		s, err := parseStep(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// parseStep reads one step: its action, its nodes, by how much, and when.
func parseStep(part string) (Step, error) {
	s := Step{After: time.Second}
	rest, found := part, false
	for a, name := range actionNames {
		if r, ok := strings.CutPrefix(part, name); ok {
			s.Action, rest, found = Action(a), r, true
		}
	}
	if !found {
		return s, fmt.Errorf("lab: %q is no step", part)
	}
	list, after := "", rest
	switch {
	case s.Action.everywhere():
	case s.Action.pair():
		words := strings.Fields(strings.Replace(rest, " and ", " ", 1))
		n := min(2, len(words))
		list, after = strings.Join(words[:n], " "), strings.Join(words[n:], " ")
	default:
		var ok bool
		if list, after, ok = strings.Cut(rest, "]"); !ok {
			return s, fmt.Errorf("lab: %q wants its nodes as [1]", part)
		}
		list = strings.Replace(list, "[", "", 1)
	}
	var nodes []int
	for _, word := range strings.Fields(list) {
		n, err := strconv.Atoi(word)
		if err != nil || n < 0 {
			return s, fmt.Errorf("lab: %q: %q is no node", part, word)
		}
		nodes = append(nodes, n)
	}
	if s.Action.pair() {
		if len(nodes) != 2 {
			return s, fmt.Errorf("lab: %q wants two nodes", part)
		}
		s.B, nodes = nodes[1], nodes[:1]
	} else if !s.Action.everywhere() && len(nodes) == 0 {
		return s, fmt.Errorf("lab: %q wants a node", part)
	}
	s.A = nodes
	return s, s.parseTimes(part, strings.Fields(after))
}

// parseTimes reads what follows the nodes: by how much a clock is set, and the
// seconds before the step.
func (s *Step) parseTimes(part string, words []string) (err error) {
	if s.Action == Clock {
		if len(words) < 2 || words[0] != "by" {
			return fmt.Errorf("lab: %q wants by how much: clock [0] by 1h", part)
		}
		if s.By, err = time.ParseDuration(words[1]); err != nil {
			return fmt.Errorf("lab: %q: %w", part, err)
		}
		words = words[2:]
	}
	if len(words) > 1 {
		return fmt.Errorf("lab: %q: nothing follows the seconds", part)
	}
	if len(words) == 1 {
		if s.After, err = time.ParseDuration(words[0] + "s"); err != nil {
			return fmt.Errorf("lab: %q: %w", part, err)
		}
	}
	return nil
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Commands are what Do understands, with their arguments, for a help text.
const Commands = `split 1 2,3       cut the groups from each other
oneway 1 2        cut what goes from node 1 to node 2
delay 1 2 50ms    delay what goes between them, both ways
loss 1 2 5        lose 5 % of what goes between them, both ways
heal              let everything pass again
freeze 1, thaw 1  stop the process from running (SIGSTOP), let it go on
kill 1            end the process at once (SIGKILL)
stop 1            end it as systemd does (SIGTERM)
start 1           start it again
clock 1 -1h       set its wall clock wrong by as much
show              what runs and what is cut`

// ErrCommand is a command that is not understood; nothing was done.
var ErrCommand = errors.New("not understood")

// Do carries out a command that an operator has typed and says what was done.
// Nodes are counted from 1.
func (t *Trial) Do(ctx context.Context, words []string) (string, error) {
	if len(words) == 0 {
		return "", ErrCommand
	}
	name, args := words[0], words[1:]
	switch {
	case name == "split" && len(args) > 1:
		return t.split(args)
	case name == "heal" && len(args) == 0:
		t.Net.Heal()
		return "everything passes", nil
	case name == "show" && len(args) == 0:
		return t.show(), nil
	case name == "oneway" && len(args) == 2:
		return t.between(args, false, func(r *Rule) { r.Cut = true })
	case name == "delay" && len(args) == 3:
		d, err := time.ParseDuration(args[2])
		if err != nil || d < 0 || d > time.Minute {
			return "", fmt.Errorf("%w: a delay is a duration up to a minute, such as 50ms", ErrCommand)
		}
		return t.between(args[:2], true, func(r *Rule) { r.Delay = d })
	case name == "loss" && len(args) == 3:
		p, err := strconv.ParseFloat(strings.TrimSuffix(args[2], "%"), 64)
		if err != nil || !(p >= 0 && p <= 100) {
			return "", fmt.Errorf("%w: a loss is a percentage from 0 to 100", ErrCommand)
		}
		return t.between(args[:2], true, func(r *Rule) { r.Loss = p / 100 })
	case name == "clock" && len(args) == 2:
		return t.clock(ctx, args[0], args[1])
	case len(args) == 1:
		return t.process(ctx, name, args[0])
	}
	return "", fmt.Errorf("%w: %s; there are:\n%s", ErrCommand, strings.Join(words, " "), Commands)
}

func (t *Trial) node(word string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(word, "node"))
	if err != nil || n < 1 || n > len(t.Brokers) {
		return 0, fmt.Errorf("%w: node %q; there are 1 to %d", ErrCommand, word, len(t.Brokers))
	}
	return n - 1, nil
}

// split cuts groups from each other; nodes that are not named keep their rules.
func (t *Trial) split(args []string) (string, error) {
	var groups [][]int
	var seen []int
	for _, a := range args {
		var g []int
		for word := range strings.SplitSeq(a, ",") {
			n, err := t.node(word)
			if err != nil {
				return "", err
			}
			if slices.Contains(seen, n) {
				return "", fmt.Errorf("%w: node %d is in two groups", ErrCommand, n+1)
			}
			g, seen = append(g, n), append(seen, n)
		}
		groups = append(groups, g)
	}
	t.Net.Cut(groups...)
	return "cut: " + strings.Join(args, " | "), nil
}

// between changes the rule from one node to another, and back if both is set.
func (t *Trial) between(args []string, both bool, change func(*Rule)) (string, error) {
	from, err := t.node(args[0])
	if err != nil {
		return "", err
	}
	to, err := t.node(args[1])
	if err != nil {
		return "", err
	}
	if from == to {
		return "", fmt.Errorf("%w: from a node to itself", ErrCommand)
	}
	ways := [][2]int{{from, to}}
	if both {
		ways = append(ways, [2]int{to, from})
	}
	for _, w := range ways {
		r := t.Net.RuleOf(w[0], w[1])
		change(&r)
		t.Net.SetRule(w[0], w[1], r)
	}
	return t.show(), nil
}

// clock sets the wall clock of a node.
func (t *Trial) clock(ctx context.Context, word, by string) (string, error) {
	i, err := t.node(word)
	if err != nil {
		return "", err
	}
	d, err := time.ParseDuration(by)
	if err != nil {
		return "", fmt.Errorf("%w: a clock is set wrong by a duration, such as 1h or -90s", ErrCommand)
	}
	return fmt.Sprintf("the wall clock of node %d is %v off", i+1, d), t.Brokers[i].SetClock(ctx, d)
}

// process does something to the process of a node.
func (t *Trial) process(ctx context.Context, what, word string) (string, error) {
	i, err := t.node(word)
	if err != nil {
		return "", err
	}
	b := t.Brokers[i]
	if what != "start" && !b.Running() {
		return "", fmt.Errorf("node %d does not run", i+1)
	}
	switch what {
	case "freeze":
		err = b.Freeze()
	case "thaw":
		err = b.Thaw()
	case "kill":
		b.Kill()
	case "stop":
		err = b.Stop(ctx)
	case "start":
		if b.Running() {
			return "", fmt.Errorf("node %d runs", i+1)
		}
		err = b.Start(ctx)
	default:
		return "", fmt.Errorf("%w: %s; there are:\n%s", ErrCommand, what, Commands)
	}
	return t.show(), err
}

// show tells what runs and what is cut.
func (t *Trial) show() string {
	var out strings.Builder
	for i, b := range t.Brokers {
		state := "does not run"
		if b.Running() {
			state = fmt.Sprintf("process %d", b.Pid())
		}
		fmt.Fprintf(&out, "node %d  %s  %s\n", i+1, b.Address(), state)
	}
	for a := range t.Brokers {
		for b := range t.Brokers {
			if r := t.Net.RuleOf(a, b); !r.plain() {
				fmt.Fprintf(&out, "%d to %d  %s\n", a+1, b+1, &r)
			}
		}
	}
	return strings.TrimSuffix(out.String(), "\n")
}

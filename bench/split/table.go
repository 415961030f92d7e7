package split

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Write prints what clients saw, second by second. In a cell stand good
// answers, then refusals with their code, then failures.
func Write(w io.Writer, r *Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "cut after %.1f s, healed after %.1f s; each cell: answered well, refused (code), failed\n\n", r.CutAt, r.HealAt)
	fmt.Fprint(t, "second\t")
	for _, n := range r.Nodes {
		for _, p := range probes {
			fmt.Fprintf(t, "%s %s\t", short9(n.Target), p)
		}
	}
	fmt.Fprintln(t)
	for s := range r.Nodes[0].Seconds {
		mark := " "
		switch s {
		case int(r.CutAt):
			mark = "✂"
		case int(r.HealAt):
			mark = "+"
		}
		fmt.Fprintf(t, "%s %d\t", mark, s)
		for _, n := range r.Nodes {
			for _, p := range probes {
				fmt.Fprintf(t, "%s\t", n.Seconds[s][p])
			}
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for i := range r.Nodes {
		for _, line := range r.Nodes[i].Told() {
			fmt.Fprintf(w, "%s %s\n", r.Nodes[i].Target, line)
		}
	}
	_, err := fmt.Fprintln(w, r.Hanging())
	return err
}

// Told says of each probe when it was refused first and when it was answered well
// again.
func (n *Node) Told() (lines []string) {
	for _, p := range probes {
		if at := n.Noticed[p]; at > 0 {
			again := "not open again before the end"
			if at, ok := n.OpenAgain[p]; ok {
				again = fmt.Sprintf("open again %.2f s after the heal", at)
			}
			lines = append(lines, fmt.Sprintf("%s: first refused or failed %.2f s after the cut, %s", p, at, again))
		} else {
			lines = append(lines, fmt.Sprintf("%s: open all the time", p))
		}
	}
	return lines
}

// Hanging says how many probes had no answer.
func (r *Result) Hanging() string {
	return fmt.Sprintf("without an answer within %v: %d", HangAfter, r.Hung)
}

// short9 is the end of a target, enough to tell nodes apart.
func short9(target string) string { return target[max(0, len(target)-9):] }

// String is the cell as it stands in the table.
func (c Cell) String() string {
	parts := []string{"-"}
	if c.OK > 0 {
		parts[0] = fmt.Sprint(c.OK)
	}
	if c.Refused > 0 {
		var codes []string
		for code := range c.Codes {
			codes = append(codes, code)
		}
		slices.Sort(codes)
		parts = append(parts, fmt.Sprintf("%d(%s)", c.Refused, strings.Join(codes, ",")))
	}
	if c.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d!", c.Failed))
	}
	return strings.Join(parts, " ")
}

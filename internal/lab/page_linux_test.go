package lab

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// block is one fenced block of a page, and where it belongs. A value.
type block struct {
	line     int
	language string // sh: run it, ini: write it to a file, text: what the block before printed
	on       []string
	file     string
	text     string
}

var (
	fenced  = regexp.MustCompile("^```([a-z]*)$")
	named   = regexp.MustCompile(`\*\*(node[0-9]|every machine)\*\*`)
	quoted  = regexp.MustCompile("`(/[^`]+)`")
	numbers = regexp.MustCompile(`\b[0-9a-f]{16}\b|\b[0-9]+(\.[0-9]+)?(ms|m[0-9]+s|s|h)?\b`)
	spaces  = regexp.MustCompile(`[ \t]+`)
)

// readPage cuts the fenced blocks out of a page. The paragraph before a block
// names the machines in bold and the file, if it is one.
func readPage(t *testing.T, path string) []block {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []block
	var inside *block
	var before string
	for i, line := range strings.Split(string(data), "\n") {
		m := fenced.FindStringSubmatch(line)
		switch {
		case inside != nil && line == "```":
			list, inside, before = append(list, *inside), nil, ""
		case inside != nil:
			inside.text += line + "\n"
		case m != nil:
			inside = &block{line: i + 1, language: m[1]}
			for _, n := range named.FindAllStringSubmatch(before, -1) {
				inside.on = append(inside.on, n[1])
			}
			if f := quoted.FindStringSubmatch(before); f != nil {
				inside.file = f[1]
			}
		case strings.HasPrefix(line, "On **"):
			before = line
		}
	}
	return list
}

// alike brings a line into a form in which two runs agree: no times, no ids, one
// space.
func alike(line string) string {
	return strings.TrimSpace(spaces.ReplaceAllString(numbers.ReplaceAllString(line, "#"), " "))
}

// wantLines demands that each line of a page is among what was printed.
func wantLines(want, got string) error {
	have := map[string]bool{}
	for line := range strings.SplitSeq(got, "\n") {
		have[alike(line)] = true
	}
	for line := range strings.SplitSeq(want, "\n") {
		if l := alike(line); l != "" && !have[l] {
			return fmt.Errorf("the page says\n\t%s\nand this was printed:\n%s", line, got)
		}
	}
	return nil
}

// TestNetsplitGuide runs the worked example of docs/netsplit.md as it is written,
// on one machine of its own.
func TestNetsplitGuide(t *testing.T) {
	t.Parallel()
	m := newMachines(t, 1)[0]
	built, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	m.install(t, "/usr/bin/tombolo", string(built))
	runPage(t, "../../docs/netsplit.md", func(block) []*machine { return []*machine{m} })
}

// TestThreeNodes runs docs/three-nodes.md as it is written, on three machines
// with network, file system and processes of their own.
func TestThreeNodes(t *testing.T) {
	t.Parallel()
	machines := newMachines(t, 3)
	unit, err := os.ReadFile("../../deploy/tombolo.service")
	if err != nil {
		t.Fatal(err)
	}
	built, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string][]*machine{"every machine": machines}
	for _, m := range machines {
		byName[m.name] = []*machine{m}
		m.install(t, "/root/tombolo", string(built))
		m.install(t, "/root/tombolo.service", string(unit))
	}
	runPage(t, "../../docs/three-nodes.md", func(b block) (on []*machine) {
		for _, name := range b.on {
			on = append(on, byName[name]...)
		}
		return on
	})
}

// runPage runs the blocks of a page on the machines that they are for, and holds
// what they print to what the page says.
func runPage(t *testing.T, path string, on func(block) []*machine) {
	t.Helper()
	printed := ""
	for _, b := range readPage(t, path) {
		where := fmt.Sprintf("%s:%d", path, b.line)
		switch b.language {
		case "text":
			if err := wantLines(b.text, printed); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			continue
		case "":
			continue // to look at
		}
		list := on(b)
		if len(list) == 0 {
			t.Fatalf("%s: no machine is named before this block", where)
		}
		printed = ""
		for _, m := range list {
			if b.language == "ini" {
				m.install(t, b.file, b.text)
				continue
			}
			began := time.Now()
			out, err := m.run(within(t, time.Minute), b.text)
			printed += out
			t.Logf("%s on %s, %v:\n%s", where, m.name, time.Since(began).Round(time.Millisecond), out)
			if err != nil {
				log, _ := m.run(within(t, 5*time.Second), "tail -60 /run/tombolo.log dev.log")
				t.Fatalf("%s on %s: %v\nlog:\n%s", where, m.name, err, log)
			}
		}
	}
}

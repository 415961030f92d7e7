package conformance

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated part of docs/conformance.md")

// generated marks where the hand-written part of the page ends.
const generated = `<!-- From here on generated from mqtt/conformance/rules*.go; do not edit. To write it anew:
     go test ./mqtt/conformance -run Page -args -update -->
`

// TestPage keeps docs/conformance.md fresh.
func TestPage(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "conformance.md")
	have := readText(t, path)
	head, _, found := strings.Cut(have, generated)
	if !found {
		t.Fatalf("%s lacks the line that says where it is generated", path)
	}
	want := head + generated + page()
	switch {
	case have == want:
	case *update:
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is stale; write it anew with: go test ./mqtt/conformance -run Page -args -update", path)
	}
}

func page() string {
	var b strings.Builder
	b.WriteString("\n## The statements\n\n| standard | statements | obeyed here, each with a test | a client's duty or no case here |\n|---|---|---|---|\n")
	for _, s := range Standards() {
		ours := 0
		for _, r := range s.Rules {
			if r.Code != "" {
				ours++
			}
		}
		fmt.Fprintf(&b, "| MQTT %s | %d | %d | %d |\n", s.Name, len(s.Rules), ours, len(s.Rules)-ours)
	}
	for _, s := range Standards() {
		fmt.Fprintf(&b, "\n### MQTT %s\n\n| number | duty | in our words | obeyed by | shown by |\n|---|---|---|---|---|\n", s.Name)
		for _, r := range s.Rules {
			where, test := "`"+r.Code+"`", "`"+r.Test+"`"
			if r.Code == "" {
				where = r.Why
			}
			if r.Test == "" {
				test = ""
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.Number, r.Duty, r.Says, where, test)
		}
	}
	return b.String()
}

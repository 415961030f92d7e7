package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"tombolo/internal/storepage"
)

// printStorePage prints what the databases hold for people.
func printStorePage(out io.Writer, p *storepage.Page) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	line("node", "%d", p.Node)
	line("actor", "%s", p.Actor)
	line("stopped in order", "%s", yesNo(p.CleanStop))
	line("full join owed", "%s", yesNo(p.JoinOwed))
	line("digest", "%s", p.Digest)
	line("clock", "%s", p.Clock)
	line("collection horizon", "%s", p.Horizon)
	line("live keys", "%d", p.Live)
	line("pending deletes", "%d", p.Garbage)
	line("residual contexts", "%d", p.Residual)
	line("lasting contexts", "%d", p.Lasting)
	line("index entries", "%d", p.Index)
	line("quarantined values", "%d", p.Quarantined)
	line("retired actors", "%d", p.Retired)
	for _, m := range p.Members {
		absent := ""
		if m.Absent {
			absent = ", absent"
		}
		line(fmt.Sprintf("member %d", m.ID), "actor %s%s, has seen %s", m.Actor, absent, m.Seen)
	}
	for _, a := range p.Areas {
		line(a.Name, "%d keys, %d bytes before compression", a.Keys, a.Bytes)
	}
	printDatabase(line, storeMetadata, p.Metadata)
	if p.Messages != nil {
		printDatabase(line, storeMessages, p.Messages)
	}
	return w.Flush()
}

func printDatabase(line func(name, format string, args ...any), name string, d *storepage.Database) {
	line("database "+name, "%d bytes in %d tables", d.Bytes, d.Tables)
	if len(d.Suspect) > 0 {
		line("suspect", "%s", strings.Join(d.Suspect, "; "))
	}
}

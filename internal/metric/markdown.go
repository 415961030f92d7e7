package metric

import (
	"fmt"
	"strings"
)

// Markdown renders the page docs/metrics.md: every metric of the registry, in
// the order of names.
func (r *Registry) Markdown() []byte {
	var b strings.Builder
	b.WriteString(`# Metrics

<!-- Generated from the declarations in the code; do not edit. -->

Prometheus reads these figures at ` + "`/metrics`" + ` of an HTTP listener. A name has the prefix
` + "`tombolo_`" + `, and every series has the label ` + "`node`" + `. Where a metric means what VerneMQ's
means, it is there under VerneMQ's name as well, so that dashboards keep working; its prefix
is that of ` + "`prometheus_namespace`" + `. Figures of the process and of the Go runtime
(` + "`process_…`, `go_…`" + `) stand beside them.

` + "`tombolo metrics show --describe`" + ` prints the same list with present values.

| metric | kind | label | VerneMQ's name | meaning |
|---|---|---|---|---|
`)
	for _, f := range r.snapshot() {
		label := ""
		if f.opts.Label != "" {
			values := make([]string, len(f.series))
			for i, s := range f.series {
				values[i] = s.label
			}
			label = "`" + f.opts.Label + "`: " + strings.Join(values, ", ")
		}
		verne := ""
		if f.opts.Verne != "" {
			verne = "`" + f.opts.Verne + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.opts.Name, f.kind, cellText(label), verne, cellText(f.opts.Help))
	}
	return []byte(b.String())
}

// cellText keeps a text from ending its cell or its row.
func cellText(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}

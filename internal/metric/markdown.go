package metric

import (
	"fmt"
	"strings"
)

// Markdown renders the page docs/metrics.md from samples as Each gives them:
// a row for each metric, whatever its values.
func Markdown(samples []Sample) []byte {
	var b strings.Builder
	b.WriteString(`# Metrics

<!-- Generated from the declarations in the code; do not edit. To write it anew:
     go test ./cmd/tombolo -run MetricsPage -update -->

Prometheus reads these figures at ` + "`/metrics`" + ` of an HTTP listener. A name has the prefix
` + "`tombolo_`" + ` (` + "`prometheus_namespace`" + ` changes it), and every series has the label ` + "`node`" + `. Where a
metric means what VerneMQ's means, it is there under VerneMQ's name as well, with the prefix
` + "`vernemq_`" + `, so that dashboards keep working. Figures of the process and of the Go runtime
(` + "`process_…`, `go_…`" + `) stand beside them.

` + "`tombolo metrics show --describe`" + ` prints the same list with present values.

| metric | kind | label | VerneMQ's name | meaning |
|---|---|---|---|---|
`)
	for i := 0; i < len(samples); {
		m, values := samples[i], []string{}
		for ; i < len(samples) && samples[i].Name == m.Name; i++ {
			values = append(values, samples[i].LabelValue)
		}
		label, verne := "", ""
		if m.Label != "" {
			label = "`" + m.Label + "`: " + strings.Join(values, ", ")
		}
		if m.Verne != "" {
			verne = "`" + m.Verne + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Kind, cellText(label), verne, cellText(m.Help))
	}
	return []byte(b.String())
}

// cellText keeps a text from ending its cell or its row.
func cellText(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}

//go:build !promclient

package metric

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// started is the moment the process came up, as near as a package can tell.
var started = time.Now()

// HandlerWith serves the registry as e says in the text format 0.0.4. It
// stands in for prometheus.go, which is built with the tag promclient: the
// module file does not carry the checksums that client_golang needs.
func (r *Registry) HandlerWith(e Exposition) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var b bytes.Buffer
		r.writeText(&b, e)
		writeProcessText(&b)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(b.Bytes())
	})
}

var helpEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`)

var labelEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func (r *Registry) writeText(w io.Writer, e Exposition) {
	for _, f := range r.snapshot() {
		for _, name := range e.names(f.opts) {
			fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, helpEscaper.Replace(f.opts.Help), name, f.kind)
			for _, s := range f.series {
				writeSample(w, name, e.Node, f.sample(s))
			}
		}
	}
}

func writeSample(w io.Writer, name, node string, s Sample) {
	labels := make([]string, 0, 3) // in the order of keys, as client_golang writes them
	add := func(key, value string) []string {
		return append(labels, key+`="`+labelEscaper.Replace(value)+`"`)
	}
	if node != "" {
		labels = add("node", node)
	}
	if s.Label != "" {
		labels = add(s.Label, s.LabelValue)
	}
	slices.Sort(labels)
	if s.Kind != KindHistogram {
		fmt.Fprintf(w, "%s%s %s\n", name, braces(labels), number(s.Value))
		return
	}
	for _, b := range s.Buckets {
		fmt.Fprintf(w, "%s_bucket%s %d\n", name, braces(add("le", number(b.UpperBound))), b.Count)
	}
	fmt.Fprintf(w, "%s_bucket%s %d\n", name, braces(add("le", "+Inf")), s.Count)
	fmt.Fprintf(w, "%s_sum%s %s\n%s_count%s %d\n", name, braces(labels), number(s.Value), name, braces(labels), s.Count)
}

func braces(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	return "{" + strings.Join(labels, ",") + "}"
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// writeProcessText gives the few figures of the runtime that every dashboard
// asks for first, under client_golang's names.
func writeProcessText(w io.Writer) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	put := func(name, kind string, v float64) {
		fmt.Fprintf(w, "# TYPE %s %s\n%s %s\n", name, kind, name, number(v))
	}
	put("go_goroutines", "gauge", float64(runtime.NumGoroutine()))
	put("go_memstats_alloc_bytes", "gauge", float64(m.Alloc))
	put("go_memstats_sys_bytes", "gauge", float64(m.Sys))
	put("process_start_time_seconds", "gauge", float64(started.UnixNano())/1e9)
}

package metric

import (
	"net/http"
	"strings"
)

// VerneNamespace is the prefix that VerneMQ gives its names by default.
const VerneNamespace = "vernemq_"

// Exposition says how the registry is shown to Prometheus. A value.
type Exposition struct {
	Namespace      string // prefix of our names, given an underscore if it has none; "" and two quotes (VerneMQ) for none
	Node           string // value of the label "node" on every series of ours; "" leaves the label away
	Verne          bool   // export VerneMQ's names as well, for dashboards that exist
	VerneNamespace string // prefix of those, taken literally: VerneMQ's prometheus_namespace
}

// Handler serves the registry with our names under namespace, and with
// VerneMQ's names beside them.
func (r *Registry) Handler(namespace, node string) http.Handler {
	return r.HandlerWith(Exposition{
		Namespace: namespace, Node: node, Verne: true, VerneNamespace: VerneNamespace,
	})
}

// names returns the full names under which a family is shown: ours first.
// VerneMQ's is left out where both are the same string.
func (e Exposition) names(o Opts) []string {
	prefix := e.Namespace
	if prefix == `""` {
		prefix = ""
	}
	if prefix != "" && !strings.HasSuffix(prefix, "_") {
		prefix += "_"
	}
	own := prefix + o.Name
	if !e.Verne || o.Verne == "" || e.VerneNamespace+o.Verne == own {
		return []string{own}
	}
	return []string{own, e.VerneNamespace + o.Verne}
}

package admin

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/http-api.md anew")

const pageHead = `# HTTP API

<!-- Generated from internal/admin/routes.go; do not edit. To write it anew:
     go test ./internal/admin -run Page -update -->

Everything an operator can do is here first; the command line uses it.

## Who may ask

- **Over the admin socket**, ` + "`admin.sock`" + ` in the data directory: root and the user that runs the
  broker. No key is needed: the kernel tells who is at the other end.

      curl --unix-socket ./data/admin.sock http://localhost/api/v1/version

- **Over an HTTP listener**: health and metrics are open to whoever reaches the listener. The API is
  refused with 403, unless the listener is bound to loopback and the API was opened on it explicitly;
  then it answers this machine, and no web page.

## Answers

Answers are JSON objects. What is not a success has one shape, and the hint says what to do:

    {"error": "there is no option \"allow_anonymos\"", "hint": "did you mean allow_anonymous?"}

| status | meaning |
|---|---|
| 200 | done |
| 400 | the request is wrong as it stands |
| 403 | not over this listener, or not by this user |
| 404 | there is no such path, option, session or message |
| 405 | the path does not take this method |
| 409 | things are not so that it can be done |
| 500 | the broker failed; its log says more |
| 501 | this node does not offer that part |
| 502 | the node named in ` + "`on`" + ` does not answer |

Lists are sorted and bounded by ` + "`limit`" + `; one that was cut says ` + "`\"truncated\": true`" + `. A body may have
1 MiB, and an unknown field in it is an error.

In a cluster any node passes a request on: ` + "`on=NAME`" + ` has another member answer it, and ` + "`on=all`" + ` gives
` + "`{\"nodes\": [{\"node\", \"status\", \"answer\" or \"error\"}]}`" + ` with the answer of each.

## Health and metrics

| path | answers |
|---|---|
| ` + "`GET /health`" + ` | 200 when the listeners accept and the node has joined, else 503 with the reasons |
| ` + "`GET /health/ping`" + ` | 200: the process lives |
| ` + "`GET /health/listeners`" + ` | 200 when every listener runs, else 503 with the reasons |
| ` + "`GET /ready`" + ` | as ` + "`/health`" + `, and asks the stores, the routes and the gate as well |
| ` + "`GET /metrics`" + ` | Prometheus' text format, see [metrics.md](metrics.md) |
| ` + "`GET /debug/pprof/`" + ` | profiles of the process, where the API is open and profiling switched on |

Health is ` + "`{\"status\": \"OK\"}`" + ` or ` + "`{\"status\": \"DOWN\", \"reasons\": [\"…\"]}`" + `.

## Requests

| request | query | what it does |
|---|---|---|
`

const pageTail = `
### Fields of a session

`

// page renders docs/http-api.md.
func page() []byte {
	var b strings.Builder
	b.WriteString(pageHead)
	cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
	for _, r := range Routes() {
		b.WriteString("| `" + r.Method + " " + r.Path + "` | " + cell(r.Query) + " | " + cell(r.Doc) + " |\n")
	}
	b.WriteString(pageTail)
	b.WriteString("`" + strings.Join(SessionFields(), "`, `") + "`.\nTimes are milliseconds since 1970, `null` where there is none.\n")
	return []byte(b.String())
}

func TestPageIsFresh(t *testing.T) {
	const path = "../../docs/http-api.md"
	if *update {
		if err := os.WriteFile(path, page(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, page()) {
		t.Error("docs/http-api.md is stale: go test ./internal/admin -run Page -update")
	}
}

package e2e

import (
	"bufio"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// get asks the node over HTTP.
func (n *node) get(path string) (status int, body string) {
	n.tb.Helper()
	answer, err := http.Get("http://" + n.http + path)
	if err != nil {
		n.tb.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		n.tb.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// metric is the sum of the series of one metric; labels is a part of what
// stands between the braces.
func (n *node) metric(name, labels string) float64 {
	n.tb.Helper()
	_, text := n.get("/metrics")
	v, found := sumMetric(n.tb, text, name, labels)
	if !found {
		n.tb.Fatalf("no metric %s{%s}", name, labels)
	}
	return v
}

func sumMetric(tb testing.TB, text, name, labels string) (sum float64, found bool) {
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' || !strings.Contains(rest, labels) {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			tb.Fatalf("%s: %v", lines.Text(), err)
		}
		sum, found = sum+v, true
	}
	return sum, found
}

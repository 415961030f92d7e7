package e2e

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// get asks the node over HTTP.
func (n *node) get(path string) (status int, body string) {
	n.tb.Helper()
	return fetch(n.tb, http.DefaultClient, "http://"+n.http+path)
}

// ask asks the node's API over its admin socket.
func (n *node) ask(path string) (status int, body string) {
	n.tb.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(n.options["data_dir"], "admin.sock"))
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	return fetch(n.tb, client, "http://admin"+path)
}

func fetch(tb testing.TB, c *http.Client, url string) (status int, body string) {
	tb.Helper()
	answer, err := c.Get(url)
	if err != nil {
		tb.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		tb.Fatal(err)
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

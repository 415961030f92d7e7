package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"tombolo/internal/client"
)

// TestExplainTLS: a broker that wants a certificate, and a port that does not speak TLS,
// are told from a wrong address.
func TestExplainTLS(t *testing.T) {
	asked := fmt.Errorf("reading CONNACK: %w", &net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")})
	for _, c := range []struct {
		flags connectFlags
		err   error
		want  string
	}{
		{connectFlags{caFile: "ca.pem"}, asked, "give --cert and --key"},
		{connectFlags{caFile: "ca.pem"}, io.EOF, "does not speak TLS, perhaps"},
		{connectFlags{}, io.EOF, "whether the port wants TLS"},
	} {
		got := c.flags.explainDial(&client.DialError{Address: "broker:1883", Err: c.err})
		if !strings.Contains(got.Error(), c.want) {
			t.Errorf("%v with %q: %v, want %q", c.err, c.flags.caFile, got, c.want)
		}
	}
}

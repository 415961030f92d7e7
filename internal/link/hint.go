package link

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
)

// hinted is a failure of a handshake with what to do about it. A value.
type hinted struct {
	err   error
	text  string // "": that of err
	hint  string
	quiet bool // it may have another cause: shown to who asks, not logged
}

func (h *hinted) Error() string { return cmp.Or(h.text, h.err.Error()) + ": " + h.hint }
func (h *hinted) Unwrap() error { return h.err }

// hints say what to do about what crypto/tls says. They go by parts of its texts: the
// alerts of the other end have no type that one could ask for.
var hints = []struct{ part, hint string }{
	{"didn't provide a certificate", "its cluster.certfile is not of an authority in cluster.cafile here, or it has none"},
	{"certificate required", "this node's cluster.certfile is not of an authority in cluster.cafile there, or it has none"},
	{"signed by unknown authority", "its cluster.certfile is not of an authority in cluster.cafile here"},
	{"unknown certificate authority", "this node's cluster.certfile is not of an authority in cluster.cafile there"},
	{"expired", "renew cluster.certfile of the node that it belongs to, or set the clock that is wrong"},
	{"bad certificate", "this node's cluster.certfile is not accepted there; tombolo cluster show at the other node says why"},
	{"IP SANs", addressHint},
	{"certificate is valid for", addressHint},
	{"not valid for any names", addressHint},
	{"does not look like a TLS handshake", "only one of the two nodes has cluster.cafile, certfile and keyfile: links are TLS with all, or with none"},
}

const addressHint = "its cluster.certfile has to hold the address by which others reach it (cluster.advertise_address, else cluster.bind_address)"

// unanswered tells an attempt at an address that ran out of time from other failures:
// taken is whether there was a connection. Its text is the same each time, so that it is
// logged once; that nothing comes through at all the log says anyway.
func unanswered(address string, taken bool, err error) error {
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded):
		return err
	case taken:
		return &hinted{err, address + " takes the connection and says nothing",
			"the process there hangs, its machine is overloaded, or something else listens at that address", false}
	}
	return &hinted{err, address + " does not answer", "its machine is down, or a firewall or the network drops what is sent there", true}
}

// explain adds to an error of a handshake what to do about it, if that is known.
func explain(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return &hinted{err, "", "the other node hangs up; perhaps only one of the two has cluster.cafile, certfile and keyfile", true}
	}
	text := err.Error()
	if !strings.Contains(text, "tls:") && !strings.Contains(text, "x509:") {
		return err
	}
	for _, h := range hints {
		if strings.Contains(text, h.part) {
			return &hinted{err, "", h.hint, false}
		}
	}
	return err
}

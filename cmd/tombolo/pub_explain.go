package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// explain turns an error of the client into one line that says what to do
// next, with the exit code that goes with it.
func (f *connectFlags) explain(ctx context.Context, err error) error {
	var exit *exitError
	var dial *client.DialError
	var refused *client.RefusedError
	var ended *client.DisconnectedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return err
	case ctx.Err() != nil:
		return fail(exitInterrupted, nil)
	case errors.As(err, &refused):
		return fail(exitRefused, fmt.Errorf("%w: %s", err, remedy(refused, f)))
	case errors.As(err, &dial):
		return f.explainDial(dial)
	case errors.As(err, &ended):
		return fail(exitRefused, fmt.Errorf("%w%s", err, endedRemedy(ended.Reason)))
	}
	return fail(exitFailure, fmt.Errorf("%w; the broker's log tells more, or try again with -d", err))
}

func (f *connectFlags) explainDial(e *client.DialError) error {
	var unknown x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var name *net.DNSError
	switch cause := e.Err; {
	case errors.Is(cause, syscall.ECONNREFUSED):
		return fail(exitUnreachable, fmt.Errorf("no broker answers at %s: is one running there? "+
			"Start one on this machine with: tombolo dev", e.Address))
	case errors.As(cause, &name):
		return fail(exitUnreachable, fmt.Errorf("the host of %s is not known: check -h (%v)", e.Address, cause))
	case errors.As(cause, &unknown):
		return fail(exitFailure, fmt.Errorf("the certificate of %s is not signed by an authority known here: "+
			"give the right one with --cafile, or --insecure for a test", e.Address))
	case errors.As(cause, &wrongName), errors.As(cause, &invalid):
		return fail(exitFailure, fmt.Errorf("the certificate of %s does not fit: %v; "+
			"connect under a name that it holds", e.Address, cause))
	case errors.As(cause, &record):
		return fail(exitFailure, fmt.Errorf("%s does not speak TLS: leave the TLS flags out or check -p", e.Address))
	case errors.As(cause, &alert), alerted(cause):
		return fail(exitRefused, fmt.Errorf("%s refused the TLS handshake (%v): "+
			"if it asks for a certificate, give --cert and --key", e.Address, cause))
	case errors.Is(cause, io.EOF) && f.secured():
		return fail(exitFailure, fmt.Errorf("%s closed the connection in the TLS handshake: it does not speak TLS, perhaps; "+
			"leave the TLS flags out or check -p", e.Address))
	case errors.Is(cause, io.EOF), errors.Is(cause, syscall.ECONNRESET):
		return fail(exitFailure, fmt.Errorf("%s closed the connection before CONNACK: check -V, "+
			"and whether the port wants TLS (--cafile) or WebSocket (--ws)", e.Address))
	case strings.HasPrefix(cause.Error(), "no answer within"), errors.Is(cause, os.ErrDeadlineExceeded):
		return fail(exitUnreachable, fmt.Errorf("%s: %v: check -h and -p, a firewall between, "+
			"and whether the port wants TLS (--cafile)", e.Address, cause))
	}
	return fail(exitUnreachable, fmt.Errorf("%w: check -h and -p", error(e)))
}

// alerted reports whether the other end has ended a TLS handshake with an alert. With
// TLS 1.3 that comes with the first answer, in an error without a type of its own.
func alerted(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// remedy says what helps against a refusal.
func remedy(e *client.RefusedError, f *connectFlags) string {
	switch e.Reason {
	case packet.UnsupportedProtocolVersion:
		return "this broker does not speak the version; try -V mqttv311"
	case packet.ClientIDNotValid:
		return "choose another client id with -i"
	case packet.BadUsernameOrPassword:
		return "check -u and -P"
	case packet.NotAuthorized:
		if f.username == "" {
			return "give a user name and password with -u and -P; on the broker, users are made with tombolo passwd"
		}
		return "check -u and -P; on the broker, tombolo passwd makes users"
	case packet.ServerUnavailable, packet.ServerBusy:
		return "the broker takes no clients now, perhaps during a netsplit; try again, or another node"
	case packet.UseAnotherServer, packet.ServerMoved:
		return "connect to the other server with -h"
	case packet.QoSNotSupported:
		return "lower --will-qos"
	case packet.RetainNotSupported:
		return "leave --will-retain out"
	case packet.TopicNameInvalid:
		return "choose another --will-topic"
	case packet.ConnectionRateExceeded, packet.QuotaExceeded:
		return "wait and try again"
	case packet.BadAuthenticationMethod:
		return "enhanced authentication is not spoken here; use -u and -P"
	}
	return "the broker's log says why"
}

func endedRemedy(r packet.ReasonCode) string {
	switch r {
	case packet.SessionTakenOver:
		return "; another client uses the same client id, choose one with -i"
	case packet.NotAuthorized:
		return "; the user may not do this, see the broker's access rules"
	case packet.PacketTooLarge:
		return "; the message is larger than the broker takes (max_message_size)"
	case packet.ServerShuttingDown, packet.ServerBusy, packet.UseAnotherServer, packet.ServerMoved:
		return "; connect again, or to another node"
	case packet.TopicNameInvalid, packet.TopicFilterInvalid:
		return "; check -t"
	case packet.RetainNotSupported:
		return "; leave -r out"
	case packet.QoSNotSupported:
		return "; lower -q"
	}
	return ""
}

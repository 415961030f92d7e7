package auth

import (
	"context"
	"net/netip"
)

// Client is what is known of a client when a question is asked about it.
// The caller owns it; nothing here keeps or changes one after a call.
type Client struct {
	Mountpoint string
	ClientID   string
	Username   string
	Peer       netip.AddrPort
	Listener   string
	CommonName string // of the client's verified certificate, "" without one
	// CertificateUser says that the listener takes the verified common name
	// as the user name, so that the certificate is the credential.
	CertificateUser bool
}

// Verdict is the answer of one link of a chain.
type Verdict uint8

// The zero Verdict is "no opinion", so that forgetting to decide denies.
const (
	Next Verdict = iota
	Allow
	Deny
)

// Reason says why a client was refused, in words that a reason code exists
// for; the session owns the mapping.
type Reason uint8

const (
	ReasonNone           Reason = iota // allowed, or no opinion
	ReasonBadCredentials               // user name or password is wrong
	ReasonNotAuthorized                // known, but not allowed
	ReasonBusy                         // too many are waiting; try again later
	ReasonUnavailable                  // the question could not be answered
)

// Authenticator decides whether a client may connect. It may take long and
// must not be called on a connection's driver.
type Authenticator interface {
	Authenticate(ctx context.Context, c *Client, password []byte) (Verdict, Reason)
}

// PublishAuthorizer decides whether a client may publish to a topic. It is
// asked for every PUBLISH: it must not block and must not allocate.
type PublishAuthorizer interface {
	AuthorizePublish(c *Client, topic []byte, qos uint8, retain bool) Verdict
}

// SubscribeAuthorizer decides whether a client may subscribe to a filter,
// which comes as it stood in the packet, $share prefix included.
type SubscribeAuthorizer interface {
	AuthorizeSubscribe(c *Client, filter string, qos uint8) Verdict
}

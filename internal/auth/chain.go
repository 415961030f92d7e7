package auth

import "context"

// AuthChain asks each in turn; the first opinion counts. Immutable.
type AuthChain []Authenticator

// Authenticate never returns Next: no opinion at the end is a refusal.
func (chain AuthChain) Authenticate(ctx context.Context, c *Client, password []byte) (Verdict, Reason) {
	for _, a := range chain {
		if v, r := a.Authenticate(ctx, c, password); v != Next {
			return v, r
		}
	}
	return Deny, ReasonNotAuthorized
}

// PublishChain asks each in turn; the first opinion counts. Immutable.
type PublishChain []PublishAuthorizer

// AuthorizePublish never returns Next.
func (chain PublishChain) AuthorizePublish(c *Client, topic []byte, qos uint8, retain bool) Verdict {
	for _, a := range chain {
		if v := a.AuthorizePublish(c, topic, qos, retain); v != Next {
			return v
		}
	}
	return Deny
}

// SubscribeChain asks each in turn; the first opinion counts. Immutable.
type SubscribeChain []SubscribeAuthorizer

// AuthorizeSubscribe never returns Next.
func (chain SubscribeChain) AuthorizeSubscribe(c *Client, filter string, qos uint8) Verdict {
	for _, a := range chain {
		if v := a.AuthorizeSubscribe(c, filter, qos); v != Next {
			return v
		}
	}
	return Deny
}

// Anyone allows every question: allow_anonymous, and the authorization of
// `tombolo dev`. Immutable.
type Anyone struct{}

func (Anyone) Authenticate(context.Context, *Client, []byte) (Verdict, Reason) {
	return Allow, ReasonNone
}
func (Anyone) AuthorizePublish(*Client, []byte, uint8, bool) Verdict { return Allow }
func (Anyone) AuthorizeSubscribe(*Client, string, uint8) Verdict     { return Allow }

// CertificateUser makes the common name of a verified client certificate the
// credential, on listeners that say so. Immutable.
//
// The listener's task is to verify the certificate; Client.Identify is to be
// called before the chain, so that the name counts for everything after.
type CertificateUser struct{}

// Authenticate allows a client whose user name is its certificate's name,
// refuses one that lacks a name though the listener wants one, and has no
// opinion elsewhere.
func (CertificateUser) Authenticate(_ context.Context, c *Client, _ []byte) (Verdict, Reason) {
	switch {
	case !c.CertificateUser:
		return Next, ReasonNone
	case c.CommonName == "" || c.Username != c.CommonName:
		return Deny, ReasonBadCredentials
	}
	return Allow, ReasonNone
}

// Identify sets the user name to the certificate's common name where the
// listener takes it from there; what the CONNECT said does not count then.
func (c *Client) Identify() {
	if c.CertificateUser {
		c.Username = c.CommonName
	}
}

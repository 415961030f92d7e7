package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// door says through which listener a connection came and what it may ask.
// Immutable once built.
type door struct {
	access Access
	socket bool  // the admin socket
	uid    int   // of the peer, over the socket
	err    error // the peer could not be known
}

type doorKey struct{}

func doorOf(ctx context.Context) door {
	d, _ := ctx.Value(doorKey{}).(door)
	return d
}

// with notes who is at the other end of c.
func (d door) with(c net.Conn) door {
	if !d.socket {
		return d
	}
	if b, ok := c.(*boundedConn); ok {
		c = b.Conn
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		d.err = fmt.Errorf("a connection of type %T came through the admin socket", c)
		return d
	}
	d.uid, d.err = peerUID(u)
	return d
}

// allow tells whether a request may use the API (guarantee 1 of the package).
func (d door) allow(r *http.Request) error {
	const socketHint = "use the admin socket on the broker's machine: tombolo COMMAND --socket PATH"
	switch {
	case d.socket && d.err != nil:
		return forbidden("run the command as root or as the user that runs the broker",
			"the other end of the admin socket is unknown: %v", d.err)
	case d.socket && d.uid != 0 && d.uid != os.Geteuid():
		return forbidden("run the command as root or as the user that runs the broker",
			"user id %d may not use the admin socket of user id %d", d.uid, os.Geteuid())
	case d.socket:
		return nil
	case !d.access.API:
		return forbidden(socketHint, "the API is not open on this listener")
	case !loopbackHost(r.RemoteAddr):
		return forbidden(socketHint, "the API answers this machine only")
	case !loopbackHost(r.Host) || r.Header.Get("Origin") != "" || crossSite(r):
		// A page in the operator's browser can send requests to loopback, and
		// can make a name of its own resolve to it; neither is the operator.
		return forbidden(socketHint, "the API does not answer web pages")
	}
	return nil
}

func crossSite(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site != "" && site != "none"
}

// loopbackHost tells whether "host:port" or "host" names this machine.
func loopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}

func loopback(a net.Addr) bool {
	_, unix := a.(*net.UnixAddr)
	return unix || loopbackHost(a.String())
}

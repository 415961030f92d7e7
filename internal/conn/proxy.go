package conn

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

// Bounds of the headers: the first from the specification, the second ours, for
// what follows the 16 fixed bytes of version 2.
const (
	proxyLineMax    = 107
	proxyPayloadMax = 4 << 10
	proxyFixedBytes = 16
)

var errNoProxyHeader = errors.New("connection does not begin with a PROXY header, which the listener asks for")

// readProxy reads the header, notes what it says and returns what was read
// behind it. The descriptor stays as it is, so that the raw driver can take over.
func (l *Listener) readProxy(c *stream, nc net.Conn) (rest []byte, err error) {
	if err := nc.SetReadDeadline(time.Now().Add(l.cfg.Proxy.Timeout)); err != nil {
		return nil, err
	}
	head, rest, err := splitProxy(nc)
	if err != nil {
		return nil, err
	}
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(head), len(head)))
	if err != nil {
		return nil, fmt.Errorf("PROXY header: %w", err)
	}
	if !h.Command.IsProxy() {
		return rest, nil // LOCAL: the proxy speaks for itself
	}
	info := &ProxyInfo{Version: int(h.Version), Via: c.peer}
	if src, ok := h.SourceAddr.(*net.TCPAddr); ok {
		c.peer = addrPort(src)
	}
	tlvs, err := h.TLVs()
	if err != nil {
		return nil, fmt.Errorf("PROXY header: %w", err)
	}
	for _, tlv := range tlvs {
		info.TLVs = append(info.TLVs, ProxyTLV{Type: byte(tlv.Type), Value: bytes.Clone(tlv.Value)})
	}
	if ssl, ok := tlvparse.FindSSL(tlvs); ok {
		info.TLSVersion, _ = ssl.SSLVersion()
		// A certificate that the proxy could not verify proves no name.
		if cn, ok := ssl.ClientCN(); ok && ssl.Verified() {
			info.CommonName = cn
			c.setCommonName(cn, l.cfg.Proxy.CommonNameAsUser)
		}
	}
	c.ext.info.Proxy = info
	return rest, nil
}

// splitProxy reads up to the end of the header. It allocates what has come, not
// what was announced.
func splitProxy(nc net.Conn) (head, rest []byte, err error) {
	buf := make([]byte, 0, 512)
	for {
		size, err := proxySize(buf)
		if err != nil {
			return nil, nil, err
		}
		if size > 0 && len(buf) >= size {
			return buf[:size], buf[size:], nil
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := nc.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n == 0 && err != nil {
			return nil, nil, fmt.Errorf("PROXY header: %w", err)
		}
	}
}

// proxySize returns the size of the header that buf begins with, 0 if more
// bytes are needed to tell.
func proxySize(buf []byte) (int, error) {
	v1, v2 := proxyproto.SIGV1, proxyproto.SIGV2
	switch {
	case bytes.HasPrefix(buf, v1):
		if i := bytes.IndexByte(buf[:min(len(buf), proxyLineMax)], '\n'); i >= 0 {
			return i + 1, nil
		}
		if len(buf) >= proxyLineMax {
			return 0, fmt.Errorf("PROXY header: no end of line within %d bytes", proxyLineMax)
		}
		return 0, nil
	case bytes.HasPrefix(buf, v2):
		if len(buf) < proxyFixedBytes {
			return 0, nil
		}
		n := int(binary.BigEndian.Uint16(buf[proxyFixedBytes-2:]))
		if n > proxyPayloadMax {
			return 0, fmt.Errorf("PROXY header of %d bytes is above the limit of %d", n, proxyPayloadMax)
		}
		return proxyFixedBytes + n, nil
	case bytes.HasPrefix(v1, buf), bytes.HasPrefix(v2, buf):
		return 0, nil
	}
	return 0, errNoProxyHeader
}

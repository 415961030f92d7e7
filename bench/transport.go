package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	mqttclient "tombolo/internal/client"
)

// The ways to a broker, as they stand before "://" in a target. A target
// without one is plain.
const (
	wayPlain = "mqtt"
	wayTLS   = "mqtts"
	wayWS    = "ws"
	wayWSS   = "wss"
)

// webSocketPath is where a broker expects MQTT unless the target names another.
const webSocketPath = "/mqtt"

// splitTarget takes a target apart. path is for WebSocket.
func splitTarget(target string) (way, address, path string, err error) {
	way, rest, found := strings.Cut(target, "://")
	if !found {
		way, rest = wayPlain, target
	}
	address, path, found = strings.Cut(rest, "/")
	if path = "/" + path; !found || path == "/" {
		path = webSocketPath
	}
	switch way {
	case wayPlain, wayWS, wayWSS, wayTLS:
	case "tcp":
		way = wayPlain
	case "tls", "ssl":
		way = wayTLS
	default:
		return "", "", "", fmt.Errorf("target %s: there are mqtt://, mqtts://, ws:// and wss://", target)
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return "", "", "", fmt.Errorf("target %s: %w; give host:port", target, err)
	}
	return way, address, path, nil
}

// transport connects to a target.
func transport(ctx context.Context, cfg *Config, target string) (net.Conn, error) {
	way, address, path, err := splitTarget(target)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeMax)
	defer cancel()
	c := mqttclient.Config{Address: address, Path: path, WebSocket: way == wayWS || way == wayWSS}
	if way == wayTLS || way == wayWSS {
		if c.TLS = cfg.TLS; c.TLS == nil {
			c.TLS = &tls.Config{}
		}
	}
	return mqttclient.Transport(ctx, c)
}

// descriptor gives the event loop a connection whose handshake is done; conn
// must not be used after it. What is not a plain socket goes on behind a pair
// of sockets, with two goroutines that copy: that costs the generator, not the
// broker. One over TLS that will be silent needs neither.
func descriptor(conn net.Conn, silent bool) (int, error) {
	if secured, ok := conn.(*tls.Conn); ok && silent {
		conn = secured.NetConn()
	}
	if plain, ok := conn.(*net.TCPConn); ok {
		defer plain.Close()
		return detach(plain)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return 0, errors.Join(err, conn.Close())
	}
	fds, err := socketPair()
	if err != nil {
		return 0, errors.Join(err, conn.Close())
	}
	file := os.NewFile(uintptr(fds[1]), "bench")
	near, err := net.FileConn(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return 0, errors.Join(err, syscall.Close(fds[0]), conn.Close())
	}
	go carry(conn, near)
	go carry(near, conn)
	return fds[0], nil
}

// socketPair is a pair of connected sockets; the first does not block.
func socketPair() ([2]int, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return fds, err
	}
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	return fds, syscall.SetNonblock(fds[0], true)
}

// carryBytes is the most that is copied at once.
const carryBytes = 16 << 10

// carry copies until either side ends, and then ends both.
func carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, carryBytes)
	for {
		n, err := from.Read(buf)
		if _, werr := to.Write(buf[:n]); werr != nil || err != nil {
			return
		}
	}
}

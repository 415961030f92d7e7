package conn

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// rawFrame builds a client's frame by hand, so that it can be wrong.
func rawFrame(first byte, payload string, masked bool) []byte {
	f := []byte{first}
	bit := byte(0)
	if masked {
		bit = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		f = append(f, bit|byte(n))
	case n <= 0xffff:
		f = binary.BigEndian.AppendUint16(append(f, bit|126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, bit|127), uint64(n))
	}
	if !masked {
		return append(f, payload...)
	}
	mask := []byte{1, 2, 3, 4}
	f = append(f, mask...)
	for i := range len(payload) {
		f = append(f, payload[i]^mask[i%4])
	}
	return f
}

// First bytes of frames.
const (
	finBinary  = 0x82
	partBinary = 0x02
	finCont    = 0x80
	partCont   = 0x00
	finText    = 0x81
	finClose   = 0x88
	finPing    = 0x89
	finPong    = 0x8a
)

const upgradeRequest = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n"

// upgraded connects a bare socket and makes the upgrade by hand.
func upgraded(t *testing.T, h *harness) (net.Conn, *bufio.Reader) {
	t.Helper()
	nc := closeLater(t, dialTCP(t, h))
	if _, err := io.WriteString(nc, upgradeRequest+"\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(nc)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v %v", response, err)
	}
	if got := response.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("accept key %q is not the one of the standard's example", got)
	}
	return nc, r
}

func dialTCP(t *testing.T, h *harness) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", h.l.AddrString())
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// readFrame reads one frame of the server, which must not be masked.
func readFrame(t *testing.T, r *bufio.Reader) (first byte, payload []byte) {
	t.Helper()
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatalf("frame: %v", err)
	}
	size := uint64(head[1])
	switch size {
	case 126:
		var b [2]byte
		_, _ = io.ReadFull(r, b[:])
		size = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, _ = io.ReadFull(r, b[:])
		size = binary.BigEndian.Uint64(b[:])
	}
	payload = make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		t.Fatalf("payload: %v", err)
	}
	return head[0], payload
}

// What a wrong frame gets: a close frame with the code of the standard, and the end.
func TestWebSocketFaults(t *testing.T) {
	long := strings.Repeat("x", 126)
	for name, c := range map[string]struct {
		send [][]byte
		code uint16
	}{
		"text":                        {[][]byte{rawFrame(finText, "hello", true)}, 1003},
		"not masked":                  {[][]byte{rawFrame(finBinary, "hello", false)}, 1002},
		"reserved bit":                {[][]byte{rawFrame(finBinary|0x40, "hello", true)}, 1002},
		"reserved opcode":             {[][]byte{rawFrame(0x83, "hello", true)}, 1002},
		"reserved control opcode":     {[][]byte{rawFrame(0x8b, "hello", true)}, 1002},
		"long ping":                   {[][]byte{rawFrame(finPing, long, true)}, 1002},
		"fragmented ping":             {[][]byte{rawFrame(0x09, "p", true)}, 1002},
		"continuation of nothing":     {[][]byte{rawFrame(finCont, "c", true)}, 1002},
		"new message within another":  {[][]byte{rawFrame(partBinary, "a", true), rawFrame(finBinary, "b", true)}, 1002},
		"above the limit":             {[][]byte{{finBinary, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4}}, 1009},
		"length with the highest bit": {[][]byte{{finBinary, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}}, 1002},
		"close of one byte":           {[][]byte{rawFrame(finClose, "x", true)}, 1002},
		"close with a code unused":    {[][]byte{rawFrame(finClose, "\x00\x01", true)}, 1002},
		"close with a reserved code":  {[][]byte{rawFrame(finClose, "\x03\xed", true)}, 1002},
		"close with bad text":         {[][]byte{rawFrame(finClose, "\x03\xe8\xff", true)}, 1002},
		"close":                       {[][]byte{rawFrame(finClose, "\x03\xe9", true)}, 1001},
		"close without a code":        {[][]byte{rawFrame(finClose, "", true)}, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			o, accept := acceptOne(t, echo)
			h := serve(t, Config{Kind: KindWS, WebSocket: WebSocket{FrameBytesMax: 65535}}, accept)
			nc, r := upgraded(t, h)
			for _, f := range c.send {
				if _, err := nc.Write(f); err != nil {
					t.Fatal(err)
				}
			}
			first, payload := readFrame(t, r)
			for first == finBinary { // the echo of a first fragment
				first, payload = readFrame(t, r)
			}
			if first != finClose || len(payload) < 2 || binary.BigEndian.Uint16(payload) != c.code {
				t.Fatalf("got frame %#x %x, want close with %d", first, payload, c.code)
			}
			if _, err := r.ReadByte(); err != io.EOF {
				t.Fatalf("after the close frame: %v, want EOF", err)
			}
			_ = nc.Close()
			await(t, o.handler.closed, "OnClose")
			if fault := c.code != 1001 && c.code != 1000; fault != errors.Is(o.handler.err, ErrFraming) {
				t.Fatalf("OnClose(%v)", o.handler.err)
			}
		})
	}
}

// Fragments, control frames between them, empty frames, all sizes of length, cut
// anywhere: the payload comes out whole and each ping is answered.
func TestWebSocketFragments(t *testing.T) {
	big := strings.Repeat("0123456789", 7000)
	var stream []byte
	want := "abc" + "d" + "" + big + big[:200] + "end"
	for _, f := range [][]byte{
		rawFrame(partBinary, "abc", true), rawFrame(finPing, "one", true), rawFrame(partCont, "", true),
		rawFrame(finPong, "unasked", true), rawFrame(finCont, "d", true), rawFrame(finBinary, "", true),
		rawFrame(finBinary, big, true), rawFrame(finBinary, big[:200], true), rawFrame(finPing, "", true),
		rawFrame(finBinary, "end", true),
	} {
		stream = append(stream, f...)
	}
	for seed := range uint64(6) {
		h := serve(t, Config{Kind: KindWS, ReadBuffer: 8 << 10}, echo)
		nc, r := upgraded(t, h)
		random := rand.New(rand.NewPCG(seed, 5))
		go func() {
			for rest := stream; len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(1<<(2*seed+1)*8))
				if _, err := nc.Write(rest[:n]); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				rest = rest[n:]
			}
		}()
		var got, pongs bytes.Buffer
		for got.Len() < len(want) {
			switch first, payload := readFrame(t, r); first {
			case finBinary:
				got.Write(payload)
			case finPong:
				pongs.WriteString("<" + string(payload) + ">")
			default:
				t.Fatalf("seed %d: frame %#x", seed, first)
			}
		}
		if got.String() != want || pongs.String() != "<one><>" {
			t.Fatalf("seed %d: %d bytes, want %d; pongs %q", seed, got.Len(), len(want), pongs.String())
		}
		_ = nc.Close()
	}
}

// What came behind the request, in the same segment, is not lost.
func TestWebSocketEarlyFrame(t *testing.T) {
	h := serve(t, Config{Kind: KindWS}, echo)
	nc := closeLater(t, dialTCP(t, h))
	early := append([]byte(upgradeRequest+"\r\n"), rawFrame(finBinary, "early", true)...)
	if _, err := nc.Write(early); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(nc)
	if _, err := http.ReadResponse(r, nil); err != nil {
		t.Fatal(err)
	}
	if first, payload := readFrame(t, r); first != finBinary || string(payload) != "early" {
		t.Fatalf("got %#x %q", first, payload)
	}
}

// Requests that are not an upgrade, or not ours, get an HTTP answer and are counted.
func TestWebSocketRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"other path":        {strings.Replace(upgradeRequest, "/mqtt", "/other", 1), 404},
		"no subprotocol":    {strings.Replace(upgradeRequest, "Sec-WebSocket-Protocol: mqtt\r\n", "", 1), 400},
		"other subprotocol": {strings.Replace(upgradeRequest, ": mqtt\r\n", ": chat\r\n", 1), 400},
		"plain request":     {"GET /mqtt HTTP/1.1\r\nHost: localhost\r\n", 400},
		"post":              {strings.Replace(upgradeRequest, "GET", "POST", 1), 405},
		"old version":       {strings.Replace(upgradeRequest, "13", "8", 1), 426},
		"long request line": {strings.Replace(upgradeRequest, "/mqtt", "/mqtt?"+strings.Repeat("q", 8000), 1), 414},
		"long header":       {upgradeRequest + "X-Long: " + strings.Repeat("v", 4097) + "\r\n", 431},
		"many headers":      {upgradeRequest + strings.Repeat("X-A: b\r\n", 100), 431},
	} {
		t.Run(name, func(t *testing.T) {
			h := serve(t, Config{Kind: KindWS}, echo)
			nc := closeLater(t, dialTCP(t, h))
			if _, err := io.WriteString(nc, c.request+"\r\n"); err != nil {
				t.Fatal(err)
			}
			response, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil || response.StatusCode != c.status {
				t.Fatalf("got %v %v, want status %d", response, err, c.status)
			}
			eventually(t, "a refusal", func() bool {
				return h.l.Stats().Refused(RefusedWebSocket) == 1 && h.l.Stats().Active() == 0
			})
		})
	}
}

// A client nobody here wrote: messages, ping, the close handshake from both ends.
func TestWebSocketClient(t *testing.T) {
	conns := make(chan Conn, 2)
	h := serve(t, Config{Kind: KindWS}, func(c Conn) Handler { conns <- c; return echo(c) })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dial := func() *websocket.Conn {
		ws, _, err := websocket.Dial(ctx, "ws://"+h.l.AddrString()+"/mqtt?a=b", &websocket.DialOptions{
			Subprotocols: []string{"other", "mqttv3.1", "mqtt"},
			HTTPClient:   &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ws.CloseNow() })
		if ws.Subprotocol() != "mqttv3.1" {
			t.Fatalf("subprotocol %q, want the first that both know", ws.Subprotocol())
		}
		return ws
	}
	ws := dial()
	message := bytes.Repeat([]byte("m"), 20_000)
	if err := ws.Write(ctx, websocket.MessageBinary, message); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for len(got) < len(message) { // the echo may come in several frames
		kind, part, err := ws.Read(ctx)
		if err != nil || kind != websocket.MessageBinary {
			t.Fatal(kind, err)
		}
		got = append(got, part...)
	}
	if !bytes.Equal(got, message) {
		t.Fatal("bytes differ")
	}
	ctxRead := ws.CloseRead(ctx)
	if err := ws.Ping(ctx); err != nil {
		t.Fatalf("ping: %v", err)
	}
	if err := ws.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Fatalf("close handshake: %v", err)
	}
	<-ctxRead.Done()
	await(t, conns, "the first connection")
	ws = dial()
	c := await(t, conns, "the second connection")
	c.Shutdown(ErrListenerClosed, patience)
	if _, _, err := ws.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Fatalf("got %v, want going away", err)
	}
}

// A declared length allocates nothing: the inbox holds what has come.
func TestHostileLengths(t *testing.T) {
	in := inbox{readBytes: 64 << 10, want: 1 << 28}
	if n := copy(in.space(), "head"); n != 4 {
		t.Fatal(n)
	}
	in.k.w += 4
	if size := len(in.k.buf); size > 64<<10 {
		t.Fatalf("4 bytes of a packet that wants %d hold %d", in.want, size)
	}
	in.settle()
	if size := len(in.k.buf); size > chunkSizes[0] {
		t.Fatalf("4 bytes hold a buffer of %d while nothing comes", size)
	}
	for in.len() < 10<<20 {
		p := in.space()
		in.k.w += len(p)
		if have := in.len(); len(in.k.buf) > max(64<<10, 2*have) {
			t.Fatalf("%d bytes hold a buffer of %d", have, len(in.k.buf))
		}
	}
	in.drop()
}

package conn

import (
	"io"
	"net"
	"testing"
)

func TestEchoSmoke(t *testing.T) {
	for _, plain := range []bool{false, true} {
		h := serve(t, Config{Plain: plain}, echo)
		nc, err := net.Dial("tcp", h.l.AddrString())
		if err != nil {
			t.Fatal(err)
		}
		closeLater(t, nc)
		for range 3 {
			nc.Write([]byte("hello"))
			b := make([]byte, 5)
			if _, err := io.ReadFull(nc, b); err != nil || string(b) != "hello" {
				t.Fatal(err, string(b))
			}
		}
		nc.Close()
		h.stop()
	}
}

package conn

import (
	"context"
	"net"
	"testing"
)

// BenchmarkWake is a round trip to the driver: what a commit costs on top of its
// acknowledgements.
func BenchmarkWake(b *testing.B) {
	for name, loops := range map[string]int{"raw": 0, "loop": 1} {
		b.Run(name, func(b *testing.B) {
			l, err := Listen(Config{Kind: KindTCP, Address: "127.0.0.1:0", Loops: loops})
			if err != nil {
				b.Fatal(err)
			}
			ended := make(chan struct{}, 1)
			conns := make(chan Conn, 1)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() {
				defer close(done)
				l.Serve(ctx, func(c Conn) Handler {
					conns <- c
					return &funcHandler{roundEnd: func() { ended <- struct{}{} }}
				})
			}()
			nc, err := net.Dial("tcp", l.AddrString())
			if err != nil {
				b.Fatal(err)
			}
			c := <-conns
			b.ReportAllocs()
			for b.Loop() {
				c.Wake()
				<-ended
			}
			_ = nc.Close()
			cancel()
			<-done
		})
	}
}

// BenchmarkOutbox puts a message into an outbox and takes it out again, as a
// flush does: copied, and with a payload that is shared.
func BenchmarkOutbox(b *testing.B) {
	head, small, large := make([]byte, 20), make([]byte, 150), make([]byte, 64<<10)
	var out, wire chunkList
	for name, put := range map[string]func(){
		"copied": func() { out.append(small) },
		"shared": func() { out.append(head); out.share(large) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				put()
				wire.take(&out)
				wire.drop()
			}
		})
	}
}

package packet

import "testing"

func BenchmarkPublish(b *testing.B) {
	plain := &Publish{QoS: 1, ID: 7, Topic: []byte("building/7/floor/3/temperature"), Payload: make([]byte, 128)}
	for _, c := range []struct {
		name string
		v    Version
		p    *Publish
	}{{"v311", V311, plain}, {"v5", V5, plain}, {"v5-properties", V5, fullPublish()}} {
		raw := AppendPublish(nil, c.v, c.p)
		b.Run("decode/"+c.name, func(b *testing.B) {
			var p Publish
			b.ReportAllocs()
			for b.Loop() {
				f, _, _ := Split(raw, 0)
				if err := DecodePublish(f, c.v, &p); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("encode/"+c.name, func(b *testing.B) {
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				buf = AppendPublish(buf[:0], c.v, c.p)
			}
		})
	}
}

func BenchmarkAck(b *testing.B) {
	for _, v := range []Version{V311, V5} {
		b.Run(v.String(), func(b *testing.B) {
			raw := AppendAck(nil, v, &Ack{Type: TypePuback, ID: 9})
			buf := make([]byte, 0, 64)
			var a Ack
			b.ReportAllocs()
			for b.Loop() {
				f, _, _ := Split(raw, 0)
				if err := DecodeAck(f, v, &a); err != nil {
					b.Fatal(err)
				}
				buf = AppendAck(buf[:0], v, &a)
			}
		})
	}
}

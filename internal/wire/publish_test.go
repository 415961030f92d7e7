package wire

import (
	"bytes"
	"reflect"
	"testing"
)

// TestPlainPublish: the short way to read a publish takes nothing that the long
// one refuses, gives the same, and is the one by which an ordinary publish comes.
func TestPlainPublish(t *testing.T) {
	long := bytes.Repeat([]byte{7}, 300)
	for _, p := range []Publish{
		{Body: long[:16]},
		{ID: MessageID{1 << 40, 200}, Generation: 1 << 56, Flags: 2 | PublishRetain, ExpiresAt: 70000, Retained: Dot{1000, 1 << 33}, Mountpoint: []byte("mp"), Body: long[:128]},
		{Flags: 1, Body: long},
	} {
		whole := AppendPublish(nil, &p)
		var q Publish
		if !q.plain(whole) {
			t.Errorf("%+v goes the long way", p)
		}
		for cut := range whole {
			agree(t, whole[:cut])
		}
		for at := range whole {
			for _, c := range []byte{0, 1, 3, 4, 7, 0x80, 0x90, 0x91, 0xa0, 0xbf, 0xc4, 0xc5, 0xc6, 0xcc, 0xcf, 0xd3, 0xff} {
				bad := bytes.Clone(whole)
				bad[at] = c
				agree(t, bad)
			}
		}
	}
}

func agree(t *testing.T, b []byte) {
	t.Helper()
	var short, full Publish
	if !short.plain(b) {
		return
	}
	if err := full.parse(b); err != nil {
		t.Fatalf("% x: taken, though %v", b, err)
	}
	if !reflect.DeepEqual(short, full) {
		t.Fatalf("% x: %+v, want %+v", b, short, full)
	}
}

// BenchmarkParsePublish reads what an ordinary message between nodes is.
func BenchmarkParsePublish(b *testing.B) {
	frame := AppendPublish(nil, &Publish{ID: MessageID{1 << 40, 1 << 30}, Generation: 1 << 56, Flags: 1, Body: make([]byte, 150)})
	var p Publish
	b.ReportAllocs()
	for range b.N {
		if err := ParsePublish(frame, &p); err != nil {
			b.Fatal(err)
		}
	}
}

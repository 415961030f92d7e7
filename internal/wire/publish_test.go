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
		if q.plain(whole) == 0 {
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
	if short.plain(b) == 0 {
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

// TestPublishReader: a run of publishes is read as each of them by itself is, whatever
// came before, though the memory that they came in is used again, and whatever is
// wrong with them.
func TestPublishReader(t *testing.T) {
	body := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, n) }
	plain := Publish{Generation: 1 << 56, Mountpoint: []byte("mp"), Body: body(100)}
	list := []Publish{plain, plain, plain, {Generation: 1 << 56, Mountpoint: []byte("mq"), Body: body(100)}, {Body: body(300)}, {Body: body(20)}, {Body: body(70000)},
		{ID: MessageID{1, 2}, Flags: 1, Body: body(30)}, {ID: MessageID{1, 3}, Flags: 1, Body: body(30)}, plain,
		{Targets: ToGroups, Groups: []Group{{[]byte("g"), []byte("f")}}, Body: body(9)}, plain, {Flags: PublishRetain, Retained: Dot{1, 2}, Body: body(8)}, plain}
	var frames [][]byte
	for i := range list {
		frames = append(frames, AppendPublish(nil, &list[i]))
	}
	whole := frames[0]
	for cut := range whole {
		frames = append(frames, whole[:cut], whole)
	}
	for at := range whole {
		for _, c := range []byte{0, 1, 0x90, 0xa0, 0xc4, 0xc5, 0xcf, 0xff} {
			bad := bytes.Clone(whole)
			bad[at] = c
			frames = append(frames, bad, whole)
		}
	}
	bufs := [2][]byte{make([]byte, 1<<17), make([]byte, 1<<17)}
	var x PublishReader
	for i, f := range frames {
		clear(bufs[(i+1)%2])
		b := bufs[i%2][:copy(bufs[i%2], f)]
		got, err := x.Read(b)
		var want Publish
		wantErr := ParsePublish(f, &want)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("frame %d: %v, want %v", i, err, wantErr)
		}
		if err != nil {
			continue
		}
		same := func(a, b *Publish) bool { return bytes.Equal(AppendPublish(nil, a), AppendPublish(nil, b)) }
		if !same(got, &want) {
			t.Fatalf("frame %d: %+v, want %+v", i, got, want)
		}
	}
}

// TestRun: the frames of a run are found again.
func TestRun(t *testing.T) {
	var run []byte
	for _, body := range []string{"a", "", "ccc"} {
		at := len(run)
		run = append(OpenFrame(run), body...)
		CloseFrame(run, at)
	}
	if got := Frames(run); got != 3 {
		t.Errorf("%d frames", got)
	}
	if got := FrameSize(run); got != HeaderBytes+1 {
		t.Errorf("the first has %d bytes", got)
	}
	if Frames(nil) != 0 {
		t.Error("nothing has frames")
	}
}

package packet

import (
	"bytes"
	"reflect"
	"testing"
)

// TestPlainPublish: the short ways to write and to read a message that has a topic and
// a payload alone are those of any other; what is not just so is left to the long way.
func TestPlainPublish(t *testing.T) {
	var whole []byte
	for _, size := range []int{0, 1, 110, 111, 128, 300, 16000, 17000, 70000} {
		p := Publish{Topic: []byte("a/b"), Payload: bytes.Repeat([]byte{7}, size)}
		for _, v := range []Version{V311, V5} {
			got := AppendPlainPublish(nil, v, p.Topic, p.Payload)
			if want := AppendPublish(nil, v, &p); !bytes.Equal(got, want) || PlainPublishSize(v, p.Topic, p.Payload) != len(want) {
				t.Errorf("version %d, %d bytes: % .20x, want % .20x", v, size, got, want)
			}
		}
		b := AppendPublish(nil, V5, &p)
		var q Publish
		if DecodePlainPublish(b, &q) != (size < 16000) && size != 16000 {
			t.Errorf("%d bytes go the wrong way", size)
		}
		agrees(t, b)
		if size == 300 {
			whole = b
		}
	}
	for cut := range whole {
		agrees(t, whole[:cut])
	}
	for at := range 12 {
		for c := range 256 {
			bad := bytes.Clone(whole)
			bad[at] = byte(c)
			agrees(t, bad)
		}
	}
	agrees(t, []byte{0x30, 0x85, 0, 0, 1, 'a', 0, 7}) // a length that is not minimal
	q := Publish{Dup: true, QoS: 1, Retain: true, ID: 7, Properties: Properties{Set: PropContentType}}
	if !DecodePlainPublish(whole, &q) || q.Dup || q.QoS != 0 || q.Retain || q.ID != 0 || q.Properties.Set != 0 {
		t.Errorf("something is left of the packet before: %+v", q)
	}
}

func agrees(t *testing.T, b []byte) {
	t.Helper()
	var short, full Publish
	if !DecodePlainPublish(b, &short) {
		return
	}
	f, n, err := Split(b, 0)
	if err == nil && n == len(b) {
		err = DecodePublish(f, V5, &full)
	}
	if err != nil || n != len(b) {
		t.Fatalf("% .20x: taken, though %v, %d of %d bytes", b, err, n, len(b))
	}
	if !reflect.DeepEqual(short, full) {
		t.Fatalf("% .20x: %+v, want %+v", b, short, full)
	}
}

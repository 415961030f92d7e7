package packet

import (
	"strings"
	"testing"
)

// standardTable is table 2-4 of MQTT 5 as it is printed there: identifier,
// type, packets. It is kept apart from propertyTable so that a slip in one of
// them shows.
const standardTable = `
1  byte    PUBLISH,Will
2  u32     PUBLISH,Will
3  string  PUBLISH,Will
8  string  PUBLISH,Will
9  binary  PUBLISH,Will
11 varint  PUBLISH,SUBSCRIBE
17 u32     CONNECT,CONNACK,DISCONNECT
18 string  CONNACK
19 u16     CONNACK
21 string  CONNECT,CONNACK,AUTH
22 binary  CONNECT,CONNACK,AUTH
23 byte    CONNECT
24 u32     Will
25 byte    CONNECT
26 string  CONNACK
28 string  CONNACK,DISCONNECT
31 string  CONNACK,PUBACK,PUBREC,PUBREL,PUBCOMP,SUBACK,UNSUBACK,DISCONNECT,AUTH
33 u16     CONNECT,CONNACK
34 u16     CONNECT,CONNACK
35 u16     PUBLISH
36 byte    CONNACK
37 byte    CONNACK
38 pair    CONNECT,CONNACK,PUBLISH,Will,PUBACK,PUBREC,PUBREL,PUBCOMP,SUBSCRIBE,SUBACK,UNSUBSCRIBE,UNSUBACK,DISCONNECT,AUTH
39 u32     CONNECT,CONNACK
40 byte    CONNACK
41 byte    CONNACK
42 byte    CONNACK
`

// sampleValues encodes a valid value of each type.
var sampleValues = map[string]string{
	"byte": "\x01", "u16": "\x00\x01", "u32": "\x00\x00\x00\x01", "varint": "\x01",
	"string": "\x00\x01s", "binary": "\x00\x01\xff", "pair": "\x00\x01n\x00\x01v",
}

// TestPropertyTable tries every one-byte identifier in every packet.
func TestPropertyTable(t *testing.T) {
	want := map[int]struct{ kind, packets string }{}
	for _, line := range strings.Split(strings.TrimSpace(standardTable), "\n") {
		f := strings.Fields(line)
		id := 0
		for _, digit := range f[0] {
			id = id*10 + int(digit-'0')
		}
		want[id] = struct{ kind, packets string }{f[1], "," + f[2] + ","}
	}
	packets := []string{"Will"}
	for typ := TypeConnect; typ <= TypeAuth; typ++ {
		packets = append(packets, typ.String())
	}
	for id := range 128 {
		value := sampleValues[want[id].kind]
		for at, name := range packets {
			var p Properties
			in := cursor{b: []byte(string(rune(1+len(value))) + string(rune(id)) + value)}
			p.decode(&in, 1<<at)
			allowed := strings.Contains(want[id].packets, ","+name+",")
			if got := in.end() == nil; got != allowed {
				t.Errorf("property %d in %s: accepted %v, want %v (%v)", id, name, got, allowed, in.err)
			}
		}
	}
}

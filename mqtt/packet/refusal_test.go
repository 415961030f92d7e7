package packet

import (
	"encoding/hex"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// refusals has packets that the standards forbid. The fault stands in the
// bytes; everything else about them is right.
var refusals = []struct {
	name string
	v    Version
	hex  string
	want *Error
}{
	{"type 0", V311, "00 00", errHeadType},
	{"five length bytes", V311, "30 ff ff ff ff 01", errHeadLength},
	{"four length bytes, all continued", V5, "c0 80 80 80 80", errHeadLength},
	{"padded length in MQTT 5", V5, "40 82 00 00 01", errHeadMinimal},
	{"padded length in CONNECT", V5, "10 8e 00 00 04 4d 51 54 54 05 02 00 3c 00 00 01 61", errHeadMinimal},

	{"CONNECT flags", V311, "11 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 61", errFlags},
	{"PUBACK flags", V311, "42 02 00 01", errFlags},
	{"PUBREL flags", V5, "60 02 00 01", errFlags},
	{"PUBREL repeated in 3.1.1", V311, "6a 02 00 01", errFlags},
	{"SUBSCRIBE flags", V311, "80 06 00 01 00 01 61 00", errFlags},
	{"UNSUBSCRIBE flags", V5, "a0 06 00 01 00 00 01 61", errFlags},
	{"PINGREQ flags", V311, "c1 00", errFlags},
	{"DISCONNECT flags", V311, "e2 00", errFlags},
	{"AUTH flags", V5, "f1 00", errFlags},
	{"AUTH before MQTT 5", V311, "f0 00", errAuthVersion},

	{"empty CONNECT", V311, "10 00", errShort},
	{"CONNECT ends in its name", V311, "10 04 00 04 4d 51", errShort},
	{"CONNECT ends before its level", V311, "10 06 00 04 4d 51 54 54", errShort},
	{"CONNECT ends before its flags", V311, "10 07 00 04 4d 51 54 54 04", errShort},
	{"CONNECT ends in its client id", V311, "10 0d 00 04 4d 51 54 54 04 02 00 3c 00 02 61", errShort},
	{"CONNECT 5 without properties", V5, "10 0a 00 04 4d 51 54 54 05 02 00 3c", errShort},
	{"CONNECT without announced user name", V311, "10 0d 00 04 4d 51 54 54 04 82 00 3c 00 01 61", errShort},
	{"protocol name in small letters", V311, "10 0d 00 04 6d 71 74 74 04 02 00 3c 00 01 61", errVersion},
	{"new name with level 3", V31, "10 0d 00 04 4d 51 54 54 03 02 00 3c 00 01 61", errVersion},
	{"old name with level 4", V311, "10 0f 00 06 4d 51 49 73 64 70 04 02 00 3c 00 01 61", errVersion},
	{"level 6", V5, "10 0e 00 04 4d 51 54 54 06 02 00 3c 00 00 01 61", errVersion},
	{"MQTT 5 with the bridge bit", V5, "10 0e 00 04 4d 51 54 54 85 02 00 3c 00 00 01 61", errVersion},
	{"reserved CONNECT flag", V311, "10 0d 00 04 4d 51 54 54 04 03 00 3c 00 01 61", errConnectFlag},
	{"will QoS without will", V311, "10 0d 00 04 4d 51 54 54 04 0a 00 3c 00 01 61", errWillFlags},
	{"will retain without will", V311, "10 0d 00 04 4d 51 54 54 04 22 00 3c 00 01 61", errWillFlags},
	{"will QoS 3", V311, "10 13 00 04 4d 51 54 54 04 1e 00 3c 00 01 61 00 01 74 00 01 78", errWillQoS},
	{"password without user name", V311, "10 10 00 04 4d 51 54 54 04 42 00 3c 00 01 61 00 01 70", errPassword},
	{"client id not UTF-8", V311, "10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 ff", errString},
	{"user name with U+0000", V311, "10 10 00 04 4d 51 54 54 04 82 00 3c 00 01 61 00 01 00", errString},
	{"bytes after CONNECT", V311, "10 0e 00 04 4d 51 54 54 04 02 00 3c 00 01 61 00", errTrailing},
	{"authentication data alone", V5, "10 12 00 04 4d 51 54 54 05 02 00 3c 04 16 00 01 01 00 01 61", errAuthData},
	{"receive maximum 0", V5, "10 11 00 04 4d 51 54 54 05 02 00 3c 03 21 00 00 00 01 61", errPropZero},
	{"maximum packet size 0", V5, "10 13 00 04 4d 51 54 54 05 02 00 3c 05 27 00 00 00 00 00 01 61", errPropZero},
	{"request problem information 2", V5, "10 10 00 04 4d 51 54 54 05 02 00 3c 02 17 02 00 01 61", errPropBool},
	{"will delay outside the will", V5, "10 13 00 04 4d 51 54 54 05 02 00 3c 05 18 00 00 00 01 00 01 61", errPropPlace},

	{"reserved CONNACK flags", V311, "20 02 02 00", errConnackFlags},
	{"session present with a refusal", V311, "20 02 01 05", errConnackState},
	{"return code 6", V311, "20 02 00 06", errReason},
	{"CONNACK with a DISCONNECT code", V5, "20 03 00 8e 00", errReason},

	{"PUBLISH QoS 3", V311, "36 05 00 01 74 00 01", errPublishQoS},
	{"PUBLISH DUP at QoS 0", V311, "38 03 00 01 74", errPublishDup},
	{"PUBLISH without topic", V311, "30 02 00 00", errPublishTopic},
	{"PUBLISH 5 without topic and alias", V5, "30 03 00 00 00", errPublishTopic},
	{"PUBLISH packet id 0", V311, "32 05 00 01 74 00 00", errID},
	{"PUBLISH ends before its packet id", V311, "32 04 00 01 74 01", errShort},
	{"PUBLISH topic longer than the packet", V311, "30 03 ff ff 74", errShort},
	{"topic with U+0000", V311, "30 03 00 01 00", errString},
	{"topic with a surrogate", V311, "30 05 00 03 ed a0 80", errString},
	{"topic overlong", V311, "30 04 00 02 c0 af", errString},
	{"topic alias 0", V5, "30 07 00 01 74 03 23 00 00", errPropAlias},
	{"topic alias twice", V5, "30 0a 00 01 74 06 23 00 01 23 00 01", errPropTwice},
	{"subscription identifier 0", V5, "30 06 00 01 74 02 0b 00", errPropZero},
	{"subscription identifier padded", V5, "30 07 00 01 74 03 0b 81 00", errVarint},
	{"subscription identifier of five bytes", V5, "30 0a 00 01 74 06 0b ff ff ff ff 01", errVarint},
	{"unknown property", V5, "30 06 00 01 74 02 04 00", errPropUnknown},
	{"property identifier of two bytes", V5, "30 07 00 01 74 03 81 01 00", errPropUnknown},
	{"property length beyond the packet", V5, "30 05 00 01 74 05 01", errPropOverflows},
	{"property cut by the property length", V5, "30 07 00 01 74 02 23 00 01", errShort},
	{"property length unfinished", V5, "30 04 00 01 74 80", errShort},
	{"response topic with a wildcard", V5, "30 08 00 01 74 04 08 00 01 2b", errPropResponse},
	{"response topic empty", V5, "30 07 00 01 74 03 08 00 00", errPropResponse},
	{"user property not UTF-8", V5, "30 0a 00 01 74 06 26 00 01 61 00 01", errShort},
	{"user property value not UTF-8", V5, "30 0b 00 01 74 07 26 00 01 61 00 01 fe", errString},
	{"session expiry in PUBLISH", V5, "30 09 00 01 74 05 11 00 00 00 01", errPropPlace},

	{"PUBACK packet id 0", V311, "40 02 00 00", errID},
	{"PUBACK with a body in 3.1.1", V311, "40 03 00 01 00", errTrailing},
	{"PUBACK unknown code", V5, "40 03 00 01 01", errReason},
	{"PUBREL with a PUBACK code", V5, "62 03 00 01 10", errReason},
	{"PUBCOMP bytes after properties", V5, "70 05 00 01 00 00 00", errTrailing},
	{"PUBREC reason string twice", V5, "50 0c 00 01 00 08 1f 00 01 61 1f 00 01 61", errPropTwice},

	{"SUBSCRIBE packet id 0", V311, "82 06 00 00 00 01 61 00", errID},
	{"SUBSCRIBE without filter", V311, "82 02 00 01", errNoFilter},
	{"SUBSCRIBE 5 without filter", V5, "82 03 00 01 00", errNoFilter},
	{"SUBSCRIBE without options", V311, "82 05 00 01 00 01 61", errShort},
	{"SUBSCRIBE QoS 3", V5, "82 07 00 01 00 00 01 61 03", errSubQoS},
	{"SUBSCRIBE QoS 3 in 3.1.1", V311, "82 06 00 01 00 01 61 03", errSubQoSOld},
	{"MQTT 5 options in 3.1.1", V311, "82 06 00 01 00 01 61 04", errSubReserved},
	{"SUBSCRIBE reserved bits", V5, "82 07 00 01 00 00 01 61 40", errSubReserved},
	{"retain handling 3", V5, "82 07 00 01 00 00 01 61 30", errRetainOption},
	{"No Local on a shared subscription", V5, "82 10 00 01 00 00 0a 24 73 68 61 72 65 2f 67 2f 61 04", errShareNoLocal},
	{"two subscription identifiers", V5, "82 0b 00 01 04 0b 01 0b 02 00 01 61 00", errPropTwice},
	{"reason string in SUBSCRIBE", V5, "82 0b 00 01 04 1f 00 01 61 00 01 61 00", errPropPlace},
	{"SUBACK without reason", V5, "90 03 00 01 00", errNoReason},
	{"SUBACK code 3", V311, "90 03 00 01 03", errReason},
	{"UNSUBACK with a SUBACK code", V5, "b0 04 00 01 00 01", errReason},
	{"UNSUBACK with a body in 3.1.1", V311, "b0 03 00 01 00", errTrailing},
	{"UNSUBSCRIBE without filter", V5, "a2 03 00 01 00", errNoFilter},
	{"UNSUBSCRIBE packet id 0", V5, "a2 06 00 00 00 00 01 61", errID},

	{"PINGREQ with a body", V311, "c0 01 00", errTrailing},
	{"DISCONNECT with a body in 3.1.1", V311, "e0 01 00", errTrailing},
	{"DISCONNECT unknown code", V5, "e0 01 01", errReason},
	{"DISCONNECT with a topic alias", V5, "e0 05 00 03 23 00 01", errPropPlace},
	{"AUTH without method", V5, "f0 02 18 00", errAuthMethod},
	{"AUTH success with data and no method", V5, "f0 06 00 04 16 00 01 78", errAuthMethod},
	{"AUTH with a PUBACK code", V5, "f0 01 10", errReason},
}

func TestRefusals(t *testing.T) {
	seen := map[string]bool{errTooLarge.Detail: true, errWrongType.Detail: true} // tests of their own
	for _, c := range refusals {
		raw, err := hex.DecodeString(strings.ReplaceAll(c.hex, " ", ""))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var p packets
		f, size, err := Split(raw, 0)
		if err == nil && size != len(raw) {
			t.Errorf("%s: the vector is wrong: Split took %d of %d bytes", c.name, size, len(raw))
			continue
		}
		if err == nil {
			_, err = p.decode(f, c.v)
		}
		var e *Error
		if !errors.As(err, &e) || e != c.want {
			t.Errorf("%s: %s in MQTT %s: got %v, want %v", c.name, c.hex, c.v, err, c.want)
		}
		seen[c.want.Detail] = true
	}
	for _, detail := range details(t) {
		if !seen[detail] {
			t.Errorf("no case for the refusal %q", detail)
		}
	}
}

// details reads the sentences of fault.go, so that none goes without a case.
func details(t *testing.T) []string {
	file, err := parser.ParseFile(token.NewFileSet(), "fault.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			s, _ := strconv.Unquote(lit.Value)
			found = append(found, s)
		}
		return true
	})
	if len(found) < 20 {
		t.Fatalf("fault.go holds %d sentences only", len(found))
	}
	return found
}

// TestRefusalCodes pins the reason codes that a version 5 peer sees.
func TestRefusalCodes(t *testing.T) {
	for _, c := range []struct {
		e    *Error
		want ReasonCode
	}{
		{errTooLarge, PacketTooLarge}, {errVersion, UnsupportedProtocolVersion},
		{errPropAlias, TopicAliasInvalid}, {errPropTwice, ProtocolError},
		{errPropPlace, MalformedPacket}, {errString, MalformedPacket}, {errNoFilter, ProtocolError},
		{errPublishQoS, MalformedPacket}, {errSubReserved, MalformedPacket},
		{errShareNoLocal, ProtocolError}, {errID, ProtocolError}, {errFlags, MalformedPacket},
	} {
		if c.e.Reason != c.want {
			t.Errorf("%q has reason %s, want %s", c.e.Detail, c.e.Reason, c.want)
		}
	}
}

// TestWrongType gives every decoder a packet of another type.
func TestWrongType(t *testing.T) {
	f := Frame{Type: TypePingreq, Size: 2}
	ping := Frame{Type: TypeConnect, Size: 2}
	for i, err := range []error{
		DecodeConnect(f, &Connect{}), DecodeConnack(f, V5, &Connack{}),
		DecodePublish(f, V5, &Publish{}), DecodeAck(f, V5, &Ack{}),
		DecodeSubscribe(f, V5, &Subscribe{}), DecodeSuback(f, V5, &Suback{}),
		DecodeUnsubscribe(f, V5, &Unsubscribe{}), DecodeDisconnect(f, V5, &Disconnect{}),
		DecodeAuth(f, V5, &Auth{}), DecodePing(ping),
	} {
		if err != errWrongType {
			t.Errorf("decoder %d: got %v, want %v", i, err, errWrongType)
		}
	}
}

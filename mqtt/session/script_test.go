package session

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tombolo/mqtt/packet"
	"tombolo/queue"
)

var update = flag.Bool("update", false, "write the expected text of the scripts in testdata")

// TestScripts runs the stories in testdata. A script is a list of commands,
// each followed by what it is expected to do and an empty line; lines that
// begin with # are the story. Run one alone with -run TestScripts/NAME, and
// write new expectations with -update after reading the difference.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	var out bytes.Buffer
	blocks := strings.Split(strings.TrimRight(string(text), "\n"), "\n\n")
	for i, block := range blocks {
		if i > 0 {
			out.WriteByte('\n')
		}
		lines := strings.Split(block, "\n")
		ran := false
		for _, line := range lines {
			if strings.HasPrefix(line, "#") || (!ran && line == "") {
				fmt.Fprintln(&out, line)
				continue
			}
			if ran {
				break // what follows is the expectation
			}
			ran = true
			fmt.Fprintln(&out, line)
			out.WriteString(w.run(t, line))
			if err := w.check(); err != nil {
				t.Fatalf("%s: after %q: %v", file, line, err)
			}
		}
	}
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got := out.String(); strings.TrimRight(got, "\n") != strings.TrimRight(string(text), "\n") {
		t.Errorf("%s differs; got:\n%s", file, got)
	}
}

// world is what a script plays with: one client, its session and its queue.
type world struct {
	limits  Limits
	hs      *Handshake
	session *Session
	queue   *queue.Queue
	durable bool
	now     int64
	seq     uint64
	e       Effects
	tokens  map[packet.ID]uint64
	version packet.Version
}

func newWorld() *world {
	w := &world{tokens: map[packet.ID]uint64{}, now: 1_000_000}
	w.limits = Limits{
		Versions: AllVersions, ClientIDBytesMax: 100, TopicDepthMax: 10, InflightMax: 20,
		ReceiveMaxClient: 65535, ReceiveMaxBroker: 65535, SessionExpiryMax: ExpiryNever,
		PersistentExpiry: ExpiryNever, WillDelayMax: ExpiryNever,
	}
	w.hs = NewHandshake(&w.limits)
	return w
}

// args are the name=value words of a command.
type args map[string]string

func (a args) num(name string, def int) int {
	v, ok := a[name]
	if !ok {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		panic(fmt.Sprintf("%s=%s is not a number", name, v))
	}
	return n
}

func (a args) has(name string) bool { _, ok := a[name]; return ok }

func parse(line string) (verb string, sub string, a args) {
	words := strings.Fields(line)
	verb, words = words[0], words[1:]
	if verb == "in" {
		sub, words = words[0], words[1:]
	}
	a = args{}
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		a[name] = value
	}
	return verb, sub, a
}

func (w *world) run(t *testing.T, line string) string {
	t.Helper()
	verb, sub, a := parse(line)
	w.e.Reset()
	extra := ""
	switch verb {
	case "limits":
		w.setLimits(a)
	case "connect":
		w.connect(a)
	case "attach":
		w.attach(a)
	case "in":
		w.in(t, sub, a)
	case "raw":
		w.raw(t, a)
	case "done":
		w.session.PublishDone(w.tokens[packet.ID(a.num("id", 0))], packet.ReasonCode(a.num("reason", 0)), a["detail"], &w.e)
	case "forgotten":
		w.session.Forgotten(w.tokens[packet.ID(a.num("id", 0))], &w.e)
	case "suback":
		w.session.SubscribeDone(w.tokens[packet.ID(a.num("id", 0))], codes(a["codes"]), a["detail"], &w.e)
	case "unsuback":
		w.session.UnsubscribeDone(w.tokens[packet.ID(a.num("id", 0))], codes(a["codes"]), &w.e)
	case "deliver":
		w.deliver(a)
	case "ops":
		extra = w.ops()
	case "opdone":
		w.session.QueueDone(uint64(a.num("tag", 0)), w.now, &w.e)
	case "detach":
		w.session.Detach(w.now)
	case "kick":
		w.session.Disconnect(packet.ReasonCode(a.num("reason", 0x8e)), a["detail"], &w.e)
	case "challenge":
		w.session.AuthContinue([]byte(a["data"]), &w.e)
	case "authenticated":
		w.session.AuthDone([]byte(a["data"]), &w.e)
	case "advance":
		w.now += int64(a.num("ms", 0))
	default:
		t.Fatalf("unknown command %q", line)
	}
	return extra + w.describe()
}

func (w *world) setLimits(a args) {
	l := &w.limits
	l.ReceiveMaxBroker = uint16(a.num("receive_max_broker", int(l.ReceiveMaxBroker)))
	l.TopicAliasMaxClient = uint16(a.num("topic_alias_max_client", 0))
	l.TopicAliasMaxBroker = uint16(a.num("topic_alias_max_broker", 0))
	l.InflightMax = a.num("max_inflight", l.InflightMax)
	l.KeepAliveMax = uint16(a.num("max_keepalive", 0))
	l.ServerKeepAlive = uint16(a.num("server_keep_alive", 0))
	l.PacketBytesMax = a.num("max_message_size", 0)
	l.SessionExpiryMax = uint32(a.num("session_expiry_max", int(l.SessionExpiryMax)))
	l.Versions = uint8(a.num("versions", int(l.Versions)))
}

func (w *world) connect(a args) {
	w.version = packet.Version(a.num("v", 5))
	c := packet.Connect{Version: w.version, ClientID: []byte(a["id"]), CleanStart: a.has("clean"), KeepAlive: uint16(a.num("keepalive", 60))}
	pr := &c.Properties
	for _, p := range []struct {
		name string
		bit  packet.PropertySet
		set  func(int)
	}{
		{"expiry", packet.PropSessionExpiry, func(n int) { pr.SessionExpiry = uint32(n) }},
		{"receive_max", packet.PropReceiveMaximum, func(n int) { pr.ReceiveMaximum = uint16(n) }},
		{"packet_max", packet.PropMaximumPacketSize, func(n int) { pr.MaximumPacketSize = uint32(n) }},
		{"aliases", packet.PropTopicAliasMaximum, func(n int) { pr.TopicAliasMaximum = uint16(n) }},
		{"problem_info", packet.PropRequestProblemInfo, func(n int) { pr.RequestProblemInfo = uint8(n) }},
	} {
		if a.has(p.name) {
			pr.Set |= p.bit
			p.set(a.num(p.name, 0))
		}
	}
	if a.has("auth") {
		pr.Set |= packet.PropAuthMethod
		pr.AuthMethod = []byte(a["auth"])
	}
	if a.has("will") {
		c.HasWill = true
		c.Will = packet.Will{Topic: []byte(a["will"]), Payload: []byte("gone"), QoS: uint8(a.num("will_qos", 0)), Retain: a.has("will_retain")}
	}
	w.hs = NewHandshake(&w.limits)
	w.step(packet.AppendConnect(nil, &c), func(f packet.Frame) { w.hs.Packet(f, &w.e) })
}

func (w *world) attach(a args) {
	if w.session == nil || a.has("new") {
		w.durable = a.has("durable")
		w.queue = queue.New(queue.Config{MaxOnline: 100, MaxOffline: 100}, w.durable, queue.State{})
		w.session = New(&w.limits, w.queue, w.durable, nil)
		w.seq = 0
	}
	w.session.Attach(w.hs.Params(), a.has("present"), uint8(a.num("connects", 0)), nil, w.now, &w.e)
}

// step splits raw bytes and has each packet stepped.
func (w *world) step(raw []byte, f func(packet.Frame)) {
	for len(raw) > 0 {
		frame, n, err := packet.Split(raw, w.limits.PacketBytesMax)
		if err != nil || n == 0 {
			panic(fmt.Sprintf("script bytes do not split: %v", err))
		}
		f(frame)
		raw = raw[n:]
	}
	if id := packet.ID(w.e.Token >> 32); w.e.Request != RequestNone && id != 0 {
		w.tokens[id] = w.e.Token
	}
}

func (w *world) raw(t *testing.T, a args) {
	var b []byte
	if _, err := fmt.Sscanf(a["hex"], "%x", &b); err != nil {
		t.Fatal(err)
	}
	w.step(b, func(f packet.Frame) { w.session.Packet(f, w.now, &w.e) })
}

func (w *world) in(t *testing.T, kind string, a args) {
	t.Helper()
	id := packet.ID(a.num("id", 0))
	var b []byte
	switch kind {
	case "publish":
		p := packet.Publish{Topic: []byte(a["topic"]), Payload: []byte(a["payload"]), ID: id, QoS: uint8(a.num("qos", 0)), Dup: a.has("dup"), Retain: a.has("retain")}
		if a.has("alias") {
			p.Properties.Set |= packet.PropTopicAlias
			p.Properties.TopicAlias = uint16(a.num("alias", 0))
		}
		b = packet.AppendPublish(nil, w.version, &p)
	case "puback", "pubrec", "pubrel", "pubcomp":
		types := map[string]packet.Type{"puback": packet.TypePuback, "pubrec": packet.TypePubrec, "pubrel": packet.TypePubrel, "pubcomp": packet.TypePubcomp}
		b = packet.AppendAck(nil, w.version, &packet.Ack{Type: types[kind], ID: id, Reason: packet.ReasonCode(a.num("reason", 0))})
	case "subscribe":
		b = packet.AppendSubscribe(nil, w.version, &packet.Subscribe{ID: id, Subscriptions: []packet.Subscription{{Filter: []byte(a["filter"]), QoS: uint8(a.num("qos", 0))}}})
	case "unsubscribe":
		b = packet.AppendUnsubscribe(nil, w.version, &packet.Unsubscribe{ID: id, Filters: [][]byte{[]byte(a["filter"])}})
	case "pingreq":
		b = packet.AppendPingreq(nil)
	case "connect":
		b = packet.AppendConnect(nil, &packet.Connect{Version: w.version, ClientID: []byte("again"), CleanStart: true})
	case "disconnect":
		d := packet.Disconnect{Reason: packet.ReasonCode(a.num("reason", 0))}
		if a.has("expiry") {
			d.Properties.Set, d.Properties.SessionExpiry = packet.PropSessionExpiry, uint32(a.num("expiry", 0))
		}
		b = packet.AppendDisconnect(nil, w.version, &d)
	case "auth":
		x := packet.Auth{Reason: packet.ReasonCode(a.num("reason", 0x19))}
		x.Properties.Set, x.Properties.AuthMethod = packet.PropAuthMethod, []byte(a["method"])
		b = packet.AppendAuth(nil, w.version, &x)
	default:
		t.Fatalf("unknown packet %q", kind)
	}
	w.step(b, func(f packet.Frame) { w.session.Packet(f, w.now, &w.e) })
}

// deliver brings a message to the session as the broker does.
func (w *world) deliver(a args) {
	p := &packet.Publish{Topic: []byte(a["topic"]), Payload: []byte(a["payload"]), QoS: uint8(a.num("qos", 0))}
	expires := int64(0)
	if a.has("expiry") {
		expires = w.now + int64(a.num("expiry", 0))*1000
	}
	var ids []uint32
	if a.has("subid") {
		ids = []uint32{uint32(a.num("subid", 0))}
	}
	if p.QoS == 0 {
		var o Outgoing
		o.Set(p, expires)
		w.session.Deliver0(&o, a.has("retain"), ids, w.now, &w.e)
		return
	}
	if w.queue.Admit(p.QoS) != queue.Accept {
		panic("the queue does not take it")
	}
	w.seq++
	m := &queue.Message{QoS: p.QoS, ExpiresAt: expires, Body: EncodeBody(p)}
	w.queue.Committed(queue.Entry{Seq: w.seq, Msg: m, QoS: p.QoS, Retain: a.has("retain"), SubIDs: ids})
	w.session.Pump(w.now, &w.e)
}

// ops takes what the queue wants of the store. A read is answered at once with
// nothing, because the scripts keep no store.
func (w *world) ops() string {
	var out strings.Builder
	for _, op := range w.queue.Ops(nil) {
		fmt.Fprintf(&out, "op %v seq=%d id=%d n=%d", op.Kind, op.Seq, op.PacketID, op.N)
		if op.Tag&queue.ReadTag == 0 && op.Tag != 0 {
			fmt.Fprintf(&out, " tag=%d", op.Tag)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func codes(s string) []packet.ReasonCode {
	var out []packet.ReasonCode
	for _, c := range strings.Split(s, ",") {
		n, err := strconv.ParseUint(c, 0, 8)
		if err != nil {
			panic(err)
		}
		out = append(out, packet.ReasonCode(n))
	}
	return out
}

// describe prints the effects of a step.
func (w *world) describe() string {
	var out strings.Builder
	e := &w.e
	for _, line := range describePackets(e.Out, w.version) {
		fmt.Fprintln(&out, "out "+line)
	}
	names := []string{"", "connect", "auth", "publish", "subscribe", "unsubscribe", "forget"}
	if e.Request != RequestNone {
		fmt.Fprintf(&out, "request %s", names[e.Request])
		switch e.Request {
		case RequestPublish:
			fmt.Fprintf(&out, " topic=%s qos=%d", e.Publish.Topic, e.Publish.QoS)
		case RequestSubscribe:
			fmt.Fprintf(&out, " filter=%s qos=%d", e.Subscribe.Subscriptions[0].Filter, e.Subscribe.Subscriptions[0].QoS)
		case RequestForget:
			fmt.Fprintf(&out, " id=%d", e.PacketID)
		case RequestConnect:
			p := w.hs.Params()
			fmt.Fprintf(&out, " id=%q clean=%v keepalive=%d expiry=%d", p.ClientID, p.CleanStart, p.KeepAlive, p.Expiry)
		}
		out.WriteByte('\n')
	}
	if e.Dropped > 0 {
		fmt.Fprintf(&out, "dropped %d\n", e.Dropped)
	}
	if e.HasSessionExpiry {
		fmt.Fprintf(&out, "session expiry %d\n", e.SessionExpiry)
	}
	if e.Closing {
		fmt.Fprintf(&out, "close 0x%02x %s clean=%v will=%v\n", uint8(e.Close.Reason), e.Close.Detail, e.Close.Clean, e.Close.Will)
	}
	return out.String()
}

// check holds the session to the invariants in its comment.
func (w *world) check() error {
	s := w.session
	if s == nil {
		return nil
	}
	for id := range s.out.flights.all {
		if _, both := s.out.retryID[id]; both {
			return fmt.Errorf("(1) packet id %d is in flight and to be sent again", id)
		}
	}
	if s.attached && s.out.used != s.out.flights.count {
		return fmt.Errorf("(2) %d flights, %d counted", s.out.flights.count, s.out.used)
	}
	if line := s.in.line(); len(line) > 0 && line[0].done {
		return fmt.Errorf("(3) the first ticket is done and was not sent")
	}
	return nil
}

// describePackets prints packets as a server sends them.
func describePackets(b []byte, v packet.Version) []string {
	var out []string
	for len(b) > 0 {
		f, n, err := packet.Split(b, 0)
		if err != nil || n == 0 {
			return append(out, fmt.Sprintf("garbage %x", b))
		}
		out = append(out, describePacket(f, v))
		b = b[n:]
	}
	return out
}

func describePacket(f packet.Frame, v packet.Version) string {
	var line bytes.Buffer
	w := bufio.NewWriter(&line)
	var pr *packet.Properties
	var err error
	switch f.Type {
	case packet.TypeConnack:
		var c packet.Connack
		err = packet.DecodeConnack(f, v, &c)
		fmt.Fprintf(w, "CONNACK present=%v reason=0x%02x", c.SessionPresent, uint8(c.Reason))
		pr = &c.Properties
	case packet.TypePublish:
		var p packet.Publish
		err = packet.DecodePublish(f, v, &p)
		fmt.Fprintf(w, "PUBLISH topic=%s payload=%s qos=%d id=%d dup=%v retain=%v", p.Topic, p.Payload, p.QoS, p.ID, p.Dup, p.Retain)
		pr = &p.Properties
	case packet.TypePuback, packet.TypePubrec, packet.TypePubrel, packet.TypePubcomp:
		var a packet.Ack
		err = packet.DecodeAck(f, v, &a)
		fmt.Fprintf(w, "%v id=%d reason=0x%02x", f.Type, a.ID, uint8(a.Reason))
		pr = &a.Properties
	case packet.TypeSuback, packet.TypeUnsuback:
		var a packet.Suback
		err = packet.DecodeSuback(f, v, &a)
		fmt.Fprintf(w, "%v id=%d reasons=%v", f.Type, a.ID, fmtCodes(a.Reasons))
		pr = &a.Properties
	case packet.TypeDisconnect:
		var d packet.Disconnect
		err = packet.DecodeDisconnect(f, v, &d)
		fmt.Fprintf(w, "DISCONNECT reason=0x%02x", uint8(d.Reason))
		pr = &d.Properties
	case packet.TypeAuth:
		var a packet.Auth
		err = packet.DecodeAuth(f, v, &a)
		fmt.Fprintf(w, "AUTH reason=0x%02x method=%s", uint8(a.Reason), a.Properties.AuthMethod)
	default:
		fmt.Fprintf(w, "%v", f.Type)
	}
	if err != nil {
		fmt.Fprintf(w, " ERROR %v", err)
	}
	if pr != nil {
		fmt.Fprint(w, describeProperties(pr))
	}
	w.Flush()
	return line.String()
}

func fmtCodes(rs []packet.ReasonCode) string {
	var out []string
	for _, r := range rs {
		out = append(out, fmt.Sprintf("0x%02x", uint8(r)))
	}
	return strings.Join(out, ",")
}

func describeProperties(pr *packet.Properties) string {
	var out []string
	add := func(bit packet.PropertySet, name string, value any) {
		if pr.Has(bit) {
			out = append(out, fmt.Sprintf("%s=%v", name, value))
		}
	}
	add(packet.PropMessageExpiry, "message_expiry", pr.MessageExpiry)
	add(packet.PropTopicAlias, "alias", pr.TopicAlias)
	add(packet.PropSubscriptionID, "subid", pr.SubscriptionIDs)
	add(packet.PropSessionExpiry, "session_expiry", pr.SessionExpiry)
	add(packet.PropReceiveMaximum, "receive_max", pr.ReceiveMaximum)
	add(packet.PropMaximumPacketSize, "packet_max", pr.MaximumPacketSize)
	add(packet.PropTopicAliasMaximum, "alias_max", pr.TopicAliasMaximum)
	add(packet.PropServerKeepAlive, "server_keep_alive", pr.ServerKeepAlive)
	add(packet.PropAssignedClientID, "assigned", string(pr.AssignedClientID))
	add(packet.PropReasonString, "reason_string", string(pr.ReasonString))
	slices.Sort(out)
	if len(out) == 0 {
		return ""
	}
	return " {" + strings.Join(out, " ") + "}"
}

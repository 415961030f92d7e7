package main

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tombolo/mqtt/packet"
)

// printer writes messages as the flags ask. Owned by one command.
type printer struct {
	verbose   bool
	format    string
	json      bool
	pretty    bool
	noNewline bool
}

// prepare turns the shorthands into a format and checks it.
func (o *printer) prepare() error {
	given := 0
	for _, set := range []bool{o.format != "", o.json || o.pretty, o.verbose} {
		if set {
			given++
		}
	}
	switch {
	case given > 1:
		return errors.New("-v, -F and --json (--pretty) each say how to print: give one")
	case o.pretty:
		o.format = "%J"
	case o.json:
		o.format = "%j"
	case o.verbose:
		o.format = "%t %p"
	case o.format == "":
		o.format = "%p"
	}
	for i := 0; i < len(o.format); i++ {
		if o.format[i] != '%' {
			continue
		}
		i++
		if i == len(o.format) || !strings.ContainsRune("tpxXlqrmdjJIUCDEFRSP%", rune(o.format[i])) {
			return fmt.Errorf("-F %q: there is no such mark behind %%; tombolo sub --help lists them", o.format)
		}
	}
	return nil
}

// print writes one message. Faults of the writer come back from its Flush.
func (o *printer) print(w *bufio.Writer, p *packet.Publish, now time.Time) {
	for i := 0; i < len(o.format); i++ {
		b := o.format[i]
		switch {
		case i+1 == len(o.format):
			w.WriteByte(b)
		case b == '%':
			i++
			writeMark(w, o.format[i], p, now)
		case b == '\\':
			i++
			writeEscape(w, o.format[i])
		default:
			w.WriteByte(b)
		}
	}
	if !o.noNewline {
		w.WriteByte('\n')
	}
}

func writeEscape(w *bufio.Writer, b byte) {
	escapes := map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', '0': 0, 'a': '\a', 'e': 0x1b, '\\': '\\'}
	if c, known := escapes[b]; known {
		w.WriteByte(c)
		return
	}
	w.WriteByte('\\')
	w.WriteByte(b)
}

func writeMark(w *bufio.Writer, mark byte, p *packet.Publish, now time.Time) {
	switch mark {
	case '%':
		w.WriteByte('%')
	case 't':
		w.Write(p.Topic)
	case 'p':
		w.Write(p.Payload)
	case 'x':
		w.WriteString(hex.EncodeToString(p.Payload))
	case 'X':
		w.WriteString(strings.ToUpper(hex.EncodeToString(p.Payload)))
	case 'l':
		w.WriteString(strconv.Itoa(len(p.Payload)))
	case 'q':
		w.WriteString(strconv.Itoa(int(p.QoS)))
	case 'r':
		w.WriteString(digit(p.Retain))
	case 'd':
		w.WriteString(digit(p.Dup))
	case 'm':
		w.WriteString(strconv.Itoa(int(p.ID)))
	case 'I':
		w.WriteString(now.Format("2006-01-02T15:04:05-0700"))
	case 'U':
		fmt.Fprintf(w, "%d.%09d", now.Unix(), now.Nanosecond())
	case 'j':
		writeJSON(w, p, now, false)
	case 'J':
		writeJSON(w, p, now, true)
	default:
		writeProperty(w, mark, &p.Properties)
	}
}

func digit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// writeProperty writes nothing for a property that is absent.
func writeProperty(w *bufio.Writer, mark byte, p *packet.Properties) {
	switch {
	case mark == 'C' && p.Has(packet.PropContentType):
		w.Write(p.ContentType)
	case mark == 'D' && p.Has(packet.PropCorrelationData):
		w.Write(p.CorrelationData)
	case mark == 'E' && p.Has(packet.PropMessageExpiry):
		fmt.Fprint(w, p.MessageExpiry)
	case mark == 'F' && p.Has(packet.PropPayloadFormat):
		fmt.Fprint(w, p.PayloadFormat)
	case mark == 'R' && p.Has(packet.PropResponseTopic):
		w.Write(p.ResponseTopic)
	case mark == 'S':
		for i, id := range p.SubscriptionIDs {
			if i > 0 {
				w.WriteByte(' ')
			}
			fmt.Fprint(w, id)
		}
	case mark == 'P':
		for i, u := range p.User {
			if i > 0 {
				w.WriteByte(' ')
			}
			fmt.Fprintf(w, "%s:%s", u.Name, u.Value)
		}
	}
}

// jsonMessage is what --json prints. A payload that is no UTF-8 stands in
// payload_base64; with --pretty a payload that is JSON itself is laid out.
type jsonMessage struct {
	Time       string          `json:"tst"`
	Topic      string          `json:"topic"`
	QoS        uint8           `json:"qos"`
	Retain     bool            `json:"retain"`
	Dup        bool            `json:"dup,omitempty"`
	ID         packet.ID       `json:"mid,omitempty"`
	Length     int             `json:"payloadlen"`
	Payload    any             `json:"payload,omitempty"`
	Base64     string          `json:"payload_base64,omitempty"`
	Properties *jsonProperties `json:"properties,omitempty"`
}

type jsonProperties struct {
	PayloadFormat   *uint8      `json:"payload-format-indicator,omitempty"`
	MessageExpiry   *uint32     `json:"message-expiry-interval,omitempty"`
	ContentType     string      `json:"content-type,omitempty"`
	ResponseTopic   string      `json:"response-topic,omitempty"`
	CorrelationData string      `json:"correlation-data,omitempty"`
	SubscriptionIDs []uint32    `json:"subscription-identifier,omitempty"`
	User            [][2]string `json:"user-properties,omitempty"`
}

func writeJSON(w *bufio.Writer, p *packet.Publish, now time.Time, pretty bool) {
	m := jsonMessage{
		Time: now.Format("2006-01-02T15:04:05.000000-0700"), Topic: string(p.Topic), QoS: p.QoS,
		Retain: p.Retain, Dup: p.Dup, ID: p.ID, Length: len(p.Payload), Properties: jsonOf(&p.Properties),
	}
	switch {
	case pretty && json.Valid(p.Payload):
		m.Payload = json.RawMessage(p.Payload)
	case utf8.Valid(p.Payload):
		m.Payload = string(p.Payload)
	default:
		m.Base64 = base64.StdEncoding.EncodeToString(p.Payload)
	}
	var text []byte
	if pretty {
		text, _ = json.MarshalIndent(&m, "", "  ") // strings and numbers only: cannot fail
	} else {
		text, _ = json.Marshal(&m)
	}
	w.Write(text)
}

func jsonOf(p *packet.Properties) *jsonProperties {
	if p.Set&^packet.PropTopicAlias == 0 {
		return nil
	}
	j := &jsonProperties{SubscriptionIDs: p.SubscriptionIDs}
	if p.Has(packet.PropPayloadFormat) {
		j.PayloadFormat = &p.PayloadFormat
	}
	if p.Has(packet.PropMessageExpiry) {
		j.MessageExpiry = &p.MessageExpiry
	}
	if p.Has(packet.PropContentType) {
		j.ContentType = string(p.ContentType)
	}
	if p.Has(packet.PropResponseTopic) {
		j.ResponseTopic = string(p.ResponseTopic)
	}
	if p.Has(packet.PropCorrelationData) {
		j.CorrelationData = string(p.CorrelationData)
	}
	for _, u := range p.User {
		j.User = append(j.User, [2]string{string(u.Name), string(u.Value)})
	}
	return j
}

package packet

import (
	"strings"
	"testing"
)

func TestSetText(t *testing.T) {
	var p packets
	for _, c := range []struct{ name, value string }{
		{"payload-format-indicator", "1"}, {"message-expiry-interval", "4294967295"},
		{"content-type", "json"}, {"correlation-data", "\xff"}, {"subscription-identifier", "5"},
		{"subscription-identifier", "6"}, {"topic-alias", "9"},
		{"user-property", "a=b=c"}, {"user-property", "a="},
	} {
		if err := p.publish.Properties.SetText(TypePublish, c.name, c.value); err != nil {
			t.Errorf("%s=%s: %v", c.name, c.value, err)
		}
	}
	want := `PUBLISH dup=false qos=0 retain=false topic="" id=0 payload-format-indicator=1 ` +
		`message-expiry-interval=4294967295 content-type="json" correlation-data="\xff" ` +
		`subscription-identifier=[5 6] topic-alias=9 user-property=("a","b=c") user-property=("a","") payload=""`
	if got := p.print(TypePublish); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSetTextRefuses(t *testing.T) {
	for _, c := range []struct {
		at          Type
		name, value string
		want        string
	}{
		{TypePublish, "colour", "red", `no property "colour" here; there are: payload-format-indicator,`},
		{TypePublish, "receive-maximum", "1", `no property "receive-maximum" here`},
		{TypePublish, "topic-alias", "0", "must not be 0"},
		{TypePublish, "topic-alias", "65536", "not a number from 0 to 65535"},
		{TypePublish, "payload-format-indicator", "2", "not a number from 0 to 1"},
		{TypePublish, "user-property", "alone", "not NAME=VALUE"},
		{TypePublish, "content-type", "\xff", "not a UTF-8 string"},
		{WillProperties, "topic-alias", "1", "there are: payload-format-indicator"},
	} {
		var p Properties
		if err := p.SetText(c.at, c.name, c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%s: got %v, want %s", c.name, c.value, err, c.want)
		}
	}
	var p Properties
	_ = p.SetText(TypePublish, "content-type", "a")
	if err := p.SetText(TypePublish, "content-type", "b"); err == nil {
		t.Error("a property given twice was accepted")
	}
}

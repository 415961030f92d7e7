package option

import (
	"strings"
	"testing"
	"time"
)

// Each line is a kind, a text, and the number or the text it means, or a part
// of the fault after an exclamation mark.
func TestValues(t *testing.T) {
	opts := map[string]*Option{
		"bool":     {Kind: KindBool, Default: "off"},
		"int":      {Kind: KindInt, Default: "1", Min: -1, Max: 65535, Words: infinite},
		"bytes":    {Kind: KindBytes, Default: "1"},
		"ours":     {Kind: KindDuration, Default: "1s", Max: int64(2400 * time.Hour)},
		"millis":   {Kind: KindDuration, Unit: "ms", Default: "1"},
		"seconds":  {Kind: KindDuration, Unit: "s", Default: "1"},
		"calendar": {Kind: KindCalendar, Default: "never", Words: neverTime},
		"enum":     {Kind: KindEnum, Default: "drop", Values: []string{"drop", "refuse"}},
		"string":   {Kind: KindString, Default: "x"},
		"address":  {Kind: KindAddress, Section: sectionListeners},
	}
	h, d := int64(time.Hour), int64(24*time.Hour)
	for _, c := range []struct {
		option, text string
		number       int64
		fault        string
	}{
		{"bool", "on", 1, ""}, {"bool", "off", 0, ""}, {"bool", "yes", 0, `"yes" is neither on nor off`}, {"bool", "ON", 0, "neither"}, {"bool", "", 0, "neither"}, {"bool", "true", 0, "neither"},
		{"int", "0", 0, ""}, {"int", "65535", 65535, ""}, {"int", "-1", -1, ""}, {"int", "infinity", -1, ""}, {"int", "65536", 0, "outside -1 to 65535, nor the word infinity"}, {"int", "1e3", 0, "not an integer"}, {"int", "0x10", 0, "not an integer"}, {"int", "99999999999999999999", 0, "not an integer"},
		{"bytes", "4096", 4096, ""}, {"bytes", "64KB", 64 << 10, ""}, {"bytes", "64kb", 64 << 10, ""}, {"bytes", "2MB", 2 << 20, ""}, {"bytes", "1gb", 1 << 30, ""}, {"bytes", "1Kb", 0, "not a size"}, {"bytes", "1K", 0, "not a size"}, {"bytes", "9999999999GB", 0, "too large"}, {"bytes", "KB", 0, "not a size"},
		{"ours", "250ms", 250e6, ""}, {"ours", "10s", 10e9, ""}, {"ours", "5m", 300e9, ""}, {"ours", "2h", 2 * h, ""}, {"ours", "7d", 7 * d, ""}, {"ours", "0", 0, ""}, {"ours", "10", 0, "write an integer and a unit"}, {"ours", "1.5s", 0, "not a duration"}, {"ours", "101d", 0, "outside 0s to 100d"}, {"ours", "5w", 0, "not a duration"}, {"ours", "99999999999d", 0, "not a duration"},
		{"millis", "5000", 5e9, ""}, {"millis", "5s", 5e9, ""}, {"millis", "5000x", 0, "an integer counts milliseconds"},
		{"seconds", "10", 10e9, ""}, {"seconds", "500ms", 500e6, ""}, {"seconds", "9223372036854775807", 0, "an integer counts seconds"},
		{"calendar", "never", int64(Unlimited), ""}, {"calendar", "30s", 30e9, ""}, {"calendar", "2h", 2 * h, ""}, {"calendar", "1d", d, ""}, {"calendar", "1w", 7 * d, ""}, {"calendar", "3m", 84 * d, ""}, {"calendar", "1y", 336 * d, ""}, {"calendar", "10ms", 0, "not a time span"}, {"calendar", "10", 0, "m (4 weeks) or y (48 weeks), nor the word never"},
		{"enum", "refuse", 0, ""}, {"enum", "block", 0, `"block" is not one of drop, refuse`},
		{"string", `""`, 0, ""}, {"string", "\xff", 0, "UTF-8"}, {"string", strings.Repeat("x", valueBytesMax+1), 0, "at most"},
		{"address", "1883", 0, "write for example 0.0.0.0:1883"}, {"address", "localhost:99999", 0, "port between"}, {"address", "zz::1:1883", 0, "not an IPv6"},
	} {
		p, err := parseValue(opts[c.option], c.text)
		switch {
		case c.fault == "" && (err != nil || p.number != c.number):
			t.Errorf("%s %q = %d, %v; want %d", c.option, c.text, p.number, err, c.number)
		case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
			t.Errorf("%s %q: fault %v, want one with %q", c.option, c.text, err, c.fault)
		}
	}
}

func TestLists(t *testing.T) {
	o := &Option{Kind: KindList}
	for _, c := range []struct{ text, want string }{
		{"a,b", "a b"}, {"[a, b ]", "a b"}, {"[]", ""}, {" [ ] ", ""}, {"a", "a"},
		{"[a", "!partner"}, {"a,,b", "!empty item"}, {"a,a", "!twice"},
	} {
		p, err := parseValue(o, c.text)
		fault, bad := strings.CutPrefix(c.want, "!")
		if bad && (err == nil || !strings.Contains(err.Error(), fault)) || !bad && (err != nil || strings.Join(p.items, " ") != c.want) {
			t.Errorf("%q = %v, %v; want %s", c.text, p.items, err, c.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		text, want string
		loopback   bool
	}{
		{"127.0.0.1:1883", "127.0.0.1:1883", true},
		{"0.0.0.0:0", "0.0.0.0:0", false},
		{":1883", ":1883", false},
		{"::1:1883", "[::1]:1883", true},
		{"[::1]:1883", "[::1]:1883", true},
		{":::1883", "[::]:1883", false},
		{"fe80::1%eth0:1883", "[fe80::1%eth0]:1883", false},
		{"localhost:1883", "localhost:1883", true},
		{"local:/run/mqtt.sock:0", "/run/mqtt.sock", true},
		{"off", ":0", false},
	} {
		a, err := parseAddress(c.text)
		if err != nil || a.String() != c.want || a.Loopback() != c.loopback {
			t.Errorf("%q = %v, loopback %v, %v; want %s, %v", c.text, a, a.Loopback(), err, c.want, c.loopback)
		}
	}
	for _, text := range []string{"local:/x", "local:/x:y", "local::0", "1.2.3.4", "a:b"} {
		if _, err := parseAddress(text); err == nil {
			t.Errorf("%q is taken for an address", text)
		}
	}
}

// A number is printed so that it reads back the same.
func TestNumbersReadBack(t *testing.T) {
	for _, n := range []int64{0, 1, 1023, 1024, 1 << 20, 3 << 30, 1500, 1e3, 1e9, 90e9, 3600e9, int64(86400e9)} {
		for _, o := range []*Option{{Kind: KindBytes, Default: "1"}, {Kind: KindInt, Default: "1"}, {Kind: KindDuration, Default: "1s"}} {
			if o.Kind == KindDuration && n%1000 != 0 {
				continue // microseconds are the smallest unit
			}
			if p, err := parseValue(o, o.formatNumber(n)); err != nil || p.number != n {
				t.Errorf("%v %d is printed as %s and read as %d, %v", o.Kind, n, o.formatNumber(n), p.number, err)
			}
		}
	}
}

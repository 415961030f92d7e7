package option

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// parsed is the meaning of a text: one of its fields, by kind. Immutable.
type parsed struct {
	text   string
	number int64 // integers, bytes, nanoseconds, 0 or 1
	items  []string
}

// valueBytesMax bounds one value; a certificate fits, a core file does not.
const valueBytesMax = 1 << 16

// parseValue reads text under the grammar of the option's kind. The empty
// text is the unset value: a zero.
func parseValue(o *Option, text string) (parsed, error) {
	if text == `""` { // how vernemq.conf writes the empty value
		text = ""
	}
	if len(text) > valueBytesMax {
		return parsed{}, fmt.Errorf("the value has %d bytes, at most %d are read", len(text), valueBytesMax)
	}
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return parsed{}, fmt.Errorf("the value is not text in UTF-8")
	}
	if text == "" && (o.Default == "" || o.Kind == KindList) {
		return parsed{}, nil
	}
	switch o.Kind {
	case KindBool:
		return parseBool(text)
	case KindInt, KindBytes, KindDuration, KindCalendar:
		n, err := parseNumber(o, text)
		return parsed{text: text, number: n}, err
	case KindEnum:
		if !slices.Contains(o.Values, text) {
			return parsed{}, notOneOf(text, o.Values)
		}
	case KindList:
		return parseList(o, text)
	case KindAddress:
		if err := checkAddress(o, text); err != nil {
			return parsed{}, err
		}
	}
	return parsed{text: text}, nil
}

func notOneOf(text string, values []string) error {
	return fmt.Errorf("%s is not one of %s", show(text), strings.Join(values, ", "))
}

// show quotes a value for a message and cuts it to a length that can be read.
func show(text string) string {
	if len(text) > 80 {
		text = strings.ToValidUTF8(text[:80], "") + "…"
	}
	return strconv.Quote(text)
}

func parseBool(text string) (parsed, error) {
	switch text {
	case "on":
		return parsed{text: text, number: 1}, nil
	case "off":
		return parsed{text: text}, nil
	}
	return parsed{}, fmt.Errorf("%s is neither on nor off", show(text))
}

func parseList(o *Option, text string) (parsed, error) {
	inner := strings.TrimSpace(text)
	if strings.HasPrefix(inner, "[") != strings.HasSuffix(inner, "]") {
		return parsed{}, fmt.Errorf("%s has a bracket without its partner", show(text))
	}
	if strings.HasPrefix(inner, "[") {
		inner = strings.TrimSpace(inner[1 : len(inner)-1])
	}
	if inner == "" {
		return parsed{text: text}, nil
	}
	p := parsed{text: text}
	for _, item := range strings.Split(inner, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			return parsed{}, fmt.Errorf("%s has an empty item", show(text))
		}
		if len(o.Values) > 0 && !slices.Contains(o.Values, item) {
			return parsed{}, notOneOf(item, o.Values)
		}
		if slices.Contains(p.items, item) {
			return parsed{}, fmt.Errorf("%s names %s twice", show(text), item)
		}
		p.items = append(p.items, item)
	}
	return p, nil
}

func parseNumber(o *Option, text string) (int64, error) {
	for _, w := range o.Words {
		if text == w.Name {
			return w.Value, nil
		}
	}
	n, err := int64(0), error(nil)
	switch o.Kind {
	case KindInt:
		n, err = strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s is not an integer%s", show(text), orWords(o))
		}
	case KindBytes:
		n, err = parseBytes(text)
	case KindDuration:
		n, err = parseDuration(o.Unit, text)
	case KindCalendar:
		n, err = parseCalendar(text)
	}
	if err != nil {
		return 0, fmt.Errorf("%w%s", err, orWords(o))
	}
	if (o.Min != 0 || o.Max != 0) && (n < o.Min || n > o.Max) {
		return 0, fmt.Errorf("%s is outside %s to %s%s", show(text), o.formatNumber(o.Min), o.formatNumber(o.Max), orWords(o))
	}
	return n, nil
}

func orWords(o *Option) string {
	var b strings.Builder
	for _, w := range o.Words {
		b.WriteString(", nor the word " + w.Name)
	}
	return b.String()
}

// formatNumber prints a number of the option's kind in file syntax.
func (o *Option) formatNumber(n int64) string {
	switch o.Kind {
	case KindDuration, KindCalendar:
		return formatDuration(time.Duration(n))
	case KindBytes:
		return formatBytes(n)
	}
	return strconv.FormatInt(n, 10)
}

func formatDuration(d time.Duration) string {
	for _, u := range durationUnits {
		if d != 0 && d%u.size == 0 {
			return strconv.FormatInt(int64(d/u.size), 10) + u.name
		}
	}
	if d == 0 {
		return "0s"
	}
	return d.String()
}

func formatBytes(n int64) string {
	for i, suffix := range []string{"GB", "MB", "KB"} {
		if size := int64(1) << (30 - 10*i); n != 0 && n%size == 0 {
			return strconv.FormatInt(n/size, 10) + suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

func parseBytes(text string) (int64, error) {
	digits, shift := text, 0
	for i, suffix := range []string{"KB", "MB", "GB"} {
		if cut, ok := cutSuffixFold(text, suffix); ok {
			digits, shift = cut, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not a size such as 65536, 64KB, 16MB or 1GB", show(text))
	}
	if n > math.MaxInt64>>shift || n < math.MinInt64>>shift {
		return 0, fmt.Errorf("%s is too large", show(text))
	}
	return n << shift, nil
}

// cutSuffixFold takes off KB or kb, but not Kb: either case, not a mixture.
func cutSuffixFold(text, suffix string) (string, bool) {
	if cut, ok := strings.CutSuffix(text, suffix); ok {
		return cut, true
	}
	return strings.CutSuffix(text, strings.ToLower(suffix))
}

// unit is a suffix and what it multiplies. Immutable.
type unit struct {
	name string
	size time.Duration
}

// durationUnits are ours; the longest first, and ms before m and s.
var durationUnits = []unit{
	{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}, {"us", time.Microsecond},
}

const day = 24 * time.Hour

// calendarUnits are VerneMQ's: there are no minutes, m is four weeks and y is
// twelve times that.
var calendarUnits = []unit{
	{"s", time.Second}, {"h", time.Hour}, {"d", day}, {"w", 7 * day}, {"m", 28 * day}, {"y", 336 * day},
}

func parseDuration(bare, text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n == 0 {
		return 0, nil
	}
	if n, ok := count(text, durationUnits); ok {
		return n, nil
	}
	if bare == "ms" || bare == "s" {
		if n, ok := count(text+bare, durationUnits); ok {
			return n, nil
		}
		return 0, fmt.Errorf("%s is not a duration: an integer counts %s, or write a unit as in 250ms, 10s, 5m, 2h, 7d", show(text), unitNames[bare])
	}
	return 0, fmt.Errorf("%s is not a duration: write an integer and a unit as in 250ms, 10s, 5m, 2h, 7d", show(text))
}

var unitNames = map[string]string{"ms": "milliseconds", "s": "seconds"}

func parseCalendar(text string) (int64, error) {
	if n, ok := count(text, calendarUnits); ok {
		return n, nil
	}
	return 0, fmt.Errorf("%s is not a time span: write an integer and one of s, h, d, w, m (4 weeks) or y (48 weeks)", show(text))
}

// count reads an integer with one of the suffixes; false when it has none of
// them or does not fit.
func count(text string, units []unit) (int64, bool) {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, false
	}
	for _, u := range units {
		if text[len(digits):] == u.name {
			if n > math.MaxInt64/int64(u.size) || n < math.MinInt64/int64(u.size) {
				return 0, false
			}
			return n * int64(u.size), true
		}
	}
	return 0, false
}

// checkAddress accepts host:port. The address of a listener is read again by
// parseAddress, which knows more forms.
func checkAddress(o *Option, text string) error {
	if o.Section == sectionListeners {
		_, err := parseAddress(text)
		return err
	}
	_, _, err := splitHostPort(text)
	return err
}

// splitHostPort takes the last colon as VerneMQ does, so that ::1:1883 and
// [::1]:1883 are the same.
func splitHostPort(text string) (host string, port int, err error) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return "", 0, fmt.Errorf("%s is not address:port; write for example 0.0.0.0:1883, or 127.0.0.1:1883 for this machine only", show(text))
	}
	port, err = strconv.Atoi(text[i+1:])
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%s does not end in a port between 0 and 65535", show(text))
	}
	host = text[:i]
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	if zoneless, _, _ := strings.Cut(host, "%"); strings.Contains(host, ":") && net.ParseIP(zoneless) == nil {
		return "", 0, fmt.Errorf("%s is not an IPv6 address", show(host))
	}
	return host, port, nil
}

package option

import (
	"fmt"
	"strings"
	"testing"
)

// printed shows what parse made of a text, one statement or fault a line.
func printed(text string) string {
	statements, errs := parse(text)
	var out []string
	for _, s := range statements {
		switch {
		case s.include != "":
			out = append(out, fmt.Sprintf("%d include %s", s.line, s.include))
		case s.quoted:
			out = append(out, fmt.Sprintf("%d %s=%q", s.line, s.key, s.value))
		default:
			out = append(out, fmt.Sprintf("%d %s=%s", s.line, s.key, s.value))
		}
	}
	for _, e := range errs {
		out = append(out, fmt.Sprintf("%d! %s", e.line, e.text))
	}
	return strings.Join(out, "\n")
}

func TestSyntax(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"comments and blanks", "# a\n\n   # b\n\t\n", ""},
		{"setting", "a = 1", "1 a=1"},
		{"blanks around", "\t a.b \t=\t x y \t\n", "1 a.b=x y"},
		{"no blanks", "a=1\nb=2", "1 a=1\n2 b=2"},
		{"comment after a value", "a = 1 # one\nb = 2#two", "1 a=1\n2 b=2"},
		{"equals in a value", "a = b=c", "1 a=b=c"},
		{"quotes", "a = 'x # y'  # c\nb = ''", "1 a=\"x # y\"\n2 b=\"\""},
		{"double quotes are text", `a = "x"`, `1 a="x"`},
		{"apostrophe inside", "a = it's", "1 a=it's"},
		{"three quotes on a line", "a = '''it's'''\nb = 1", "1 a=\"it's\"\n2 b=1"},
		{"three quotes over lines", "a = '''x\n# y\nz''' # c\nb = 1", "1 a=\"x\\n# y\\nz\"\n4 b=1"},
		{"a quote before the three that close", "a = ''''x''''\nb = ''''''", "1 a=\"'x'\"\n2 b=\"\""},
		{"carriage returns", "a = 1\r\nb = '''x\r\ny'''\r\nc = 2\r\n", "1 a=1\n2 b=\"x\\ny\"\n4 c=2"},
		{"byte order mark", "\ufeffa = 1", "1 a=1"},
		{"escaped dot", `listener.tcp.a\.b = 1`, `1 listener.tcp.a\.b=1`},
		{"include", "include conf.d/*.conf # all\n  include 'a b.conf'", "1 include conf.d/*.conf\n2 include a b.conf"},
		{"a key that begins with include", "include = 1\nincludes = 2", "1 include=1\n2 includes=2"},
		{"no value", "a =\nb = # c", "1! a has no value; write '' for an empty one, or remove the line\n2! b has no value; write '' for an empty one, or remove the line"},
		{"no equals sign", "allow_anonymous on", `1! "allow_anonymous on" is neither a comment, nor an include, nor of the form key = value`},
		{"key missing", "= 1", `1! "" is not a key: keys are words of letters, digits, _ and - with dots between them`},
		{"bad keys", "a..b = 1\n.a = 1\na. = 1\na b = 1\nä = 1", strings.TrimSpace(badKeys("a..b", ".a", "a.", "a b", "ä"))},
		{"open quote", "a = 'x\nb = 1", "2 b=1\n1! the value of a opens a single quote that this line does not close; use ''' for a value of several lines"},
		{"open three quotes", "a = '''x\nb = 1", "1! the value of a opens ''' that nothing closes"},
		{"text after a quote", "a = 'x' y", `1! "y" stands after the quoted value of a`},
		{"not text", "a = \xff", "1! the file is not text in UTF-8; is it a configuration file?"},
		{"a zero byte", "a = \x00", "1! the file is not text in UTF-8; is it a configuration file?"},
		{"include nothing", "include # x", "1! include names no file"},
	} {
		if got := printed(c.text); got != c.want {
			t.Errorf("%s:\ntext %q\n got %s\nwant %s", c.name, c.text, got, c.want)
		}
	}
}

func badKeys(keys ...string) string {
	var b strings.Builder
	for i, k := range keys {
		fmt.Fprintf(&b, "%d! %q is not a key: keys are words of letters, digits, _ and - with dots between them\n", i+1, k)
	}
	return b.String()
}

func TestSplitKeyHonoursEscapedDots(t *testing.T) {
	got := splitKey(`listener.tcp.a\.b.mountpoint`)
	if len(got) != 4 || got[2] != `a\.b` || unescape(got[2]) != "a.b" {
		t.Errorf("segments %q", got)
	}
}

// FuzzParse holds the parser to: no panic, no line beyond the text, every key
// valid, no more kept than was given, and a file written from what was read
// reads the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"a = 1", "a.b='x'", "a='''x\ny''' # c\n", "include *.conf", "a = $(b) # c", "\ufeff\r\n", "a = '\nb", "a\\.b = ''", string(Example()[:1500])} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		statements, errs := parse(text)
		lines, size := strings.Count(text, "\n")+1, 0
		for _, e := range errs {
			if e.line < 1 || e.line > lines {
				t.Errorf("fault in line %d of %d: %s", e.line, lines, e.text)
			}
		}
		var again strings.Builder
		for _, s := range statements {
			if size += len(s.key) + len(s.value); s.line < 1 || s.line > lines {
				t.Errorf("statement in line %d of %d", s.line, lines)
			}
			if s.include == "" && !validKey(s.key) {
				t.Errorf("key %q", s.key)
			}
			if s.include == "" && !unwritable(s.value) {
				fmt.Fprintf(&again, "%s = %s\n", s.key, Quote(s.value))
			}
		}
		if size > len(text) {
			t.Errorf("%d bytes kept of %d", size, len(text))
		}
		second, errs := parse(again.String())
		if len(errs) > 0 {
			t.Fatalf("what was read and written has faults: %v\n%s", errs, again.String())
		}
		i := 0
		for _, s := range statements {
			if s.include != "" || unwritable(s.value) {
				continue
			}
			if second[i].key != s.key || second[i].value != s.value {
				t.Fatalf("%s = %q was written and read as %s = %q", s.key, s.value, second[i].key, second[i].value)
			}
			i++
		}
	})
}

// unwritable is what no quotes can hold: three quotes in a row, and the end of
// a line that is not the system's.
func unwritable(value string) bool {
	return strings.Contains(value, "'''") || strings.Contains(value, "\r")
}

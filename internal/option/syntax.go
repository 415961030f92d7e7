package option

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The file syntax is that of vernemq.conf:
//
//	file      = { line }
//	line      = [ setting | "include" blank path ] [ comment ] newline
//	setting   = key "=" value
//	key       = word { "." word }        letters, digits, _ and -; \. is a literal dot
//	value     = "'''" any "'''"          may span lines, taken literally
//	          | "'" any "'"              on one line, taken literally
//	          | text                     to the end of the line or to a #
//	comment   = "#" to the end of the line, also after a value
//
// In unquoted text $(other.key) stands for the value of another option, and
// $(<path) as the whole value for the content of a file (expand.go).

// statement is one line that says something. Immutable.
type statement struct {
	line    int
	include string // path or glob; "" for a setting
	key     string
	value   string
	quoted  bool
}

// syntaxError is a fault of the text itself, before any key is looked up.
type syntaxError struct {
	line int
	text string
}

// keyBytesMax bounds a key, so that looking for its neighbours stays cheap.
const keyBytesMax = 256

// parser walks over the text of one file. Owned by parse.
type parser struct {
	rest string
	line int
	out  []statement
	errs []syntaxError
}

// parse reads the text of one file. It never stops at an error.
func parse(text string) ([]statement, []syntaxError) {
	p := &parser{rest: strings.TrimPrefix(text, "\ufeff"), line: 1}
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, []syntaxError{{1, "the file is not text in UTF-8; is it a configuration file?"}}
	}
	for p.rest != "" {
		p.statement()
	}
	return p.out, p.errs
}

func (p *parser) fault(line int, format string, args ...any) {
	p.errs = append(p.errs, syntaxError{line, fmt.Sprintf(format, args...)})
}

// take cuts the current line off, without its end.
func (p *parser) take() string {
	line, rest, _ := strings.Cut(p.rest, "\n")
	p.rest = rest
	p.line++
	return strings.TrimSuffix(line, "\r")
}

func (p *parser) statement() {
	number, start := p.line, p.rest
	line := strings.Trim(p.take(), " \t")
	if line == "" || line[0] == '#' {
		return
	}
	if path, ok := strings.CutPrefix(line, "include"); ok && path != "" && (path[0] == ' ' || path[0] == '\t') {
		path = strings.Trim(path, " \t")
		if !strings.HasPrefix(path, "=") {
			p.include(number, path)
			return
		}
	}
	key, value, found := strings.Cut(line, "=")
	key = strings.TrimRight(key, " \t")
	if !found || strings.Contains(key, "#") {
		p.fault(number, "%s is neither a comment, nor an include, nor of the form key = value", show(line))
		return
	}
	if !validKey(key) {
		p.fault(number, "%s is not a key: keys are words of letters, digits, _ and - with dots between them", show(key))
		return
	}
	value = strings.TrimLeft(value, " \t")
	if strings.HasPrefix(value, "'''") {
		p.triple(number, start, key)
		return
	}
	if strings.HasPrefix(value, "'") {
		p.single(number, key, value[1:])
		return
	}
	value, _, _ = strings.Cut(value, "#")
	value = strings.TrimRight(value, " \t")
	if value == "" {
		p.fault(number, "%s has no value; write '' for an empty one, or remove the line", key)
		return
	}
	p.out = append(p.out, statement{line: number, key: key, value: value})
}

func (p *parser) include(number int, path string) {
	path, _, _ = strings.Cut(path, "#")
	path = strings.TrimRight(path, " \t")
	if len(path) > 1 && path[0] == '\'' && path[len(path)-1] == '\'' {
		path = path[1 : len(path)-1]
	}
	if path == "" {
		p.fault(number, "include names no file")
		return
	}
	p.out = append(p.out, statement{line: number, include: path})
}

func (p *parser) single(number int, key, value string) {
	text, after, found := strings.Cut(value, "'")
	if !found {
		p.fault(number, "the value of %s opens a single quote that this line does not close; use ''' for a value of several lines", key)
		return
	}
	p.finish(number, key, text, after)
}

// triple reads from start, the text at the line on which the value begins.
func (p *parser) triple(number int, start, key string) {
	_, body, _ := strings.Cut(start, "'''")
	end := strings.Index(body, "'''")
	if end < 0 {
		p.fault(number, "the value of %s opens ''' that nothing closes", key)
		p.rest = ""
		return
	}
	for strings.HasPrefix(body[end+3:], "'") {
		end++ // of a longer row of quotes the last three close
	}
	text := body[:end]
	after, rest, _ := strings.Cut(body[end+3:], "\n")
	p.rest = rest
	p.line = number + strings.Count(start[:len(start)-len(rest)], "\n")
	p.finish(number, key, strings.ReplaceAll(text, "\r\n", "\n"), strings.TrimSuffix(after, "\r"))
}

func (p *parser) finish(number int, key, text, after string) {
	if after = strings.TrimLeft(after, " \t"); after != "" && after[0] != '#' {
		p.fault(number, "%s stands after the quoted value of %s", show(after), key)
		return
	}
	p.out = append(p.out, statement{line: number, key: key, value: text, quoted: true})
}

func validKey(key string) bool {
	if key == "" || len(key) > keyBytesMax {
		return false
	}
	word := 0
	for i := 0; i < len(key); i++ {
		switch c := key[i]; {
		case c == '\\' && i+1 < len(key) && key[i+1] == '.':
			i++
			word++
		case c == '.' && word > 0:
			word = 0
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
			word++
		default:
			return false
		}
	}
	return word > 0
}

// Quote writes a value so that a file reads it back: as it is where that is
// enough, between single quotes otherwise.
func Quote(text string) string {
	plain := text != "" && text[0] != '\'' && !strings.ContainsAny(text, "#\r\n") && !strings.Contains(text, "$(") &&
		text == strings.Trim(text, " \t") && text != `""`
	switch {
	case plain:
		return text
	case strings.ContainsAny(text, "'\n"):
		return "'''" + text + "'''"
	}
	return "'" + text + "'"
}

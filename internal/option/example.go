package option

import (
	"bytes"
	"fmt"
	"strings"
)

const exampleHead = `## Configuration of a Tombolo node, made by: tombolo config doc --example
##
## A line with one # sets an option: take the # away. It shows the default, or
## an example where nothing is set by default, so an empty file is a valid one.
## All options, also those left out here: docs/reference/options.md, or
## tombolo config doc KEY. Check a file with: tombolo config check --config FILE
`

// Example returns the example configuration, deploy/tombolo.conf.
func Example() []byte {
	var b bytes.Buffer
	b.WriteString(exampleHead)
	for _, s := range sections {
		first := true
		for _, o := range theTable().in(s.name) {
			if o.Hidden || !o.Applies() && o.Pending != pendingCluster {
				continue
			}
			if first {
				fmt.Fprintf(&b, "\n\n#### %s %s\n", s.name, strings.Repeat("#", 70-len(s.name)))
				first = false
			}
			b.WriteString("\n")
			for _, p := range paragraphs(o) {
				wrap(&b, "## ", p)
			}
			fmt.Fprintf(&b, "# %s = %s\n", exampleKey(o), exampleValue(o))
		}
	}
	return b.Bytes()
}

func exampleKey(o *Option) string {
	key := o.Key
	for _, s := range o.segments {
		if s[0] == '$' {
			word := "default"
			if s == "$subsystem" {
				word = "queue"
			}
			key = strings.ReplaceAll(key, s, word)
		}
	}
	return key
}

func exampleValue(o *Option) string {
	value := o.Default
	if o.Example != "" {
		value = o.Example
	}
	if value == "" || strings.Contains(value, "#") {
		return "'" + value + "'"
	}
	return value
}

// wrap writes text in lines of at most 80 columns behind a prefix.
func wrap(b *bytes.Buffer, prefix, text string) {
	width := len(prefix)
	b.WriteString(prefix)
	for i, word := range strings.Fields(text) {
		n := len([]rune(word))
		if i > 0 && width+1+n > 80 {
			b.WriteString("\n" + prefix)
			width = len(prefix)
		} else if i > 0 {
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += n
	}
	b.WriteByte('\n')
}

// Describe returns what there is to know of one option for a terminal; an
// error names the nearest key. A key may be one of a listener or a pattern as
// on the reference page.
func Describe(key string) (string, error) {
	o := theTable().find(key)
	if o == nil {
		o = theTable().named(key)
	}
	if o == nil {
		return "", Fault{Text: theTable().unknown(key)}
	}
	var b bytes.Buffer
	shown := key
	if o.Wildcard() && o.listener == nil {
		shown = instance(o, splitKey(key))
	}
	fmt.Fprintf(&b, "%s\n", shown)
	fmt.Fprintf(&b, "  %s\n\n", strings.ReplaceAll(strings.Join(facts(o), "; "), "`", ""))
	for _, p := range paragraphs(o) {
		wrap(&b, "  ", p)
	}
	if o.listener != nil {
		fmt.Fprintf(&b, "\n  At listener.<kind>.<name>.%s, else listener.<kind>.%[1]s", o.listener.key)
		if o.listener.root {
			fmt.Fprintf(&b, ", else listener.%s", o.listener.key)
		}
		b.WriteString(".\n")
	}
	if !o.Wildcard() {
		fmt.Fprintf(&b, "\n  file         %s = %s\n  environment  %s=%s\n  flag         --%s %s\n", o.Key, exampleValue(o), EnvironName(o.Key), exampleValue(o), o.Key, exampleValue(o))
	}
	return b.String(), nil
}

// named finds an option by its title on the reference page or its pattern:
// certfile, listener.tcp.<name>, listener.tcp.$name.
func (t *table) named(key string) *Option {
	for i := range t.options {
		if o := &t.options[i]; o.Key == key || title(o) == key {
			return o
		}
	}
	return nil
}

// Usage lists the options that are not hidden as flags, for the help of a
// command that takes them.
func Usage() string {
	var b bytes.Buffer
	for _, s := range sections {
		first := true
		for _, o := range theTable().in(s.name) {
			if o.Hidden || !o.Applies() {
				continue
			}
			if first {
				fmt.Fprintf(&b, "\n%s:\n", s.name)
				first = false
			}
			flag := "--" + instance(o, nil) + " " + placeholder(o)
			sentence, _, _ := strings.Cut(o.Doc, ". ")
			fmt.Fprintf(&b, "  %s\n        %s", flag, strings.TrimSuffix(sentence, "."))
			if o.Default != "" {
				fmt.Fprintf(&b, " (default %s)", o.Default)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// Complete lists the keys that begin with prefix, for a shell.
func Complete(prefix string) []string {
	var out []string
	for i := range theTable().options {
		if o := &theTable().options[i]; !o.Wildcard() && strings.HasPrefix(o.Key, prefix) {
			out = append(out, o.Key)
		}
	}
	return out
}

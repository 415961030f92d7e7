package option

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

const referenceHead = `# Options

This page is generated from the option table (` + "`internal/option`" + `); a test keeps it fresh. Change it there.

## How an option is set

| where | how | example |
|---|---|---|
| file | ` + "`tombolo start --config tombolo.conf`" + ` | ` + "`max_inflight_messages = 50`" + ` |
| environment | ` + "`TOMBOLO_`" + `, upper case, two underscores for a dot | ` + "`TOMBOLO_LISTENER__TCP__DEFAULT=0.0.0.0:1883`" + ` |
| flag | ` + "`--key value` or `--key=value`" + `; hyphens may stand for underscores | ` + "`--allow-anonymous on`" + ` |
| running node | options marked *reloadable*, until the node stops | ` + "`tombolo set max_inflight_messages=50`" + ` |

A flag wins over the environment, the environment over files, a later line over an earlier one, anything over the default.
` + "`tombolo config check`" + ` reports every fault at once, with the place of each; ` + "`tombolo config show --origin`" + ` says where every value came from.

## The file

| form | meaning |
|---|---|
| ` + "`key = value`" + ` | keys are words of letters, digits, ` + "`_` and `-`" + ` with dots between them; ` + "`\\.`" + ` is a dot inside a word |
| ` + "`# …`" + ` | a comment, also after a value: an unquoted value cannot contain ` + "`#`" + ` |
| ` + "`key = '…'`" + ` | the text between the quotes, literally; ` + "`'''…'''`" + ` may span lines |
| ` + "`include conf.d/*.conf`" + ` | reads other files here; relative to this file; only the file name may be a pattern; in the order of names |
| ` + "`key = $(<file)`" + ` | the content of a file without its last newline; relative to this file |
| ` + "`key = a/$(other.key)`" + ` | the value of another option in its place |
| the same key again | the last one counts |
| an unknown key | a fault that names the nearest known one |

| kind | grammar |
|---|---|
| on/off | ` + "`on` or `off`" + `, nothing else |
| bytes | an integer, or one with ` + "`KB`, `MB` or `GB`" + ` (either case, 1024-based) |
| duration | an integer and ` + "`us`, `ms`, `s`, `m`, `h` or `d`" + `; options of VerneMQ also take a bare integer in the unit that is given with them |
| retention | VerneMQ's own: ` + "`s`, `h`, `d`, `w`, `m` (4 weeks), `y` (48 weeks)" + `; no minutes |
| list | items with commas between them, in brackets or not |
| address | ` + "`address:port`" + `; IPv6 with or without brackets, the last colon separates the port |
| file, directory | a path; a relative one starts at the working directory of the process |
`

// Reference returns docs/reference/options.md.
func Reference() []byte {
	var b bytes.Buffer
	b.WriteString(referenceHead)
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", s.name, s.intro)
		options := theTable().in(s.name)
		if s.name == sectionLater || s.name == sectionIgnored {
			referenceTable(&b, options)
			continue
		}
		if s.name == sectionListeners {
			b.WriteString("\nA listener is declared by its address. Each setting is looked for at the listener (`listener.<kind>.<name>.<setting>`),\nthen at its kind (`listener.<kind>.<setting>`), then, for the three that have one, at the root (`listener.<setting>`).\n")
		}
		var done []*listenerSetting
		for _, o := range options {
			if o.listener != nil {
				if slices.Contains(done, o.listener) {
					continue
				}
				done = append(done, o.listener)
			}
			referenceEntry(&b, o)
		}
	}
	return b.Bytes()
}

// in lists the options of a section.
func (t *table) in(name string) []*Option {
	var out []*Option
	for i := range t.options {
		if t.options[i].Section == name {
			out = append(out, &t.options[i])
		}
	}
	return out
}

func referenceEntry(b *bytes.Buffer, o *Option) {
	fmt.Fprintf(b, "\n### `%s`\n\n%s\n\n", title(o), strings.Join(facts(o), " · "))
	b.WriteString(markdown.Replace(strings.Join(paragraphs(o), "\n\n")) + "\n")
}

// markdown keeps what stands in angle brackets from being taken for HTML.
var markdown = strings.NewReplacer("<", "&lt;", ">", "&gt;", "*", "\\*", "|", "\\|")

// title is the key with <name> for what the user names; for a setting of
// listeners, the setting.
func title(o *Option) string {
	if o.listener != nil {
		return o.listener.key
	}
	return instance(o, nil)
}

// facts are the short statements about an option.
func facts(o *Option) []string {
	kind := o.Kind.String()
	switch {
	case o.Kind == KindEnum:
		kind = "`" + strings.Join(o.Values, "`, `") + "`"
	case o.Kind == KindList && len(o.Values) > 0:
		kind = "list of `" + strings.Join(o.Values, "`, `") + "`"
	case o.Kind == KindDuration && o.Unit != "":
		kind += " (bare: " + o.Unit + ")"
	case o.Unit != "":
		kind += " (" + o.Unit + ")"
	}
	out := []string{kind}
	if o.Min != 0 || o.Max != 0 {
		if o.Max == forever {
			out = append(out, "at least "+o.formatNumber(o.Min))
		} else {
			out = append(out, o.formatNumber(o.Min)+" to "+o.formatNumber(o.Max))
		}
	}
	for _, w := range o.Words {
		if w.Name != o.Default {
			out = append(out, "or `"+w.Name+"`")
		}
	}
	switch {
	case o.Default != "":
		out = append(out, "default `"+o.Default+"`")
	case o.Example != "":
		out = append(out, "unset; for example `"+o.Example+"`")
	default:
		out = append(out, "unset")
	}
	if o.listener != nil {
		out = append(out, "for "+strings.Join(o.listener.kinds, ", "))
		if o.listener.root {
			out = append(out, "also `listener."+o.listener.key+"`")
		}
	}
	for _, mark := range []struct {
		on   bool
		text string
	}{{o.Reloadable, "reloadable"}, {o.Secret, "secret"}, {o.Since != "", "not in VerneMQ"}} {
		if mark.on {
			out = append(out, mark.text)
		}
	}
	return out
}

// paragraphs are what there is to say about an option in whole sentences.
func paragraphs(o *Option) []string {
	out := []string{o.Doc}
	if o.NotApplicable != "" {
		out = append(out, "Has no effect: "+o.NotApplicable+".")
	}
	if o.Pending != "" {
		out = append(out, strings.ToUpper(o.Pending[:1])+o.Pending[1:]+".")
	}
	if tail := strings.TrimSpace(o.More + " " + o.Zero); tail != "" {
		out = append(out, tail)
	}
	return out
}

// referenceTable lists options of which there is little to say.
func referenceTable(b *bytes.Buffer, options []*Option) {
	b.WriteString("\n| option | about it |\n|---|---|\n")
	for _, group := range groups(options) {
		var keys []string
		for _, o := range group {
			keys = append(keys, "`"+instance(o, nil)+"`")
		}
		about := group[0].Doc
		if why := group[0].NotApplicable; why != "" {
			about += " Here: " + why + "."
		}
		fmt.Fprintf(b, "| %s | %s |\n", strings.Join(keys, ", "), markdown.Replace(about))
	}
}

// groups puts neighbours of equal text together.
func groups(options []*Option) [][]*Option {
	var out [][]*Option
	for _, o := range options {
		if n := len(out); n > 0 && out[n-1][0].Doc == o.Doc && out[n-1][0].NotApplicable == o.NotApplicable {
			out[n-1] = append(out[n-1], o)
			continue
		}
		out = append(out, []*Option{o})
	}
	return out
}

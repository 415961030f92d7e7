package option

import (
	"strings"
	"testing"
)

// Every declaration says what STYLE asks of an option.
func TestDeclarationsAreComplete(t *testing.T) {
	for _, o := range All() {
		numeric := o.Kind == KindInt || o.Kind == KindBytes || o.Kind == KindDuration || o.Kind == KindCalendar
		if !validKey(strings.ReplaceAll(o.Key, "$", "")) {
			t.Errorf("%s is not a key", o.Key)
		}
		if !strings.HasSuffix(strings.TrimSuffix(o.Doc, ")"), ".") {
			t.Errorf("%s: the documentation is not a sentence: %q", o.Key, o.Doc)
		}
		if o.Section == "" || o.NotApplicable != "" && o.Pending != "" {
			t.Errorf("%s: no section, or both pending and not applicable", o.Key)
		}
		if strings.HasSuffix(o.NotApplicable, ".") || strings.HasSuffix(o.Pending, ".") {
			t.Errorf("%s: reasons are part of a sentence and end without a full stop", o.Key)
		}
		if numeric && o.NotApplicable == "" {
			if o.Min == 0 && o.Max == 0 {
				t.Errorf("%s has no bounds", o.Key)
			}
			if o.More == "" {
				t.Errorf("%s does not say what more and less do", o.Key)
			}
			if o.Min <= 0 && o.Zero == "" {
				t.Errorf("%s accepts zero and does not say what it means", o.Key)
			}
		}
		if o.Kind == KindEnum && len(o.Values) == 0 {
			t.Errorf("%s has no values to choose from", o.Key)
		}
		if o.Reloadable && o.Wildcard() && o.Default == "" {
			t.Errorf("%s: an instance that is set at run time needs a default to change from", o.Key)
		}
		if _, err := parseValue(&o, o.Default); err != nil {
			t.Errorf("%s: the default: %v", o.Key, err)
		}
		if o.Example != "" && !strings.HasPrefix(o.Example, "$(") {
			if _, err := parseValue(&o, o.Example); err != nil {
				t.Errorf("%s: the example: %v", o.Key, err)
			}
		}
	}
}

// What sounds like a secret is one.
func TestSecretsAreMarked(t *testing.T) {
	for _, o := range All() {
		last := o.segments[len(o.segments)-1]
		for _, word := range []string{"password", "secret", "cookie", "psk", "api_key", "passwd", "pwd", "keyfile_password", "key"} {
			if last == word && !o.Secret && o.Key != "plugins.vmq_passwd" {
				t.Errorf("%s is not marked secret", o.Key)
			}
		}
		if strings.Contains(o.Key, "secret") && !o.Secret {
			t.Errorf("%s is not marked secret", o.Key)
		}
		if o.Secret && o.Default != "" && o.NotApplicable == "" && o.Pending == "" {
			t.Errorf("%s is secret and has a default", o.Key)
		}
	}
}

func TestDeclaredTwicePanics(t *testing.T) {
	defer func() {
		if r, _ := recover().(string); !strings.HasPrefix(r, "BUG:") {
			t.Errorf("panic %q, want one that begins with BUG:", r)
		}
	}()
	buildTable([]Option{{Key: "a"}, {Key: "a"}})
}

func TestDescribe(t *testing.T) {
	for _, c := range []struct{ key, want string }{
		{"systree_interval", "bare: ms"},
		{"listener.tcp.x.mountpoint", "else listener.mountpoint"},
		{"certfile", "server's certificate"},
		{"listener.ws.<name>", "WebSocket"},
		{"log.level.$subsystem", "one subsystem"},
		{"retry_interval", "Has no effect: nothing is sent again"},
		{"graphite_enabled", "Not built yet"},
	} {
		text, err := Describe(c.key)
		if err != nil || !strings.Contains(text, c.want) {
			t.Errorf("Describe(%q) = %q, %v; want it to contain %q", c.key, text, err, c.want)
		}
	}
	if _, err := Describe("systree_intervall"); err == nil || !strings.Contains(err.Error(), "nearest is systree_interval") {
		t.Errorf("Describe of an unknown key: %v", err)
	}
}

func TestUsageListsFlags(t *testing.T) {
	usage := Usage()
	for _, want := range []string{"--allow_anonymous on|off\n", "--queue_full drop|refuse\n", "--listener.tcp.<name> <address>\n"} {
		if !strings.Contains(usage, want) {
			t.Errorf("usage lacks %q", want)
		}
	}
	if strings.Contains(usage, "erlang.") {
		t.Error("usage lists options without effect")
	}
}

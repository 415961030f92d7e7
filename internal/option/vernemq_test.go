package option

import (
	"os"
	"strings"
	"testing"
)

// verneKeys reads testdata/vernemq_keys.txt: keys and, where there is one,
// VerneMQ's default.
func verneKeys(t *testing.T) (keys []string, defaults map[string]string) {
	t.Helper()
	text, err := os.ReadFile("testdata/vernemq_keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	defaults = map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, found := strings.Cut(line, " = ")
		if keys = append(keys, key); found {
			defaults[key] = value
		}
	}
	return keys, defaults
}

// concrete writes words for what the user names.
func concrete(key string) string {
	return strings.NewReplacer("$name", "mine", "$module", "vmq_metrics_http", "$script", "mine", "$topic_id", "7").Replace(key)
}

// Every option of VerneMQ is known: it applies, or setting it is answered with
// a warning that says why not. None is refused for its name.
func TestEveryOptionOfVerneMQIsKnown(t *testing.T) {
	keys, _ := verneKeys(t)
	if len(keys) < 600 {
		t.Fatalf("the list has %d keys only", len(keys))
	}
	for _, pattern := range keys {
		key := concrete(pattern)
		o, known := Lookup(key)
		if !known {
			t.Errorf("%s is not known", key)
			continue
		}
		if o.Applies() {
			continue
		}
		s, faults := Load(Sources{Flags: []Assignment{{Key: key, Value: verneValue(o), Origin: Origin{Kind: FromFlag, Name: "--test"}}}})
		if len(faults) > 0 {
			t.Errorf("%s: %v", key, faults)
		}
		if w := strings.Join(s.Warnings(), "\n"); !strings.Contains(w, key+": ") {
			t.Errorf("%s is set without effect and without a warning: %q", key, w)
		}
	}
}

// verneValue is a value that the option takes and that is not its default.
func verneValue(o Option) string {
	for _, text := range []string{"on", "17", "7s", "[a]", "x"} {
		if _, err := parseValue(&o, text); err == nil && text != o.Default && o.Key != "listener.ssl.psk_support" && o.Key != "listener.ssl.$name.psk_support" {
			return text
		}
	}
	if o.Kind == KindEnum {
		return o.Values[len(o.Values)-1]
	}
	return o.Default
}

// deviations are the defaults that differ from VerneMQ's on purpose; the guide
// names each with its reason.
var deviations = map[string]string{
	"nodename":                       "tombolo@127.0.0.1",
	"prometheus_namespace":           "tombolo_",
	"http_modules":                   "metrics,health,status,api",
	"log.console":                    "console",
	"log.error":                      "off",
	"log.console.file":               "./log/console.log",
	"log.error.file":                 "./log/error.log",
	"vmq_passwd.password_file":       "./etc/tombolo.passwd",
	"vmq_acl.acl_file":               "./etc/tombolo.acl",
	"leveldb.maximum_memory.percent": "15",
}

func TestDefaultsAreThoseOfVerneMQ(t *testing.T) {
	_, defaults := verneKeys(t)
	used := map[string]bool{}
	for key, want := range defaults {
		o, _ := Lookup(concrete(key))
		if want == `""` {
			want = ""
		}
		if !o.Applies() || o.Default == want {
			continue
		}
		if deviations[key] != o.Default {
			t.Errorf("%s: the default is %q, VerneMQ's is %q", key, o.Default, want)
		}
		used[key] = true
	}
	guide, err := os.ReadFile("../../docs/migrating-from-vernemq.md")
	if err != nil {
		t.Fatal(err)
	}
	for key := range deviations {
		if !used[key] {
			t.Errorf("%s is called a deviation and is none", key)
		}
		if !strings.Contains(string(guide), "`"+key+"`") {
			t.Errorf("docs/migrating-from-vernemq.md does not name the default of %s", key)
		}
	}
}

// A whole vernemq.conf of an ordinary three-node installation loads, and what
// is said about it is what the guide shows.
func TestSampleOfVerneMQLoads(t *testing.T) {
	s, faults := Load(Sources{Files: []string{"testdata/vernemq.conf"}})
	for _, f := range faults {
		t.Error(f)
	}
	checkGolden(t, "testdata/vernemq.warnings", []byte(strings.Join(s.Warnings(), "\n")+"\n"))
	for _, c := range []struct{ key, want string }{
		{"max_online_messages", "5000"}, {"persistent_client_expiration", "1w"}, {"allow_publish_during_netsplit", "on"},
		{"vmq_passwd.password_file", "/etc/vernemq/vmq.passwd"}, {"nodename", "VerneMQ@10.0.0.1"}, {"prometheus_namespace", "vernemq_"},
	} {
		if got := s.Text(c.key); got != c.want {
			t.Errorf("%s = %q, want %q", c.key, got, c.want)
		}
	}
	var kinds []string
	for _, l := range s.Listeners() {
		kinds = append(kinds, l.Kind+"/"+l.Name)
	}
	if got := strings.Join(kinds, " "); got != "tcp/default tcp/internal ssl/default ws/default http/default" {
		t.Errorf("listeners: %s", got)
	}
	guide, err := os.ReadFile("../../docs/migrating-from-vernemq.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range s.Warnings() {
		_, text, _ := strings.Cut(w, ": ") // without the path
		if !strings.Contains(string(guide), text) {
			t.Errorf("docs/migrating-from-vernemq.md does not show the warning: %s", text)
		}
	}
}

package option

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes a directory of files and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// loadText loads one file that must have no faults.
func loadText(t *testing.T, text string) *Settings {
	t.Helper()
	s, faults := Load(Sources{Files: []string{write(t, map[string]string{"t.conf": text}) + "/t.conf"}})
	for _, f := range faults {
		t.Fatalf("fault in\n%s\n%v", text, f)
	}
	return s
}

// faultsOf loads one file and returns its faults, the directory taken out.
func faultsOf(t *testing.T, files map[string]string, src Sources) string {
	t.Helper()
	dir := write(t, files)
	src.Files = []string{dir + "/t.conf"}
	_, faults := Load(src)
	var b strings.Builder
	for _, f := range faults {
		b.WriteString(strings.ReplaceAll(f.String(), dir+"/", "") + "\n")
	}
	return b.String()
}

func TestPrecedence(t *testing.T) {
	dir := write(t, map[string]string{
		"one.conf": "max_inflight_messages = 1\nmax_online_messages = 1\nmax_offline_messages = 1\nmax_client_id_size = 1\ntopic_max_depth = 1\nmax_inflight_messages = 2\n",
		"two.conf": "max_online_messages = 3\n",
	})
	s, faults := Load(Sources{
		Base:    []Assignment{{Key: "topic_max_depth", Value: "9", Origin: Origin{Kind: FromCommand, Name: "tombolo dev"}}, {Key: "systree_qos", Value: "1", Origin: Origin{Kind: FromCommand, Name: "tombolo dev"}}},
		Files:   []string{dir + "/one.conf", dir + "/two.conf"},
		Environ: []string{"TOMBOLO_MAX_OFFLINE_MESSAGES=4", "TOMBOLO_MAX_CLIENT_ID_SIZE=4", "HOME=/x"},
		Flags:   []Assignment{{Key: "max_client_id_size", Value: "5", Origin: Origin{Kind: FromFlag, Name: "--max_client_id_size"}}},
	})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	for _, c := range []struct {
		key    string
		value  int
		origin string
	}{
		{"receive_max_client", 65535, "default"},
		{"systree_qos", 1, "tombolo dev"},
		{"topic_max_depth", 1, dir + "/one.conf:5"},
		{"max_inflight_messages", 2, dir + "/one.conf:6"},
		{"max_online_messages", 3, dir + "/two.conf:1"},
		{"max_offline_messages", 4, "environment TOMBOLO_MAX_OFFLINE_MESSAGES"},
		{"max_client_id_size", 5, "flag --max_client_id_size"},
	} {
		if got, origin := s.Int(c.key), s.Origin(c.key).String(); got != c.value || origin != c.origin {
			t.Errorf("%s = %d from %s, want %d from %s", c.key, got, origin, c.value, c.origin)
		}
	}
}

func TestIncludesAndSubstitution(t *testing.T) {
	dir := write(t, map[string]string{
		"t.conf":        "nodename = a\ninclude conf.d/*.conf\nmax_client_id_size = 7\nlog.error.file = $(data_dir)/x/$(nodename).log\nlog.console.file = '$(data_dir)'\n",
		"conf.d/1.conf": "nodename = b\nmax_client_id_size = 6\n",
		"conf.d/2.conf": "nodename = c # wins\ninclude ../other/x.conf\n",
		"conf.d/3.txt":  "nodename = d\n",
		"other/x.conf":  "cluster.secret_key = $(<key)\ndata_dir = /var/$(cluster.name)\n",
		"other/key":     "MDEyMzQ1Njc4OTAxMjM0NQ==\n",
	})
	s, faults := Load(Sources{Files: []string{dir + "/t.conf"}, Environ: []string{"TOMBOLO_CLUSTER__NAME=$(nodename)"}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	for key, want := range map[string]string{
		"nodename": "c", "max_client_id_size": "7", "cluster.secret_key": "MDEyMzQ1Njc4OTAxMjM0NQ==",
		"cluster.name": "$(nodename)", "data_dir": "/var/$(nodename)", // the environment is taken literally
		"log.error.file": "/var/$(nodename)/x/c.log", "log.console.file": "$(data_dir)",
	} {
		if got := s.Text(key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if got := s.Origin("nodename").String(); got != dir+"/conf.d/2.conf:1" {
		t.Errorf("nodename comes from %s", got)
	}
}

// The lists of faults are golden files: testdata/faults/<name>.conf and .txt.
func TestFaultLists(t *testing.T) {
	paths, err := filepath.Glob("testdata/faults/*.conf")
	if err != nil || len(paths) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range paths {
		s, faults := Load(Sources{Files: []string{path}, CheckFiles: true})
		var b strings.Builder
		for _, f := range faults {
			fmt.Fprintln(&b, f)
		}
		for _, w := range s.Warnings() {
			fmt.Fprintln(&b, "warning:", w)
		}
		checkGolden(t, strings.TrimSuffix(path, ".conf")+".txt", []byte(b.String()))
		if len(faults) == 0 {
			t.Errorf("%s: no faults", path)
		}
	}
}

func TestFaultsOfReading(t *testing.T) {
	deep := map[string]string{"t.conf": "include d1.conf"}
	for i := 1; i < 12; i++ {
		deep[fmt.Sprintf("d%d.conf", i)] = fmt.Sprintf("include d%d.conf", i+1)
	}
	many := map[string]string{"t.conf": "include many/*.conf"}
	for i := range filesMax + 5 {
		many[fmt.Sprintf("many/%03d.conf", i)] = ""
	}
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{}, "cannot read the configuration file t.conf: no such file or directory\n"},
		{map[string]string{"t.conf": "include x.conf"}, "t.conf:1: cannot read the configuration file x.conf: no such file or directory\n"},
		{map[string]string{"t.conf": "include none/*.conf"}, "t.conf:1: include none/*.conf: no such file or directory\n"},
		{map[string]string{"t.conf": "include */x.conf"}, "t.conf:1: include */x.conf: only the file name may be a pattern, not the directory\n"},
		{map[string]string{"t.conf": "include [x"}, "t.conf:1: include [x is not a pattern: syntax error in pattern\n"},
		{map[string]string{"t.conf": "include t.conf"}, "t.conf:1: include of t.conf goes round in a circle\n"},
		{deep, "d8.conf:1: includes are nested deeper than 8\n"},
		{many, "t.conf:1: more than 256 files are included\n"},
		{map[string]string{"t.conf": "include sub", "sub/x": ""}, "t.conf:1: cannot read the configuration file sub: it is a directory\n"},
		{map[string]string{"t.conf": strings.Repeat("# x\n", fileBytesMax/4) + "#"}, "cannot read the configuration file t.conf: it is larger than 1MB\n"},
		{map[string]string{"t.conf": "nodename = $(data_dir)\ndata_dir = $(nodename)"}, "t.conf:1: nodename: $(data_dir): $(…) goes round in a circle\nt.conf:2: data_dir: $(nodename): $(data_dir): $(…) goes round in a circle\n"},
		{map[string]string{"t.conf": "nodename = $(nodname)"}, "t.conf:1: nodename: $(nodname): there is no option nodname; the nearest is nodename\n"},
		{map[string]string{"t.conf": "nodename = $(data_dir"}, "t.conf:1: nodename: \"$(data_dir\" opens $( that nothing closes; quote the value to take it literally\n"},
		{map[string]string{"t.conf": "nodename = $(<x) y", "x": "1"}, "t.conf:1: nodename: \"$(<x) y\" is not of the form $(<file)\n"},
		{map[string]string{"t.conf": "nodename = $(<x)"}, "t.conf:1: nodename: cannot read x: no such file or directory\n"},
	} {
		if got := faultsOf(t, c.files, Sources{}); got != c.want {
			text := c.files["t.conf"]
			t.Errorf("%.80q:\n got %s\nwant %s", text, got, c.want)
		}
	}
}

func TestFilesAreLookedAtOnlyWhenAsked(t *testing.T) {
	files := map[string]string{"t.conf": "vmq_acl.acl_file = /nowhere/acl\n"}
	if got := faultsOf(t, files, Sources{}); got != "" {
		t.Errorf("without CheckFiles: %s", got)
	}
	if got, want := faultsOf(t, files, Sources{CheckFiles: true}), "t.conf:1: vmq_acl.acl_file: cannot read /nowhere/acl: no such file or directory\n"; got != want {
		t.Errorf("with CheckFiles: %s", got)
	}
}

// A secret is shown nowhere: listings, faults, warnings.
func TestSecretsStayInside(t *testing.T) {
	const secret = "hunter2-hunter2"
	dir := write(t, map[string]string{"t.conf": "cluster.secret_key = " + secret + "\nlistener.ssl.keypasswd = " + secret + "\nvmq_web_ui.admin.user_pwd = " + secret + "\nvmq_diversity.mysql.password = " + secret + "\n"})
	s, faults := Load(Sources{Files: []string{dir + "/t.conf"}})
	out := fmt.Sprint(faults, s.Warnings(), s.Masked("cluster.secret_key"))
	s.Each(func(e Entry) bool { out += fmt.Sprint(e.Key, e.Value); return true })
	if strings.Contains(out, secret) {
		t.Errorf("the secret is in %s", out)
	}
	if !strings.Contains(out, "********") || s.Text("cluster.secret_key") != secret {
		t.Error("the secret is not shown as stars, or cannot be read at all")
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct{ key, want string }{
		{"allow_anonymus", "allow_anonymous"},
		{"listener.tcp.mine.max_conections", "listener.tcp.mine.max_connections"},
		{"listener.tpc.default", "listener.tcp.default"},
		{"mqtt.connect.timeout", "mqtt_connect_timeout"},
		{"max_inflight", "max_inflight_messages"},
		{"erlang.async_thread", "erlang.async_threads"},
		{"cluster.seed", "cluster.seeds"},
		{"xyzzyxyzzyxyzzy", ""},
	} {
		if got := theTable().nearest(c.key); got != c.want {
			t.Errorf("nearest to %s is %q, want %q", c.key, got, c.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"abc", "abc", 0}, {"abc", "xyz", 3}, {"abcdefghij", "zzzzzzzzzz", 8}} {
		if got := distance(c.a, c.b, 8); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

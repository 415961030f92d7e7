package option

import (
	"fmt"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	out, faults := readEnviron(theTable(), []string{
		"TOMBOLO_ALLOW_ANONYMOUS=on", "TOMBOLO_LISTENER__TCP__DEFAULT=0.0.0.0:1", "TOMBOLO_ERLANG__W=w", "TOMBOLO_NODENAME=",
		"TOMBOLO_CONFIG=/x", "PATH=/bin", "TOMBOLOX=1", "TOMBOLO_CLUSTER__LINK_PORT=7",
		// what Kubernetes adds for services called tombolo and tombolo-headless
		"TOMBOLO_SERVICE_HOST=10.0.0.1", "TOMBOLO_SERVICE_PORT=1883", "TOMBOLO_SERVICE_PORT_MQTT=1883", "TOMBOLO_PORT=tcp://10.0.0.1:1883",
		"TOMBOLO_PORT_1883_TCP=tcp://10.0.0.1:1883", "TOMBOLO_PORT_1883_TCP_ADDR=10.0.0.1", "TOMBOLO_HEADLESS_PORT_1883_TCP_PROTO=tcp",
		"TOMBOLO_ALLOW_ANONYMUS=on", "TOMBOLO_CLUSTER_LINK_PORT=7",
	})
	var got []string
	for _, a := range out {
		got = append(got, a.Key+"="+a.Value)
	}
	for _, f := range faults {
		got = append(got, f.String())
	}
	want := []string{
		"allow_anonymous=on", "cluster.link_port=7", "erlang.W=w", "listener.tcp.default=0.0.0.0:1", "nodename=",
		"environment TOMBOLO_ALLOW_ANONYMUS: there is no option allow_anonymus; the nearest is allow_anonymous, which is set by TOMBOLO_ALLOW_ANONYMOUS",
		"environment TOMBOLO_CLUSTER_LINK_PORT: there is no option cluster_link_port; the nearest is cluster.link_port, which is set by TOMBOLO_CLUSTER__LINK_PORT",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Each option that has no user-given words can be set by its variable.
func TestEveryOptionHasItsVariable(t *testing.T) {
	for _, o := range All() {
		if o.Wildcard() {
			continue
		}
		out, faults := readEnviron(theTable(), []string{EnvironName(o.Key) + "=x"})
		if len(faults) > 0 || len(out) != 1 || out[0].Key != o.Key {
			t.Errorf("%s: %v %v", EnvironName(o.Key), out, faults)
		}
	}
}

func TestParseFlags(t *testing.T) {
	own := func(name string) (bool, bool) {
		switch name {
		case "config", "c":
			return true, true
		case "json", "help", "h":
			return true, false
		}
		return false, false
	}
	for _, c := range []struct{ args, want string }{
		{"", ""},
		{"--allow_anonymous on", "allow_anonymous=on"},
		{"--allow-anonymous=off", "allow_anonymous=off"},
		{"--allow-anonymous", "allow_anonymous=on"},
		{"--allow-anonymous --max_online_messages -1", "allow_anonymous=on max_online_messages=-1"},
		{"--allow_publish_during_netsplit majority", "allow_publish_during_netsplit=majority"},
		{"--allow_publish_during_netsplit x", "allow_publish_during_netsplit=on rest:x"},
		{"--listener.tcp.my-name 127.0.0.1:1 --listener.tcp.my-name.max-connections=5", "listener.tcp.my-name=127.0.0.1:1 listener.tcp.my-name.max_connections=5"},
		{"--listener.tcp.max-connections=5", "listener.tcp.max_connections=5"},
		{"--config a.conf --nodename n -c b.conf --json x", "nodename=n rest:--config rest:a.conf rest:-c rest:b.conf rest:--json rest:x"},
		{"--config=a.conf -h", "rest:--config=a.conf rest:-h"},
		{"-- --nodename x", "rest:-- rest:--nodename rest:x"},
		{"--nodename", "fault:flag --nodename: nodename: needs a value: --nodename <string>"},
		{"--nodename --json", "rest:--json fault:flag --nodename: nodename: needs a value: --nodename <string>"},
		{"--nodenam x", "fault:flag --nodenam: there is no option nodenam; the nearest is nodename"},
		{"--nodename= x", "nodename= rest:x"},
	} {
		rest, set, faults := ParseFlags(strings.Fields(c.args), own)
		var got []string
		for _, a := range set {
			got = append(got, a.Key+"="+a.Value)
		}
		for _, r := range rest {
			got = append(got, "rest:"+r)
		}
		for _, f := range faults {
			got = append(got, "fault:"+f.String())
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.args, strings.Join(got, " "), c.want)
		}
	}
}

// What show prints is a file that reads back the same.
func TestQuoteReadsBack(t *testing.T) {
	for _, text := range []string{"", "x", "a b", " a", "a#b", "'", "it's", "'a'", `""`, "$(x)", "a\nb", `"a"`, "a=b"} {
		statements, errs := parse("nodename = " + Quote(text) + "\n")
		if len(errs) > 0 || len(statements) != 1 || statements[0].value != text {
			t.Errorf("%q is written %s and read as %v, %v", text, Quote(text), statements, errs)
		}
	}
}

func TestOriginsRead(t *testing.T) {
	for want, o := range map[string]Origin{
		"default": {}, "a.conf:3": {FromFile, "a.conf", 3}, "environment X": {FromEnvironment, "X", 0}, "flag --x": {FromFlag, "--x", 0},
		"set at run time": {Kind: FromRuntime}, "tombolo dev": {FromCommand, "tombolo dev", 0},
	} {
		if fmt.Sprint(o) != want {
			t.Errorf("%#v is printed %q, want %q", o, o, want)
		}
	}
}

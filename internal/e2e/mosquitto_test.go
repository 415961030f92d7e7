package e2e

import (
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mosquitto is a pair of command line clients with the arguments of one way to
// connect. Immutable.
type mosquitto struct {
	t    *testing.T
	n    *node
	args []string
}

// program finds one of the clients.
func (m mosquitto) program(name string) string {
	m.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		m.t.Fatalf("this test needs %s (Debian: mosquitto-clients), which make install installs: %v", name, err)
	}
	return path
}

// pub publishes and wants success.
func (m mosquitto) pub(args ...string) {
	m.t.Helper()
	if got := run(m.t, m.t.TempDir(), m.program("mosquitto_pub"), append(slices.Clone(m.args), args...)...); got.code != 0 {
		m.t.Errorf("mosquitto_pub %v: %+v", args, got)
	}
}

// sub starts a subscriber that ends after count messages, waits until its
// subscription to a topic is there, and returns how to collect what it printed.
func (m mosquitto) sub(id, topic, count string, args ...string) (collect func() []string) {
	m.t.Helper()
	all := append(slices.Clone(m.args), "-i", id, "-C", count, "-W", "60", "-F", "%t %q %r %p")
	cmd := exec.Command(m.program("mosquitto_sub"), append(all, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, if all went well
	lines := make(chan []string, 1)
	go func() {
		var text tail
		buf := make([]byte, 4096)
		for {
			k, err := out.Read(buf)
			_, _ = text.Write(buf[:k]) // a buffer takes all
			if err != nil {
				break
			}
		}
		_ = cmd.Wait() // killed, or its count was reached
		lines <- strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	}()
	eventually(m.t, patience, id+" is subscribed", func() bool {
		_, list := m.n.ask("/api/v1/subscriptions?topic=" + topic)
		return strings.Contains(list, `"`+id+`"`)
	})
	return func() []string { return receive(m.t, "the end of mosquitto_sub", lines) }
}

// want compares what was printed.
func (m mosquitto) want(got []string, want ...string) {
	m.t.Helper()
	if !slices.Equal(got, want) {
		m.t.Errorf("mosquitto_sub printed %q, want %q", got, want)
	}
}

// TestMosquittoClients serves mosquitto_pub and mosquitto_sub in every version
// over TCP and TLS.
func TestMosquittoClients(t *testing.T) {
	n, secure := startTLSNode(t)
	for _, version := range []string{"mqttv31", "mqttv311", "mqttv5"} {
		for _, c := range []struct {
			name, address string
			args          []string
		}{{"TCP", n.tcp, nil}, {"TLS", secure.ssl, []string{"--cafile", secure.ca}}} {
			t.Run(version+" "+c.name, func(t *testing.T) {
				host, port, err := net.SplitHostPort(c.address)
				if err != nil {
					t.Fatal(err)
				}
				m := mosquitto{t, n, append([]string{"-h", host, "-p", port, "-V", version}, c.args...)}
				m.messages()
				m.will()
				m.resumed(version)
			})
		}
	}
}

func (m mosquitto) messages() {
	m.t.Helper()
	collect := m.sub("m-live", "m/x", "3", "-q", "2", "-t", "m/+")
	for _, qos := range []string{"0", "1", "2"} {
		m.pub("-t", "m/x", "-q", qos, "-m", "at "+qos)
	}
	m.want(collect(), "m/x 0 0 at 0", "m/x 1 0 at 1", "m/x 2 0 at 2")
	m.pub("-t", "m/kept", "-q", "1", "-r", "-m", "retained")
	late := m.sub("m-late", "m/kept", "2", "-q", "1", "-t", "m/kept")
	m.pub("-t", "m/kept", "-q", "1", "-r", "-n")
	m.want(late(), "m/kept 1 1 retained", "m/kept 1 0 ")
}

func (m mosquitto) will() {
	m.t.Helper()
	collect := m.sub("m-heir", "m/will", "1", "-q", "1", "-t", "m/will")
	cmd := exec.Command(m.program("mosquitto_sub"), append(slices.Clone(m.args), "-i", "m-gone", "-t", "m/other",
		"--will-topic", "m/will", "--will-payload", "gone", "--will-qos", "1")...)
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	eventually(m.t, patience, "m-gone is subscribed", func() bool {
		_, list := m.n.ask("/api/v1/subscriptions?topic=m/other")
		return strings.Contains(list, `"m-gone"`)
	})
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
	m.want(collect(), "m/will 1 0 gone")
}

func (m mosquitto) resumed(version string) {
	m.t.Helper()
	keep := []string{"-c", "-q", "2", "-t", "m/later"}
	if version == "mqttv5" {
		keep = append(keep, "-x", "3600")
	}
	first := m.sub("m-resumed", "m/later", "1", keep...)
	m.pub("-t", "m/later", "-q", "2", "-m", "one")
	m.want(first(), "m/later 2 0 one")
	m.n.sessions("m-resumed has left", func(list string) bool { return !strings.Contains(list, `"is_online":true`) })
	m.pub("-t", "m/later", "-q", "2", "-m", "two")
	m.pub("-t", "m/later", "-q", "2", "-m", "three")
	second := m.sub("m-resumed", "m/later", "2", keep...)
	m.want(second(), "m/later 2 0 two", "m/later 2 0 three")
}

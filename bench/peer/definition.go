package peer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Definition says how to start a broker. In commands, files, environment and
// targets {port} stands for the port on 127.0.0.1 at which it has to speak MQTT,
// {port+1} and {port+2} for the next ones, {port2} and {port3} for further free
// ports, {dir} for a new directory of its own. Immutable.
type Definition struct {
	Name        string            `json:"name"`
	Command     []string          `json:"command"`
	Files       map[string]string `json:"files,omitempty"` // by their names in {dir}
	Environment map[string]string `json:"environment,omitempty"`
	Version     []string          `json:"version,omitempty"`  // a command; its first line counts
	Settings    string            `json:"settings,omitempty"` // in words, for the report
	// Targets are where the nodes of a cluster speak MQTT; none: 127.0.0.1:{port}.
	Targets []string `json:"targets,omitempty"`
	// Cross has every message published at another node than its subscriber's.
	Cross bool `json:"cross_node,omitempty"`
	// Ready is a text that it prints when it is; none: it is when it answers.
	Ready string `json:"ready,omitempty"`
	// Profile are arguments that make it write a profile of {kind} to
	// {profile}; empty if it cannot.
	Profile []string `json:"profile,omitempty"`
	// Certificate has cert.pem and key.pem put into {dir}, which vouch for
	// themselves; clients do not verify them.
	Certificate bool `json:"certificate,omitempty"`
}

// sbin is where Debian keeps servers; it stands in few users' PATH.
const sbin = "/usr/sbin/"

// mosquitto as Debian configures it, but without persistence, open, and with
// queues that have no limit: at 1000 messages it drops, and what it drops costs
// it nothing.
func mosquitto(name, more, settings string) Definition {
	return Definition{
		Name: name, Command: []string{"mosquitto", "-c", "{dir}/mosquitto.conf"},
		Files: map[string]string{"mosquitto.conf": "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n" +
			"persistence false\nlog_type error\nmax_queued_messages 0\n" + more},
		Version:  []string{"mosquitto", "-h"},
		Settings: settings,
	}
}

// Persistent is mosquitto with persistence on, as Debian has it.
func Persistent() Definition {
	d := mosquitto("mosquitto-persistent", "", "anonymous, persistence on, queues without limit")
	d.Files["mosquitto.conf"] = strings.Replace(d.Files["mosquitto.conf"], "persistence false\n", "persistence true\npersistence_location {dir}/\n", 1)
	return d
}

// Builtin returns the brokers that need no file.
func Builtin() []Definition {
	return []Definition{
		mosquitto("mosquitto", "", "anonymous, persistence off, queues without limit, Nagle on (its default)"),
		mosquitto("mosquitto-nodelay", "set_tcp_nodelay true\n", "anonymous, persistence off, queues without limit, set_tcp_nodelay true"),
		{
			Name: "nats-server", Command: []string{"nats-server", "-c", "{dir}/nats.conf"},
			Files: map[string]string{"nats.conf": "server_name: bench\nhost: 127.0.0.1\nport: {port2}\n" +
				"jetstream { store_dir: \"{dir}/jetstream\" }\nmqtt { host: 127.0.0.1, port: {port} }\n"},
			Version:  []string{"nats-server", "--version"},
			Settings: "anonymous, JetStream on file, defaults",
		},
		{
			Name: "rabbitmq", Command: []string{"/usr/lib/rabbitmq/bin/rabbitmq-server"},
			Files: map[string]string{
				"enabled_plugins": "[rabbitmq_mqtt].\n",
				"rabbitmq.conf": "listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:{port}\nmqtt.allow_anonymous = true\n" +
					"loopback_users = none\n",
			},
			Environment: map[string]string{
				"RABBITMQ_NODENAME": "bench{port}@localhost", "RABBITMQ_CONFIG_FILE": "{dir}/rabbitmq.conf",
				"RABBITMQ_ENABLED_PLUGINS_FILE": "{dir}/enabled_plugins", "RABBITMQ_MNESIA_BASE": "{dir}/mnesia",
				"RABBITMQ_LOG_BASE": "{dir}/log", "RABBITMQ_PID_FILE": "{dir}/pid", "RABBITMQ_DIST_PORT": "{port2}",
				// Its own name service, so that none stays behind on the usual port.
				"ERL_EPMD_PORT": "{port3}", "HOME": "{dir}",
			},
			Version:  []string{"dpkg-query", "-W", "rabbitmq-server"},
			Settings: "anonymous, MQTT plugin, defaults",
		},
	}
}

// Tombolo is this program as a broker, with further arguments of its own.
func Tombolo(program, version string, arguments ...string) Definition {
	command := []string{program, "start", "--listener.tcp.default", "127.0.0.1:{port}",
		"--listener.http.default", "127.0.0.1:{port2}", "--listener.max_connections", "60000",
		"--allow_anonymous", "on", "--data_dir", "{dir}/data", "--log.console.level", "error"}
	return Definition{
		Name: "tombolo", Command: append(command, arguments...),
		Version:  []string{"echo", version},
		Settings: strings.TrimSpace("anonymous, defaults " + strings.Join(arguments, " ")),
		Profile:  []string{"--profile", "{kind}", "--profile-dir", "{profile}"},
	}
}

// TomboloTLS is this program with a listener for TLS alone.
func TomboloTLS(program, version string) Definition {
	d := Tombolo(program, version)
	d.Name, d.Certificate = "tombolo-tls", true
	at := slices.Index(d.Command, "--listener.tcp.default")
	d.Command = slices.Replace(d.Command, at, at+1, "--listener.ssl.certfile", "{dir}/cert.pem", "--listener.ssl.keyfile", "{dir}/key.pem",
		"--listener.ssl.default")
	d.Targets = []string{tlsWay + "127.0.0.1:{port}"}
	d.Settings = "anonymous, defaults, TLS 1.3"
	return d
}

// tlsWay is what stands before a target that is spoken to over TLS.
const tlsWay = "mqtts://"

// TomboloCluster is three nodes of this program on one machine. With cross,
// publisher and subscriber of a message are never at the same node.
func TomboloCluster(program, version string, cross bool) Definition {
	d := Definition{
		Name: "tombolo-3",
		Command: []string{program, "dev", "--nodes", "3", "--first-port", "{port}",
			"--data_dir", "{dir}/data", "--log.console.level", "error"},
		Targets:  []string{"127.0.0.1:{port}", "127.0.0.1:{port+1}", "127.0.0.1:{port+2}"},
		Ready:    "is ready",
		Version:  []string{"echo", version},
		Profile:  []string{"--profile", "{kind}", "--profile-dir", "{profile}"},
		Settings: "three nodes, each message published and received at one node",
	}
	if cross {
		d.Name, d.Cross = "tombolo-3-cross", true
		d.Settings = "three nodes, each message published at another node than its subscriber's"
	}
	return d
}

// Load reads a definition from a JSON file.
func Load(file string) (Definition, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Definition{}, fmt.Errorf("reading the definition of a broker: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var d Definition
	if err := decoder.Decode(&d); err != nil {
		return Definition{}, fmt.Errorf("definition of a broker in %s: %w", file, err)
	}
	if err := d.check(); err != nil {
		return Definition{}, fmt.Errorf("definition of a broker in %s: %w", file, err)
	}
	return d, nil
}

func (d *Definition) check() error {
	switch {
	case d.Name == "":
		return errors.New("it has no name")
	case len(d.Command) == 0:
		return errors.New("it has no command")
	}
	for name := range d.Files {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("file %q is not within its directory", name)
		}
	}
	return nil
}

// find is the program of a command, or "".
func find(program string) string {
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	if !strings.Contains(program, "/") {
		if path, err := exec.LookPath(sbin + program); err == nil {
			return path
		}
	}
	return ""
}

// Installed reports whether the program of the definition is there.
func (d *Definition) Installed() bool { return find(d.Command[0]) != "" }

// VersionLine is what the broker says of itself, or "unknown".
func (d *Definition) VersionLine() string {
	if len(d.Version) == 0 || find(d.Version[0]) == "" {
		return "unknown"
	}
	// mosquitto -h prints its version and fails; what is printed counts.
	out, _ := exec.Command(find(d.Version[0]), d.Version[1:]...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if line == "" {
		return "unknown"
	}
	return line
}

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// script is a client library of another language: a process that runs a script
// of testdata and obeys commands in JSON. Owned by its test; mu guards where
// what is received goes.
type script struct {
	tb      testing.TB
	in      io.Writer
	answers chan scriptAnswer
	stderr  *tail
	mu      struct {
		sync.Mutex
		inboxes map[string]chan<- letter // by client id
	}
}

// scripted is one client of the script's process. Owned by its test.
type scripted struct {
	*script
	host, port, id string
	got            chan<- letter
	dialect
}

// scriptLetter is a letter in JSON.
type scriptLetter struct {
	Topic   string `json:"topic"`
	Payload string `json:"payload"`
	QoS     byte   `json:"qos"`
	Retain  bool   `json:"retain"`
}

func (l *letter) json() *scriptLetter {
	if l == nil {
		return nil
	}
	return &scriptLetter{l.topic, l.payload, l.qos, l.retain}
}

type scriptCommand struct {
	ID        string        `json:"id"`
	Do        string        `json:"do"`
	Host      string        `json:"host,omitempty"`
	Port      int           `json:"port,omitempty"`
	Version   int           `json:"version,omitempty"`
	WebSocket bool          `json:"websocket"`
	CA        string        `json:"ca"`
	Clean     bool          `json:"clean"`
	Will      *scriptLetter `json:"will,omitempty"`
	Filter    string        `json:"filter,omitempty"`
	QoS       byte          `json:"qos"`
	Message   *scriptLetter `json:"message,omitempty"`
}

type scriptAnswer struct {
	Present bool   `json:"present"`
	Error   string `json:"error"`
}

// language is how scripts of one language are run.
type language struct {
	program, script string
	env             []string
}

// dialect is what a script is told about the connection to make.
type dialect struct {
	version   int
	websocket bool
	ca        string
}

func (s *script) invite(d dialect) invite {
	return func(tb testing.TB, address, id string, got chan<- letter) visitor {
		tb.Helper()
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			tb.Fatal(err)
		}
		return &scripted{script: s, host: host, port: port, id: id, dialect: d, got: got}
	}
}

// start runs the script until the test ends.
func (l language) start(tb testing.TB) *script {
	tb.Helper()
	cmd := exec.Command(l.program, filepath.Join(root, "internal/e2e/testdata", l.script))
	cmd.Env = append(os.Environ(), l.env...)
	s := &script{tb: tb, answers: make(chan scriptAnswer, 1), stderr: &tail{}}
	s.mu.inboxes = map[string]chan<- letter{}
	cmd.Stderr = s.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if s.in, err = cmd.StdinPipe(); err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("starting %s (make install): %v", l.program, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.read(out)
		_ = cmd.Wait() // killed below
	}()
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if tb.Failed() && s.stderr.String() != "" {
			tb.Logf("%s: %s", l.script, s.stderr)
		}
	})
	return s
}

// read sorts what the script says.
func (s *script) read(out io.Reader) {
	defer close(s.answers)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var said struct {
			ID      string        `json:"id"`
			Answer  *scriptAnswer `json:"answer"`
			Message *scriptLetter `json:"message"`
		}
		if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
			s.answers <- scriptAnswer{Error: "not JSON: " + lines.Text()}
			return
		}
		if m := said.Message; m != nil {
			s.mu.Lock()
			inbox := s.mu.inboxes[said.ID]
			s.mu.Unlock()
			inbox <- letter{m.Topic, m.Payload, m.QoS, m.Retain}
		}
		if said.Answer != nil {
			s.answers <- *said.Answer
		}
	}
}

func (s *scripted) do(c scriptCommand) (scriptAnswer, error) {
	s.tb.Helper()
	c.ID = s.id
	line, err := json.Marshal(c)
	if err != nil {
		return scriptAnswer{}, err
	}
	if _, err := s.in.Write(append(line, '\n')); err != nil {
		return scriptAnswer{}, err
	}
	a := receive(s.tb, "an answer of the script", s.answers)
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

func (s *scripted) connect(clean bool, will *letter) (bool, error) {
	port, err := strconv.Atoi(s.port)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	s.mu.inboxes[s.id] = s.got
	s.mu.Unlock()
	a, err := s.do(scriptCommand{Do: "connect", Host: s.host, Port: port, Version: s.version,
		WebSocket: s.websocket, CA: s.ca, Clean: clean, Will: will.json()})
	return a.Present, err
}

func (s *scripted) subscribe(filter string, qos byte) error {
	_, err := s.do(scriptCommand{Do: "subscribe", Filter: filter, QoS: qos})
	return err
}

func (s *scripted) publish(l letter) error {
	_, err := s.do(scriptCommand{Do: "publish", Message: l.json()})
	return err
}

func (s *scripted) disconnect() {
	if _, err := s.do(scriptCommand{Do: "disconnect"}); err != nil {
		s.tb.Errorf("disconnecting: %v", err)
	}
}

func (s *scripted) tells() bool { return s.version > 3 }

// serveScripts serves a language over everything it speaks.
func serveScripts(t *testing.T, l language) {
	n, secure := startTLSNode(t)
	s := l.start(t)
	for _, c := range []struct {
		name, address string
		dialect
	}{
		{"3.1 TCP", n.tcp, dialect{version: 3}},
		{"3.1.1 TCP", n.tcp, dialect{version: 4}},
		{"3.1.1 WebSocket", n.ws, dialect{version: 4, websocket: true}},
		{"5 TCP", n.tcp, dialect{version: 5}},
		{"5 WebSocket", n.ws, dialect{version: 5, websocket: true}},
		{"5 TLS", secure.ssl, dialect{version: 5, ca: secure.ca}},
		{"5 WebSocket TLS", secure.wss, dialect{version: 5, websocket: true, ca: secure.ca}},
	} {
		t.Run(c.name, func(t *testing.T) { serve(t, c.address, s.invite(c.dialect)) })
	}
}

// TestPythonPaho serves Debian's python3-paho-mqtt.
func TestPythonPaho(t *testing.T) {
	const python = "/usr/bin/python3" // the one that Debian's package belongs to
	if err := exec.Command(python, "-c", "import paho.mqtt.client").Run(); err != nil {
		t.Fatalf("this test needs python3-paho-mqtt, which make install installs: %v", err)
	}
	serveScripts(t, language{program: python, script: "visitor.py"})
}

// TestMQTTjs serves mqtt.js.
func TestMQTTjs(t *testing.T) {
	modules := filepath.Join(root, ".tools/node_modules")
	if _, err := os.Stat(filepath.Join(modules, "mqtt")); err != nil {
		t.Fatalf("this test needs mqtt.js, which make install installs: %v", err)
	}
	program, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("this test needs node, which make install installs: %v", err)
	}
	serveScripts(t, language{program: program, script: "visitor.js", env: []string{"NODE_PATH=" + modules}})
}

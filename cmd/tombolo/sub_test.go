package main

import (
	"bufio"
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tombolo/bench/peertest"
	"tombolo/internal/certificate"
	"tombolo/mqtt/packet"
)

func TestSubTimeout(t *testing.T) {
	b := peertest.Mosquitto(t)
	if got := runTool(t, "", atBroker(b, "sub", "-t", "t", "-W", "0.05")...); got.code != exitTimeout {
		t.Errorf("exit code %d: %s", got.code, got.err.String())
	}
}

// TestSubRetained tells retained messages from others in both directions.
func TestSubRetained(t *testing.T) {
	b := peertest.Mosquitto(t)
	for _, version := range []string{"311", "5"} {
		runTool(t, "", atBroker(b, "pub", "-t", "r/1", "-m", "kept", "-r", "-q", "1")...)
		only := subscribed(t, b, "-t", "r/#", "--retained-only", "-v", "-V", version)
		never := subscribed(t, b, "-t", "r/#", "-R", "-v", "-C", "1", "-V", version)
		only.out.until(t, "kept")
		runTool(t, "", atBroker(b, "pub", "-t", "r/2", "-m", "live", "-q", "1")...)
		if got := only.wait(); got.code != 0 || got.out.String() != "r/1 kept\n" {
			t.Errorf("MQTT %s: --retained-only: exit code %d, %q", version, got.code, got.out.String())
		}
		if got := never.wait(); got.code != 0 || got.out.String() != "r/2 live\n" {
			t.Errorf("MQTT %s: -R: exit code %d, %q", version, got.code, got.out.String())
		}
	}
}

// TestSubSession: what was sent while away comes with the session, and -U takes
// the subscription out of it.
func TestSubSession(t *testing.T) {
	b := peertest.Mosquitto(t)
	session := []string{"-t", "s", "-q", "1", "-i", "worker", "-c", "--session-expiry", "1h"}
	if got := runTool(t, "", atBroker(b, append([]string{"sub", "-E"}, session...)...)...); got.code != 0 {
		t.Fatalf("exit code %d: %s", got.code, got.err.String())
	}
	runTool(t, "", atBroker(b, "pub", "-t", "s", "-m", "while away", "-q", "1")...)
	if got := runTool(t, "", atBroker(b, append([]string{"sub", "-C", "1"}, session...)...)...); got.out.String() != "while away\n" {
		t.Errorf("got %q, exit code %d: %s", got.out.String(), got.code, got.err.String())
	}
	if got := runTool(t, "", atBroker(b, "sub", "-U", "s", "-i", "worker", "-c")...); got.code != 0 {
		t.Errorf("-U: exit code %d: %s", got.code, got.err.String())
	}
	runTool(t, "", atBroker(b, "pub", "-t", "s", "-m", "nobody", "-q", "1")...)
	sub := subscribed(t, b, "-t", "other", "-i", "worker", "-c", "-C", "1")
	runTool(t, "", atBroker(b, "pub", "-t", "other", "-m", "first")...)
	if got := sub.wait().out.String(); got != "first\n" {
		t.Errorf("after -U got %q", got)
	}
}

// TestSubTransports goes over WebSocket, and over TLS with the authority
// given, unknown and unchecked.
func TestSubTransports(t *testing.T) {
	pair, err := certificate.New("test")
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	if err := pair.Write(certFile, keyFile); err != nil {
		t.Fatal(err)
	}
	b := peertest.Mosquitto(t, "protocol websockets", "certfile "+certFile+"\nkeyfile "+keyFile)
	ws := strings.Split(b.Extra[0], ":")[1]
	_, secure, _ := net.SplitHostPort(b.Extra[1])
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--ws -p " + ws, 0, ""},
		{"-L ws://127.0.0.1:" + ws + "/mqtt", 0, ""},
		{"--cafile " + certFile + " -p " + secure, 0, ""},
		{"-L mqtts://127.0.0.1:" + secure + " --insecure", 0, ""},
		{"--tls -p " + secure, exitFailure, "--cafile"},
		{"--insecure -p " + strings.Split(b.Address, ":")[1], exitFailure, "TLS"},
	} {
		got := runTool(t, "", append([]string{"sub", "-t", "t", "-E"}, strings.Fields(c.args)...)...)
		if got.code != c.code || !strings.Contains(got.err.String(), c.want) {
			t.Errorf("%s: exit code %d, %q; want %d and %q", c.args, got.code, got.err.String(), c.code, c.want)
		}
	}
}

// TestPrinter prints one message by every mark.
func TestPrinter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678_000, time.UTC)
	p := &packet.Publish{Topic: []byte("a/b"), Payload: []byte(`{"k":1}`), QoS: 1, ID: 9, Retain: true,
		Properties: packet.Properties{Set: packet.PropContentType | packet.PropUser, ContentType: []byte("json"),
			User: []packet.UserProperty{{Name: []byte("n"), Value: []byte("v")}}}}
	for _, c := range []struct {
		o    printer
		want string
	}{
		{printer{}, `{"k":1}` + "\n"},
		{printer{noNewline: true}, `{"k":1}`},
		{printer{verbose: true}, `a/b {"k":1}` + "\n"},
		{printer{format: `%q%r%d%m %l %X%%\t%C %P\q`}, "1109 7 7B226B223A317D%\tjson n:v\\q\n"},
		{printer{format: "%I %U"}, "2026-01-02T03:04:05+0000 1767323045.000678000\n"},
		{printer{json: true}, `{"tst":"2026-01-02T03:04:05.000678+0000","topic":"a/b","qos":1,"retain":true,"mid":9,` +
			`"payloadlen":7,"payload":"{\"k\":1}","properties":{"content-type":"json","user-properties":[["n","v"]]}}` + "\n"},
	} {
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		if err := c.o.prepare(); err != nil {
			t.Fatal(err)
		}
		c.o.print(w, p, now)
		w.Flush()
		if out.String() != c.want {
			t.Errorf("%+v:\n got %q\nwant %q", c.o, out.String(), c.want)
		}
	}
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	pretty := printer{pretty: true}
	_ = pretty.prepare()
	pretty.print(w, p, now)
	w.Flush()
	if !strings.Contains(out.String(), "\"payload\": {\n    \"k\": 1\n  }") {
		t.Errorf("--pretty does not lay a JSON payload out: %s", out.String())
	}
}

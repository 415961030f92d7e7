package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tombolo/internal/doctor"
)

// doctorFile writes a configuration with one listener.
func doctorFile(t *testing.T, address, more string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "tombolo.conf")
	text := "data_dir = " + filepath.Join(dir, "data") + "\nlistener.tcp.default = " + address + "\nlistener.max_connections = 10\n" + more
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDoctorCommand(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := ln.Addr().String()
	out, errs, code := runCommand(t, "doctor", "--config", doctorFile(t, taken, "topic_max_dept = 3\n"))
	if code != exitFailure || errs != "" {
		t.Errorf("exit %d, %q", code, errs)
	}
	for _, want := range []string{taken + " is in use by", "→ stop that process", "topic_max_depth", "fault    configuration"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	_ = ln.Close()
	out, errs, code = runCommand(t, "doctor", "--json", "--config", doctorFile(t, taken, ""))
	var list struct{ Findings []doctor.Finding }
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Findings) < 5 {
		t.Fatalf("exit %d, %v, %q, %s", code, err, errs, out)
	}
	if healthy := doctor.Healthy(list.Findings); healthy != (code == 0) {
		t.Errorf("healthy is %v and the exit code %d:\n%s", healthy, code, out)
	}
}

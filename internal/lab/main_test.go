//go:build linux

package lab

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program is the program under test, built once for all tests.
var program string

var programFlag = flag.String("lab.program", "", "a tombolo that is built already")

func TestMain(m *testing.M) {
	flag.Parse()
	go standstill.beat()
	// These tests wait for timers of real nodes, not for the processor.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("4") // a number it is
	}
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	if program = *programFlag; program != "" {
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "tombolo-lab-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "tombolo")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "tombolo/cmd/tombolo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building cmd/tombolo: %w\n%s", err, out)
	}
	return m.Run(), nil
}

package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the program under test, built once for all tests.
var binary string

var programFlag = flag.String("e2e.program", "", "a tombolo that is built already")

// root is the top of the module.
var root string

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	var err error
	if root, err = filepath.Abs("../.."); err != nil {
		return 1, err
	}
	if binary = *programFlag; binary != "" {
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "tombolo-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "tombolo")
	build := exec.Command("go", "build", "-pgo=auto", "-trimpath", "-o", binary, "./cmd/tombolo")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building cmd/tombolo: %w\n%s", err, out)
	}
	return m.Run(), nil
}

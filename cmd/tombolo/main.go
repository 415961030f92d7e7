// Command tombolo is the broker and every tool that goes with it.
//
// State owned: none beyond what a subcommand starts. Concurrency: each
// subcommand owns its goroutines and ends them before it returns. Guarantee:
// the exit code is one of those in exit.go. Failure: errors go to standard
// error in one line that says what to do next.
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := newRoot().Execute(); err != nil {
		var e *exitError
		if !errors.As(err, &e) {
			e = &exitError{code: exitUsage, err: err}
		}
		if e.err != nil {
			fmt.Fprintln(os.Stderr, "tombolo:", e.err)
		}
		os.Exit(e.code)
	}
}

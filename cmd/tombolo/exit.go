package main

// Exit codes, the same for every subcommand; documented in docs/cli.md.
const (
	exitOK          = 0   // all went well
	exitFailure     = 1   // the command ran and what it was asked for failed
	exitUsage       = 2   // the command line or the configuration is wrong
	exitUnreachable = 3   // no broker answered where one was expected
	exitRefused     = 4   // a broker answered and refused (credentials, reason code)
	exitTimeout     = 5   // the time limit passed first
	exitEnvironment = 6   // port in use, directory not writable, store locked
	exitInterrupted = 130 // ended by SIGINT
)

// exitError carries an exit code through cobra; err nil means that the
// command has already said what there is to say. Immutable once built.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// fail wraps err so that main exits with code.
func fail(code int, err error) error { return &exitError{code: code, err: err} }

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tombolo/internal/auth"
)

func init() { register(newPasswd) }

// passwdFlags are the flags of one call. Immutable once parsed.
type passwdFlags struct {
	create, force, remove, batch, upgrade bool
}

// passwordLineMax is as long as a password on standard input may be: what an
// MQTT CONNECT can carry.
const passwordLineMax = 65535

func newPasswd() *cobra.Command {
	var f passwdFlags
	c := &cobra.Command{
		Use:   "passwd [flags] FILE [USER [PASSWORD]]",
		Short: "Create and edit the password file",
		Long: `Add a user to a password file, replace a password, or delete a user.

The password is asked for twice without echo on a terminal, and read as one
line from standard input otherwise. Comments and the order of lines are kept,
the file is replaced as a whole or not at all, and others cannot read it. A
running broker takes the change over by itself (password_reload_interval) or at
once on SIGHUP.

Files of vmq-passwd and mosquitto_passwd can be edited as they are: their
hashes ($6$, $7$) stay valid; new ones are argon2id.`,
		Example: `  tombolo passwd -c /etc/tombolo/passwd alice        create the file with its first user
  tombolo passwd /etc/tombolo/passwd bob             add bob, or change his password
  tombolo passwd /etc/tombolo/passwd bob < secret    the same, from a file
  tombolo passwd -b /etc/tombolo/passwd bob secret   the same, seen by all who list processes
  tombolo passwd -D /etc/tombolo/passwd bob          delete bob
  tombolo passwd -U users.txt                        hash a file of user:password lines in place`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c, args)
		},
	}
	fl := c.Flags()
	fl.BoolVarP(&f.create, "create", "c", false, "create the file; it must not exist yet")
	fl.BoolVarP(&f.force, "force", "f", false, "with -c: overwrite a file that exists")
	fl.BoolVarP(&f.remove, "delete", "D", false, "delete the user")
	fl.BoolVarP(&f.batch, "batch", "b", false, "take the password from the command line")
	fl.BoolVarP(&f.upgrade, "upgrade", "U", false, "hash the plain text passwords of the file")
	return c
}

// check says what is wrong with the command line.
func (f *passwdFlags) check(args []string) error {
	want, names := 2, "FILE USER"
	switch {
	case f.upgrade:
		want, names = 1, "FILE"
	case f.batch:
		want, names = 3, "FILE USER PASSWORD"
	}
	switch {
	case f.upgrade && (f.create || f.remove || f.batch):
		return errors.New("-U goes with no other flag")
	case f.remove && (f.create || f.batch):
		return errors.New("-D goes with no other flag")
	case f.force && !f.create:
		return errors.New("-f goes with -c only")
	case len(args) != want:
		return fmt.Errorf("passwd wants %s, got %d arguments; see tombolo passwd --help", names, len(args))
	case want > 1:
		return auth.CheckUser(args[1])
	}
	return nil
}

func (f *passwdFlags) run(c *cobra.Command, args []string) error {
	if err := f.check(args); err != nil {
		return fail(exitUsage, err)
	}
	path := args[0]
	text, err := f.read(path)
	if err != nil {
		return err
	}
	if f.upgrade {
		return upgradePasswords(c.OutOrStdout(), path, text)
	}
	list, err := auth.ParsePasswords(text, path)
	if err != nil {
		return fail(exitFailure, err)
	}
	user, done := args[1], "deleted"
	if f.remove {
		if !list.Delete(user) {
			return fail(exitFailure, fmt.Errorf("%s: there is no user %q", path, user))
		}
	} else {
		password, err := f.password(c, args)
		if err != nil {
			return err
		}
		hash, err := auth.HashPassword(password)
		if err != nil {
			return fail(exitFailure, err)
		}
		replaced, err := list.Set(user, hash)
		if err != nil {
			return fail(exitFailure, err)
		}
		if done = "added"; replaced {
			done = "changed"
		}
	}
	if err := replaceFile(path, list.Bytes()); err != nil {
		return fail(exitEnvironment, err)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: %s %s\n", path, user, done)
	return nil
}

// read returns the file to be edited, nothing for one to be created.
func (f *passwdFlags) read(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	switch {
	case f.create && err == nil && !f.force:
		return nil, fail(exitFailure, fmt.Errorf("%s exists already; leave -c out to add a user, or overwrite the file with -cf", path))
	case f.create && (err == nil || errors.Is(err, fs.ErrNotExist)):
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fail(exitFailure, fmt.Errorf("%s does not exist; create it with tombolo passwd -c", path))
	case err != nil:
		return nil, fail(exitEnvironment, err)
	}
	return text, nil
}

func upgradePasswords(out io.Writer, path string, text []byte) error {
	hashed, n, err := auth.HashPlain(text, path)
	if err != nil {
		return fail(exitFailure, err)
	}
	if err := replaceFile(path, hashed); err != nil {
		return fail(exitEnvironment, err)
	}
	fmt.Fprintf(out, "%s: %d passwords hashed\n", path, n)
	return nil
}

// password comes from the command line, a terminal or standard input.
func (f *passwdFlags) password(c *cobra.Command, args []string) ([]byte, error) {
	if f.batch {
		return checkPassword([]byte(args[2]))
	}
	in := c.InOrStdin()
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return askPassword(c.ErrOrStderr(), args[1], func() ([]byte, error) {
			return term.ReadPassword(int(file.Fd()))
		})
	}
	line, err := bufio.NewReader(io.LimitReader(in, passwordLineMax+3)).ReadString('\n')
	if err != nil && err != io.EOF {
		return nil, fail(exitFailure, fmt.Errorf("read the password: %w", err))
	}
	return checkPassword([]byte(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")))
}

// askPassword asks twice.
func askPassword(out io.Writer, user string, read func() ([]byte, error)) ([]byte, error) {
	var answers [2]string
	for i, prompt := range []string{"Password for " + user + ": ", "Once more: "} {
		fmt.Fprint(out, prompt)
		answer, err := read()
		fmt.Fprintln(out)
		if err != nil {
			return nil, fail(exitFailure, fmt.Errorf("read the password: %w", err))
		}
		answers[i] = string(answer)
	}
	if answers[0] != answers[1] {
		return nil, fail(exitFailure, errors.New("the two passwords differ; nothing was changed"))
	}
	return checkPassword([]byte(answers[0]))
}

// checkPassword refuses what cannot be meant or cannot be sent.
func checkPassword(password []byte) ([]byte, error) {
	switch {
	case len(password) == 0:
		return nil, fail(exitUsage, errors.New("the password is empty; nothing was changed"))
	case len(password) > passwordLineMax:
		return nil, fail(exitUsage, fmt.Errorf("the password is longer than %d bytes; nothing was changed", passwordLineMax))
	}
	return password, nil
}

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tombolo/internal/admin"
	"tombolo/internal/option"
)

// apiFlags say which node an administrative command asks and how it prints.
// Owned by the one command that is run.
type apiFlags struct {
	socket  string
	api     string
	timeout time.Duration
	json    bool
}

// socketName is the admin socket's name in the data directory.
const socketName = "admin.sock"

// bind adds the flags that all administrative commands share.
func (f *apiFlags) bind(c *cobra.Command) {
	f.bindWhere(c)
	c.Flags().DurationVar(&f.timeout, "timeout", 10*time.Second, "give up after this long")
}

// bindWhere adds those that say whom to ask and how to print.
func (f *apiFlags) bindWhere(c *cobra.Command) {
	c.Flags().StringVar(&f.socket, "socket", cmp.Or(os.Getenv("TOMBOLO_ADMIN_SOCKET"), os.Getenv(option.EnvironName("admin.socket"))),
		"the broker's admin socket (or TOMBOLO_ADMIN_SOCKET); otherwise looked for in $TOMBOLO_DATA_DIR, ./data and /var/lib/tombolo")
	c.Flags().StringVar(&f.api, "api", os.Getenv("TOMBOLO_API"), "ask over HTTP instead, at an address such as http://127.0.0.1:8888 (or TOMBOLO_API)")
	c.Flags().BoolVar(&f.json, "json", false, "print the answer as JSON")
}

// socketPaths lists where the socket may be, the likeliest first.
func (f *apiFlags) socketPaths() []string {
	if f.socket != "" {
		return []string{f.socket}
	}
	if dir := os.Getenv("TOMBOLO_DATA_DIR"); dir != "" {
		return []string{filepath.Join(dir, socketName)}
	}
	// The second is the first node of tombolo dev --nodes.
	return []string{filepath.Join("data", socketName), filepath.Join("data", "node1", socketName), filepath.Join("/var/lib/tombolo", socketName)}
}

// asker is one conversation with a node's API. Owned by the command.
type asker struct {
	client *admin.Client
	ctx    context.Context
	where  string
	flags  *apiFlags
	out    io.Writer // what was asked for
	errs   io.Writer // remarks about it
}

// ask runs f with a client for the node that the flags name. It turns what
// fails into one line that says what to do, and an exit code.
func (f *apiFlags) ask(c *cobra.Command, run func(*asker) error) error {
	parent := c.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	a := &asker{ctx: ctx, flags: f, out: c.OutOrStdout(), errs: c.ErrOrStderr()}
	if f.api != "" {
		client, err := admin.NewURLClient(f.api)
		if err != nil {
			return fail(exitUsage, err)
		}
		a.client, a.where = client, f.api
	} else {
		a.where = firstThere(f.socketPaths())
		a.client = admin.NewSocketClient(a.where)
	}
	defer a.client.Close()
	return a.explain(run(a))
}

// firstThere picks the first path that exists, or the first when none does. A
// path that we may not look at counts: it tells the user what is lacking.
func firstThere(paths []string) string {
	for _, p := range paths {
		if _, err := os.Lstat(p); err == nil || errors.Is(err, fs.ErrPermission) {
			return p
		}
	}
	return paths[0]
}

func (a *asker) do(method, path string, query url.Values, body, out any) error {
	return a.client.Do(a.ctx, method, path, query, body, out)
}

// change sends a request that changes something and says that it was done.
func (a *asker) change(method, path string, query url.Values) error {
	if err := a.do(method, path, query, nil, nil); err != nil {
		return err
	}
	return a.said()
}

// said says that what was asked for was done.
func (a *asker) said() error {
	if a.flags.json {
		return a.printJSON(admin.Done{Done: true})
	}
	_, err := fmt.Fprintln(a.out, "Done")
	return err
}

// printJSON prints v for programs: indented, one document.
func (a *asker) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// explain gives an error its exit code and the next step.
func (a *asker) explain(err error) error {
	var coded *exitError
	var answered *admin.Error
	switch {
	case err == nil || errors.As(err, &coded):
		return err
	case errors.As(err, &answered):
		return fail(codeOf(answered.Status), answered)
	case errors.Is(err, context.Canceled):
		return fail(exitInterrupted, errors.New("interrupted"))
	case errors.Is(err, context.DeadlineExceeded):
		return fail(exitTimeout, fmt.Errorf("no answer from %s within %v; is the broker overloaded? try --timeout %v",
			a.where, a.flags.timeout, 3*a.flags.timeout))
	case errors.Is(err, fs.ErrPermission):
		return fail(exitRefused, fmt.Errorf("the admin socket %s is open to %s only; run the command so, for example with sudo",
			a.where, socketUsers(a.where)))
	case errors.Is(err, fs.ErrNotExist):
		return fail(exitUnreachable, fmt.Errorf("no admin socket at %s; is the broker running? name the socket with --socket DATA_DIR/%s",
			strings.Join(a.flags.socketPaths(), " or "), socketName))
	case errors.Is(err, syscall.ECONNREFUSED):
		return fail(exitUnreachable, fmt.Errorf("nobody answers at %s; the broker is not running: start it with tombolo start", a.where))
	}
	return fail(exitUnreachable, fmt.Errorf("ask %s: %w", a.where, err))
}

// codeOf maps the API's status to an exit code.
func codeOf(status int) int {
	switch status {
	case 400, 405:
		return exitUsage
	case 401, 403:
		return exitRefused
	}
	return exitFailure
}

// socketUsers names whom a socket is open to.
func socketUsers(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		// The directory is closed to us as well, so its files tell nothing.
		return "root and the user that runs the broker"
	}
	if name := ownerName(info); name != "root" {
		return "root and " + name
	}
	return "root"
}

// adminCommand makes a command that asks the API.
func adminCommand(c *cobra.Command, run func(a *asker, args []string) error) *cobra.Command {
	f := &apiFlags{}
	f.bind(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return f.ask(c, func(a *asker) error { return run(a, args) })
	}
	return c
}

// group makes a command that only holds others.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(children...)
	return c
}

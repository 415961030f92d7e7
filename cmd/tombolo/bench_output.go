package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"tombolo/bench"
	"tombolo/bench/report"
)

// benchOutput is where results go. Owned by the command.
type benchOutput struct {
	json  bool
	html  string
	quiet bool
}

func (o *benchOutput) flags(fl *pflag.FlagSet) {
	o.plainFlags(fl)
	fl.StringVar(&o.html, "html", "", "write a report with plots to this file; it needs nothing beside itself")
}

// plainFlags are those of a command that writes no report.
func (o *benchOutput) plainFlags(fl *pflag.FlagSet) {
	fl.BoolVar(&o.json, "json", false, "print results as JSON, not as a table")
	fl.BoolVar(&o.quiet, "quiet", false, "no progress on standard error")
}

// one prints a result as soon as it is there.
func (o *benchOutput) one(w io.Writer, r *bench.Result) error {
	if !o.json {
		return nil
	}
	if err := json.NewEncoder(w).Encode(r); err != nil {
		return fail(exitEnvironment, err)
	}
	return nil
}

// all prints and writes what needs every result.
func (o *benchOutput) all(w io.Writer, results []*bench.Result) error {
	if !o.json {
		if err := bench.WriteTable(w, results); err != nil {
			return fail(exitEnvironment, err)
		}
	}
	var labelled []report.Labelled
	for i, r := range results {
		labelled = append(labelled, report.Labelled{Label: fmt.Sprintf("run %d", i+1), Result: r})
	}
	return o.page(func(w io.Writer) error { return report.WriteHTML(w, labelled) })
}

// print prints a result, as JSON or as a table, and writes its page if it has one.
func (o *benchOutput) print(w io.Writer, result any, table, page func(io.Writer) error) error {
	if o.json {
		table = func(w io.Writer) error { return json.NewEncoder(w).Encode(result) }
	}
	if err := table(w); err != nil {
		return fail(exitEnvironment, err)
	}
	return o.page(page)
}

// page writes the report if one is wanted.
func (o *benchOutput) page(write func(io.Writer) error) error {
	if o.html == "" {
		return nil
	}
	file, err := os.Create(o.html)
	if err != nil {
		return fail(exitEnvironment, fmt.Errorf("writing the report: %w", err))
	}
	err = write(file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fail(exitEnvironment, fmt.Errorf("writing the report %s: %w", o.html, err))
	}
	return nil
}

// view is the progress of one run: on a terminal a line that overwrites
// itself, elsewhere a line for each phase. Owned by the command.
type view struct {
	w     io.Writer
	head  string
	width int // of the terminal, 0 if there is none
	quiet bool
	phase string
}

func (o *benchOutput) view(w io.Writer, head string) *view {
	v := &view{w: w, head: head, quiet: o.quiet}
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		v.width = 80
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			v.width = width
		}
	}
	return v
}

func (v *view) show(p bench.Progress) {
	switch {
	case v.quiet:
	case v.width > 0:
		line := fmt.Sprintf("%s  %s  %v  %d clients  sent %d  received %d", v.head, p.Phase,
			p.Elapsed.Round(100*time.Millisecond), p.Clients, p.Sent, p.Received)
		fmt.Fprintf(v.w, "\r\x1b[K%s", line[:min(len(line), v.width-1)])
	case p.Phase != v.phase:
		fmt.Fprintf(v.w, "%s  %s\n", v.head, p.Phase)
	}
	v.phase = p.Phase
}

// clear takes the line away.
func (v *view) clear() {
	if v.width > 0 && !v.quiet {
		fmt.Fprint(v.w, "\r\x1b[K")
	}
}

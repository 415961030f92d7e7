package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tombolo/internal/option"
)

func init() { register(configCommand) }

// configCommand groups what can be done with a configuration without starting
// a broker.
func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check, show and explain the configuration",
		Long: `Check, show and explain the configuration.

Options come from files (--config), the environment (TOMBOLO_ and the key in
upper case, two underscores for a dot) and flags (--key value); the later of
these wins. A vernemq.conf is understood.`,
		Example: `  tombolo config doc > tombolo.conf
  tombolo config check --config tombolo.conf
  tombolo config show --config tombolo.conf --origin`,
	}
	cmd.AddCommand(configCheckCommand(), configShowCommand(), configDocCommand())
	return cmd
}

func configCheckCommand() *cobra.Command {
	return withOptions(&cobra.Command{
		Use:   "check [--config FILE] [--KEY VALUE ...]",
		Short: "Report every fault of a configuration, and what has no effect",
		Long: `Report every fault of a configuration at once, each with the place where it
was set, and warn about what has no effect. Files that options name are opened.
Nothing is started or changed. Exit code 0: fit to start; 2: it has faults.`,
		Example: `  tombolo config check --config tombolo.conf
  tombolo config check --config /etc/vernemq/vernemq.conf
  tombolo config check --max_inflight_messages 50`,
	}, configCheck)
}

func configCheck(cmd *cobra.Command, src option.Sources) error {
	src.CheckFiles = true
	s, faults := option.Load(src)
	for _, w := range s.Warnings() {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
	}
	if err := faultsError(faults); err != nil {
		return err
	}
	what := "defaults"
	if len(src.Files) > 0 {
		what = strings.Join(src.Files, ", ")
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: good; %s\n", what, count(len(s.Listeners()), "listener"))
	return nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// faultsError makes one error of all faults, or nil of none.
func faultsError(faults []option.Fault) error {
	if len(faults) == 0 {
		return nil
	}
	if len(faults) == 1 {
		return fail(exitUsage, faults[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the configuration has %d faults; tombolo config doc KEY explains an option:", len(faults))
	for _, f := range faults {
		b.WriteString("\n  " + f.String())
	}
	return fail(exitUsage, errors.New(b.String()))
}

func configShowCommand() *cobra.Command {
	var all, origin, asJSON bool
	cmd := withOptions(&cobra.Command{
		Use:   "show [--config FILE] [--all] [--origin] [--json] [--KEY VALUE ...]",
		Short: "Show the options as a start would see them",
		Long: `Show the options that were set, as a start would see them, in file syntax; the
output is a configuration file again. Secrets are masked.`,
		Example: `  tombolo config show --config tombolo.conf --origin
  tombolo config show --all --json`,
	}, func(cmd *cobra.Command, src option.Sources) error {
		s, faults := option.Load(src)
		entries := shownEntries(s, all)
		var err error
		if asJSON {
			err = showJSON(cmd.OutOrStdout(), entries)
		} else {
			err = showText(cmd.OutOrStdout(), entries, origin)
		}
		return errors.Join(err, faultsError(faults))
	})
	cmd.Flags().BoolVar(&all, "all", false, "defaults as well, also of options that have no effect here")
	cmd.Flags().BoolVar(&origin, "origin", false, "where each value comes from")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON: a list of key, value, origin, default, reloadable")
	return cmd
}

func shownEntries(s *option.Settings, all bool) []option.Entry {
	var out []option.Entry
	s.Each(func(e option.Entry) bool {
		if all || e.Origin.Kind != option.FromDefault {
			out = append(out, e)
		}
		return true
	})
	return out
}

func showText(w io.Writer, entries []option.Entry, origin bool) error {
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	for _, e := range entries {
		line := e.Key + " = " + option.Quote(e.Value)
		if origin {
			line += "\t# " + e.Origin.String()
		}
		if _, err := fmt.Fprintln(tw, line); err != nil {
			return err
		}
	}
	return tw.Flush()
}

func showJSON(w io.Writer, entries []option.Entry) error {
	type row struct {
		Key        string `json:"key"`
		Value      string `json:"value"`
		Origin     string `json:"origin"`
		Default    string `json:"default"`
		Reloadable bool   `json:"reloadable"`
	}
	rows := make([]row, 0, len(entries))
	for _, e := range entries {
		rows = append(rows, row{e.Key, e.Value, e.Origin.String(), e.Option.Default, e.Option.Reloadable})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(rows)
}

func configDocCommand() *cobra.Command {
	var markdown, example bool
	cmd := &cobra.Command{
		Use:   "doc [--example | --markdown | KEY ...]",
		Short: "Print the example file, the reference page, or what an option means",
		Long: `Print an example configuration with every option explained (also without
arguments), the whole reference page, or what single options mean.`,
		Example: `  tombolo config doc > tombolo.conf
  tombolo config doc max_inflight_messages
  tombolo config doc listener.ssl.default.certfile
  tombolo config doc --markdown > options.md`,
		ValidArgsFunction: func(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
			return option.Complete(prefix), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 0 && (markdown || example):
				return fail(exitUsage, errors.New("config doc: give keys, or --markdown, or --example, not several of them"))
			case len(args) > 0:
				return describe(cmd.OutOrStdout(), args)
			case markdown:
				return printed(cmd.OutOrStdout().Write(option.Reference()))
			}
			return printed(cmd.OutOrStdout().Write(option.Example()))
		},
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "the reference page, docs/reference/options.md")
	cmd.Flags().BoolVar(&example, "example", false, "the example file")
	cmd.MarkFlagsMutuallyExclusive("markdown", "example")
	return cmd
}

func printed(_ int, err error) error { return err }

func describe(w io.Writer, keys []string) error {
	for i, key := range keys {
		text, err := option.Describe(key)
		if err != nil {
			return fail(exitUsage, err)
		}
		if i > 0 {
			text = "\n" + text
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

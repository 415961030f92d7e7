package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tombolo/internal/option"
)

// configVariable names the files to read when there is no --config.
const configVariable = "TOMBOLO_CONFIG"

// withOptions lets a command take every option of the broker as a flag beside
// its own, and --config. run gets the sources and loads them itself, so that
// a command can add what it sets by itself in src.Base.
//
// Cobra would refuse flags that it does not know and cannot leave them to
// someone else together with their values; so it is told not to parse, the
// options are taken out first, and it parses what is left.
func withOptions(cmd *cobra.Command, run func(cmd *cobra.Command, src option.Sources) error) *cobra.Command {
	var files []string
	cmd.Flags().StringArrayVarP(&files, "config", "c", nil, "configuration file; may be given more than once (environment: "+configVariable+")")
	cmd.DisableFlagParsing = true
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.InitDefaultHelpFlag()
		rest, set, faults := option.ParseFlags(args, ownFlags(cmd.Flags()))
		cmd.DisableFlagParsing = false
		if err := cmd.ParseFlags(rest); err != nil {
			return fail(exitUsage, err)
		}
		if help, _ := cmd.Flags().GetBool("help"); help {
			return cmd.Help()
		}
		if err := cobra.NoArgs(cmd, cmd.Flags().Args()); err != nil {
			return fail(exitUsage, err)
		}
		if err := cmd.ValidateFlagGroups(); err != nil {
			return fail(exitUsage, err)
		}
		if file := os.Getenv(configVariable); len(files) == 0 && file != "" {
			files = []string{file}
		}
		return run(cmd, option.Sources{Files: files, Environ: os.Environ(), Flags: set, FlagFaults: faults})
	}
	return cmd
}

// ownFlags tells the flags of a command from options.
func ownFlags(flags *pflag.FlagSet) option.FlagSet {
	return func(name string) (known, takesValue bool) {
		f := flags.Lookup(name)
		if f == nil && len(name) == 1 {
			f = flags.ShorthandLookup(name)
		}
		if f == nil {
			return false, false
		}
		return true, f.NoOptDefVal == ""
	}
}

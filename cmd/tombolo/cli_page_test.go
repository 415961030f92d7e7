package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var updatePages = flag.Bool("update", false, "write the generated pages anew")

const cliHead = `# Command line

<!-- Generated from the commands themselves; do not edit. To write it anew:
     go test ./cmd/tombolo -run CLIPage -update -->

One program holds the broker and every tool that goes with it. ` + "`tombolo COMMAND --help`" + ` prints what
stands here.

## Which broker a command asks

Administrative commands speak to a running broker over its admin socket, ` + "`admin.sock`" + ` in the data
directory, and need no key when run as root or as the user that runs the broker. The socket is, in this
order: ` + "`--socket`" + `; ` + "`TOMBOLO_ADMIN_SOCKET`" + `; ` + "`TOMBOLO_ADMIN__SOCKET`" + `, which sets the option
` + "`admin.socket`" + `; ` + "`admin.sock`" + ` in ` + "`TOMBOLO_DATA_DIR`" + `; ` + "`./data/admin.sock`" + `;
` + "`/var/lib/tombolo/admin.sock`" + `. ` + "`--api URL`" + ` asks over HTTP instead, where the broker allows it; see
[http-api.md](http-api.md).

` + "`--json`" + ` prints the answer for programs. Results go to standard output, everything else to standard
error.

## Exit codes

They are the same for every command.

| code | meaning |
|---|---|
`

const cliCompletion = `
## Shell completion

    source <(tombolo completion bash)      # this shell; bash needs the package bash-completion
    tombolo completion bash > /etc/bash_completion.d/tombolo
    tombolo completion zsh > "${fpath[1]}/_tombolo"
    tombolo completion fish > ~/.config/fish/completions/tombolo.fish

## Commands
`

// exitMeanings repeats exit.go in the order of its codes.
var exitMeanings = []struct {
	code    int
	meaning string
}{
	{exitOK, "all went well"},
	{exitFailure, "the command ran, and what it was asked for failed"},
	{exitUsage, "the command line or the configuration is wrong"},
	{exitUnreachable, "no broker answered where one was expected"},
	{exitRefused, "a broker answered and refused: credentials, permission, reason code"},
	{exitTimeout, "the time limit passed first"},
	{exitEnvironment, "port in use, directory not writable, store locked"},
	{exitInterrupted, "ended by SIGINT"},
}

// cliPage renders docs/cli.md from the commands.
func cliPage() []byte {
	var b bytes.Buffer
	b.WriteString(cliHead)
	for _, e := range exitMeanings {
		fmt.Fprintf(&b, "| %d | %s |\n", e.code, e.meaning)
	}
	b.WriteString(cliCompletion)
	root := newRoot()
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() != "completion" && c.Name() != "help" {
			writeCommand(&b, c)
		}
	}
	return b.Bytes()
}

// writeCommand renders a command that does something, or those below it.
func writeCommand(b *bytes.Buffer, c *cobra.Command) {
	if c.Hidden {
		return
	}
	if c.HasSubCommands() {
		for _, child := range c.Commands() {
			writeCommand(b, child)
		}
		return
	}
	c.InitDefaultHelpFlag()
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n    %s\n", c.CommandPath(), text, c.UseLine())
	block := func(title, text string) {
		if strings.TrimSpace(text) == "" {
			return
		}
		fmt.Fprintf(b, "\n%s:\n\n```\n%s\n```\n", title, strings.TrimRight(text, "\n"))
	}
	block("Examples", c.Example)
	block("Flags", c.LocalFlags().FlagUsages())
}

func TestCLIPageIsFresh(t *testing.T) {
	for _, name := range []string{"TOMBOLO_ADMIN_SOCKET", "TOMBOLO_ADMIN__SOCKET", "TOMBOLO_API", "TOMBOLO_DATA_DIR", configVariable} {
		t.Setenv(name, "") // some are shown as defaults
	}
	const path = "../../docs/cli.md"
	if *updatePages {
		if err := os.WriteFile(path, cliPage(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, cliPage()) {
		t.Error("docs/cli.md is stale: go test ./cmd/tombolo -run CLIPage -update")
	}
}

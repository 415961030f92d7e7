package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// table is a listing under headings. Owned by the command that fills it.
type table struct {
	rows [][]string
}

func newTable(headings ...string) *table { return &table{rows: [][]string{headings}} }

func (t *table) add(cells ...string) {
	for i, c := range cells {
		cells[i] = printable(c)
	}
	t.rows = append(t.rows, cells)
}

// print writes the columns aligned, two blanks apart, without blanks at the
// end of a line.
func (t *table) print(w io.Writer) error {
	var widths []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		line := ""
		for i, c := range row {
			line += c + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printable quotes what would disturb a terminal: client ids, topics and
// payloads are written by strangers.
func printable(s string) string {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return strconv.Quote(s)
		}
	}
	return s
}

// cell shows a value of a JSON answer.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case float64:
		return figure(v)
	case string:
		return v
	}
	return fmt.Sprint(v)
}

// figure writes a number without an exponent.
func figure(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// truncationNote tells on standard error that a list was cut.
func truncationNote(w io.Writer, truncated bool, limit int) {
	if truncated {
		fmt.Fprintf(w, "only the first %d are shown; use --limit to see more\n", limit)
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

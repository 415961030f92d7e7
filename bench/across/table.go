package across

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Write prints the table: medians, with the least and the most in brackets.
func Write(w io.Writer, r *Result) error {
	fmt.Fprintf(w, "%d repetitions of %.1f s; load average %s; medians (least–most)\n\n", r.Repeat, r.Seconds, r.Machine.Load)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "row\tunit\tsame node\tacross nodes\tratio\tasked\t")
	for i := range r.Rows {
		row := &r.Rows[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.2f\t%s\t\n", row.Name, row.Unit, row.Same, row.Across, row.Ratio(), row.asked())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, f := range r.Faults {
		if _, err := fmt.Fprintln(w, "warning:", f); err != nil {
			return err
		}
	}
	return nil
}

// String is a median and its spread.
func (f Figure) String() string {
	if f.Median == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f (%.0f–%.0f)", f.Median, f.Least, f.Most)
}

// asked says what was asked, and whether it is so.
func (r *Row) asked() string {
	sign, text := "≤", ""
	if r.More {
		sign = "≥"
	}
	if r.Asked != 0 {
		text = fmt.Sprintf("%s %.0f", sign, r.Asked)
	}
	if r.AskedRatio != 0 {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("ratio %s %.1f", sign, r.AskedRatio)
	}
	if r.Met() {
		return text + ": yes"
	}
	return text + ": no"
}

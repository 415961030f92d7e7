package queues

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Write prints each figure beside what is asked.
func Write(w io.Writer, r *Result) error {
	fmt.Fprintf(w, "scale %g; load average %s at the beginning\n\n", r.Scale, r.Machine.Load)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "row\twhat\tfigure\tasked\t")
	for i := range r.Rows {
		row := &r.Rows[i]
		for k := range row.Figures {
			f := &row.Figures[k]
			fmt.Fprintf(t, "%s\t%s\t%s %s\t%s\t\n", row.Name, f.What, number(f.Value), f.Unit, f.asked())
		}
		fmt.Fprintf(t, "%s\t(the row took %v)\t\t\t\n", row.Name, row.Took.Round(time.Second))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range r.Rows {
		if f := r.Rows[i].Fault; f != "" {
			if _, err := fmt.Fprintf(w, "warning: %s: %s\n", r.Rows[i].Name, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func number(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// asked says what was asked, and whether it is so.
func (f *Figure) asked() string {
	if f.Asked == 0 {
		return ""
	}
	sign, word := "≤", "no"
	if f.More {
		sign = "≥"
	}
	if f.Met() {
		word = "yes"
	}
	return fmt.Sprintf("%s %s: %s", sign, number(f.Asked), word)
}

package invariant

import (
	"strings"
	"testing"
)

func TestCheckPassesInSilence(t *testing.T) {
	Check(true, "never formatted %d", 1)
}

func TestBrokenCheckPanicsWithViolation(t *testing.T) {
	defer func() {
		v, ok := recover().(*Violation)
		if !ok {
			t.Fatalf("recovered something that is not a *Violation")
		}
		if want := "BUG: base 3 above 2"; v.Error() != want {
			t.Fatalf("message %q, want %q", v.Error(), want)
		}
		if !strings.HasPrefix(v.Error(), "BUG:") {
			t.Fatalf("message %q does not begin with BUG:", v.Error())
		}
	}()
	Check(false, "base %d above %d", 3, 2)
	t.Fatal("a broken check returned")
}

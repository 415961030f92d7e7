package conn

import (
	"io"
	"testing"
)

// A message in and out, and a wake-up's flush, allocate nothing in steady state.
func TestNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates")
		return
	}
	for _, d := range drivers {
		if d.kind != KindTCP {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			h := d.serve(t, Config{}, echo)
			cl := d.dial(t, h).Conn
			message := make([]byte, 128)
			pass := func() {
				if _, err := cl.Write(message); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(cl, message); err != nil {
					t.Fatal(err)
				}
			}
			for range 100 {
				pass()
			}
			most := 0.01 // pools are emptied by collections
			switch {
			case d.plain:
				most = 3 // a writer goroutine for each flush
			case d.tired:
				most = 1.1 // a driver for each message
			}
			if got := testing.AllocsPerRun(2000, pass); got > most {
				t.Errorf("%.3f allocations a message, want at most %.2f", got, most)
			}
		})
	}
}

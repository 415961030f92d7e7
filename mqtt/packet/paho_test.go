package packet

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	paho "github.com/eclipse/paho.golang/packets"
)

// pahoFaults are the vectors, by their beginning, that version 0.23 of Paho's
// codec does not carry through, and why.
var pahoFaults = map[string]string{
	"10860100": "it writes of a will's properties only the delay and the user properties",
	"324b0003": "it keeps the last of several subscription identifiers",
	"e000":     "it wants a reason code in every DISCONNECT",
}

// TestPahoReadsTheSame sends every golden vector of MQTT 5 through the codec
// of Eclipse Paho, which nobody here wrote: what it reads and writes again
// must mean the same to us.
func TestPahoReadsTheSame(t *testing.T) {
	checked, faults := 0, 0
	eachGolden(t, func(v Version, raw []byte) {
		if v != V5 {
			return
		}
		same, said := throughPaho(t, raw)
		checked++
		if reason := pahoFaults[fmt.Sprintf("%.8s", hex.EncodeToString(raw))]; reason == "" && !same {
			t.Errorf("%x: %s", raw, said)
		} else if reason != "" {
			faults++
			if same {
				t.Errorf("%x: take it off the list, it is no longer true that %s", raw, reason)
			}
		}
	})
	if checked < 20 || faults != len(pahoFaults) {
		t.Errorf("%d vectors compared, %d of %d known faults seen", checked, faults, len(pahoFaults))
	}
}

func throughPaho(t *testing.T, raw []byte) (same bool, said string) {
	control, err := paho.ReadPacket(bytes.NewReader(raw))
	if err != nil {
		return false, fmt.Sprintf("Paho refuses it: %v", err)
	}
	var again bytes.Buffer
	if _, err := control.WriteTo(&again); err != nil {
		return false, fmt.Sprintf("Paho does not write it: %v", err)
	}
	ours, theirs := printed(t, raw), printed(t, again.Bytes())
	return ours == theirs, fmt.Sprintf("comes back as %x:\n ours %s\n Paho %s", again.Bytes(), ours, theirs)
}

// printed decodes raw as MQTT 5.
func printed(t *testing.T, raw []byte) string {
	t.Helper()
	var p packets
	f, size, err := Split(raw, 0)
	if err != nil || size != len(raw) {
		t.Fatalf("%x: size %d, %v", raw, size, err)
	}
	if _, err := p.decode(f, V5); err != nil {
		return err.Error()
	}
	return p.print(f.Type)
}

package option

import "testing"

func TestDefaultsLoad(t *testing.T) {
	s, faults := Load(Sources{})
	if len(faults) > 0 {
		t.Fatalf("defaults alone have faults: %v", faults)
	}
	if w := s.Warnings(); len(w) > 0 {
		t.Errorf("defaults alone have warnings: %v", w)
	}
	var got []string
	for _, l := range s.Listeners() {
		got = append(got, l.Kind+" "+l.Name+" "+l.Address.String())
	}
	if len(got) != 2 || got[0] != "tcp default 127.0.0.1:1883" || got[1] != "http default 127.0.0.1:8888" {
		t.Errorf("default listeners: %v", got)
	}
}

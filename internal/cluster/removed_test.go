package cluster

import (
	"strings"
	"testing"

	"tombolo/mqtt/broker"
)

// TestR23RemovedSaysWhatItHolds: a member that was removed tells what is lost with its
// data directory, and says nothing of the kind if that is nothing.
func TestR23RemovedSaysWhatItHolds(t *testing.T) {
	if text := removedText(broker.Remaining{Sessions: 3, Messages: 70}, 0); !strings.Contains(text, "70 messages of 3 sessions") {
		t.Error(text)
	}
	if text := removedText(broker.Remaining{}, 5); !strings.Contains(text, "spool 5 for other members") || !strings.Contains(text, "hand-over") {
		t.Error(text)
	}
	if text := removedText(broker.Remaining{Sessions: 3}, 0); strings.Contains(text, "holds") {
		t.Error(text)
	}
}

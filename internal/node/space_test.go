package node

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestNoSpace: a start that fails since the disk is full says where that is, what is
// left and what to do, whatever part met it; other errors are left alone.
func TestNoSpace(t *testing.T) {
	dir := t.TempDir()
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		err := fmt.Errorf("node id: %w", &os.PathError{Op: "write", Path: "node.id.new", Err: cause})
		got := noSpace(dir, err)
		if !errors.Is(got, cause) {
			t.Errorf("%v is lost in %v", cause, got)
		}
		words := []string{"node.id.new", "data_dir " + dir, "make room", "start the node again"}
		if _, _, known := freeSpace(dir); known {
			words = append(words, "MiB")
		}
		for _, w := range words {
			if !strings.Contains(got.Error(), w) {
				t.Errorf("%q does not say %q", got, w)
			}
		}
	}
	for _, err := range []error{nil, errors.New("another"), syscall.EACCES} {
		if got := noSpace(dir, err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}

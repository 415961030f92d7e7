package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"tombolo/internal/wire"
)

// NextIncarnation names this run of the process: the milliseconds of the wall
// clock, and more than the last one in any case. It is on the disk before it is
// used, so that no clock that was set back makes two runs look like one.
func NextIncarnation(path string, now time.Time) (wire.Incarnation, error) {
	last := uint64(0)
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		if last, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63); err != nil {
			return 0, fmt.Errorf("%s does not hold a number: %w; restore it from a backup, or remove it and wait a second", path, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("incarnation: %w", err)
	}
	next := max(uint64(max(now.UnixMilli(), 0)), last+1)
	if err := writeSynced(path, strconv.FormatUint(next, 10)+"\n"); err != nil {
		return 0, fmt.Errorf("incarnation: %w", err)
	}
	return wire.Incarnation(next), nil
}

// writeSynced replaces a file in one step.
func writeSynced(path, text string) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func hexID(id wire.NodeID) string { return fmt.Sprintf("%016x", uint64(id)) }

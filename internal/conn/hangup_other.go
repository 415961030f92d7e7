//go:build !linux

package conn

// hangups is not needed here: only the raw driver asks for it.
type hangups struct{}

func startHangups() (*hangups, error) { return nil, nil }
func (h *hangups) stop()              {}

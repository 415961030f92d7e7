//go:build !linux

package conn

// watcher is not needed here: only the raw driver asks for it.
type watcher struct{}

func startWatcher() (*watcher, error) { return nil, nil }
func (w *watcher) stop()              {}
func (w *watcher) now() uint32        { return 0 }

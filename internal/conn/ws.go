package conn

type wsLayer struct {
	replies []byte
}

func (w *wsLayer) decode(p []byte) (int, error)    { return len(p), nil }
func (w *wsLayer) takeLocked(out, wire *chunkList) { wire.take(out) }
func (w *wsLayer) queueLocked()                    {}
func (w *wsLayer) closeLocked(err error)           {}

package conn

// inbox holds the bytes that were read and not consumed. It is owned by the
// connection's driver. Empty, it holds no buffer; with a short remainder it
// holds a buffer of that size and not the large one it was read into, so that a
// peer who sends one byte does not cost 64 KiB.
type inbox struct {
	k *chunk
	// want is what the handler asked for before its next call; 0 is anything.
	want int
	// readBytes is the size of the buffer borrowed for a read.
	readBytes int
}

func (in *inbox) len() int {
	if in.k == nil {
		return 0
	}
	return in.k.w - in.k.r
}

func (in *inbox) bytes() []byte {
	if in.k == nil {
		return nil
	}
	return in.k.buf[in.k.r:in.k.w:in.k.w]
}

// space returns room behind the unconsumed bytes, borrowing a buffer when there
// is none. Room for a large packet grows with what has come of it, never with
// what was announced.
func (in *inbox) space() []byte {
	have := in.len()
	size := in.readBytes
	if in.want > size {
		size = min(in.want, max(size, 2*have))
	}
	if size <= have {
		size = 2 * have
	}
	if in.k == nil {
		in.k = getChunk(size)
	} else if len(in.k.buf) < size {
		in.move(size)
	} else if in.k.r > 0 {
		copy(in.k.buf, in.k.buf[in.k.r:in.k.w])
		in.k.r, in.k.w = 0, have
	}
	return in.k.buf[in.k.w:]
}

// settle gives back what is not needed while nothing arrives. It must not be
// called before the round has ended, for it moves bytes that handlers may hold.
func (in *inbox) settle() {
	have := in.len()
	switch {
	case in.k == nil:
	case have == 0:
		putChunk(in.k)
		in.k = nil
	case have <= chunkSizes[1] && len(in.k.buf) > chunkSizes[1],
		have <= chunkSizes[0] && len(in.k.buf) > chunkSizes[0]:
		in.move(have)
	}
}

func (in *inbox) move(size int) {
	k := getChunk(size)
	k.w = copy(k.buf, in.bytes())
	putChunk(in.k)
	in.k = k
}

func (in *inbox) drop() {
	if in.k != nil {
		putChunk(in.k)
		in.k = nil
	}
}

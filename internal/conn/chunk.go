package conn

import "sync"

// Sizes of pooled chunks. The smallest fits a lone message, the middle one a
// batch of them, the third is what one read of a busy socket brings, and the
// last serves large packets. Larger chunks are made to measure and not kept.
var chunkSizes = [...]int{1 << 10, 8 << 10, 64 << 10, 512 << 10}

var chunkPools [len(chunkSizes)]sync.Pool

// betweenBytes is the size of a chunk for what stands between shared payloads:
// the head of the next packet and little else.
const betweenBytes = 256

var betweenPool, sharedPool sync.Pool

// chunk is a piece of buffer. It is owned by the list or the inbox that holds
// it; buf[r:w] is what it carries. If it is shared, buf belongs to nobody and is
// never written: other connections send the same bytes.
type chunk struct {
	next   *chunk
	r, w   int
	buf    []byte
	shared bool
}

// getChunk returns an empty chunk that holds at least size bytes.
func getChunk(size int) *chunk {
	for class, classSize := range chunkSizes {
		if size > classSize {
			continue
		}
		if k, ok := chunkPools[class].Get().(*chunk); ok {
			return k
		}
		return &chunk{buf: make([]byte, classSize)}
	}
	return &chunk{buf: make([]byte, size)}
}

// putChunk gives a chunk back. The caller must hold no other reference.
func putChunk(k *chunk) {
	k.next, k.r, k.w = nil, 0, 0
	if k.shared {
		k.buf = nil
		sharedPool.Put(k)
		return
	}
	if len(k.buf) == betweenBytes {
		betweenPool.Put(k)
		return
	}
	for class, classSize := range chunkSizes {
		if len(k.buf) == classSize {
			chunkPools[class].Put(k)
			return
		}
	}
}

// getBetween returns an empty chunk behind a shared one, nil if size is too much
// for it.
func getBetween(size int) *chunk {
	if size > betweenBytes {
		return nil
	}
	if k, ok := betweenPool.Get().(*chunk); ok {
		return k
	}
	return &chunk{buf: make([]byte, betweenBytes)}
}

func (k *chunk) free() int { return len(k.buf) - k.w }

// chunkList is a queue of chunks. It is owned by whoever owns the struct that
// holds it. Empty, it holds no memory.
type chunkList struct {
	head, tail *chunk
	size       int // bytes in all chunks
	// headroom is left empty before the first byte of a list, so that a frame
	// header can be put there without a copy.
	headroom int
}

// append copies p behind the last byte.
func (l *chunkList) append(p []byte) {
	l.size += len(p)
	for len(p) > 0 {
		if l.tail == nil || l.tail.free() == 0 {
			l.grow(len(p))
		}
		n := copy(l.tail.buf[l.tail.w:], p)
		l.tail.w += n
		p = p[n:]
	}
}

// reserve returns n contiguous bytes behind the last one, counted as written.
func (l *chunkList) reserve(n int) []byte {
	if n == 0 {
		return nil
	}
	if l.tail == nil || l.tail.free() < n {
		l.grow(n)
	}
	k := l.tail
	k.w += n
	l.size += n
	return k.buf[k.w-n : k.w : k.w]
}

// share puts p behind the last byte without a copy. p is never written again by
// anyone.
func (l *chunkList) share(p []byte) {
	if l.tail == nil && l.headroom > 0 {
		l.grow(0) // the header of a frame cannot stand in p
	}
	k, ok := sharedPool.Get().(*chunk)
	if !ok {
		k = &chunk{shared: true}
	}
	k.buf, k.w = p, len(p)
	l.push(k)
	l.size += len(p)
}

// grow adds a chunk for at least n bytes. A list that is already long gets a
// larger one, so that a burst makes few vectors and a lone message little waste.
func (l *chunkList) grow(n int) {
	room := 0
	if l.tail == nil {
		room = l.headroom
	}
	size := n + room
	if l.tail != nil && l.tail.shared {
		if k := getBetween(size); k != nil {
			l.push(k)
			return
		}
	} else if l.tail != nil {
		size = max(size, min(4*len(l.tail.buf), chunkSizes[2]))
	}
	k := getChunk(size)
	k.r, k.w = room, room
	l.push(k)
}

// push adds a chunk whose bytes are not counted yet in size.
func (l *chunkList) push(k *chunk) {
	if l.tail == nil {
		l.head = k
	} else {
		l.tail.next = k
	}
	l.tail = k
}

// advance removes n bytes from the front and gives back what became empty.
func (l *chunkList) advance(n int) {
	l.size -= n
	for l.head != nil {
		k := l.head
		have := k.w - k.r
		if n < have {
			k.r += n
			return
		}
		n -= have
		l.head = k.next
		if l.head == nil {
			l.tail = nil
		}
		putChunk(k)
	}
}

// take moves all of from behind the last chunk of l.
func (l *chunkList) take(from *chunkList) {
	if from.head == nil {
		return
	}
	if l.tail == nil {
		l.head = from.head
	} else {
		l.tail.next = from.head
	}
	l.tail = from.tail
	l.size += from.size
	from.head, from.tail, from.size = nil, nil, 0
}

// drop gives everything back.
func (l *chunkList) drop() { l.advance(l.size) }

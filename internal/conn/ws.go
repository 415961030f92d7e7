package conn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/gobwas/ws"
)

// wsHeaderMax is the longest header of a frame that a server sends.
const wsHeaderMax = 10

// wsRepliesMax bounds the answers to pings that wait for a peer who does not
// read; later ones are dropped, which the standard allows.
const wsRepliesMax = 4 << 10

// wsLayer takes WebSocket frames off what comes and puts them around what goes.
// MQTT packets and frames are independent of each other. queued, closing and
// closeCode are guarded by the connection's mu; the rest is owned by the driver.
type wsLayer struct {
	frameBytesMax int64

	head    [ws.MaxHeaderSize]byte // a header that has not come in full
	headLen int
	reader  bytes.Reader
	frame   ws.Header
	inFrame bool
	left    int64
	offset  int // into the mask
	state   ws.State
	control []byte // payload of a control frame so far
	replies []byte // framed answers, not queued yet

	queued    []byte
	closing   bool
	closeCode ws.StatusCode
	peerCode  ws.StatusCode // of a close frame that came
}

func newWSLayer(frameBytesMax int64) *wsLayer {
	return &wsLayer{frameBytesMax: frameBytesMax, state: ws.StateServerSide}
}

// frameError is a fault of the peer's framing and the code it is closed with.
type frameError struct {
	code ws.StatusCode
	why  string
}

func (e *frameError) Error() string { return fmt.Sprintf("websocket: %s (%d)", e.why, e.code) }
func (e *frameError) Unwrap() error { return ErrFraming }

// decode works in place: it leaves the payload bytes of data frames at the front
// of p and returns how many they are. The error io.EOF stands for a close frame.
func (w *wsLayer) decode(p []byte) (n int, err error) {
	for i := 0; i < len(p) || w.inFrame && w.left == 0; {
		if !w.inFrame {
			used, err := w.header(p[i:])
			if err != nil {
				return n, err
			}
			i += used
			continue
		}
		part := p[i : i+int(min(w.left, int64(len(p)-i)))]
		i += len(part)
		w.left -= int64(len(part))
		ws.Cipher(part, w.frame.Mask, w.offset)
		w.offset += len(part)
		control := w.frame.OpCode.IsControl()
		if control {
			w.control = append(w.control, part...)
		} else {
			n += copy(p[n:], part)
		}
		if w.left > 0 {
			continue
		}
		w.inFrame = false
		if control {
			if err := w.endControl(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// header collects the header of the next frame and returns how many bytes of p
// belong to it.
func (w *wsLayer) header(p []byte) (used int, err error) {
	for {
		need := 2
		if w.headLen >= 2 {
			need = frameHeaderSize(w.head[1])
		}
		n := copy(w.head[w.headLen:need], p[used:])
		w.headLen += n
		used += n
		if w.headLen < need {
			return used, nil
		}
		if need > 2 || frameHeaderSize(w.head[1]) == 2 {
			break
		}
	}
	w.reader.Reset(w.head[:w.headLen])
	w.headLen = 0
	var scratch [ws.MaxHeaderSize]byte
	h, err := ws.ReadHeaderBuffer(&w.reader, scratch[:])
	if err != nil {
		return used, &frameError{ws.StatusProtocolError, err.Error()}
	}
	return used, w.begin(h)
}

// frameHeaderSize is the size of a header with this second byte.
func frameHeaderSize(b byte) int {
	size := 2
	switch b & 0x7f {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if b&0x80 != 0 {
		size += 4
	}
	return size
}

// begin checks a frame by its header and starts it.
func (w *wsLayer) begin(h ws.Header) error {
	if err := ws.CheckHeader(h, w.state); err != nil {
		return &frameError{ws.StatusProtocolError, err.Error()}
	}
	switch {
	case h.OpCode == ws.OpText:
		// MQTT-6.0.0-1: control packets come in binary frames only.
		return &frameError{ws.StatusUnsupportedData, "text frame"}
	case w.frameBytesMax > 0 && h.Length > w.frameBytesMax:
		return &frameError{ws.StatusMessageTooBig, fmt.Sprintf("frame of %d bytes is above the limit of %d", h.Length, w.frameBytesMax)}
	case h.OpCode.IsControl():
		w.control = w.control[:0]
	case h.Fin:
		w.state = w.state.Clear(ws.StateFragmented)
	default:
		w.state = w.state.Set(ws.StateFragmented)
	}
	w.frame, w.inFrame, w.left, w.offset = h, true, h.Length, 0
	return nil
}

// endControl answers a control frame that is complete.
func (w *wsLayer) endControl() error {
	switch w.frame.OpCode {
	case ws.OpPing:
		if len(w.replies)+len(w.control) <= wsRepliesMax {
			w.replies = append(w.replies, 0x80|byte(ws.OpPong), byte(len(w.control)))
			w.replies = append(w.replies, w.control...)
		}
	case ws.OpClose:
		w.peerCode = ws.StatusNormalClosure
		if len(w.control) == 0 {
			return io.EOF
		}
		if len(w.control) == 1 {
			return &frameError{ws.StatusProtocolError, "close frame of one byte"}
		}
		code, reason := ws.ParseCloseFrameData(w.control)
		if err := ws.CheckCloseFrameData(code, reason); err != nil {
			return &frameError{ws.StatusProtocolError, err.Error()}
		}
		w.peerCode = code
		return io.EOF
	}
	return nil
}

// queueLocked hands the answers to the flusher. The caller is the driver.
func (w *wsLayer) queueLocked() {
	if len(w.queued)+len(w.replies) <= wsRepliesMax {
		w.queued = append(w.queued, w.replies...)
	}
	w.replies = nil
}

// closeLocked asks for a close frame behind all that is in the outbox.
func (w *wsLayer) closeLocked(cause error) {
	w.closing = true
	var fault *frameError
	switch {
	case errors.As(cause, &fault):
		w.closeCode = fault.code
	case w.peerCode != 0:
		w.closeCode = w.peerCode
	case errors.Is(cause, ErrListenerClosed):
		w.closeCode = ws.StatusGoingAway
	default:
		w.closeCode = ws.StatusNormalClosure
	}
}

// takeLocked moves the outbox to the flusher: answers first, then the outbox as
// one frame, whose header goes into the headroom, then the close frame.
func (w *wsLayer) takeLocked(out, to *chunkList) {
	if len(w.queued) > 0 {
		to.append(w.queued)
		w.queued = nil
	}
	if out.size > 0 {
		var head [wsHeaderMax]byte
		h := appendBinaryHeader(head[:0], out.size)
		k := out.head
		k.r -= copy(k.buf[k.r-len(h):], h)
		out.size += len(h)
		to.take(out)
	}
	if w.closing && w.closeCode != 0 {
		to.append([]byte{0x80 | byte(ws.OpClose), 2, byte(w.closeCode >> 8), byte(w.closeCode)})
		w.closeCode = 0
	}
}

func appendBinaryHeader(dst []byte, size int) []byte {
	dst = append(dst, 0x80|byte(ws.OpBinary))
	switch {
	case size < 126:
		return append(dst, byte(size))
	case size <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 127), uint64(size))
	}
}

package wire

import "encoding/binary"

// A run is messages behind each other on their way to one link: each is a frame whose
// header has only its length so far, and a length that no header may have if the
// message is to be sent in chunks. The rest of the header is the link's to fill in.

// OpenFrame appends room for a header to a run; the message is appended next.
func OpenFrame(run []byte) []byte { return append(run, make([]byte, HeaderBytes)...) }

// CloseFrame ends the frame that was opened when the run had so many bytes.
func CloseFrame(run []byte, at int) {
	binary.BigEndian.PutUint32(run[at+HeaderBytes-4:], uint32(len(run)-at-HeaderBytes))
}

// FrameSize is how many bytes the first frame of a run has.
func FrameSize(run []byte) int {
	return HeaderBytes + int(binary.BigEndian.Uint32(run[HeaderBytes-4:]))
}

// Frames counts the frames of a run.
func Frames(run []byte) (n int) {
	for ; len(run) > 0; n++ {
		run = run[FrameSize(run):]
	}
	return n
}

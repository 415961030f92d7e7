package replica

// slab is the memory that frames are made in: most are small, and one piece has room
// for many. What a frame leaves of its room is given to the next one. A piece goes when
// the last frame in it has gone. Owned by the Replica.
type slab struct {
	piece []byte
	from  int // where the room that was given out last begins,
	used  int // and ends
}

// slabBytes is the length of a piece. A frame of more than half of it gets memory of its
// own, and one that takes more than its room moves there.
const slabBytes = 8 << 10

// The room of frames: of those that tell a clock or a record, of those that only ask or
// answer, and what of it the header takes at most.
const (
	frameRoom      = 512
	frameRoomSmall = 72
	headerRoom     = 32
)

// room is memory for a frame of up to n bytes.
func (s *slab) room(n int) []byte {
	if n > slabBytes/2 {
		return make([]byte, 0, n)
	}
	if s.used+n > len(s.piece) {
		s.piece, s.used = make([]byte, slabBytes), 0
	}
	s.from, s.used = s.used, s.used+n
	return s.piece[s.from:s.from:s.used]
}

// keep is frame as it leaves: nothing is appended to it any more.
func (s *slab) keep(frame []byte) []byte {
	if s.from < len(s.piece) && len(frame) > 0 && &frame[0] == &s.piece[s.from] {
		s.used = s.from + len(frame)
	}
	return frame[:len(frame):len(frame)]
}

package bench

// missingMax bounds the messages that one stream remembers as missing; further
// ones are counted as lost at once and, should they come, as duplicates.
const missingMax = 1 << 16

// arrival tells how a message came.
type arrival uint8

const (
	inOrder arrival = iota
	reordered
	duplicated
)

// stream checks the messages from one publisher to one subscriber. Owned by
// the event loop.
//
// Properties, with received counting first arrivals only:
// (1) next is beyond every number that came;
// (2) received + len(missing) + forgotten == next.
type stream struct {
	next      uint64
	received  uint64
	missing   map[uint64]struct{}
	forgotten uint64
}

// arrive takes message number n.
func (s *stream) arrive(n uint64) arrival {
	if n == s.next {
		s.next++
		s.received++
		return inOrder
	}
	if n > s.next {
		for m := s.next; m < n; m++ {
			if len(s.missing) == missingMax {
				s.forgotten += n - m
				break
			}
			if s.missing == nil {
				s.missing = map[uint64]struct{}{}
			}
			s.missing[m] = struct{}{}
		}
		s.next = n + 1
		s.received++
		return inOrder
	}
	if _, was := s.missing[n]; was {
		delete(s.missing, n)
		s.received++
		return reordered
	}
	return duplicated
}

// lost is how many of the first sent messages never came.
func (s *stream) lost(sent uint64) uint64 { return sent - s.received }

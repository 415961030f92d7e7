package session

import "tombolo/mqtt/packet"

// tooLarge reports whether a packet of size bytes is beyond the Maximum Packet
// Size that a client named; 0 is none.
func tooLarge(size int, packetMax uint32) bool { return packetMax > 0 && size > int(packetMax) }

// fits takes the packet that begins at mark away again if the client does not
// accept packets of its size ([MQTT-3.1.2-24]). The caller tries once more
// without what may be left out, which is the reason string.
func (s *Session) fits(mark int, e *Effects) bool {
	if tooLarge(len(e.Out)-mark, s.packetMax) {
		e.Out = e.Out[:mark]
		return false
	}
	return true
}

// publishMax is the largest PUBLISH that may go to this client: its own limit,
// or the standard's, which a message can pass by what delivering adds to it.
func (s *Session) publishMax() int {
	if s.packetMax > 0 {
		return min(int(s.packetMax), packet.MaxSize)
	}
	return packet.MaxSize
}

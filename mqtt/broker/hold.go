package broker

import "sync"

// hold is a reason not to read from a connection for a while.
type hold uint8

const (
	holdVerdict  hold = 1 << iota // a worker decides on CONNECT or AUTH
	holdRate                      // max_message_rate
	holdOutbox                    // the client does not take what it is sent
	holdRetained                  // retained messages for many subscriptions are on their way
	holdLine                      // many publishes wait for their retained value to be on other nodes
	holdIDs                       // its QoS 2 packet ids are at the old home of its session
)

// holds are the reasons that are in force. Safe for concurrent use. While
// there is one, the connection is not read, and the kernel's window slows the
// client down.
type holds struct {
	mu   sync.Mutex
	mask hold
}

// hold adds a reason. It may be called under the session's lock.
func (p *peer) hold(why hold) {
	p.holds.mu.Lock()
	defer p.holds.mu.Unlock()
	if p.holds.mask == 0 {
		p.conn.PauseRead()
	}
	p.holds.mask |= why
}

// release takes a reason away; with the last one reading goes on.
func (p *peer) release(why hold) {
	p.holds.mu.Lock()
	defer p.holds.mu.Unlock()
	had := p.holds.mask
	p.holds.mask &^= why
	if had != 0 && p.holds.mask == 0 {
		p.conn.ResumeRead()
	}
}

// held reports whether a reason is in force.
func (p *peer) held(why hold) bool {
	p.holds.mu.Lock()
	defer p.holds.mu.Unlock()
	return p.holds.mask&why != 0
}

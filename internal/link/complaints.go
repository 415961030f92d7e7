package link

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// complaintEvery is the time between two lines of the log that say the same of
// one host, complaintsMax how many such lines are remembered.
const (
	complaintEvery = 30 * time.Second
	complaintsMax  = 256
)

// complaints are what the log was told of nodes that were refused. A node that
// does not belong here tries again several times a second, for as long as it runs.
// Safe for concurrent use.
type complaints struct {
	mu struct {
		sync.Mutex
		list map[string]*complaint
	}
}

// complaint is one line. Guarded by complaints.mu.
type complaint struct {
	said int64 // ns
	more int   // times since then
}

// line is what is to be logged of an error of a host at a time; "" if the same
// was said lately.
func (c *complaints) line(from net.Addr, err error, now int64) string {
	host := from.String()
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	text := "link from " + host + ": " + err.Error()
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.mu.list[text]
	switch {
	case x == nil && len(c.mu.list) >= complaintsMax, c.mu.list == nil:
		c.mu.list = map[string]*complaint{}
		fallthrough
	case x == nil:
		c.mu.list[text] = &complaint{said: now}
		return text
	case now-x.said < int64(complaintEvery):
		x.more++
		return ""
	}
	more := x.more
	*x = complaint{said: now}
	if more == 0 {
		return text
	}
	return fmt.Sprintf("%s (and %d times more in the last %v)", text, more, complaintEvery)
}

package client

import (
	"bytes"
	"context"
	"errors"

	"tombolo/mqtt/packet"
)

var errNoID = errors.New("all packet identifiers are in use")

// Publish sends p and, above QoS 0, waits for the last acknowledgement of its
// flow; it sets p.ID. The reason is Success at QoS 0 and before MQTT 5. text
// is the broker's reason string.
func (c *Client) Publish(ctx context.Context, p *packet.Publish) (reason packet.ReasonCode, text string, err error) {
	if p.QoS == 0 {
		p.ID = 0
		return packet.Success, "", c.send(func(dst []byte) []byte {
			return packet.AppendPublish(dst, c.version, p)
		})
	}
	select {
	case c.window <- struct{}{}:
		defer func() { <-c.window }()
	case <-c.done:
		return 0, "", c.cause()
	case <-ctx.Done():
		return 0, "", context.Cause(ctx)
	}
	r, err := c.exchange(ctx, func(dst []byte, id packet.ID) []byte {
		p.ID = id
		return packet.AppendPublish(dst, c.version, p)
	})
	return r.reason, r.text, err
}

// Subscribe sends s and returns one reason for each subscription; it sets s.ID.
func (c *Client) Subscribe(ctx context.Context, s *packet.Subscribe) ([]packet.ReasonCode, error) {
	r, err := c.exchange(ctx, func(dst []byte, id packet.ID) []byte {
		s.ID = id
		return packet.AppendSubscribe(dst, c.version, s)
	})
	return r.reasons, err
}

// Unsubscribe sends u and returns one reason for each filter, none before
// MQTT 5; it sets u.ID.
func (c *Client) Unsubscribe(ctx context.Context, u *packet.Unsubscribe) ([]packet.ReasonCode, error) {
	r, err := c.exchange(ctx, func(dst []byte, id packet.ID) []byte {
		u.ID = id
		return packet.AppendUnsubscribe(dst, c.version, u)
	})
	return r.reasons, err
}

// exchange sends a packet under a free packet identifier and waits for what
// answers it.
func (c *Client) exchange(ctx context.Context, encode func(dst []byte, id packet.ID) []byte) (reply, error) {
	answer := make(chan reply, 1)
	id, err := c.reserve(answer)
	if err != nil {
		return reply{}, err
	}
	if err := c.send(func(dst []byte) []byte { return encode(dst, id) }); err != nil {
		return reply{}, err
	}
	select {
	case r := <-answer:
		return r, nil
	case <-c.done:
		return reply{}, c.cause()
	case <-ctx.Done():
		// The identifier stays in use: the broker may still answer.
		return reply{}, context.Cause(ctx)
	}
}

func (c *Client) reserve(answer chan reply) (packet.ID, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.err != nil {
		return 0, c.mu.err
	}
	for range 65_535 {
		c.mu.lastID++
		if c.mu.lastID == 0 {
			c.mu.lastID = 1
		}
		if c.mu.waiting[c.mu.lastID] == nil {
			c.mu.waiting[c.mu.lastID] = answer
			return c.mu.lastID, nil
		}
	}
	return 0, errNoID
}

// finish hands r to whoever waits for id; an answer nobody waits for is of an
// earlier connection of the session and is dropped.
func (c *Client) finish(id packet.ID, r reply) {
	c.mu.Lock()
	answer := c.mu.waiting[id]
	delete(c.mu.waiting, id)
	c.mu.Unlock()
	if answer != nil {
		answer <- r
	}
}

// handle acts on one packet of the broker.
func (c *Client) handle(ctx context.Context, f packet.Frame) error {
	switch f.Type {
	case packet.TypePublish:
		return c.handlePublish(ctx, f)
	case packet.TypePuback, packet.TypePubrec, packet.TypePubrel, packet.TypePubcomp:
		return c.handleAck(f)
	case packet.TypeSuback, packet.TypeUnsuback:
		var s packet.Suback
		if err := packet.DecodeSuback(f, c.version, &s); err != nil {
			return err
		}
		c.finish(s.ID, reply{reasons: s.Reasons, text: reasonText(&s.Properties)})
		return nil
	case packet.TypePingresp:
		return packet.DecodePing(f)
	case packet.TypeDisconnect:
		var d packet.Disconnect
		if err := packet.DecodeDisconnect(f, c.version, &d); err != nil {
			return err
		}
		return &DisconnectedError{Reason: d.Reason, Text: reasonText(&d.Properties)}
	}
	return errors.New("the broker sent a " + f.Type.String() + ", which only a client may send")
}

func reasonText(p *packet.Properties) string {
	if p.Has(packet.PropReasonString) {
		return string(p.ReasonString)
	}
	return ""
}

func (c *Client) handlePublish(ctx context.Context, f packet.Frame) error {
	f.Body = bytes.Clone(f.Body) // the message outlives the read buffer
	p := new(packet.Publish)
	if err := packet.DecodePublish(f, c.version, p); err != nil {
		return err
	}
	if p.Properties.Has(packet.PropTopicAlias) {
		if len(p.Topic) > 0 {
			c.aliases[p.Properties.TopicAlias] = p.Topic
		} else if p.Topic = c.aliases[p.Properties.TopicAlias]; p.Topic == nil {
			return errors.New("the broker used a topic alias that it never set")
		}
	}
	if p.QoS < 2 || !c.unreleased[p.ID] {
		select {
		case c.messages <- p:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.done:
			return c.cause()
		}
	}
	ack := packet.Ack{Type: packet.TypePuback, ID: p.ID}
	switch p.QoS {
	case 0:
		return nil
	case 2:
		c.unreleased[p.ID] = true
		ack.Type = packet.TypePubrec
	}
	return c.sendAck(&ack)
}

func (c *Client) sendAck(a *packet.Ack) error {
	return c.send(func(dst []byte) []byte { return packet.AppendAck(dst, c.version, a) })
}

func (c *Client) handleAck(f packet.Frame) error {
	var a packet.Ack
	if err := packet.DecodeAck(f, c.version, &a); err != nil {
		return err
	}
	switch {
	case a.Type == packet.TypePubrec && !a.Reason.Failed():
		return c.sendAck(&packet.Ack{Type: packet.TypePubrel, ID: a.ID})
	case a.Type == packet.TypePubrel:
		delete(c.unreleased, a.ID)
		return c.sendAck(&packet.Ack{Type: packet.TypePubcomp, ID: a.ID})
	}
	c.finish(a.ID, reply{reason: a.Reason, text: reasonText(&a.Properties)})
	return nil
}

package main

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"tombolo/mqtt/packet"
)

// sessionNever is the session expiry that the standard takes for "never".
const sessionNever = math.MaxUint32

// setProperties reads -D, --session-expiry and --will-delay.
func (f *connectFlags) setProperties(c *packet.Connect, message *packet.Properties, at packet.Type) error {
	if err := f.setExpiry(c); err != nil {
		return err
	}
	if f.will.delay > 0 {
		c.Will.Properties.Set |= packet.PropWillDelay
		c.Will.Properties.WillDelay = uint32(time.Duration(f.will.delay) / time.Second)
	}
	for _, text := range f.properties {
		name, value, found := strings.Cut(text, "=")
		if !found {
			return fmt.Errorf("-D %s is not NAME=VALUE; write -D content-type=json or -D user-property=name=value", text)
		}
		into, place := message, at
		if rest, ok := strings.CutPrefix(name, "connect."); ok {
			name, into, place = rest, &c.Properties, packet.TypeConnect
		} else if rest, ok := strings.CutPrefix(name, "will."); ok {
			name, into, place = rest, &c.Will.Properties, packet.WillProperties
			if !c.HasWill {
				return errors.New("-D will.… needs a will: add --will-topic")
			}
		}
		if err := into.SetText(place, name, value); err != nil {
			return fmt.Errorf("-D %s: %w", text, err)
		}
	}
	if c.Version != packet.V5 && c.Properties.Set|c.Will.Properties.Set|message.Set != 0 {
		return errors.New("properties, --session-expiry and --will-delay exist since MQTT 5: use -V mqttv5")
	}
	return nil
}

// setExpiry asks the broker to keep the session: for as long as told, for ever
// with -c alone, as MQTT 3.1.1 would.
func (f *connectFlags) setExpiry(c *packet.Connect) error {
	var expiry seconds
	switch {
	case f.expiry == "never", f.expiry == "" && !c.CleanStart && c.Version == packet.V5:
		c.Properties.SessionExpiry = sessionNever
	case f.expiry == "":
		return nil
	default:
		if err := expiry.Set(f.expiry); err != nil {
			return fmt.Errorf("--session-expiry %s: %w, or never", f.expiry, err)
		}
		c.Properties.SessionExpiry = uint32(time.Duration(expiry) / time.Second)
	}
	if f.expiry != "" && f.id == "" {
		return errors.New("--session-expiry needs a client id to come back with: add -i")
	}
	c.Properties.Set |= packet.PropSessionExpiry
	return nil
}

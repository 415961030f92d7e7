package packet

// Bits of the CONNECT flags (MQTT 5 §3.1.2.3).
const (
	connectReserved   = 0x01
	connectCleanStart = 0x02
	connectWill       = 0x04
	connectWillQoS    = 0x18
	connectWillRetain = 0x20
	connectPassword   = 0x40
	connectUsername   = 0x80
	bridgeBit         = 0x80 // of the protocol level
)

// The protocol names with their lengths, as they stand in CONNECT.
const (
	protocolName   = "\x00\x04MQTT"
	protocolNameV3 = "\x00\x06MQIsdp"
)

// DecodeConnect decodes a CONNECT of any version. An unknown protocol name or
// level is refused with UnsupportedProtocolVersion; c.Version then holds the
// level as it was sent. After any refusal behind the level, c.Version says in
// which version to answer. That a client id is empty is not refused here: the
// session decides what each version makes of it.
func DecodeConnect(f Frame, c *Connect) error {
	*c = Connect{Properties: c.Properties, Will: Will{Properties: c.Will.Properties}}
	c.Properties.Reset()
	c.Will.Properties.Reset()
	in, err := open(f, 0, TypeConnect, 0)
	if err != nil {
		return err
	}
	if err := c.decodeProtocol(&in); err != nil {
		return err
	}
	if c.Version == V5 && f.Size != packetSize(len(f.Body)) {
		return errHeadMinimal
	}
	flags := in.uint8()
	if err := checkConnectFlags(flags, c.Version); err != nil {
		return err
	}
	c.CleanStart = flags&connectCleanStart != 0
	c.KeepAlive = in.uint16()
	if c.Version == V5 {
		c.Properties.decode(&in, inConnect)
		if c.Properties.Has(PropAuthData) && !c.Properties.Has(PropAuthMethod) {
			in.fail(errAuthData)
		}
	}
	c.ClientID = in.string()
	if flags&connectWill != 0 {
		c.HasWill = true
		c.Will.decode(&in, flags, c.Version)
	}
	c.decodeCredentials(&in, flags)
	return in.end()
}

// decodeProtocol reads the protocol name and level.
func (c *Connect) decodeProtocol(in *cursor) error {
	old := false
	switch {
	case len(in.b) >= len(protocolName) && string(in.b[:len(protocolName)]) == protocolName:
		in.b = in.b[len(protocolName):]
	case len(in.b) >= len(protocolNameV3) && string(in.b[:len(protocolNameV3)]) == protocolNameV3:
		in.b = in.b[len(protocolNameV3):]
		old = true
	default:
		if in.binary(); in.err != nil {
			return in.err
		}
		return errVersion
	}
	level := in.uint8()
	if in.err != nil {
		return in.err
	}
	c.Version = Version(level &^ bridgeBit)
	c.Bridge = level&bridgeBit != 0
	switch {
	case old && c.Version == V31, !old && c.Version == V311, !old && level == uint8(V5):
		return nil
	}
	return errVersion
}

func checkConnectFlags(flags uint8, v Version) error {
	switch {
	case flags&connectReserved != 0 && v != V31: // MQTT 3.1 leaves the bit unused
		return errConnectFlag
	case flags&connectWill == 0 && flags&(connectWillQoS|connectWillRetain) != 0:
		return errWillFlags
	case flags&connectWillQoS == connectWillQoS:
		return errWillQoS
	case flags&connectPassword != 0 && flags&connectUsername == 0 && v != V5:
		return errPassword
	}
	return nil
}

func (w *Will) decode(in *cursor, flags uint8, v Version) {
	w.QoS = flags & connectWillQoS >> 3
	w.Retain = flags&connectWillRetain != 0
	if v == V5 {
		w.Properties.decode(in, inWill)
	}
	w.Topic = in.string()
	w.Payload = in.binary()
}

// decodeCredentials reads user name and password. In MQTT 3.1 (§3.1) the
// remaining length wins over the flags: what is announced may be missing.
func (c *Connect) decodeCredentials(in *cursor, flags uint8) {
	mayLack := c.Version == V31
	if flags&connectUsername != 0 && !(mayLack && len(in.b) == 0) {
		c.HasUsername = true
		c.Username = in.string()
	}
	if flags&connectPassword != 0 && !(mayLack && len(in.b) == 0) {
		c.HasPassword = true
		c.Password = in.binary()
	}
}

func (c *Connect) flags() uint8 {
	var flags uint8
	if c.CleanStart {
		flags |= connectCleanStart
	}
	if c.HasWill {
		flags |= connectWill | c.Will.QoS<<3
		if c.Will.Retain {
			flags |= connectWillRetain
		}
	}
	if c.HasUsername {
		flags |= connectUsername
	}
	if c.HasPassword {
		flags |= connectPassword
	}
	return flags
}

// AppendConnect encodes c in the version that it names.
func AppendConnect(dst []byte, c *Connect) []byte {
	name := protocolName
	if c.Version == V31 {
		name = protocolNameV3
	}
	level := uint8(c.Version)
	if c.Bridge {
		level |= bridgeBit
	}
	props, inner := c.Properties.fieldSize(c.Version)
	remaining := len(name) + 1 + 1 + 2 + props + 2 + len(c.ClientID)
	willProps, willInner := 0, 0
	if c.HasWill {
		willProps, willInner = c.Will.Properties.fieldSize(c.Version)
		remaining += willProps + 2 + len(c.Will.Topic) + 2 + len(c.Will.Payload)
	}
	if c.HasUsername {
		remaining += 2 + len(c.Username)
	}
	if c.HasPassword {
		remaining += 2 + len(c.Password)
	}
	dst = appendHead(dst, TypeConnect, 0, remaining)
	dst = append(dst, name...)
	dst = append(dst, level, c.flags())
	dst = appendUint16(dst, c.KeepAlive)
	if props > 0 {
		dst = c.Properties.appendTo(dst, inner)
	}
	dst = appendString(dst, c.ClientID)
	if c.HasWill {
		if willProps > 0 {
			dst = c.Will.Properties.appendTo(dst, willInner)
		}
		dst = appendString(dst, c.Will.Topic)
		dst = appendString(dst, c.Will.Payload)
	}
	if c.HasUsername {
		dst = appendString(dst, c.Username)
	}
	if c.HasPassword {
		dst = appendString(dst, c.Password)
	}
	return dst
}

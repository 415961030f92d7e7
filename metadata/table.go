package metadata

// Table names one of the store's maps. Unknown names are ordinary: a table of
// a later version survives in this one (R33).
type Table string

// The tables that have a form of their own. The byte is what their keys begin
// with; it is on disk and in frames and never changes its meaning.
const (
	TableSession      Table = "session"
	TableSubscription Table = "subscription"
	TableRetained     Table = "retained"
	TableMembers      Table = "members"
	TableConfig       Table = "config"
	TableAPIKey       Table = "apikey"
)

const (
	codeSession      byte = 0x01
	codeSubscription byte = 0x02
	codeRetained     byte = 0x03
	codeMembers      byte = 0x04
	codeConfig       byte = 0x05
	codeAPIKey       byte = 0x06
	codeNamed        byte = 0x7f // then the name, then 0x00
)

// appendTable appends what the keys of t begin with.
func appendTable(dst []byte, t Table) []byte {
	switch t {
	case TableSession:
		return append(dst, codeSession)
	case TableSubscription:
		return append(dst, codeSubscription)
	case TableRetained:
		return append(dst, codeRetained)
	case TableMembers:
		return append(dst, codeMembers)
	case TableConfig:
		return append(dst, codeConfig)
	case TableAPIKey:
		return append(dst, codeAPIKey)
	}
	dst = append(dst, codeNamed)
	dst = append(dst, t...)
	return append(dst, 0)
}

// recordKey is the key of a record below its area: table, then key.
func recordKey(t Table, key []byte) []byte {
	return append(appendTable(make([]byte, 0, len(key)+16), t), key...)
}

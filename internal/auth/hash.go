package auth

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// New hashes are argon2id with the least memory and time that OWASP's
// password storage page recommends (19 MiB, 2 passes): some 20 ms of one core,
// which a broker can afford per connect where 64 MiB and more would turn a
// reconnect storm into an outage.
const (
	argonMemoryKiB = 19 * 1024
	argonTime      = 2
	argonThreads   = 1
	argonSaltBytes = 16
	argonKeyBytes  = 32
)

// Bounds on what a file may ask for.
const (
	iterationsMax     = 10_000_000
	argonMemoryKiBMax = 1 << 20
	argonTimeMax      = 64
	argonThreadsMax   = 64
	saltBytesMax      = 64
	keyBytesMin       = 16
	keyBytesMax       = 64
)

// scheme is how a digest is derived.
type scheme uint8

const (
	schemeSHA512 scheme = iota // $6$salt$digest: VerneMQ, Mosquitto before 2.0
	schemePBKDF2               // $7$iterations$salt$digest: Mosquitto from 2.0
	schemeArgon2               // $argon2id$v=19$m=…,t=…,p=…$salt$digest: ours
)

// hash is one stored password. Immutable.
type hash struct {
	scheme  scheme
	memory  uint32 // KiB, argon2 only
	rounds  uint32 // iterations or passes
	threads uint8
	salt    []byte
	digest  []byte
}

// HashPassword derives a new hash in the form the password file holds.
func HashPassword(password []byte) (string, error) {
	h := hash{scheme: schemeArgon2, memory: argonMemoryKiB, rounds: argonTime, threads: argonThreads,
		salt: make([]byte, argonSaltBytes), digest: make([]byte, argonKeyBytes)}
	if _, err := rand.Read(h.salt); err != nil {
		return "", fmt.Errorf("draw a salt: %w", err)
	}
	h.digest = h.derive(password)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.rounds, h.threads,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.digest)), nil
}

// derive computes the digest of a password.
func (h *hash) derive(password []byte) []byte {
	switch h.scheme {
	case schemeArgon2:
		return argon2.IDKey(password, h.salt, h.rounds, h.memory, h.threads, uint32(len(h.digest)))
	case schemePBKDF2:
		key, err := pbkdf2.Key(sha512.New, string(password), h.salt, int(h.rounds), len(h.digest))
		if err != nil {
			return nil // matches nothing: digests are never empty
		}
		return key
	default:
		sum := sha512.Sum512(append(append(make([]byte, 0, len(password)+len(h.salt)), password...), h.salt...))
		return sum[:]
	}
}

// verify takes the same time whatever the digest.
func (h *hash) verify(password []byte) bool {
	return subtle.ConstantTimeCompare(h.derive(password), h.digest) == 1
}

// cost orders hashes by the work they take, roughly.
func (h *hash) cost() uint64 {
	switch h.scheme {
	case schemeArgon2:
		return uint64(h.memory) * uint64(h.rounds) * 1024
	case schemePBKDF2:
		return uint64(h.rounds) * 2
	}
	return 1
}

// decoy returns a hash that costs the same and matches nothing known.
func (h *hash) decoy() *hash {
	d := *h
	d.digest = make([]byte, len(h.digest))
	return &d
}

var errHashForm = errors.New("not a password hash: $6$<salt>$<digest>, $7$<iterations>$<salt>$<digest> or $argon2id$… is wanted (tombolo passwd -U hashes plain text)")

// parseHash reads any of the forms.
func parseHash(s string) (*hash, error) {
	parts := strings.Split(s, "$")
	if len(parts) < 4 || parts[0] != "" {
		return nil, errHashForm
	}
	switch {
	case parts[1] == "6" && len(parts) == 4:
		return finishHash(&hash{scheme: schemeSHA512}, base64.StdEncoding, parts[2], parts[3])
	case parts[1] == "7" && len(parts) == 5:
		n, err := strconv.ParseUint(parts[2], 10, 32)
		if err != nil || n == 0 || n > iterationsMax {
			return nil, fmt.Errorf("the hash has %q iterations; 1 to %d are possible", parts[2], iterationsMax)
		}
		return finishHash(&hash{scheme: schemePBKDF2, rounds: uint32(n)}, base64.StdEncoding, parts[3], parts[4])
	case parts[1] == "argon2id" && len(parts) == 6:
		if parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
			return nil, fmt.Errorf("the hash is of argon2 version %q; v=%d is known", parts[2], argon2.Version)
		}
		h, err := parseArgon(parts[3])
		if err != nil {
			return nil, err
		}
		return finishHash(h, base64.RawStdEncoding, parts[4], parts[5])
	}
	return nil, errHashForm
}

// parseArgon reads "m=<KiB>,t=<passes>,p=<threads>".
func parseArgon(s string) (*hash, error) {
	h := &hash{scheme: schemeArgon2}
	fields := strings.Split(s, ",")
	limits := []struct {
		key      string
		min, max uint64
	}{{"m=", 8, argonMemoryKiBMax}, {"t=", 1, argonTimeMax}, {"p=", 1, argonThreadsMax}}
	if len(fields) != len(limits) {
		return nil, errHashForm
	}
	var vals [3]uint64
	for i, l := range limits {
		text, ok := strings.CutPrefix(fields[i], l.key)
		n, err := strconv.ParseUint(text, 10, 32)
		if !ok || err != nil || n < l.min || n > l.max {
			return nil, fmt.Errorf("the hash has the argon2 parameter %q; %s%d to %d is possible", fields[i], l.key, l.min, l.max)
		}
		vals[i] = n
	}
	h.memory, h.rounds, h.threads = uint32(vals[0]), uint32(vals[1]), uint8(vals[2])
	return h, nil
}

func finishHash(h *hash, b64 *base64.Encoding, salt, digest string) (*hash, error) {
	var err error
	if h.salt, err = b64.Strict().DecodeString(salt); err != nil || len(h.salt) == 0 || len(h.salt) > saltBytesMax {
		return nil, fmt.Errorf("the salt of the hash is not base64 of 1 to %d bytes", saltBytesMax)
	}
	least, most := keyBytesMin, keyBytesMax
	if h.scheme == schemeSHA512 {
		least, most = sha512.Size, sha512.Size
	}
	if h.digest, err = b64.Strict().DecodeString(digest); err != nil || len(h.digest) < least || len(h.digest) > most {
		return nil, fmt.Errorf("the digest of the hash is not base64 of %d to %d bytes", least, most)
	}
	return h, nil
}

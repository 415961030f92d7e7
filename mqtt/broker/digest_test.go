package broker

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"tombolo/mqtt/topic"
)

// walked is the digest as it would be summed up from the routes themselves.
func (b *Broker) walked() (d RouteDigest) {
	b.routes.mu.Lock()
	defer b.routes.mu.Unlock()
	for at := range b.routes.mu.own {
		k := at.key()
		d.add(&k)
	}
	return d
}

func (b *Broker) digest() (d RouteDigest) {
	b.Digest(func(got RouteDigest) { d = got })
	return d
}

// TestDigestFollowsRoutes: the digest that is kept beside the routes is that of
// the routes, whatever comes and goes, and telling it takes no walk under their
// lock, which SUBSCRIBE waits for.
func TestDigestFollowsRoutes(t *testing.T) {
	n, _ := countingRig(t)
	b := n.b
	random := rand.New(rand.NewPCG(1, 2))
	counts := map[routeKey]int{}
	var keys []routeKey
	for _, group := range []string{"", "g"} {
		for i := range 40 {
			keys = append(keys, routeKey{"", group, topic.Filter(fmt.Sprintf("f/%d", i)), i%2 == 0})
		}
	}
	for range 3000 {
		k := keys[random.IntN(len(keys))]
		if counts[k] > 0 && random.IntN(2) == 0 {
			counts[k]--
			b.countRoute(k, -1, 0)
		} else {
			counts[k]++
			b.countRoute(k, 1, 0)
		}
		if got, want := b.digest(), b.walked(); got != want {
			t.Fatalf("%+v is kept, the routes are %+v", got, want)
		}
	}
	const many = 50_000
	for i := range many {
		b.countRoute(routeKey{filter: topic.Filter(fmt.Sprintf("many/%d", i))}, 1, 1)
	}
	begun := time.Now()
	want := b.walked()
	walk := time.Since(begun)
	begun = time.Now()
	for range 100 {
		if b.digest() != want {
			t.Fatal("not the digest of the routes")
		}
	}
	if told := time.Since(begun); told > walk {
		t.Errorf("100 digests of %d routes take %v, one walk %v", many, told, walk)
	}
}

// TestRouteHash: the share of a route is the FNV-1a that other nodes compute, of
// whatever version, and allocates nothing.
func TestRouteHash(t *testing.T) {
	long := topic.Filter(make([]byte, 70_000))
	for _, k := range []routeKey{{}, {"mp", "g", "a/+/#", true}, {"", "", long, false}} {
		h := fnv.New64a()
		kind := byte(0)
		if k.persistent {
			kind = 1
		}
		_, _ = h.Write([]byte{kind})
		for _, s := range []string{k.mountpoint, k.group, string(k.filter)} {
			n := len(s)
			_, _ = h.Write(append([]byte{byte(n), byte(n >> 8), byte(n >> 16)}, s...))
		}
		if got, want := k.hash(), mix(h.Sum64()); got != want {
			t.Errorf("%.20q: %x, want %x", string(k.filter), got, want)
		}
		if n := testing.AllocsPerRun(10, func() { k.hash() }); n != 0 {
			t.Errorf("%.20q: %v allocations", string(k.filter), n)
		}
	}
}

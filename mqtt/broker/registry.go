package broker

import (
	"hash/maphash"
	"sync"

	"tombolo/metadata"
)

// Key names a client: ids are separate per mountpoint.
type Key struct {
	Mountpoint string
	ClientID   string
}

// registryShards keeps registrations of different clients off one lock.
const registryShards = 64

// registry maps keys to clients and serialises the registration of one key.
// Safe for concurrent use. Bound: one slot per client that exists or registers.
type registry struct {
	seed   maphash.Seed
	shards [registryShards]shard
}

type shard struct {
	mu struct {
		sync.Mutex
		clients map[Key]*client
		busy    map[Key]*wait // keys whose registration is under way
	}
}

// wait is the line of those who want a busy key.
type wait struct {
	free     chan struct{}
	asking   bool           // its holder waits for a grant, which may take seconds
	released metadata.Epoch // the highest that the id was given away at meanwhile
}

func newRegistry() *registry {
	r := &registry{seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].mu.clients = make(map[Key]*client)
		r.shards[i].mu.busy = make(map[Key]*wait)
	}
	return r
}

func (r *registry) shard(k Key) *shard {
	return &r.shards[maphash.String(r.seed, k.ClientID)%registryShards]
}

// tryHold takes the key if it is free, and returns the client under it.
func (r *registry) tryHold(k Key) (c *client, ok bool) {
	s := r.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, busy := s.mu.busy[k]; busy {
		return nil, false
	}
	s.mu.busy[k] = &wait{}
	return s.mu.clients[k], true
}

// hold takes the key, waiting until it is free or stop closes.
func (r *registry) hold(k Key, stop <-chan struct{}) (c *client, ok bool) {
	return r.take(k, stop, func(*wait) bool { return false })
}

// take takes the key, waiting until it is free, until instead says that the one
// who has it is to be told and not waited for, or until stop closes. held is
// whether the key was taken. instead is called under the shard's lock.
func (r *registry) take(k Key, stop <-chan struct{}, instead func(*wait) bool) (c *client, held bool) {
	s := r.shard(k)
	for {
		s.mu.Lock()
		w, busy := s.mu.busy[k]
		if !busy {
			s.mu.busy[k] = &wait{}
		}
		if !busy || instead(w) {
			c = s.mu.clients[k]
			s.mu.Unlock()
			return c, !busy
		}
		if w.free == nil {
			w.free = make(chan struct{})
		}
		free := w.free
		s.mu.Unlock()
		select {
		case <-free:
		case <-stop:
			return nil, false
		}
	}
}

// ask says that the holder of the key waits for a grant: it holds up no release.
func (r *registry) ask(k Key) {
	s := r.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.busy[k].asking = true
}

// asked says that the wait is over. The result is the highest epoch that the id
// was given away at meanwhile: a lower grant is void.
func (r *registry) asked(k Key) metadata.Epoch {
	s := r.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.mu.busy[k]
	w.asking = false
	return w.released
}

// give takes the key to give the id away at an epoch, or tells its holder, who
// waits for a grant; then held is false. ok is false if stop closed.
func (r *registry) give(k Key, epoch metadata.Epoch, stop <-chan struct{}) (c *client, held, ok bool) {
	told := false
	c, held = r.take(k, stop, func(w *wait) bool {
		if w.asking && w.released.Less(epoch) {
			w.released = epoch
		}
		told = w.asking
		return told
	})
	return c, held, held || told
}

// isHeld reports whether somebody has the key.
func (r *registry) isHeld(k Key) bool {
	s := r.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, busy := s.mu.busy[k]
	return busy
}

// release lets go of the key.
func (r *registry) release(k Key) {
	s := r.shard(k)
	s.mu.Lock()
	w := s.mu.busy[k]
	delete(s.mu.busy, k)
	s.mu.Unlock()
	if w != nil && w.free != nil {
		close(w.free)
	}
}

// put makes c the client of its key; the caller holds the key.
func (r *registry) put(c *client) {
	s := r.shard(c.key)
	s.mu.Lock()
	s.mu.clients[c.key] = c
	s.mu.Unlock()
}

// remove takes c out, unless another has its place already.
func (r *registry) remove(c *client) bool {
	s := r.shard(c.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.clients[c.key] != c {
		return false
	}
	delete(s.mu.clients, c.key)
	return true
}

// get returns the client of a key, or nil.
func (r *registry) get(k Key) *client {
	s := r.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.clients[k]
}

// each calls fn for the clients of a moment, shard by shard, without a lock
// held during the call.
func (r *registry) each(fn func(*client) bool) {
	var batch []*client
	for i := range r.shards {
		s := &r.shards[i]
		batch = batch[:0]
		s.mu.Lock()
		for _, c := range s.mu.clients {
			batch = append(batch, c)
		}
		s.mu.Unlock()
		for _, c := range batch {
			if !fn(c) {
				return
			}
		}
	}
}

package queue

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tombolo/internal/kv"
)

// island is one of the stores among which a session hops. Owned by its hopper.
type island struct {
	db    *kv.Memory
	r     *running
	id    QueueID // 0: no queue is open here
	at    Place   // of its export to the home
	falls int     // crashes
}

// hopper is a session that changes its home at any moment, with stores that
// crash, confirmations that are lost, and a client that acknowledges some of what
// it gets. Owned by one test.
type hopper struct {
	t       *testing.T
	rnd     *rand.Rand
	crashes bool
	lossy   bool // confirmations are lost: then two homes may deliver the same
	isles   [3]*island
	home    int
	epoch   uint64
	d       *drinker
	serial  int
	got     map[string]int
	acked   map[string]*island
	fallen  map[string]int // falls of that island when it was acknowledged
	log     []string
}

func newHopper(t *testing.T, seed uint64) *hopper {
	h := &hopper{t: t, rnd: rand.New(rand.NewPCG(seed, 3)), epoch: 100, got: map[string]int{}, acked: map[string]*island{}, fallen: map[string]int{}}
	h.crashes, h.lossy = seed%3 > 0, seed%3 == 2
	for i := range h.isles {
		h.isles[i] = &island{db: kv.NewMemory()}
		h.isles[i].r = start(t, h.isles[i].db, StoreConfig{TidyEvery: 1 << 40, AckDelay: time.Hour, AckCount: 5})
	}
	h.enter(0)
	return h
}

func (h *hopper) fail(format string, args ...any) {
	h.t.Helper()
	h.t.Fatalf("%v\n%s", h.log[max(0, len(h.log)-80):], fmt.Sprintf(format, args...))
}

func (h *hopper) say(format string, args ...any) { h.log = append(h.log, fmt.Sprintf(format, args...)) }

// enter makes an island the home, as bringing a session there does.
func (h *hopper) enter(i int) {
	from := h.home
	h.home, h.epoch = i, h.epoch+10
	isle := h.isles[i]
	isle.id, _ = isle.r.generation("s", h.epoch)
	isle.r.Moving(isle.id, uint64(from+1), nil)
	isle.r.sync()
	for _, o := range h.isles {
		o.at = Place{}
	}
	h.say("home %d epoch %d", i, h.epoch)
	h.attach()
}

// attach gives the client what is stored at its home.
func (h *hopper) attach() {
	isle := h.isles[h.home]
	_, st := isle.r.open("s")
	h.d = newDrinker(isle.r, isle.id, st)
	if h.rnd.IntN(2) == 0 {
		h.d.q.SetMoving(false) // as if the others were down
	}
	h.d.online()
}

func (h *hopper) publish() {
	isle := h.isles[h.home]
	body := fmt.Sprint("m", h.serial)
	h.serial++
	h.d.q.Admit(1)
	ev := isle.r.put(body, isle.id)
	if ev.Targets[0].Seq == 0 {
		h.fail("%s is taken for a second copy", body)
	}
	h.d.q.Committed(Entry{Seq: ev.Targets[0].Seq, Msg: ev.Msg, QoS: 1})
	h.got[body] = 0
	h.say("publish %s", body)
}

// carry moves a batch from another island to the home; the confirmation may be
// lost.
func (h *hopper) carry(i int, n int) (more bool) {
	from, home := h.isles[i], h.isles[h.home]
	if i == h.home || from.id == 0 {
		return false
	}
	b := from.r.export(from.id, from.at, n, 1<<20)
	if b.empty() {
		return false
	}
	got := carried(h.t, b)
	stored, err := home.r.bring(home.id, got, nil)
	if err != nil {
		h.fail("import: %v", err)
	}
	h.d.q.Imported(got, stored)
	h.say("carry %d of %d from %d, %d new", len(b.Records), b.Generation, i, len(stored))
	if h.lossy && h.rnd.IntN(4) == 0 {
		h.say("not confirmed")
		from.at = Place{}
		return true
	}
	if err := from.r.release(from.id, b); err != nil {
		h.fail("release: %v", err)
	}
	from.at = b.Next
	return true
}

func (h *hopper) drink() {
	for _, body := range h.d.drink(1 + h.rnd.IntN(4)) {
		h.say("got %s", body)
		h.judge(body)
		h.got[body]++
	}
	n := h.rnd.IntN(len(h.d.flight) + 1)
	for _, e := range h.d.flight[:n] {
		body := string(e.Msg.Body)
		h.acked[body], h.fallen[body] = h.isles[h.home], h.isles[h.home].falls
		h.say("ack %s", body)
	}
	h.d.settle(n)
}

// judge looks at a message that is delivered: one that was acknowledged does not
// come again, unless the store that knew it crashed, or its copy had another home.
func (h *hopper) judge(body string) {
	h.t.Helper()
	if isle := h.acked[body]; isle != nil && isle.falls == h.fallen[body] && !h.lossy {
		h.fail("%s comes again", body)
	}
}

// crash leaves a store as it is and goes on with what is on its disk.
func (h *hopper) crash(i int) {
	isle := h.isles[i]
	h.say("crash of %d", i)
	isle.falls++
	isle.db = isle.db.Fork()
	_ = isle.r.end()
	audit(h.t, isle.db)
	isle.r = start(h.t, isle.db, StoreConfig{TidyEvery: 1 << 40, AckDelay: time.Hour, AckCount: 5})
	isle.at = Place{}
	if isle.id != 0 {
		isle.id, _ = isle.r.open("s")
	}
	if i == h.home {
		h.attach()
	}
}

// leave has an island that has sent all it had forget the session.
func (h *hopper) leave(i int) {
	isle := h.isles[i]
	if i == h.home || isle.id == 0 || !isle.r.export(isle.id, Place{}, 1, 1).empty() {
		return
	}
	h.say("%d forgets", i)
	isle.r.Drop(isle.id, nil)
	isle.r.sync()
	isle.id = 0
}

func (h *hopper) step() {
	switch k := h.rnd.IntN(100); {
	case k < 35:
		h.publish()
	case k < 60:
		h.carry(h.rnd.IntN(3), 1+h.rnd.IntN(4))
	case k < 85:
		h.drink()
	case k < 92:
		h.enter((h.home + 1 + h.rnd.IntN(2)) % 3)
	case k < 95 && h.crashes:
		h.crash(h.rnd.IntN(3))
	case k < 97:
		h.leave(h.rnd.IntN(3))
	}
}

func (h *hopper) finish() {
	for i, isle := range h.isles {
		for isle.at = (Place{}); h.carry(i, 5); {
		}
	}
	h.d.q.SetMoving(false)
	for _, body := range h.d.drink(1 << 20) {
		h.judge(body)
		h.got[body]++
	}
	for body, n := range h.got {
		if n == 0 {
			h.fail("%s is lost", body)
		}
	}
	for _, isle := range h.isles {
		isle.r.sync()
		_ = isle.r.end()
		audit(h.t, isle.db)
	}
}

// TestHopsAndCrashes (P9, R20, R22): whatever the order of moves, crashes and lost
// confirmations, every message is delivered; and unless confirmations were lost,
// none again that was acknowledged at a store which has not crashed since.
func TestHopsAndCrashes(t *testing.T) {
	for seed := range uint64(60) {
		h := newHopper(t, seed)
		h.say("seed %d", seed)
		for range 120 {
			h.step()
		}
		h.finish()
	}
}

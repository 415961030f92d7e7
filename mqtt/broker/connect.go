package broker

import (
	"cmp"
	"context"
	"encoding/hex"

	"tombolo/metadata"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/mqtt/topic"
	"tombolo/netsplit"
	"tombolo/queue"
)

// handshake steps a packet of a connection that has no session yet.
func (p *peer) handshake(f packet.Frame, r *round) bool {
	p.countType(f.Type)
	e := &r.own
	e.Reset()
	p.hs.Packet(f, e)
	if e.Request != session.RequestNone {
		return p.connecting(r)
	}
	return p.reply(e, r)
}

// reply sends what the handshake produced; false if it ended the connection.
func (p *peer) reply(e *session.Effects, r *round) bool {
	l := p.conn.Locker()
	l.Lock()
	if len(e.Out) > 0 {
		p.conn.Append(e.Out)
		r.out += uint64(len(e.Out))
	}
	l.Unlock()
	r.touched = append(r.touched, p.conn)
	if !e.Closing {
		return true
	}
	p.b.count.connack["refused"].Inc()
	p.b.count.closed[closeRefused].Inc()
	p.logClose(&e.Close)
	p.conn.Shutdown(errKicked, lingerMax)
	return false
}

// connecting takes up a CONNECT or the next step of its authentication. What
// needs neither a disk nor a decision from elsewhere is done at once; the rest
// goes to a worker while the connection is not read.
func (p *peer) connecting(r *round) bool {
	params := p.hs.Params()
	p.identify(params)
	l := p.conn.Locker()
	l.Lock()
	p.accepted = true
	l.Unlock()
	if p.immediate(params) {
		key := p.key()
		if existing, ok := p.b.registry.tryHold(key); ok {
			defer p.b.registry.release(key)
			if existing == nil || !existing.kept() {
				return p.register(existing, r)
			}
		}
	}
	p.hold(holdVerdict)
	p.b.spawn(func() {
		defer p.release(holdVerdict)
		p.connectSlowly()
	})
	return false
}

// immediate reports whether registration needs no waiting.
func (p *peer) immediate(params *session.Params) bool {
	return !p.b.clustered() && !p.b.isAway(p.key()) && p.open() && params.AuthMethod == "" && !params.Persistent() && params.Will == nil
}

// open reports whether this connection needs no credentials.
func (p *peer) open() bool { return p.b.settings.Load().Anonymous || p.listener.Anonymous }

func (p *peer) authenticator() Authenticator {
	if p.listener.Authenticator != nil {
		return p.listener.Authenticator
	}
	return p.b.cfg.Authenticator
}

func (p *peer) authorizer() Authorizer {
	if p.listener.Authorizer != nil {
		return p.listener.Authorizer
	}
	return p.b.cfg.Authorizer
}

// identify settles the client id and mountpoint before anyone is asked.
func (p *peer) identify(params *session.Params) {
	if params.ClientID == "" {
		var id [12]byte
		p.b.cfg.Random(id[:])
		params.ClientID = "auto-" + hex.EncodeToString(id[:])
		params.Assigned = true
	}
	info := p.conn.Info()
	if info.CommonNameIsUser && info.CommonName != "" {
		params.HasUsername, params.Username = true, info.CommonName
	}
}

func (p *peer) key() Key {
	return Key{Mountpoint: p.listener.Mountpoint, ClientID: p.hs.Params().ClientID}
}

func (p *peer) identity() *Identity {
	params, info := p.hs.Params(), p.conn.Info()
	return &Identity{
		Mountpoint: p.listener.Mountpoint, ClientID: params.ClientID, Username: params.Username,
		Peer: info.Peer, PeerName: info.PeerName, Listener: p.listener.Name,
		CommonName: info.CommonName, CertificateUser: info.CommonNameIsUser, TLS: info.TLS,
	}
}

// connectSlowly authenticates and registers on a worker.
func (p *peer) connectSlowly() {
	r := p.b.begin()
	defer p.b.end(r)
	ctx, cancel := context.WithTimeout(context.Background(), p.b.settings.Load().ConnectTimeout)
	defer cancel()
	authData, more, v := p.authenticate(ctx)
	r.own.Reset()
	if v.Reason != packet.Success {
		p.b.count.unauthorized["connect"].Inc()
		p.hs.Refuse(v.Reason, v.Detail, &r.own)
		p.reply(&r.own, r)
		return
	}
	if more {
		p.await(r.now)
		p.hs.Challenge(authData, &r.own)
		p.reply(&r.own, r)
		return
	}
	p.hs.Params().AuthData = authData
	ok := p.b.awaitStart() && p.b.holdBack(p.key())
	var existing *client
	if ok {
		existing, ok = p.b.registry.hold(p.key(), p.b.stop)
	}
	if !ok {
		p.hs.Refuse(packet.ServerUnavailable, "server is shutting down", &r.own)
		p.reply(&r.own, r)
		return
	}
	defer p.b.registry.release(p.key())
	p.register(existing, r)
}

// authenticate asks whoever decides; more means that the client has to answer
// a challenge first.
func (p *peer) authenticate(ctx context.Context) (data []byte, more bool, v Verdict) {
	params := p.hs.Params()
	if params.AuthMethod != "" {
		if p.exchange == nil && p.b.cfg.Enhanced != nil {
			p.exchange = p.b.cfg.Enhanced.Begin(p.identity(), params.AuthMethod)
		}
		if p.exchange == nil {
			return nil, false, Verdict{packet.BadAuthenticationMethod, "authentication method is not known here"}
		}
		reply, done, v := p.exchange.Next(ctx, params.AuthData)
		return reply, !done, v
	}
	if p.open() {
		return nil, false, Verdict{}
	}
	return nil, false, p.authenticator().Authenticate(ctx, p.identity(), params.Password)
}

// register makes p the connection of its client id. The caller holds the key;
// existing is the client under it. False if the connection has ended.
func (p *peer) register(existing *client, r *round) bool {
	b, params := p.b, p.hs.Params()
	r.own.Reset()
	if gate := b.cfg.Gate.Now(); !gate.Allows(netsplit.Register) {
		return p.refuse(packet.ServerUnavailable, cmp.Or(gate.Why, "netsplit: registering is closed (allow_register_during_netsplit)"), r)
	}
	id := p.identity()
	rules := p.authorizer().RulesFor(id)
	if w := params.Will; w != nil && (reserved([]byte(w.Topic)) || rules != nil && !rules.MayPublish([]byte(w.Topic), w.QoS, w.Retain)) {
		b.count.unauthorized["publish"].Inc()
		return p.refuse(packet.NotAuthorized, "not authorized to publish the will", r)
	}
	g, err := b.permit(p)
	if err != nil {
		return p.refuse(packet.ServerUnavailable, err.Error(), r)
	}
	resumable := false
	if existing != nil {
		resumable = b.takeOver(existing, r) && g.ours(existing)
		b.settle(r)
	}
	c, present, err := b.sessionFor(p, existing, g, resumable, r)
	if err != nil {
		b.unused(p.key(), g.epoch)
		b.count.commitFailed.Inc()
		b.cfg.Log.Error("session could not be stored", "client", params.ClientID, "error", err)
		return p.refuse(packet.ServerUnavailable, "session could not be stored", r)
	}
	if b.cfg.Cluster != nil {
		b.cfg.Cluster.Connected(c.key, g.epoch, !c.durable)
	}
	return p.attach(c, g.epoch, present, id, rules, r)
}

// refuse answers CONNECT with no.
func (p *peer) refuse(reason packet.ReasonCode, detail string, r *round) bool {
	r.own.Reset()
	p.hs.Refuse(reason, detail, &r.own)
	return p.reply(&r.own, r)
}

// takeOver ends the connection of a client whose id has connected again; true
// if its session goes on.
func (b *Broker) takeOver(c *client, r *round) bool {
	if b.kick(c, nil, packet.SessionTakenOver, "the client id connected again", r) {
		b.count.takeovers.Inc()
	}
	r.lock(c)
	defer r.unlock(c)
	return !c.ended
}

// sessionFor returns the session that the connection continues, or a new one,
// after it is stored as far as it must outlive a crash. resumable says that
// existing is a session of this node that goes on if the client wants it.
func (b *Broker) sessionFor(p *peer, existing *client, g permission, resumable bool, r *round) (c *client, present bool, err error) {
	params := p.hs.Params()
	if g.away {
		return b.sessionFromAway(p, existing, g, r)
	}
	goOn := resumable && !params.CleanStart
	if goOn {
		c = existing
		b.comeBack(c, g.epoch)
	} else {
		if existing != nil {
			b.discard(existing, r)
		}
		if c, err = b.newClient(p, params, g.epoch); err != nil {
			return nil, false, err
		}
	}
	emptied := make(chan error, 1)
	if goOn || !c.durable {
		emptied <- nil
	} else {
		// The old queue of this client id must be gone for good before CONNACK.
		b.cfg.Queue.Barrier(func(err error) { emptied <- err })
	}
	if err := b.storeSession(c, params, g, !goOn); err != nil {
		return nil, false, err
	}
	if err := <-emptied; err != nil {
		return nil, false, err
	}
	return c, goOn, nil
}

// newClient makes a session that nobody else knows yet.
func (b *Broker) newClient(p *peer, params *session.Params, epoch metadata.Epoch) (*client, error) {
	key := p.key()
	c := &client{key: key, mount: b.mount(key.Mountpoint), durable: params.Persistent()}
	set := b.settings.Load()
	if !c.durable {
		c.mu = p.conn.Locker()
		c.initBound(set)
		return c, nil
	}
	c.mu = &c.own
	var id queue.QueueID
	var st queue.State
	var err error
	if b.cfg.Cluster == nil {
		id, st, err = b.cfg.Queue.Open(queueName(key), true)
	} else {
		// What is below the floor of the session is dead (R18).
		id, st, err = b.cfg.Queue.OpenGeneration(queueName(key), epoch.HLC, true)
	}
	if err != nil {
		return nil, err
	}
	b.makeDurable(c, id, st, set)
	return c, nil
}

// initBound gives a session that ends with its connection a queue in memory.
func (c *client) initBound(set *Settings) {
	c.queue = queue.New(set.Queue, false, queue.State{})
	c.core.Init(set.Limits, c.queue, false, nil)
}

// makeDurable joins a client with its stored queue.
func (b *Broker) makeDurable(c *client, id queue.QueueID, st queue.State, set *Settings) {
	c.qid = id
	c.queue = queue.New(set.Queue, true, st)
	c.onOp = func(tag uint64, es []queue.Entry, more bool, err error) { b.queueDone(c, tag, es, more, err) }
	c.core.Init(set.Limits, c.queue, true, nil)
	c.forgetAllBegun()
	for i := range st.Received {
		b.receivedOf(c, &st.Received[i])
	}
}

// queueName is the name of a client's queue in the message store.
func queueName(k Key) string { return queue.Name(k.Mountpoint, k.ClientID) }

// queueKey is the key that queueName made a name of.
func queueKey(name string) Key {
	mountpoint, id := queue.SplitName(name)
	return Key{mountpoint, id}
}

func (k Key) meta() metadata.ClientKey {
	return metadata.ClientKey{Mountpoint: k.Mountpoint, ClientID: k.ClientID}
}

// storeSession writes the session's record and waits for it, if the session
// outlives its connection or leaves a will. Called with the key held.
func (b *Broker) storeSession(c *client, params *session.Params, g permission, fresh bool) error {
	rec := &metadata.Session{}
	if old := c.record; old != nil {
		*rec = *old
	}
	b.comesHere(rec, g.epoch)
	if fresh {
		rec.Floor, rec.From = g.epoch, 0
	}
	rec.Connects++
	b.chooseBlock(c, rec, fresh)
	rec.Expiry, rec.CleanStart = params.Expiry, params.CleanStart
	rec.Version, rec.Username = uint8(params.Version), params.Username
	rec.DisconnectedAt = 0
	rec.Will = storedWill(params.Will, 0, g.epoch)
	if !params.Persistent() && params.Will == nil && c.record == nil {
		return nil
	}
	if err := b.putSession(c.key, rec); err != nil {
		return err
	}
	c.mu.Lock()
	c.record = rec
	c.mu.Unlock()
	if params.Will == nil && !g.away && !(fresh && params.Persistent()) {
		return nil
	}
	// Who takes over, or fires the will, reads what was written here (R29). A client
	// that has heard of its new session finds it at every node that can be reached.
	return b.replicated()
}

// comesHere makes this node the home of a record.
func (b *Broker) comesHere(rec *metadata.Session, epoch metadata.Epoch) {
	if rec.Home != 0 && rec.Home != b.cfg.NodeID {
		rec.From = rec.Home
	}
	rec.Home, rec.Epoch = b.cfg.NodeID, epoch
}

// kept reports whether something of the session is on disk.
func (c *client) kept() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.durable || c.record != nil
}

// attach binds the connection to its session and lets the client in.
func (p *peer) attach(c *client, epoch metadata.Epoch, present bool, id *Identity, rules Rules, r *round) bool {
	b, params := p.b, p.hs.Params()
	if !present {
		b.gauge.sessions.Add(1)
	}
	b.registry.put(c)
	l := p.conn.Locker()
	r.lock(c)
	if l != c.mu {
		l.Lock()
	}
	gone := p.closed
	p.hs, p.method = nil, params.AuthMethod
	p.id, p.rules = id, rules
	p.client.Store(c)
	if l != c.mu {
		l.Unlock()
	}
	c.conn, c.peer, c.id, c.granted = p.conn, p, id, epoch
	c.touched = 0 // this round may have touched the connection that was taken over
	c.expiry, c.will, c.willAt, c.willEpoch = params.Expiry, params.Will, 0, epoch
	c.connectedAt, c.disconnectedAt = r.now, 0
	b.setOnline(c, true)
	b.gauge.online.Add(1)
	if c.idsFrom != 0 {
		p.hold(holdIDs)
	} else {
		c.goesOn()
	}
	r.own.Reset()
	c.queue.SetLimits(b.settings.Load().Queue)
	c.core.Attach(params, present && !c.blocks.anew, c.blocks.chosen, params.AuthData, r.now, &r.own)
	b.emit(c, &r.own, r)
	if gone {
		b.detach(c, session.Close{Reason: packet.UnspecifiedError, Detail: "connection lost", Will: true}, r)
	}
	goesOn := !gone && len(c.owed) > 0
	r.unlock(c)
	b.count.connack["accepted"].Inc()
	if goesOn {
		b.goOnRetained(c, p, r)
	}
	p.watch(params, r)
	return !gone
}

// watch sets the timer of a connection that is in.
func (p *peer) watch(params *session.Params, r *round) {
	if params.KeepAlive > 0 {
		p.keepAlive = grace(params.KeepAlive)
	}
	if life := p.listener.Lifetime; life > 0 {
		p.diesAt = r.now + life.Milliseconds()
	}
	if p.keepAlive > 0 || p.diesAt > 0 {
		p.b.wheel.at(r.now, peerCheck{p})
	}
}

// reauthenticate hands an AUTH of a connected client to its exchange.
func (p *peer) reauthenticate(c *client, e *session.Effects, _ *round) {
	data := append([]byte(nil), e.Auth.Properties.AuthData...)
	first := e.Auth.Reason == packet.Reauthenticate
	p.hold(holdVerdict)
	p.b.spawn(func() {
		defer p.release(holdVerdict)
		r := p.b.begin()
		defer p.b.end(r)
		ctx, cancel := context.WithTimeout(context.Background(), p.b.settings.Load().ConnectTimeout)
		defer cancel()
		if first && p.b.cfg.Enhanced != nil {
			p.exchange = p.b.cfg.Enhanced.Begin(p.id, p.method)
		}
		if p.exchange == nil {
			p.b.kick(c, p, packet.BadAuthenticationMethod, "authentication method is not known here", r)
			return
		}
		reply, done, v := p.exchange.Next(ctx, data)
		if v.Reason != packet.Success {
			p.b.kick(c, p, packet.NotAuthorized, v.Detail, r)
			return
		}
		r.lock(c)
		defer r.unlock(c)
		if c.peer != p {
			return
		}
		r.own.Reset()
		if done {
			c.core.AuthDone(reply, &r.own)
		} else {
			c.core.AuthContinue(reply, &r.own)
		}
		p.b.emit(c, &r.own, r)
	})
}

// optionsOf turns a stored subscription into the index's form.
func optionsOf(v *metadata.Subscription) topic.Options {
	return topic.Options{
		QoS: v.QoS, NoLocal: v.NoLocal, RetainAsPublished: v.RetainAsPublished,
		RetainHandling: v.RetainHandling, ID: v.ID,
	}
}

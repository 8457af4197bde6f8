package bev

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/timer"
)

// Defaults of [RedialOptions].
const (
	DefaultRedialMin = 100 * time.Millisecond // before the second attempt
	DefaultRedialMax = 30 * time.Second       // before any
)

// RedialOptions are the settings of a [Redialer]. A nil pointer means all
// defaults. The struct is copied.
type RedialOptions struct {
	// Dial holds the settings of each attempt; nil means defaults. Give it a
	// Timeout: the kernel's patience is two minutes.
	Dial *DialOptions

	// MinDelay and MaxDelay are the shortest and the longest pause between
	// the end of one connection, or attempt, and the next attempt. 0 or less
	// means 100 ms (DefaultRedialMin) and 30 s (DefaultRedialMax). A MaxDelay
	// below MinDelay is raised to that.
	MinDelay, MaxDelay time.Duration
}

// A Redialer keeps one connection: when an attempt to make it fails, or it is
// closed, a new one is dialled after a pause. Made by [Redial].
type Redialer struct {
	// Set at creation, then constant.
	loop    *Loop
	ctx     context.Context
	cancel  context.CancelFunc
	network string
	addr    string
	setup   func(*Conn)
	opts    RedialOptions

	// Owned by the loop.
	conn  *Conn         // nil in a pause, and at the end
	since int64         // when conn was connected, never before
	delay time.Duration // the next pause, before chance has cut it down
	over  bool
	token poll.Token // so that it ends with its Loop
	node  timer.Node // the end of a pause
}

// Redial dials addr on network, as [Dial] does, and again whenever the attempt
// has failed or the connection is closed, until ctx ends or Stop. setup is
// called on the loop for each new Conn, before its attempt begins: set its
// callbacks and enable reading there. Write there what is to be said first.
//
// Each outcome is told to the Conn's Event callback, as by Dial. A Conn whose
// attempt has failed is closed when its callback has returned. One that was
// connected lives until it is closed, so close it when its peer ends, or leave
// the Event callback nil. Never keep a Conn longer than that: the next one is
// another.
//
// The pause is MinDelay at first and twice as long each time, up to MaxDelay. A
// connection that lasted at least as long as the pause would be starts anew
// with MinDelay. Chance takes up to half of each pause away, so that the
// clients of a server that went down do not all come back at the same moment.
//
// On a [LoopGroup], all its Conns are of the one Loop that had the fewest when
// it was made. The error is one of the arguments. Safe from any goroutine.
func Redial(ctx context.Context, on Runner, network, addr string, setup func(c *Conn), o *RedialOptions) (*Redialer, error) {
	if setup == nil {
		misuse("Redial needs a function that sets each new Conn up")
	}
	var z RedialOptions
	if o != nil {
		z = *o
	}
	if z.Dial != nil {
		d := *z.Dial
		z.Dial = &d
	}
	if z.MinDelay <= 0 {
		z.MinDelay = DefaultRedialMin
	}
	if z.MaxDelay <= 0 {
		z.MaxDelay = DefaultRedialMax
	}
	z.MaxDelay = max(z.MaxDelay, z.MinDelay)
	l := on.place()
	defer l.sockets.Add(-1) // each attempt counts by itself
	// What is wrong with the arguments is found now, or never.
	if _, err := newDialing(ctx, l, network, addr, z.Dial); err != nil {
		return nil, err
	}
	r := &Redialer{loop: l, network: network, addr: addr, setup: setup, opts: z, delay: z.MinDelay}
	r.ctx, r.cancel = context.WithCancel(ctx)
	if err := l.post(r); err != nil {
		r.cancel()
		return nil, err
	}
	return r, nil
}

// run begins, on the loop.
func (r *Redialer) run() {
	r.token = r.loop.sources.Insert(r)
	context.AfterFunc(r.ctx, func() {
		_ = r.loop.Post(r.end) // a Loop that is closed has no timers
	})
	r.dial()
}

// drop is run where the Loop closes first.
func (r *Redialer) drop() { r.end() }

// Stop ends it: an attempt that is under way fails with context.Canceled, a
// connection that stands stays, and neither is followed by another. Safe from
// any goroutine.
func (r *Redialer) Stop() { r.cancel() }

// Conn returns the Conn of this time, which may not be connected yet; nil in a
// pause, and after the end. Loop only.
func (r *Redialer) Conn() *Conn {
	r.loop.assertOwner("Redialer.Conn")
	return r.conn
}

// Pause returns how long it is until the next attempt, 0 if none waits. In an
// Event callback it is too early to ask: the Conn is not closed yet. Loop only.
func (r *Redialer) Pause() time.Duration {
	r.loop.assertOwner("Redialer.Pause")
	when, armed := r.loop.timers.When(r)
	if !armed {
		return 0
	}
	return max(time.Duration(when-r.loop.clock()), 0)
}

// dial begins one attempt.
func (r *Redialer) dial() {
	if r.ctx.Err() != nil {
		r.end()
		return
	}
	l := r.loop
	d, err := newDialing(r.ctx, l, r.network, r.addr, r.opts.Dial)
	if err != nil {
		r.end() // the Loop shuts down; nothing else has changed
		return
	}
	c := d.c
	c.rare.redial = r
	r.conn, r.since = &c.Conn, never
	outer := l.current
	l.current = d // a panic in setup is this attempt's
	r.setup(&c.Conn)
	l.current = outer
	l.sockets.Add(1)
	d.run()
}

// connected and closed are told what became of the Conn.
func (r *Redialer) connected() { r.since = r.loop.clock() }

func (r *Redialer) closed() {
	r.conn = nil
	if r.over || r.ctx.Err() != nil {
		r.end()
		return
	}
	now := r.loop.clock()
	if r.since != never && now-r.since >= int64(r.delay) {
		r.delay = r.opts.MinDelay
	}
	pause := r.delay - rand.N(r.delay/2+1)
	r.delay = min(2*r.delay, r.opts.MaxDelay)
	r.loop.arm(r, after(now, pause))
}

func (r *Redialer) timerNode() *timer.Node { return &r.node }

func (r *Redialer) expire(int64) { r.dial() }

// end is the end of it, unless a connection stands: then closing that is.
func (r *Redialer) end() {
	r.over = true
	r.loop.disarm(r)
	r.loop.sources.Remove(r.token)
	r.cancel()
}

// shutdown ends it with its Loop.
func (r *Redialer) shutdown() { r.end() }

// ready is never called: the kernel does not know the token.
func (r *Redialer) ready(poll.Ready) {}

package bev

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/bevgo/bev/internal/sys"
	"github.com/bevgo/bev/internal/timer"
)

// Dial makes a Conn and connects it to addr on network: "tcp", "tcp4", "tcp6"
// with "host:port" (an empty host is this machine), or "unix" with a path. It
// returns at once. What comes of it is told on the loop, never from inside the
// call, and exactly once: either EventConnected, or EventError with a
// *net.OpError over the reason, after which the Conn is good for Close only.
// EventTimeout comes with it when it was time that ran out: DialOptions.Timeout
// (os.ErrDeadlineExceeded), the context's deadline, or AttemptTimeout for every
// address.
//
// A host name is looked up by DialOptions.Resolver on a goroutine of its own.
// All addresses it has are tried, IPv6 and IPv4 in turn, beginning with the one
// that the resolver puts first. The next attempt begins when one fails, or when
// it has gone on for DialOptions.AttemptDelay; the first that succeeds wins,
// and the others are closed at once. When none does, the error holds that of
// each address: errors.Is finds them all, and the text names them.
//
// The Conn may be set up, written to and closed before it is connected; what
// is written goes out then, after EventConnected. Closing it ends whatever is
// under way. When ctx ends before the Conn is connected, Dial fails with the
// context's cause; afterwards ctx has no meaning. A unix listener whose queue is
// full refuses with EAGAIN, at once: connect(2). An error from Dial itself is
// one of the arguments, and of a Loop that is closed or shuts down; no callback
// runs then. Safe from any goroutine, but the Conn is the loop's: use it in
// callbacks, or through [Loop.Post].
//
// On a [LoopGroup] the Conn is one of the Loop that has the fewest at the time,
// see [Conn.Loop]. For a Conn that works together with another, as in a Relay,
// Dial on the Loop of that one.
//
// Source: RFC 8305, https://www.rfc-editor.org/rfc/rfc8305#section-5. The two
// families are looked up together, as package net does (no Resolution Delay).
//
// Libevent: bufferevent_socket_connect, bufferevent_socket_connect_hostname,
// bufferevent_socket_connect_hostname_hints. Unlike libevent, every address is tried
// (issue 263), a failure is told once and not from inside the call, and a timeout ends the attempt (669).
func Dial(ctx context.Context, on Runner, network, addr string, cb Callbacks, o *DialOptions) (*Conn, error) {
	l := on.place()
	d, err := newDialing(ctx, l, network, addr, o)
	if err == nil {
		d.c.cb = cb
		err = l.post(d)
	}
	if err != nil {
		l.sockets.Add(-1)
		return nil, err
	}
	return &d.c.Conn, nil
}

// newDialing makes a Conn and what leads it to addr. Nothing has begun yet.
func newDialing(ctx context.Context, l *Loop, network, addr string, o *DialOptions) (*dialing, error) {
	if ctx == nil {
		misuse("Dial needs a context: context.Background() never ends")
	}
	var z DialOptions
	if o != nil {
		z = *o
	}
	if l.draining.Load() {
		return nil, errLoopDrains
	}
	d := &dialing{ctx: ctx, loop: l, network: network, address: addr, opts: z, next: never, deadline: never}
	if err := d.parse(); err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	s, err := settings(z.Conn, false)
	if err != nil {
		return nil, err
	}
	c := new(socketConn)
	c.fd, c.tr = -1, c
	c.init(l, s)
	c.noRead |= ReasonConnecting
	c.noWrite |= ReasonConnecting
	c.flags |= flagConnecting
	d.c, d.settings = c, s
	c.ensureRare().dial = d
	return d, nil
}

// dialing is a Dial on its way, and the call that starts it on the loop. It is
// gone when the Conn is connected.
//
// Invariant: until it is over, a lookup is under way, or an attempt, or both
// lists are about to be worked off; so it always ends.
type dialing struct {
	// Set by Dial, then constant.
	c        *socketConn
	loop     *Loop
	ctx      context.Context
	network  string
	address  string // as given
	host     string // to look up, "" for none
	port     uint16 // of host
	local    sys.Addr
	anyLocal bool // local is a port on any address of either family
	opts     DialOptions
	settings *connSettings

	// Owned by the loop.
	over     bool          // told, or the Conn is closed
	targets  []sys.Addr    // not tried yet, in the order in which they will be
	racing   []*attempt    // under way, the oldest first
	failed   attemptErrors // of those that are not any more
	next     int64         // when the next of targets is tried at the latest
	deadline int64         // when DialOptions.Timeout has passed
	node     timer.Node    // for the earliest of these, and of the attempts' deadlines

	stopLookup func()      // gives the lookup up; nil where there is none
	forgetCtx  func() bool // ends the watch on ctx
}

// run begins, on the loop. The Conn may be closed already. It is counted.
func (d *dialing) run() {
	c := d.c
	if d.over {
		d.loop.sockets.Add(-1)
		d.loop.relieve()
		return
	}
	c.own(c)
	if d.ctx.Err() != nil {
		d.ctxEnded()
		return
	}
	if d.ctx.Done() != nil {
		d.forgetCtx = context.AfterFunc(d.ctx, func() {
			_ = d.loop.Post(d.ctxEnded) // a Loop that is closed has closed c
		})
	}
	if d.opts.Timeout > 0 {
		d.deadline = after(d.loop.clock(), d.opts.Timeout)
	}
	if d.host != "" {
		d.lookup()
		d.arm()
		return
	}
	d.advance()
}

// drop is run where the Loop closes first.
func (d *dialing) drop() {
	d.loop.sockets.Add(-1)
	d.c.close(false)
}

// DefaultAttemptDelay is the Connection Attempt Delay that RFC 8305
// recommends (section 5), see DialOptions.AttemptDelay.
const DefaultAttemptDelay = 250 * time.Millisecond

// minAttemptDelay is the least that it allows.
const minAttemptDelay = 10 * time.Millisecond

// maxRacing bounds the sockets of one Dial. It takes eight seconds of silence
// from as many addresses to get there; the next one then waits for one of them
// to end.
const maxRacing = 32

// advance begins the next attempt. It goes on until one is under way, and ends
// the Dial when there is none.
func (d *dialing) advance() {
	d.next = never
	for len(d.targets) > 0 && len(d.racing) < maxRacing {
		to := d.targets[0]
		d.targets = d.targets[1:]
		err := d.begin(to)
		if d.over {
			return // connected at once, or closed by the Control function
		}
		if err == nil {
			if delay := d.delay(); len(d.targets) > 0 && delay > 0 {
				d.next = after(d.loop.clock(), delay)
			}
			break
		}
		d.failed = append(d.failed, d.attemptError(to, err))
	}
	if len(d.racing) == 0 {
		d.fail(nil, 0)
		return
	}
	d.arm()
}

// delay is how long an attempt has before the next one joins it, negative for
// as long as it takes.
func (d *dialing) delay() time.Duration {
	switch delay := d.opts.AttemptDelay; {
	case delay == 0:
		return DefaultAttemptDelay
	case delay > 0:
		return max(delay, minAttemptDelay)
	default:
		return delay
	}
}

// arm has the loop call expire when there is something to do.
func (d *dialing) arm() {
	end := min(d.next, d.deadline)
	for _, a := range d.racing {
		end = min(end, a.deadline)
	}
	if end == never {
		d.loop.disarm(d)
		return
	}
	d.loop.arm(d, end)
}

func (d *dialing) timerNode() *timer.Node { return &d.node }

// expire ends what has taken too long, and begins what is due.
func (d *dialing) expire(now int64) {
	if d.deadline <= now {
		d.fail(os.ErrDeadlineExceeded, EventTimeout)
		return
	}
	due := d.next <= now
	for len(d.racing) > 0 && d.racing[0].deadline <= now {
		a := d.racing[0] // the oldest, and all have equally long
		d.remove(a)
		d.failed = append(d.failed, d.attemptError(a.addr, os.ErrDeadlineExceeded))
		due = true
	}
	if due {
		d.advance()
		return
	}
	d.arm()
}

// ctxEnded is posted when the context ends.
func (d *dialing) ctxEnded() {
	if d.over {
		return
	}
	cause, what := context.Cause(d.ctx), Event(0)
	if errors.Is(cause, context.DeadlineExceeded) {
		what = EventTimeout
	}
	d.fail(cause, what)
}

// connected ends a Dial well: the event first, then what was written before.
func (d *dialing) connected(to sys.Addr) {
	s := d.c
	d.end()
	s.setPeer(to.AddrPort())
	s.ioSince = momentOf(s.loop.clock())
	s.resume(Both, ReasonConnecting)
	s.armTimer()
	if r := s.rare.redial; r != nil {
		r.connected()
	}
	s.dueEvent(EventConnected, nil)
}

// fail ends a Dial badly: nothing of it is left when the event tells why. err
// is the reason why what is under way was given up, nil where nothing is.
func (d *dialing) fail(err error, what Event) {
	for _, a := range d.racing {
		d.failed = append(d.failed, d.attemptError(a.addr, err))
	}
	if len(d.racing) == 0 && err == nil && d.failed.allTimeouts() {
		what = EventTimeout
	}
	s := d.c
	d.end()
	s.noRead |= ReasonEnded | ReasonDisabled
	s.noWrite |= ReasonEnded | ReasonDisabled
	s.loop.guard(s.out.Reset)
	s.shareOutput()
	if s.flags&flagLinger != 0 {
		s.close(false)
		return
	}
	if s.rare.redial != nil {
		s.flags |= flagDoomed // the next attempt has a Conn of its own
	}
	s.dueEvent(EventError|what, d.failure(err))
}

// end closes all sockets that are still trying, and forgets what only a Dial
// needs.
func (d *dialing) end() {
	d.over = true
	for len(d.racing) > 0 {
		d.remove(d.racing[len(d.racing)-1])
	}
	d.loop.disarm(d)
	if d.stopLookup != nil {
		d.stopLookup()
	}
	if d.forgetCtx != nil {
		d.forgetCtx()
	}
	d.c.noRead &^= ReasonLookup
	d.c.noWrite &^= ReasonLookup
	d.c.flags &^= flagConnecting
	d.c.rare.dial = nil
}

// panicked is told that a Control function did.
func (d *dialing) panicked(p *PanicError) { d.c.panicked(p) }

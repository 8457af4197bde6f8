package bev

import (
	"errors"
	"fmt"
	"time"

	"github.com/bevgo/bev/buffer"
)

// RelayOptions are the settings of a [Relay]. A nil pointer means all
// defaults. The struct is copied.
type RelayOptions struct {
	// HighMark is how many bytes each direction may hold, in bev's memory and
	// in pipes of its, before its source is read no further; reading goes on
	// at half of it, and for a pipe when that is empty. 0 means 1 MiB
	// (DefaultRelayHigh); there is no way to have none. Below 32 KiB nothing is
	// moved inside the kernel.
	HighMark int

	// IdleTimeout ends the relay when no byte has moved in either direction
	// for that long. Both peers get a reset: neither has said that it is done,
	// so an end of file would have them take half an answer for a whole one.
	// RelayResult.Err is os.ErrDeadlineExceeded to errors.Is. 0 or less means
	// never.
	IdleTimeout time.Duration

	// NoSplice has all bytes pass through this process. By default, bytes
	// that come in bulk from one plain socket and go to another are moved
	// inside the kernel (splice(2), Linux), and small messages are copied,
	// which is cheaper for them. So are all bytes of a Conn with a rate limit,
	// of its own or of a group. Linux gives the pipes of a user who is not
	// root 64 MiB in all (pipe-user-pages-soft): beyond some 64 bulk directions
	// at a time pipes are smaller, and then bytes are copied.
	NoSplice bool

	// Done is called once, from the loop's queue, when the relay is over,
	// whatever has ended it: both Conns are closed then, or have nothing left
	// to do but close. Only a Loop that closes calls nobody.
	Done func(r RelayResult)
}

// DefaultRelayHigh is how many bytes a direction of a relay may hold where
// nobody says otherwise: as many as Linux lets a pipe hold, which is best for
// splice(2).
const DefaultRelayHigh = 1 << 20

// RelayResult is how a relay went.
type RelayResult struct {
	AToB, BToA uint64 // bytes handed on
	Spliced    uint64 // of these, how many never entered this process

	// Err is nil when both ends sent their end of file, otherwise what
	// happened first. To errors.Is it is os.ErrDeadlineExceeded for
	// IdleTimeout, and net.ErrClosed for Relaying.Close and where one of the
	// Conns was closed by others than the relay.
	Err error
}

// A Relaying is a relay that is under way. Made by [Relay].
type Relaying struct {
	ab, ba relayHalf
	high   int
	splice bool
	done   func(RelayResult)
	over   bool
	err    error
}

var (
	// errRelayClosed is what Done is told of a Conn that somebody else closed.
	errRelayClosed = closedError("bev: relay: one of its connections was closed from outside")
	errRelayEnded  = closedError("bev: Relay: one of the connections has failed, or ended its sending, already")
)

// relayHalf is one direction of a relay.
type relayHalf struct {
	r        *Relaying
	src, dst *Conn
	moved    uint64
	spliced  uint64
	ended    bool // src has sent its end of file, dst is to send it on
	bulk     int  // large reads in a row
	splicer  *splicer
}

// Relay couples two Conns of any kind: what one receives, the other sends,
// both ways, until both have sent their end of file, or one fails. An end of
// file is passed on once the bytes before it are sent, and the other direction
// goes on. A peer that does not read stops the reading of the other end;
// nothing is held but HighMark bytes a direction.
//
// Any other end of the relay is a reset at every peer that is still there, so
// that none takes a cut-off stream for a whole one: a failure of one end, a
// timeout of one that was set before, IdleTimeout, Relaying.Close, and Close of
// one of the Conns by somebody else. Only CloseAfterFlush still sends what that
// Conn holds, and ends it well.
//
// The two are the relay's from now on: it sets their callbacks, marks and what
// is enabled, and closes them. What is in their Inputs already is handed on, and
// so is an end of file that has been told. One of them may still be dialling.
// They must belong to one Loop; where one is closed, has failed, or was told
// CloseWrite, the error is net.ErrClosed. A Shutdown lets relays go on until
// they are over, or its context is. Loop only.
//
// Libevent: none; le-proxy.c in its samples does this by hand.
func Relay(a, b *Conn, o *RelayOptions) (*Relaying, error) {
	a.loop.assertOwner("Relay")
	switch {
	case a == b:
		return nil, errors.New("bev: Relay needs two connections, and was given one twice")
	case a.loop != b.loop:
		return nil, errors.New("bev: Relay: the two connections belong to different loops")
	case !a.alive() || !b.alive():
		return nil, errConnClosed
	case a.spoilt() || b.spoilt():
		return nil, errRelayEnded
	}
	var z RelayOptions
	if o != nil {
		z = *o
	}
	if z.HighMark <= 0 {
		z.HighMark = DefaultRelayHigh
	}
	r := &Relaying{high: z.HighMark, splice: !z.NoSplice, done: z.Done}
	r.ab = relayHalf{r: r, src: a, dst: b}
	r.ba = relayHalf{r: r, src: b, dst: a}
	r.ab.couple(z.IdleTimeout, r.ba.drained)
	r.ba.couple(z.IdleTimeout, r.ab.drained)
	a.ensureRare().relay, b.ensureRare().relay = r, r
	r.ab.start()
	r.ba.start()
	return r, nil
}

// spoilt reports whether the Conn cannot be an end of a relay any more: it has
// failed, or its peer has been told that no more comes.
func (c *Conn) spoilt() bool {
	return c.noWrite&ReasonEnded != 0 || c.flags&flagFinWanted != 0 || c.rare != nil && c.rare.told
}

// couple makes src this half's: drained is told when src's Output falls, which
// is the other half's business.
func (h *relayHalf) couple(idle time.Duration, drained func(*Conn)) {
	c := h.src
	c.cb = Callbacks{Read: h.read, Write: drained, Event: h.event}
	c.flags &^= flagUnchosen | flagPause
	c.readMark = mark{}
	c.setWriteMark(mark{low: clamp32(h.r.high / 2)})
	c.limitOutput(0)
	c.SetIdleTimeout(idle)
	c.inputChanged()
	c.resume(Reading, ReasonDisabled|ReasonOutputFull)
	c.resume(Writing, ReasonDisabled)
}

// start hands on what has come before the relay began, the end of file too.
func (h *relayHalf) start() {
	h.read(h.src)
	if h.src.noRead&ReasonEnded != 0 && !h.r.over {
		h.ended = true
		h.dst.wantFin()
		h.r.finish()
	}
}

// read hands on what has come. What the kernel takes at once goes out from
// where it was read; only the rest is copied.
func (h *relayHalf) read(*Conn) {
	n := h.src.in.Len()
	if n == 0 {
		return
	}
	if h.dst.flags&(flagFinWanted|flagFinSent) != 0 {
		h.r.end(nil, errRelayClosed) // somebody else has: src has not ended
		return
	}
	h.moved += uint64(n)
	h.dst.pass(&h.src.in)
	if h.r.over {
		return // dst failed
	}
	if h.dst.out.Len() >= h.r.high {
		h.src.suspend(Reading, ReasonRelay)
		h.bulk = 0
		return
	}
	h.considerSplice(n)
}

// drained has src go on once there is room in dst.
func (h *relayHalf) drained(*Conn) {
	if h.dst.out.Len() <= h.r.high/2 {
		h.src.resume(Reading, ReasonRelay)
	}
	h.r.finish()
}

// event is told what happened to src.
func (h *relayHalf) event(_ *Conn, what Event, err error) {
	switch {
	case what == EventTimeout && h.dst.flags&flagIdle == 0 && h.dst.idleEnd(h.src.loop.clock()) > h.src.loop.clock():
		// The other end still takes what this one sent: the idle time of
		// both ends when that of the last byte does.
		h.src.ioSince = h.dst.ioSince
		h.src.flags &^= flagIdle
		h.src.armTimer()
	case what == EventTimeout:
		h.r.end(nil, fmt.Errorf("bev: relay: no byte has moved for %v: %w", h.src.IdleTimeout(), err))
	case what&(EventError|EventTimeout) != 0:
		h.r.end(nil, err)
	case what&EventEOF != 0:
		h.ended = true
		h.dst.wantFin()
		h.r.finish()
	}
}

// finish ends the relay when both directions have, and all is handed on.
func (r *Relaying) finish() {
	if r.over || !r.ab.ended || !r.ba.ended || r.ab.dst.out.Len() > 0 || r.ba.dst.out.Len() > 0 {
		return
	}
	r.over = true // before they are closed, so that it is the relay that does it
	r.ab.src.CloseAfterFlush(0)
	r.ba.src.CloseAfterFlush(0)
	r.tell()
}

// end ends the relay in any other way, and aborts both Conns but for one that
// somebody else is closing already (c, else nil).
func (r *Relaying) end(c *Conn, err error) {
	if r.over {
		return
	}
	// What is on its way through the kernel is c's to send, if it still can.
	r.ab.stopSplice()
	r.ba.stopSplice()
	r.over, r.err = true, err
	for _, o := range []*Conn{r.ab.src, r.ba.src} {
		if o != c {
			o.close(true)
		}
	}
	r.tell()
}

// endRelay is called when the Conn is closed, or is to be after a flush, by
// whomever. Where it was not the relay, the relay ends with it.
func (c *Conn) endRelay() {
	if c.inRelay() {
		c.rare.relay.end(c, errRelayClosed)
	}
}

// inRelay reports whether the Conn is an end of a relay that goes on.
func (c *Conn) inRelay() bool {
	return c.rare != nil && c.rare.relay != nil && !c.rare.relay.over
}

// tell has Done called, from the queue: whoever closes a Conn must not find
// himself inside it.
func (r *Relaying) tell() {
	if r.done != nil {
		r.ab.src.loop.work.deferred.add(r)
	}
}

func (r *Relaying) runDeferred() { r.done(r.Result()) }

// Result returns how far the relay is, or how it went. Loop only.
func (r *Relaying) Result() RelayResult {
	r.ab.src.loop.assertOwner("Relaying.Result")
	return RelayResult{AToB: r.ab.moved, BToA: r.ba.moved, Spliced: r.ab.spliced + r.ba.spliced, Err: r.err}
}

// Close ends the relay and aborts both Conns; Done is told net.ErrClosed. It
// returns net.ErrClosed when the relay is over already. Loop only.
func (r *Relaying) Close() error {
	r.ab.src.loop.assertOwner("Relaying.Close")
	if r.over {
		return errConnClosed
	}
	r.end(nil, errConnClosed)
	return nil
}

// pass sends b, and empties it. Where Output is empty and the transport is a
// socket, as much as the kernel takes goes straight from b.
func (c *Conn) pass(b *buffer.Buffer) {
	if s, ok := c.tr.(*socketConn); ok && c.noWrite == 0 && c.out.Len() == 0 && s.state&sockWritable != 0 {
		n, err := 0, error(errAgain)
		if room := c.writeBudget(); room > 0 {
			n, err = s.send(b, room)
		}
		if n > 0 {
			c.accountSent(n)
		}
		if err != nil && err != errAgain {
			b.Reset()
			c.writeFailed(err)
			return
		}
	}
	if b.Len() == 0 {
		c.flags &^= flagWriteClock
		return
	}
	c.out.MoveAll(b)
	c.queueDirty()
}

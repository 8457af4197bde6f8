package bev

import (
	"errors"
	"os"
	"time"

	"github.com/bevgo/bev/buffer"
)

// RelayOptions are the settings of a [Relay]. A nil pointer means all
// defaults. The struct is copied.
type RelayOptions struct {
	// HighMark is how many bytes each direction may hold, in bev's memory,
	// before its source is read no further; reading goes on at half of it.
	// 0 means 256 KiB (DefaultOutputHigh); there is no way to have none.
	HighMark int

	// IdleTimeout ends the relay when no byte has moved in either direction
	// for that long. 0 or less means never.
	IdleTimeout time.Duration

	// NoSplice has all bytes pass through this process. By default, bytes
	// that come in bulk from one plain socket and go to another are moved
	// inside the kernel (splice(2), Linux), and small messages are copied,
	// which is cheaper for them.
	NoSplice bool

	// Done is called on the loop when the relay is over and both Conns are
	// closed, or have nothing left to do but close.
	Done func(r RelayResult)
}

// RelayResult is how a relay went.
type RelayResult struct {
	AToB, BToA uint64 // bytes handed on
	Spliced    uint64 // of these, how many never entered this process

	// Err is nil when both ends sent their end of file, otherwise what
	// happened first: os.ErrDeadlineExceeded for IdleTimeout, net.ErrClosed
	// for Relaying.Close.
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
// goes on. A failure of one end aborts the other, so that its peer does not
// take a cut-off stream for a whole one. A peer that does not read stops the
// reading of the other end; nothing is held but HighMark bytes a direction.
//
// The two are the relay's from now on: it sets their callbacks, marks and what
// is enabled, and closes them. What is in their Inputs already is handed on.
// One of them may still be dialling. They must belong to one Loop. Loop only.
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
	}
	var z RelayOptions
	if o != nil {
		z = *o
	}
	if z.HighMark <= 0 {
		z.HighMark = DefaultOutputHigh
	}
	r := &Relaying{high: z.HighMark, splice: !z.NoSplice, done: z.Done}
	r.ab = relayHalf{r: r, src: a, dst: b}
	r.ba = relayHalf{r: r, src: b, dst: a}
	r.ab.couple(z.IdleTimeout, r.ba.drained)
	r.ba.couple(z.IdleTimeout, r.ab.drained)
	r.ab.read(a)
	r.ba.read(b)
	return r, nil
}

// couple makes src this half's: drained is told when src's Output falls, which
// is the other half's business.
func (h *relayHalf) couple(idle time.Duration, drained func(*Conn)) {
	c := h.src
	c.cb = Callbacks{Read: h.read, Write: drained, Event: h.event}
	c.flags &^= flagUnchosen | flagPause
	c.readMark = mark{}
	c.writeMark = mark{low: clamp32(h.r.high / 2)}
	c.outputLimit = 0
	c.SetIdleTimeout(idle)
	c.inputChanged()
	c.resume(Reading, ReasonDisabled|ReasonOutputFull)
	c.resume(Writing, ReasonDisabled)
}

// read hands on what has come. What the kernel takes at once goes out from
// where it was read; only the rest is copied.
func (h *relayHalf) read(*Conn) {
	n := h.src.in.Len()
	if n == 0 {
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
	case what == EventTimeout && h.dst.ioSince != never && h.dst.idleEnd() > h.src.loop.clock():
		// The other end still takes what this one sent: the idle time of
		// both ends when that of the last byte does.
		h.src.ioSince = h.dst.ioSince
		h.src.armTimer()
	case what&(EventError|EventTimeout) != 0:
		h.r.end(h.src, err)
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
	r.over = true
	r.ab.src.CloseAfterFlush(0)
	r.ba.src.CloseAfterFlush(0)
	r.tell()
}

// end ends the relay because of a failure of c, or because somebody wants it
// to (c is nil).
func (r *Relaying) end(c *Conn, err error) {
	if r.over {
		return
	}
	r.over, r.err = true, err
	for _, o := range []*Conn{r.ab.src, r.ba.src} {
		o.close(o != c && !errors.Is(err, os.ErrDeadlineExceeded))
	}
	r.tell()
}

func (r *Relaying) tell() {
	r.ab.stopSplice()
	r.ba.stopSplice()
	if r.done != nil {
		r.done(r.Result())
	}
}

// Result returns how far the relay is, or how it went. Loop only.
func (r *Relaying) Result() RelayResult {
	r.ab.src.loop.assertOwner("Relaying.Result")
	return RelayResult{AToB: r.ab.moved, BToA: r.ba.moved, Spliced: r.ab.spliced + r.ba.spliced, Err: r.err}
}

// Close ends the relay and aborts both Conns; Done is called with
// net.ErrClosed. Loop only.
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
		c.writeSince = 0
		return
	}
	c.out.MoveAll(b)
	c.queueDirty()
}

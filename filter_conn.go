package bev

import (
	"io"
	"math"
	"net"
	"os"
	"syscall"

	"github.com/bevgo/bev/internal/poll"
)

// This file is the filter as a transport: how its Conn reads and writes
// through In and Out, and what it does about the Conn under it.

// The callbacks of the Conn under the filter.

func (f *filterConn) underRead(under *Conn) {
	f.fresh = true
	if f.noRead != 0 {
		under.suspend(Reading, ReasonFilter)
		return
	}
	f.turn()
}

func (f *filterConn) underWrite(*Conn) {
	f.stuckAt = 0
	if f.flags&flagClosed == 0 && f.more(Writing) {
		f.flush()
	}
}

func (f *filterConn) underEvent(_ *Conn, what Event, err error) {
	reading := what&EventReading != 0 && what&(EventEOF|EventError) != 0
	switch {
	case reading && what&EventError != 0 && what&EventWriting == 0:
		f.belowFailed(err)
	case reading:
		f.belowEnd = io.EOF
		if what&EventWriting != 0 {
			f.endWriting()
			f.ensureRare().write = err // told with the end
		}
		f.fresh = true
		f.turn()
	default:
		if what&EventError != 0 {
			f.endWriting()
		}
		if what&EventTimeout != 0 {
			f.suspend(Dir(what)&Both, ReasonDisabled) // the bits are the same
		}
		f.dueEvent(what, err)
	}
}

// belowFailed is a read error or a reset below: it comes after the bytes that
// are left, or at once where nobody is reading them.
func (f *filterConn) belowFailed(err error) {
	f.belowEnd = err
	f.endWriting()
	f.fresh = true
	if f.noRead != 0 && f.flags&flagLinger == 0 {
		f.ensureRare().told = true
		f.dueEvent(EventError|EventReading, err)
		return
	}
	f.turn()
}

// turn has the filter's Conn read, inside the callback of the Conn under it,
// so that the answer goes out with one write. In a very deep stack the turn is
// queued, so that the depth of the stack is not the depth of the calls.
func (f *filterConn) turn() {
	l := f.loop
	if l.depth >= maxDepth {
		f.queueAgain()
		return
	}
	l.depth++
	f.readTurn()
	l.depth--
	if f.under != nil && f.noRead != 0 {
		f.under.suspend(Reading, ReasonFilter)
	}
}

const maxDepth = 32

// fill runs In once.
func (f *filterConn) fill(max int) (int, error) {
	if f.inEnd != nil {
		return 0, f.inEnd
	}
	f.under.resume(Reading, ReasonFilter)
	mode := FlushNormal
	if f.belowEnd != nil {
		mode = FlushFinished
	}
	before := f.in.Len()
	err := f.run(Reading, mode, max)
	n := f.in.Len() - before
	switch {
	case err != nil:
		f.inEnd = err
	case n == 0 && f.belowEnd != nil:
		f.inEnd = f.belowEnd // Finished has brought out all that there was
	}
	if n > 0 {
		f.fresh = true // for what is left, or for the end
		return n, nil
	}
	if f.inEnd != nil {
		return 0, f.inEnd
	}
	f.fresh = false
	return 0, errAgain
}

// drain runs Out once.
func (f *filterConn) drain(int) (int, error) {
	if f.under.noWrite&ReasonEnded != 0 {
		return 0, os.NewSyscallError("write", syscall.EPIPE)
	}
	before := f.out.Len()
	err := f.run(Writing, FlushNormal, 0)
	n := before - f.out.Len()
	if err == nil && n == 0 {
		f.stuckAt = before
		err = errAgain
	}
	return n, err
}

// run calls the Filter. A panic in it is a panic of this Conn.
func (f *filterConn) run(dir Dir, mode FlushMode, userRoom int) error {
	s := &f.streams
	s.UserRoom, s.BelowRoom = userRoom, f.belowRoom()
	if dir == Writing {
		s.UserRoom = f.readBudget()
	}
	outer := f.loop.current
	f.loop.current = &f.Conn
	var err error
	if dir == Reading {
		err = f.filter.In(s, mode)
	} else {
		err = f.filter.Out(s, mode)
	}
	f.loop.current = outer
	return err
}

// belowRoom is how much the Conn below takes before it is at its high mark.
func (f *filterConn) belowRoom() int {
	u := f.under
	high := int(u.rules.writeMark.high)
	if high == 0 {
		return math.MaxInt
	}
	return max(high-u.out.Len(), 0)
}

func (f *filterConn) more(dir Dir) bool {
	u := f.under
	if u == nil {
		return false
	}
	if dir == Writing {
		return f.out.Len() > 0 && f.out.Len() != f.stuckAt && f.belowRoom() > 0
	}
	// A Conn below that stands still because of this one has to be told
	// that this one goes on, which fill does.
	return f.noRead&ReasonEnded == 0 && (f.fresh || u.noRead&ReasonFilter != 0)
}

func (f *filterConn) flushNow(dir Dir, mode FlushMode) bool {
	moved := false
	// As if by itself means within the marks, and only where it is let go on.
	normal := mode == FlushNormal
	if dir&Reading != 0 && f.inEnd == nil && (!normal || f.noRead == 0) {
		room := math.MaxInt
		if normal {
			room = f.readBudget()
		}
		before := f.in.Len()
		err := f.run(Reading, mode, room)
		if n := f.in.Len() - before; n > 0 {
			moved = true
			f.account(n)
			if f.readMark.allows(f.in.Len()) {
				f.postpone(pendRead)
			}
		}
		if err != nil {
			f.inEnd = err
			f.fresh = true
			f.queueAgain()
		}
	}
	if dir&Writing != 0 && !f.outEnded && (f.noWrite == 0 || !normal && f.noWrite&ReasonEnded == 0) {
		moved = f.flushOut(mode) || moved
	}
	u := f.under
	return u.tr.flushNow(dir, mode) || moved
}

func (f *filterConn) flushOut(mode FlushMode) bool {
	f.outEnded = mode == FlushFinished
	before, below := f.out.Len(), f.under.out.Len()
	err := f.run(Writing, mode, 0)
	if n := before - f.out.Len(); n > 0 {
		f.sent(n)
	}
	if err != nil {
		f.writeFailed(err)
	}
	return f.out.Len() != before || f.under.out.Len() != below
}

// shut ends the stream inside, then the one below.
func (f *filterConn) shut() error {
	err := f.finishOut()
	if shutErr := f.under.CloseWrite(); err == nil {
		err = shutErr
	}
	return err
}

// finishOut has Out bring out its last bytes, once.
func (f *filterConn) finishOut() error {
	if f.outEnded {
		return nil
	}
	f.outEnded = true
	return f.run(Writing, FlushFinished, 0)
}

// release lets the Conn below go. What it was given is sent, unless abort.
func (f *filterConn) release(abort bool) (err error) {
	f.disown()
	u := f.under
	if u.flags&flagClosed == 0 && !abort {
		// Whatever the Filter does, the Conn below is let go.
		f.loop.guard(func() { err = f.finishOut() })
	}
	f.under = nil
	u.flags &^= flagFiltered
	u.cb = Callbacks{}
	switch {
	case f.flags&flagKeepOpen != 0:
		u.suspend(Reading, ReasonDisabled)
		u.resume(Reading, ReasonFilter)
	case abort:
		u.close(true)
	default:
		// It reads on to meet the peer's end, although this one did not.
		u.resume(Reading, ReasonFilter)
		u.CloseAfterFlush(0)
	}
	return err
}

// ready is never called: the kernel does not know the token.
func (f *filterConn) ready(poll.Ready) {}

// shutdown closes the Conn with its Loop.
func (f *filterConn) shutdown() { f.close(false) }

func (f *filterConn) below() *Conn { return f.under }

func (f *filterConn) descriptor() int {
	if f.under == nil {
		return -1
	}
	return f.under.tr.descriptor()
}

func (f *filterConn) localAddr() net.Addr {
	if f.under == nil {
		return nil
	}
	return f.under.tr.localAddr()
}

func (f *filterConn) remoteAddr() net.Addr {
	if f.under == nil {
		return nil
	}
	return f.under.RemoteAddr()
}

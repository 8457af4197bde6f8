package bev

import (
	"errors"
	"io"
)

// readTurn is one turn of reading: budget, one read, marks, callback. It is
// called when the transport may have bytes, and reads nothing while a reason
// stands against it: the transport remembers that it is ready. A Conn that
// could read more takes its next turn after the others have had theirs. One
// that cannot go on tells now which failure was kept for the end.
func (c *Conn) readTurn() {
	if c.flags&flagSplice != 0 {
		if c.noRead == 0 {
			c.rare.splicer.turn()
		}
		return
	}
	if c.noRead == 0 && c.tr.more(Reading) {
		if room := c.readBudget(); room > 0 {
			n, err := c.tr.fill(room)
			if n > 0 {
				c.received(n)
			} else {
				c.readStopped(err)
			}
		} else {
			c.starved(Reading)
		}
	}
	switch {
	case c.flags&flagClosed != 0:
	case c.noRead&^paced == 0 && c.tr.more(Reading):
		if c.noRead == 0 {
			c.queueAgain()
		}
	case c.rare != nil && c.rare.reset != nil && !c.rare.told:
		c.tellReset() // reading stopped before it came to the end
	case c.rare != nil && c.rare.write != nil:
		c.tellWriteFailure() // nothing readable is left to come before it
	}
}

// readBudget is how many bytes this turn may read. It is above 0 unless there
// are limits that others use up too, a RateGroup's and the memory budget:
// reading is suspended where the high mark leaves no room.
func (c *Conn) readBudget() int {
	n := int(c.rules.maxRead)
	if c.readMark.high > 0 && c.flags&flagLinger == 0 {
		n = min(n, int(c.readMark.high)-c.in.Len())
	}
	if c.flags&flagLimited != 0 {
		n = c.limit(Reading, n)
	}
	return n
}

// received accounts for n new bytes at the end of Input and tells the user.
func (c *Conn) received(n int) {
	c.account(n)
	if c.flags&flagLinger != 0 {
		c.in.Reset() // read so that the kernel need not answer with a reset
		return
	}
	if c.readMark.full(c.in.Len()) {
		c.suspend(Reading, ReasonHighMark)
	}
	if c.readMark.allows(c.in.Len()) && c.cb.Read != nil {
		c.dueRead()
		return
	}
	c.settle()
	c.checkInputLimit()
}

// account notes that n bytes have come.
func (c *Conn) account(n int) {
	now := momentOf(c.loop.now)
	c.readSince = now
	c.notIdle(now)
	c.countRead(n)
	c.loop.stats.BytesRead += uint64(n)
	if c.flags&flagLimited != 0 {
		c.charge(Reading, n)
	}
}

// readStopped handles a read that brought no bytes.
func (c *Conn) readStopped(err error) {
	if err == errAgain {
		return
	}
	c.noRead |= ReasonEnded | ReasonDisabled
	if c.flags&flagLinger != 0 {
		c.lingerEnded()
		return
	}
	f := c.rare
	if f != nil && f.told {
		return // by reset, while these bytes were still unread
	}
	what := EventReading | EventError
	switch {
	case f != nil && f.reset != nil:
		// The kernel gave its error to us when it happened and says only
		// "end" now.
		err = f.reset
		f.told = true
	case errors.Is(err, io.EOF):
		what = EventReading | EventEOF
	default:
		err = c.opError("read", err)
		c.ensureRare().told = true
	}
	if f != nil && f.write != nil && f.reset == nil {
		what |= EventWriting | EventError
		err = errors.Join(err, f.write)
		f.write = nil
	}
	c.dueEvent(what, err)
}

// peerReset is told once that the connection has failed, with the kernel's
// reason. While reading goes on, the bytes that are left come first. While it
// stands still nobody would ever hear of it, so it is told at once.
//
// Unlike libevent, which notices a reset only by reading (issues 677, 666).
func (c *Conn) peerReset(err error) {
	f := c.ensureRare()
	if f.reset != nil || f.told {
		return
	}
	f.reset = c.opError("read", err)
	f.write = nil // the same failure, seen first from the other side
	c.endWriting()
	if c.flags&flagLinger != 0 {
		c.close(false)
		return
	}
	if c.noRead&^paced != 0 {
		c.tellReset()
	}
}

func (c *Conn) tellReset() {
	c.rare.told = true
	c.dueEvent(EventError|EventReading, c.rare.reset)
}

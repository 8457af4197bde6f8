package bev

import (
	"errors"
	"io"
)

// readTurn is one turn of reading: budget, one read, marks, callback. It is
// called when the transport may have bytes, and does nothing while a reason
// stands against it: the transport remembers that it is ready. A Conn that
// could read more takes its next turn after the others have had theirs.
func (c *Conn) readTurn() {
	if c.noRead != 0 || !c.tr.more(Reading) {
		return
	}
	n, err := c.tr.fill(c.readBudget())
	if n > 0 {
		c.received(n)
	} else {
		c.readStopped(err)
	}
	switch {
	case c.flags&flagClosed != 0:
	case c.noRead == 0 && c.tr.more(Reading):
		c.queueAgain()
	case c.rare != nil && c.rare.write != nil:
		c.tellWriteFailure() // nothing readable is left to come before it
	}
}

// readBudget is how many bytes this turn may read. It is above 0, because
// reading is suspended where the high mark leaves no room.
func (c *Conn) readBudget() int {
	n := int(c.maxRead)
	if c.readMark.high > 0 && c.flags&flagLinger == 0 {
		n = min(n, int(c.readMark.high)-c.in.Len())
	}
	return n
}

// received accounts for n new bytes at the end of Input and tells the user.
func (c *Conn) received(n int) {
	now := c.loop.now
	c.readSince, c.ioSince = now, now
	c.bytesRead += uint64(n)
	c.loop.stats.BytesRead += uint64(n)
	if c.flags&flagLinger != 0 {
		c.in.Reset() // read so that the kernel need not answer with a reset
		return
	}
	if c.readMark.full(c.in.Len()) {
		c.noRead |= ReasonHighMark
	}
	if c.readMark.allows(c.in.Len()) && c.cb.Read != nil {
		c.dueRead()
		return
	}
	c.settle()
	c.checkInputLimit()
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
	if c.noRead != 0 {
		f.told = true
		c.dueEvent(EventError|EventReading, f.reset)
	}
}

package bev

import (
	"net"
	"time"
)

// Close drops what is in Input and Output, closes the descriptor at once
// (unless KeepOpen), and runs no callback any more. It may be called from any
// callback and more than once; it returns net.ErrClosed when there was nothing
// left to close. Note that the kernel answers a close with unread input by a
// reset, which can destroy what the peer has not read yet: to end a
// conversation, use CloseAfterFlush. Loop only.
//
// Libevent: bufferevent_free with BEV_OPT_CLOSE_ON_FREE. Unlike libevent, the
// descriptor is closed when Close returns.
func (c *Conn) Close() error {
	c.loop.assertOwner("Conn.Close")
	if c.flags&flagClosed != 0 {
		return errConnClosed
	}
	return c.close(false)
}

// Abort closes the Conn as Close does, and has the peer see a reset instead of
// an end of file. Loop only.
func (c *Conn) Abort() error {
	c.loop.assertOwner("Conn.Abort")
	if c.flags&flagClosed != 0 {
		return errConnClosed
	}
	return c.close(true)
}

// Closed reports whether the Conn is closed. Loop only.
func (c *Conn) Closed() bool {
	c.loop.assertOwner("Conn.Closed")
	return c.flags&flagClosed != 0
}

func (c *Conn) close(abort bool) error {
	if c.flags&flagClosed != 0 {
		return nil
	}
	if n := c.loop.cutting; n != nil {
		n.add(c)
		abort = true
	}
	if c.flags&flagDoomed != 0 || c.inRelay() {
		abort = true // half of an answer must not look like a whole one
	}
	c.flags |= flagClosed
	c.noRead |= ReasonEnded
	c.noWrite |= ReasonEnded
	c.pend = 0
	c.loop.disarm(c)
	// Dropping bytes may call functions of the user. Whatever they do, the
	// descriptor is closed.
	c.loop.guard(c.in.Reset)
	c.loop.guard(c.out.Reset)
	c.closeHandle()
	c.dropRate()
	c.loop.budget.close(c)
	if c.rare != nil && c.rare.view != nil {
		c.rare.view.connClosed()
	}
	err := c.tr.release(abort)
	c.endRelay()
	if c.rare != nil && c.rare.redial != nil {
		c.rare.redial.closed()
	}
	if err != nil {
		return c.opError("close", err)
	}
	return nil
}

// CloseWrite tells the peer that no more bytes come, once Output is empty;
// later writes return net.ErrClosed. Reading goes on. Loop only.
//
// Libevent: none; shutdown(2) with SHUT_WR.
func (c *Conn) CloseWrite() error {
	c.loop.assertOwner("Conn.CloseWrite")
	switch {
	case c.flags&flagClosed != 0:
		return errConnClosed
	case c.noWrite&ReasonEnded != 0:
		return errWriteEnded
	}
	c.wantFin()
	return nil
}

func (c *Conn) wantFin() {
	if c.flags&(flagFinWanted|flagFinSent) == 0 {
		c.flags |= flagFinWanted
		if c.flags&flagBusy == 0 {
			c.queueDirty()
		}
	}
}

// CloseAfterFlush ends a conversation without loss: it sends what is in
// Output, tells the peer that no more comes, reads and discards until the
// peer's own end, and then closes. Callbacks do not run any more, and Input is
// dropped. Sending and discarding take at most d, then the Conn is closed
// however far they are; 0 means ten seconds (DefaultLinger), negative as long
// as it takes. Writing is enabled for it, if it was not. Loop only.
//
// Libevent: none (issue 616 asks for it).
func (c *Conn) CloseAfterFlush(d time.Duration) {
	c.loop.assertOwner("Conn.CloseAfterFlush")
	if c.flags&(flagClosed|flagLinger) != 0 {
		return
	}
	c.endRelay()
	if c.noWrite&(ReasonEnded|ReasonNoFD) != 0 && c.flags&flagFinSent == 0 {
		c.close(false) // nothing can be sent, so there is nothing to wait for
		return
	}
	c.flags |= flagLinger
	c.pend = 0
	c.loop.guard(c.in.Reset) // as in close
	if c.rare != nil && c.rare.view != nil {
		c.rare.view.connEnds()
	}
	c.settle()
	if d == 0 {
		d = DefaultLinger
	}
	if d > 0 {
		c.ensureRare().deadline = after(c.loop.clock(), d)
		c.armTimer()
	}
	if c.flags&flagFinSent != 0 && c.noRead&ReasonEnded != 0 {
		c.close(false) // both have said all
		return
	}
	c.wantFin()
	// What stops a user's reading and writing does not stop this.
	c.resume(Writing, ReasonDisabled)
	c.resume(Reading, ReasonDisabled|ReasonHighMark|ReasonOutputFull|ReasonNetConn)
	c.loop.budget.goOn(c) // what is read from here on is not kept
}

// outputEmpty does what waits for the last byte of Output to be sent.
func (c *Conn) outputEmpty() {
	if c.flags&flagFinWanted == 0 || c.noWrite&^paced != 0 {
		return
	}
	c.flags = c.flags&^flagFinWanted | flagFinSent
	c.noWrite |= ReasonEnded
	// The peer may be gone already. Reading tells, and tells it better.
	err := c.tr.shut()
	// Where there is nothing to shut, closing is what tells the peer.
	if c.flags&flagLinger != 0 && (c.noRead&ReasonEnded != 0 || err != nil) {
		c.close(false)
	}
}

// lingerEnded is the end of what the peer had to say to a CloseAfterFlush.
func (c *Conn) lingerEnded() {
	if c.flags&flagFinSent != 0 {
		c.close(false)
	}
}

// opError dresses what the kernel said as package net does.
func (c *Conn) opError(op string, err error) error {
	if _, ok := err.(*net.OpError); ok {
		return err // from the Conn below, which knows better
	}
	e := &net.OpError{Op: op, Net: "fd", Source: c.tr.localAddr(), Addr: c.RemoteAddr(), Err: err}
	if e.Addr != nil {
		e.Net = e.Addr.Network()
	} else if e.Source != nil {
		e.Net = e.Source.Network()
	}
	return e
}

package bev

import (
	"io"
	"net"
	"os"
)

// Read is net.Conn's.
func (n *netConn) Read(p []byte) (int, error) {
	if err := n.beginRead(len(p) == 0); err != nil || len(p) == 0 {
		return 0, err
	}
	defer n.endRead()
	k, err := n.taken.Read(p)
	if err != nil {
		err = n.readError(err)
	}
	return k, err
}

// WriteTo is io.WriterTo's: it writes all that comes until the end of the
// stream to w, from where it lies. What w does not take can still be read.
func (n *netConn) WriteTo(w io.Writer) (int64, error) {
	total := int64(0)
	for {
		k, err := n.writeTo(w)
		total += k
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// writeTo is one step: what has been handed over. The loop fills in more
// meanwhile.
func (n *netConn) writeTo(w io.Writer) (int64, error) {
	if err := n.beginRead(false); err != nil {
		return 0, err
	}
	defer n.endRead() // w may panic
	return n.taken.WriteTo(w)
}

// beginRead waits for bytes and takes all that were handed over, so that the
// lock is free while they are copied or, by WriteTo, given to somebody who may
// take long. One caller at a time has them; the others wait here, where a
// deadline and Close find them. With nothing to read it only says whether the
// netConn is closed.
func (n *netConn) beginRead(nothing bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case n.closed:
			return n.opError("read", net.ErrClosed)
		case nothing:
			return nil
		case n.readEnd.passed:
			return n.opError("read", os.ErrDeadlineExceeded)
		case n.reading:
		case n.deaf:
			return io.EOF
		case n.unread() > 0:
			n.reading = true
			n.taken.MoveAll(&n.in)
			n.lent = n.taken.Len()
			return nil
		case n.inErr != nil:
			return n.opError("read", n.inErr)
		}
		if n.c.loop.mustNotWait() {
			return n.opError("read", errNetOnLoop)
		}
		n.readable.Wait()
	}
}

// endRead puts back what is left, and has the loop go on reading once little
// enough is.
func (n *netConn) endRead() {
	n.mu.Lock()
	n.reading = false
	n.lent = n.taken.Len()
	if n.stalled && n.unread() <= n.readLow && !n.closed {
		n.stalled = false
		n.asks |= askRead
		_ = n.post() // a Loop that is closed ends the waiting, too
	}
	dropped := n.closed || n.deaf
	if dropped {
		n.lent = 0
	}
	n.readable.Broadcast()
	n.mu.Unlock()
	if dropped {
		n.taken.Reset() // no Read comes here any more
	}
}

// readError is opError for one who does not hold mu.
func (n *netConn) readError(err error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.opError("read", err)
}

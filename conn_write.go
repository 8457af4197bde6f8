package bev

import (
	"github.com/bevgo/bev/buffer"
)

// Write queues p for the peer. It copies p, takes all of it or, with an error,
// nothing, and never blocks: what one callback writes goes out in one system
// call when the callback has returned, and what others write at the end of the
// tick. The error is ErrOutputFull beyond OutputLimit, and net.ErrClosed after
// Close, CloseWrite or a failure. A nil error means queued, in order, not
// sent. Other goroutines use [Handle.Write]. Loop only.
//
// Libevent: bufferevent_write.
func (c *Conn) Write(p []byte) (int, error) {
	c.loop.assertOwner("Conn.Write")
	if err := c.mayWrite(len(p)); err != nil {
		return 0, err
	}
	c.out.Append(p)
	return len(p), nil
}

// WriteString is Write for a string. Loop only.
func (c *Conn) WriteString(s string) (int, error) {
	c.loop.assertOwner("Conn.WriteString")
	if err := c.mayWrite(len(s)); err != nil {
		return 0, err
	}
	c.out.AppendString(s)
	return len(s), nil
}

// WriteBuffer queues all of b for the peer without copying, and empties b. On
// an error, those of Write, b is unchanged. b may be the Conn's own Input:
// that is an echo. Loop only.
//
// Libevent: bufferevent_write_buffer.
func (c *Conn) WriteBuffer(b *buffer.Buffer) error {
	c.loop.assertOwner("Conn.WriteBuffer")
	if err := c.mayWrite(b.Len()); err != nil {
		return err
	}
	c.out.MoveAll(b)
	return nil
}

// mayWrite reports why n bytes cannot be queued.
func (c *Conn) mayWrite(n int) error {
	switch {
	case c.flags&flagClosed != 0:
		return errConnClosed
	case c.flags&(flagFinWanted|flagFinSent|flagLinger) != 0:
		return errWriteShut
	case c.noWrite&ReasonEnded != 0:
		return errWriteEnded
	case c.rules.outputLimit > 0 && n > 0 && c.out.Len()+c.onTheWay()+n > int(c.rules.outputLimit):
		return ErrOutputFull
	}
	return nil
}

// SetOutputLimit bounds Output at n bytes, see ConnOptions.OutputLimit; 0 or
// less means none. What is in Output already stays. Loop only.
func (c *Conn) SetOutputLimit(n int) {
	c.loop.assertOwner("Conn.SetOutputLimit")
	c.limitOutput(n)
	c.shareOutput()
}

func (c *Conn) limitOutput(n int) {
	r := *c.rules
	r.outputLimit = clamp32(n)
	c.setRules(r)
}

// OutputLimit returns the bound of Output in bytes, 0 for none. Loop only.
func (c *Conn) OutputLimit() int {
	c.loop.assertOwner("Conn.OutputLimit")
	return int(c.rules.outputLimit)
}

// queueDirty has the loop flush the Conn at the end of the tick.
func (c *Conn) queueDirty() {
	if c.flags&flagDirty == 0 {
		c.flags |= flagDirty
		c.loop.work.dirty.add(c)
	}
}

func (c *Conn) flushDirty() {
	c.flags &^= flagDirty
	if c.flags&flagClosed == 0 {
		c.forget()
		c.flush()
	}
}

// flush gives Output to the transport, in one operation, and tells the user
// if little enough is left. A transport that would take more is asked again
// after other Conns have had their turn.
func (c *Conn) flush() {
	if c.noWrite == 0 && c.tr.more(Writing) {
		n, err := 0, error(errAgain)
		if room := c.writeBudget(); room > 0 {
			n, err = c.tr.drain(room)
		} else {
			c.starved(Writing)
		}
		if n > 0 {
			c.sent(n)
		}
		if err != nil && err != errAgain {
			c.writeFailed(err)
			return
		}
	}
	if c.flags&flagClosed != 0 {
		return // by the Write callback
	}
	c.checkOutputMark()
	c.shareOutput()
	switch {
	case c.out.Len() == 0:
		c.flags &^= flagWriteClock
		c.outputEmpty()
	case c.noWrite == 0:
		if c.tr.more(Writing) {
			c.queueDirty()
		}
		c.startWriteClock()
	}
}

// writeBudget is how many bytes this turn may write. It is above 0 unless
// others have used up what its RateGroup had.
func (c *Conn) writeBudget() int {
	n := int(c.rules.maxWrite)
	if c.flags&flagLimited != 0 {
		n = c.limit(Writing, n)
	}
	return n
}

// sent accounts for n bytes that left Output.
func (c *Conn) sent(n int) {
	c.accountSent(n)
	c.outputFell()
	if c.rules.writeMark.permits(c.out.Len()) && c.flags&flagLinger == 0 {
		c.dueWrite()
	}
}

// accountSent notes that n bytes have gone.
func (c *Conn) accountSent(n int) {
	now := momentOf(c.loop.now)
	c.startWriteAt(now)
	c.notIdle(now)
	c.countWritten(n)
	c.loop.stats.BytesWritten += uint64(n)
	if c.flags&flagLimited != 0 {
		c.charge(Writing, n)
	}
}

// startWriteClock runs once for each stretch of time in which Output is not
// empty: the Output that goes out whole never comes here.
func (c *Conn) startWriteClock() {
	if c.rules.timeouts.write == 0 {
		return
	}
	if c.flags&flagWriteClock == 0 {
		c.startWriteAt(momentOf(c.loop.now))
	}
	c.armTimer()
}

// writeFailed ends writing. Bytes that can still be read are worth more than
// the news that writing is over, so they come first.
func (c *Conn) writeFailed(err error) {
	c.endWriting()
	switch {
	case c.flags&flagLinger != 0:
		c.close(false) // nobody can be served any more
		return
	case c.rare != nil && (c.rare.reset != nil || c.rare.told):
		return // the same failure, seen from the other side
	}
	c.ensureRare().write = c.opError("write", err)
	if c.noRead&^paced == 0 && c.tr.more(Reading) {
		if c.noRead == 0 {
			c.queueAgain()
		}
		return
	}
	c.tellWriteFailure()
}

func (c *Conn) tellWriteFailure() {
	err := c.rare.write
	c.rare.write = nil
	c.dueEvent(EventError|EventWriting, err)
}

// endWriting drops what cannot be sent any more.
func (c *Conn) endWriting() {
	c.noWrite |= ReasonEnded | ReasonDisabled
	c.flags &^= flagFinWanted
	c.out.Reset()
	c.shareOutput()
}

// Flush gives Output to the transport now, without waiting for the end of the
// callback or tick, and reports whether any bytes were moved. What a flush
// finds is told from the loop's queue, never from inside the call.
//
// A socket sends what it can take; dir has to contain Writing, and mode means
// nothing. An end of a pair moves bytes, in mode FlushAll and FlushFinished,
// whether or not the directions are enabled and have room. A filter runs with
// that mode, then what is under it is flushed. Loop only.
//
// Libevent: bufferevent_flush. Unlike libevent, it is not without effect on a socket.
func (c *Conn) Flush(dir Dir, mode FlushMode) bool {
	c.loop.assertOwner("Conn.Flush")
	if !c.alive() {
		return false
	}
	outer := c.flags & flagBusy
	c.flags |= flagBusy // so that callbacks are queued
	inner := c.loop.inner
	c.loop.inner = c // it may be another Conn's callback that calls
	moved := c.tr.flushNow(dir, mode)
	c.loop.inner = inner
	c.flags = c.flags&^flagBusy | outer
	if outer == 0 && c.flags&flagClosed == 0 {
		c.settle()
	}
	return moved
}

// FlushMode says how much a [Conn.Flush] means.
//
// Libevent: enum bufferevent_flush_mode.
type FlushMode uint8

const (
	FlushNormal   FlushMode = iota // as if by itself
	FlushAll                       // what is held back for more, too
	FlushFinished                  // and no more will come
)

package bev

import (
	"net"
	"sync"
	"time"
)

// A netDeadline ends the waits of one direction of a netConn. It is a time of
// day, set and waited for by goroutines, so it has a timer of its own: through
// the loop, every SetDeadline would be a wake-up. The mu of its netConn guards
// it.
type netDeadline struct {
	timer  *time.Timer // nil until one is needed
	at     time.Time   // zero: none
	passed bool
}

// SetDeadline is net.Conn's.
func (n *netConn) SetDeadline(t time.Time) error { return n.setDeadlines(t, true, true) }

// SetReadDeadline is net.Conn's.
func (n *netConn) SetReadDeadline(t time.Time) error { return n.setDeadlines(t, true, false) }

// SetWriteDeadline is net.Conn's.
func (n *netConn) SetWriteDeadline(t time.Time) error { return n.setDeadlines(t, false, true) }

func (n *netConn) setDeadlines(t time.Time, read, write bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return n.opError("set", net.ErrClosed)
	}
	if read {
		n.readEnd.set(&n.readable, t)
	}
	if write {
		n.writeEnd.set(&n.writable, t)
	}
	return nil
}

// set makes t the deadline of those who wait for cond, the zero time none.
func (d *netDeadline) set(cond *sync.Cond, t time.Time) {
	d.stop()
	d.at, d.passed = time.Time{}, false
	if t.IsZero() {
		return
	}
	now := time.Now()
	left := t.Sub(now)
	if left <= 0 {
		d.passed = true
		cond.Broadcast()
		return
	}
	// On the monotonic clock, as the timer is.
	d.at = now.Add(left)
	if d.timer == nil {
		d.timer = time.AfterFunc(left, func() { d.expire(cond) })
		return
	}
	d.timer.Reset(left)
}

// expire may be late: by the time that it has the lock there may be another
// deadline, or none.
func (d *netDeadline) expire(cond *sync.Cond) {
	cond.L.Lock()
	defer cond.L.Unlock()
	if !d.at.IsZero() && !time.Now().Before(d.at) {
		d.passed = true
		cond.Broadcast()
	}
}

// stop leaves no timer behind.
func (d *netDeadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at = time.Time{}
}

package bev

import (
	"math"
	"os"
	"time"

	"github.com/bevgo/bev/internal/timer"
)

// timeouts are durations in milliseconds, 0 for none, in 32 bits for the sake
// of idle Conns: the longest is 24 days.
type timeouts struct {
	read, write, idle uint32
}

// A moment is a time of the Loop's clock in milliseconds, rounded up, in 32
// bits. They come round after 49 days; a clock that runs is never that old,
// because its timeout is shorter.
type moment uint32

const millisecond = int64(time.Millisecond)

func momentOf(now int64) moment { return moment((now + millisecond - 1) / millisecond) }

// end is the time at which a clock that started at m has run for so many
// milliseconds. It is seen from now, which is not before m.
func (m moment) end(ms uint32, now int64) int64 {
	age := uint32(momentOf(now) - m)
	return ((now+millisecond-1)/millisecond - int64(age) + int64(ms)) * millisecond
}

// Each clock of a Conn is a moment at which it last started: readSince,
// writeSince (where flagWriteClock says that there is something to send),
// ioSince (until flagIdle says that it was told); deadline is the end of a
// linger. Moving a byte stores a moment and touches nothing else: the one node
// in the loop's heap is allowed to be early, and expire puts it where it
// belongs.

// SetTimeouts sets how long reading and writing may go without progress; 0 or
// less means for ever. The resolution is a millisecond, rounded up; more than 24
// days are 24 days.
//
// The read timeout runs while reading is enabled and not suspended, the write
// timeout while there is something to send besides; any byte that moves in its
// direction, and anything that lets the direction go on, starts it anew. When
// one expires its direction is disabled and the Event callback gets
// EventTimeout with EventReading or EventWriting, once. The other direction
// goes on; Enable arms the timeout again. Setting starts both clocks anew.
// Loop only.
//
// Libevent: bufferevent_set_timeouts.
func (c *Conn) SetTimeouts(read, write time.Duration) {
	c.loop.assertOwner("Conn.SetTimeouts")
	r := *c.rules
	r.timeouts.read, r.timeouts.write = clockTime(read), clockTime(write)
	c.setRules(r)
	c.readSince = momentOf(c.loop.clock())
	if c.out.Len() > 0 {
		c.startWriteAt(c.readSince)
	}
	c.armTimer()
}

// Timeouts returns the read and write timeouts, 0 for none. Loop only.
func (c *Conn) Timeouts() (read, write time.Duration) {
	c.loop.assertOwner("Conn.Timeouts")
	return duration(c.rules.timeouts.read), duration(c.rules.timeouts.write)
}

// SetIdleTimeout sets how long the Conn may go without a byte in either
// direction, suspended or not; 0 or less means for ever. It expires with
// EventTimeout alone, disables nothing, and starts anew with the next byte.
// Loop only.
func (c *Conn) SetIdleTimeout(d time.Duration) {
	c.loop.assertOwner("Conn.SetIdleTimeout")
	r := *c.rules
	r.timeouts.idle = clockTime(d)
	c.setRules(r)
	c.ioSince = momentOf(c.loop.clock())
	c.flags &^= flagIdle
	c.armTimer()
}

// IdleTimeout returns the idle timeout, 0 for none. Loop only.
func (c *Conn) IdleTimeout() time.Duration {
	c.loop.assertOwner("Conn.IdleTimeout")
	return duration(c.rules.timeouts.idle)
}

func clockTime(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	// Halves first, so that the longest Duration does not overflow.
	ms := d / time.Millisecond
	if d%time.Millisecond != 0 {
		ms++
	}
	return uint32(min(int64(ms), math.MaxInt32))
}

func duration(ms uint32) time.Duration { return time.Duration(ms) * time.Millisecond }

const never = math.MaxInt64

// The ends of the clocks, never for one that does not run.

func (c *Conn) readEnd(now int64) int64 {
	t := c.rules.timeouts.read
	if t == 0 || c.noRead != 0 {
		return never
	}
	return c.readSince.end(t, now)
}

func (c *Conn) writeEnd(now int64) int64 {
	t := c.rules.timeouts.write
	if t == 0 || c.noWrite != 0 || c.flags&flagWriteClock == 0 {
		return never
	}
	return c.writeSince.end(t, now)
}

func (c *Conn) idleEnd(now int64) int64 {
	t := c.rules.timeouts.idle
	if t == 0 || c.flags&flagIdle != 0 {
		return never
	}
	return c.ioSince.end(t, now)
}

func (c *Conn) nextEnd(now int64) int64 {
	end := int64(never)
	if c.rare != nil && c.rare.deadline != 0 {
		end = c.rare.deadline
	}
	if c.flags&(flagConnecting|flagLinger) != 0 {
		return end
	}
	return min(end, c.readEnd(now), c.writeEnd(now), c.idleEnd(now))
}

// startWriteAt has the write clock run from m on.
func (c *Conn) startWriteAt(m moment) {
	c.writeSince = m
	c.flags |= flagWriteClock
}

// armTimer makes sure that the heap wakes the Conn no later than its next
// end. One that is earlier already may stay.
func (c *Conn) armTimer() {
	end := c.nextEnd(c.loop.clock())
	if end == never || c.flags&flagClosed != 0 {
		return
	}
	if when, armed := c.loop.timers.When(c); armed && when <= end {
		return
	}
	c.loop.arm(c, end)
}

func (c *Conn) timerNode() *timer.Node { return &c.timer }

// expire tells the clocks that have ended, and puts the node at the end of
// the next one.
func (c *Conn) expire(now int64) {
	if r := c.rare; r != nil && r.deadline != 0 && r.deadline <= now {
		r.deadline = 0
		c.deadlinePassed()
		return
	}
	if c.flags&(flagConnecting|flagLinger) == 0 {
		c.expireClocks(now)
	}
	c.armTimer()
}

func (c *Conn) expireClocks(now int64) {
	if c.readEnd(now) <= now {
		c.suspend(Reading, ReasonDisabled)
		c.dueEvent(EventTimeout|EventReading, os.ErrDeadlineExceeded)
	}
	if c.alive() && c.writeEnd(now) <= now {
		c.suspend(Writing, ReasonDisabled)
		c.dueEvent(EventTimeout|EventWriting, os.ErrDeadlineExceeded)
	}
	if c.alive() && c.idleEnd(now) <= now {
		c.flags |= flagIdle // until a byte moves
		c.dueEvent(EventTimeout, os.ErrDeadlineExceeded)
	}
}

// notIdle notes that a byte has moved.
func (c *Conn) notIdle(now moment) {
	c.ioSince = now
	if c.flags&flagIdle != 0 {
		c.flags &^= flagIdle
		c.armTimer() // the clock stood still until now
	}
}

// deadlinePassed ends a linger that has lasted long enough.
func (c *Conn) deadlinePassed() {
	// A CloseAfterFlush: what is below was to be sent by now, too.
	for b := c; b != nil; {
		next := b.tr.below()
		if b.flags&flagKeepOpen != 0 {
			next = nil
		}
		b.close(false)
		b = next
	}
}

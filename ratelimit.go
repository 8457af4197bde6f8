package bev

import (
	"fmt"
	"math"
	"time"
)

// RateLimit says how fast bytes may move. It works as a bucket that fills with
// time and that what has moved is taken from: see [Conn.SetRateLimit], and
// [RateGroup] for one that several connections share.
//
// Libevent: struct ev_token_bucket_cfg, ev_token_bucket_cfg_new. Unlike libevent, rates are bytes per
// second whatever the tick, and a bucket starts with half of what a tick
// brings.
type RateLimit struct {
	// Read and Write are bytes per second, averaged from the first byte on.
	// 0 means no limit in that direction.
	Read, Write int

	// ReadBurst and WriteBurst are how many bytes may be saved up while
	// nothing moves, and so the most that can go at once. They must hold at
	// least what one tick brings. 0 means what a second brings.
	ReadBurst, WriteBurst int

	// Tick is how long those wait who have used up what there is: bytes are
	// handed out at the end of each tick. Shorter ticks are smoother and wake
	// the loop more often. At most 100 ms (DefaultRateTick) and at least a
	// millisecond; fractions of a millisecond are cut off. 0 means 100 ms.
	Tick time.Duration
}

// DefaultRateTick is the longest tick of a RateLimit, and the default.
const DefaultRateTick = 100 * time.Millisecond

// complete returns the limit with its defaults filled in, or what is wrong
// with it.
func (r RateLimit) complete() (RateLimit, error) {
	switch {
	case r.Tick == 0:
		r.Tick = DefaultRateTick
	case r.Tick < time.Millisecond || r.Tick > DefaultRateTick:
		return r, fmt.Errorf("bev: rate limit: a tick of %v: it must be between 1ms and %v", r.Tick, DefaultRateTick)
	}
	r.Tick = r.Tick.Truncate(time.Millisecond)
	for _, d := range []struct {
		dir   Dir
		rate  int
		burst *int
	}{{Reading, r.Read, &r.ReadBurst}, {Writing, r.Write, &r.WriteBurst}} {
		one := tickful(d.rate, r.Tick)
		switch {
		case d.rate < 0 || *d.burst < 0:
			return r, fmt.Errorf("bev: rate limit: %v at %d bytes per second with a burst of %d: neither can be negative", d.dir, d.rate, *d.burst)
		case d.rate == 0 && *d.burst > 0:
			return r, fmt.Errorf("bev: rate limit: %v has a burst of %d and no rate: a limit needs both, none has neither", d.dir, *d.burst)
		case *d.burst == 0:
			*d.burst = d.rate
		case *d.burst < one:
			return r, fmt.Errorf("bev: rate limit: %v: a burst of %d is less than the %d bytes of one tick, so that the rate could not be reached", d.dir, *d.burst, one)
		}
	}
	return r, nil
}

// tickful is what one tick brings, in whole bytes, rounded up.
func tickful(rate int, tick time.Duration) int {
	b := bucket{rate: int64(rate), burst: math.MaxInt64, part: second - 1}
	b.credit(int64(tick))
	return int(min(b.level, math.MaxInt))
}

// connRate is what a Conn with a rate limit, its own or its group's, has
// besides. Everything is in pairs: what belongs to reading, then to writing.
type connRate struct {
	c      *Conn
	limit  RateLimit // the Conn's own; Tick is 0 where it has none
	own    [2]bucket
	filled int64 // the own buckets hold what came up to this time
	at     int32 // see waiter

	group  *RateGroup
	member int // where in RateGroup.members
	share  [2]groupShare
}

// index is where the things of one direction are in a pair.
func (d Dir) index() int { return int(d) - 1 }

// rate returns what the Conn has to do with rate limits, nil in nearly all.
func (c *Conn) rate() *connRate {
	if c.rare == nil {
		return nil
	}
	return c.rare.rate
}

// wire is the Conn that limits are about: the bytes that count are those that
// the peer sees, so a filter's limits are those of what is at its bottom.
func (c *Conn) wire() *Conn {
	for {
		b := c.tr.below()
		if b == nil {
			return c
		}
		c = b
	}
}

// SetRateLimit limits how fast the Conn reads and writes; nil takes the limit
// off. It copies r. Bytes are counted when they have moved. When a bucket is
// empty its direction is suspended (ReasonRate) until the tick ends; timeouts
// of that direction do not run meanwhile. One read or write moves no more than
// the bucket holds, nor more than MaxSingle. It may be called at any time: a
// bucket keeps what it holds, as far as the new burst allows.
//
// Over a filter the limit is that of the connection at the bottom, and so is
// what all other methods of this kind speak of: with TLS, what counts is the
// records and the handshake. An error says what is wrong with r, and nothing
// has changed then; it is net.ErrClosed on a closed Conn. Never runs
// callbacks. Loop only.
//
// Libevent: bufferevent_set_rate_limit. Unlike libevent, the bounds of one
// read and one write still hold, and so a limited Conn cannot keep others
// waiting.
func (c *Conn) SetRateLimit(r *RateLimit) error {
	c.loop.assertOwner("Conn.SetRateLimit")
	w := c.wire()
	if c.flags&flagClosed != 0 || w.flags&flagClosed != 0 {
		return errConnClosed
	}
	if r == nil {
		w.dropLimit()
		return nil
	}
	z, err := r.complete()
	if err != nil {
		return err
	}
	s := w.ensureRate()
	now := c.loop.clock()
	// What the old limit brought up to this moment is the Conn's.
	s.creditOwn(now)
	s.unpace()
	s.limit = z
	s.own[0].change(z.Read, z.ReadBurst, int64(z.Tick))
	s.own[1].change(z.Write, z.WriteBurst, int64(z.Tick))
	s.check(Reading)
	s.check(Writing)
	return nil
}

// ensureRate returns the Conn's connRate, made if need be.
func (c *Conn) ensureRate() *connRate {
	f := c.ensureRare()
	if f.rate == nil {
		f.rate = &connRate{c: c}
		c.flags |= flagLimited
		// Bytes that a relay moves inside the kernel cannot be held back.
		for _, s := range []*splicer{f.splicer, f.feeder} {
			if s != nil {
				s.stop()
			}
		}
	}
	return f.rate
}

// dropLimit takes the Conn's own limit off.
func (c *Conn) dropLimit() {
	r := c.rate()
	if r == nil || r.limit.Tick == 0 {
		return
	}
	r.unpace()
	r.limit, r.own = RateLimit{}, [2]bucket{}
	c.resume(Both, ReasonRate)
	r.forget()
}

// dropRate takes all limits off a Conn that closes.
func (c *Conn) dropRate() {
	r := c.rate()
	if r == nil {
		return
	}
	if r.group != nil {
		r.group.drop(r)
	}
	r.unpace()
	r.limit = RateLimit{}
	r.forget()
}

// forget lets go of a connRate that says nothing any more.
func (r *connRate) forget() {
	if r.group == nil && r.limit.Tick == 0 {
		r.c.rare.rate = nil
		if r.c.loop.budget.max == 0 {
			r.c.flags &^= flagLimited
		}
	}
}

func (r *connRate) unpace() {
	if r.limit.Tick != 0 {
		r.c.loop.pacer(r.limit.Tick).remove(r)
	}
}

// RateLimit returns the Conn's own limit with its defaults filled in; ok is
// false when there is none. Loop only.
//
// Libevent: bufferevent_get_token_bucket_cfg.
func (c *Conn) RateLimit() (r RateLimit, ok bool) {
	c.loop.assertOwner("Conn.RateLimit")
	if s := c.wire().rate(); s != nil {
		return s.limit, s.limit.Tick != 0
	}
	return RateLimit{}, false
}

// ReadLimit returns how many bytes the Conn's own limit lets it read now, its
// group not considered. It is negative where more was charged than there was,
// and math.MaxInt without a limit. Loop only.
//
// Libevent: bufferevent_get_read_limit.
func (c *Conn) ReadLimit() int {
	c.loop.assertOwner("Conn.ReadLimit")
	return c.ownLeft(Reading)
}

// WriteLimit is ReadLimit for writing. Loop only.
//
// Libevent: bufferevent_get_write_limit.
func (c *Conn) WriteLimit() int {
	c.loop.assertOwner("Conn.WriteLimit")
	return c.ownLeft(Writing)
}

func (c *Conn) ownLeft(dir Dir) int {
	r := c.wire().rate()
	if r == nil {
		return math.MaxInt
	}
	r.refill(c.loop.clock())
	return r.own[dir.index()].left()
}

// DecrementReadLimit charges n bytes to the Conn's own limit as if they had
// been read: for bytes that cost the peer's bandwidth elsewhere. A negative n
// gives bytes back, up to the burst. Reading stops and goes on accordingly.
// Without an own limit it does nothing. Loop only.
//
// Libevent: bufferevent_decrement_read_limit.
func (c *Conn) DecrementReadLimit(n int) {
	c.loop.assertOwner("Conn.DecrementReadLimit")
	c.wire().rate().chargeOwn(Reading, n)
}

// DecrementWriteLimit is DecrementReadLimit for writing. Loop only.
//
// Libevent: bufferevent_decrement_write_limit.
func (c *Conn) DecrementWriteLimit(n int) {
	c.loop.assertOwner("Conn.DecrementWriteLimit")
	c.wire().rate().chargeOwn(Writing, n)
}

// MaxToRead returns how many bytes the next read may bring at most: the bound
// of one read, the room below the high mark, the Conn's own limit, and its
// share of the group's, whichever is least. Loop only.
//
// Libevent: bufferevent_get_max_to_read. Unlike libevent, the mark counts.
func (c *Conn) MaxToRead() int {
	c.loop.assertOwner("Conn.MaxToRead")
	return c.maxToMove(Reading)
}

// MaxToWrite returns how many bytes the next write may send at most: the bound
// of one write, the Conn's own limit, and its share of the group's, whichever
// is least. Loop only.
//
// Libevent: bufferevent_get_max_to_write.
func (c *Conn) MaxToWrite() int {
	c.loop.assertOwner("Conn.MaxToWrite")
	return c.maxToMove(Writing)
}

func (c *Conn) maxToMove(dir Dir) int {
	n := 0
	for b := c; b != nil && b.flags&flagClosed == 0; b = b.tr.below() {
		m := b.writeBudget()
		if dir == Reading {
			m = b.readBudget()
		}
		if b == c {
			n = m
		}
		n = min(n, m)
	}
	return max(n, 0)
}

// creditOwn fills the own buckets up to a time that need not be the end of a
// tick.
func (r *connRate) creditOwn(until int64) {
	if until > r.filled {
		r.own[0].credit(until - r.filled)
		r.own[1].credit(until - r.filled)
		r.filled = until
	}
}

// refill fills the own buckets up to the last end of a tick.
func (r *connRate) refill(now int64) {
	if r.limit.Tick != 0 {
		r.creditOwn(tickEnd(now, int64(r.limit.Tick)))
	}
}

// room is how many of n bytes may move in dir now.
func (r *connRate) room(dir Dir, n int) int {
	now := r.c.loop.clock()
	r.refill(now)
	left := min(int64(n), r.own[dir.index()].room())
	if r.group != nil {
		left = min(left, r.group.room(r, dir, now))
	}
	return int(left)
}

// charge accounts for n bytes that have moved in dir.
func (r *connRate) charge(dir Dir, n int) {
	r.chargeOwn(dir, n)
	if r.group != nil {
		r.group.charge(r, dir, n)
	}
}

func (r *connRate) chargeOwn(dir Dir, n int) {
	if r == nil || r.own[dir.index()].rate == 0 {
		return
	}
	r.refill(r.c.loop.clock())
	r.own[dir.index()].take(n)
	r.check(dir)
}

// check suspends or resumes dir for the Conn's own limit.
func (r *connRate) check(dir Dir) {
	c, b := r.c, &r.own[dir.index()]
	switch stopped := c.reasons(dir)&ReasonRate != 0; {
	case b.rate == 0 || b.level > 0:
		if stopped {
			c.resume(dir, ReasonRate)
		}
		return
	case !stopped:
		c.suspend(dir, ReasonRate)
	}
	c.loop.pacer(r.limit.Tick).add(r)
}

// ticked is told that a tick of the Conn's own limit is over.
func (r *connRate) ticked(now int64) bool {
	r.refill(now)
	r.check(Reading)
	r.check(Writing)
	return (r.c.noRead|r.c.noWrite)&ReasonRate != 0
}

func (r *connRate) place() *int32 { return &r.at }

// reasons are those for which one direction stands still.
func (c *Conn) reasons(dir Dir) Reason {
	if dir == Writing {
		return c.noWrite
	}
	return c.noRead
}

// limit is how many of n bytes a Conn with flagLimited may move.
func (c *Conn) limit(dir Dir, n int) int {
	if m := &c.loop.budget; dir == Reading && m.max != 0 && c.flags&flagLinger == 0 {
		n = m.room(c, n)
	}
	if r := c.rate(); r != nil {
		n = r.room(dir, n)
	}
	return n
}

// charge accounts for bytes that a Conn with flagLimited has moved.
func (c *Conn) charge(dir Dir, n int) {
	if r := c.rate(); r != nil {
		r.charge(dir, n)
	}
	c.loop.budget.recount(c)
}

// starved stops a direction in which not one byte may move.
func (c *Conn) starved(dir Dir) {
	// A Conn's own limit stops it as soon as it is used up; the group's bucket
	// may have been emptied by others.
	if r := c.rate(); r != nil && r.group != nil && r.group.room(r, dir, c.loop.clock()) == 0 {
		r.group.enqueue(r, dir)
		return
	}
	if dir == Reading {
		c.stopForBudget()
	}
}

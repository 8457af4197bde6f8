package bev

import (
	"errors"
	"math"
	"slices"
)

// A RateGroup is a rate limit that connections of one Loop share. Nobody's
// share depends on luck: who finds the bucket empty joins the end of a queue,
// and at the end of each tick the bucket is dealt out from the front of that
// queue in equal parts, none smaller than the minimum share. Where there is
// too little for all, the rest keep their places and come first at the next
// tick. So two members that always want more differ by one such part, however
// long they run. What members leave unused is there for the others at the next
// tick.
//
// A member may have a limit of its own besides; the stricter holds.
//
// Its methods are Loop only.
//
// Libevent: struct bufferevent_rate_limit_group. Unlike libevent, a group
// belongs to one Loop, and turns are taken in order instead of from a random
// member on.
type RateGroup struct {
	loop     *Loop
	limit    RateLimit
	minShare int // 0: the default
	members  []*connRate
	flow     [2]groupFlow // of reading, of writing
	filled   int64        // the buckets hold what came up to this time
	round    uint64       // counts the times that the buckets were dealt out
	at       int32        // see waiter
	closed   bool
}

// groupFlow is one direction of a group.
type groupFlow struct {
	bucket
	total uint64 // bytes moved since ResetTotals
	deal  int64  // level at the start of this round
	short bool   // somebody was waiting at the start of this round

	// The queue: first those who have had nothing in this round, up to mid,
	// then those who have. So who comes late is not behind those who came
	// early and have had theirs.
	first, mid, last *groupShare
	waiting          int // its length
}

// groupShare is a member's part in one direction.
//
// Invariant: a direction of a Conn that is suspended for ReasonGroupRate is
// queued, and has nothing to move left from this round.
type groupShare struct {
	r          *connRate
	prev, next *groupShare
	queued     bool
	grant      int64  // bytes it may move; negative after it had to move more
	round      uint64 // when it got them; good in that round and the next
}

// DefaultMinShare is what a member of a RateGroup gets at least when its turn
// has come, in bytes, unless SetMinShare says otherwise.
const DefaultMinShare = 64

// NewRateGroup makes a group for connections of l. A RateLimit without any
// rate is allowed: such a group counts. The error says what is wrong with r.
// Loop only.
//
// Libevent: bufferevent_rate_limit_group_new.
func NewRateGroup(l *Loop, r RateLimit) (*RateGroup, error) {
	l.assertOwner("NewRateGroup")
	g := &RateGroup{loop: l, filled: l.clock(), round: 2} // 0 is an old round
	if err := g.SetLimit(r); err != nil {
		return nil, err
	}
	return g, nil
}

// SetLimit replaces the limit, at any time. The buckets keep what they hold,
// as far as the new bursts allow. The error says what is wrong with r, and
// nothing has changed then. Loop only.
//
// Libevent: bufferevent_rate_limit_group_set_cfg.
func (g *RateGroup) SetLimit(r RateLimit) error {
	g.loop.assertOwner("RateGroup.SetLimit")
	z, err := r.complete()
	if err != nil {
		return err
	}
	g.credit(g.loop.clock())
	g.unpace()
	g.limit = z
	g.flow[0].change(z.Read, z.ReadBurst, int64(z.Tick))
	g.flow[1].change(z.Write, z.WriteBurst, int64(z.Tick))
	g.newRound()
	return nil
}

// Limit returns the limit with its defaults filled in. Loop only.
func (g *RateGroup) Limit() RateLimit {
	g.loop.assertOwner("RateGroup.Limit")
	return g.limit
}

// SetMinShare sets how many bytes a member whose turn has come gets at least.
// A larger one makes fewer and larger reads and writes, and longer turns. More
// than a tick brings counts as that. 0 or less means 64 (DefaultMinShare).
// Loop only.
//
// Libevent: bufferevent_rate_limit_group_set_min_share.
func (g *RateGroup) SetMinShare(n int) {
	g.loop.assertOwner("RateGroup.SetMinShare")
	g.minShare = max(n, 0)
}

// MinShare returns what SetMinShare set, or the default. Loop only.
func (g *RateGroup) MinShare() int {
	g.loop.assertOwner("RateGroup.MinShare")
	if g.minShare == 0 {
		return DefaultMinShare
	}
	return g.minShare
}

// Add makes c a member. It leaves the group that it was in before. The error
// is net.ErrClosed when c or the group is closed, and says so when c belongs
// to another Loop. Loop only.
//
// Libevent: bufferevent_add_to_rate_limit_group.
func (g *RateGroup) Add(c *Conn) error {
	g.loop.assertOwner("RateGroup.Add")
	w := c.wire()
	switch {
	case g.closed:
		return errGroupClosed
	case c.loop != g.loop:
		return errForeignGroup
	case c.flags&flagClosed != 0 || w.flags&flagClosed != 0:
		return errConnClosed
	}
	r := w.ensureRate()
	if r.group == g {
		return nil
	}
	if r.group != nil {
		r.group.drop(r)
	}
	r.group, r.member = g, len(g.members)
	r.share = [2]groupShare{{r: r}, {r: r}}
	g.members = append(g.members, r)
	return nil
}

// Remove ends c's membership, and goes on with what the group held back of it.
// It does nothing when c is not a member. Loop only.
//
// Libevent: bufferevent_remove_from_rate_limit_group.
func (g *RateGroup) Remove(c *Conn) {
	g.loop.assertOwner("RateGroup.Remove")
	if r := c.wire().rate(); r != nil && r.group == g {
		g.drop(r)
		r.forget()
	}
}

var errForeignGroup = errors.New("bev: a RateGroup limits connections of its own Loop only: make one for each Loop")

// SetRateGroup makes the Conn a member of g, as [RateGroup.Add] does; nil
// takes it out of its group. Loop only.
//
// Libevent: bufferevent_add_to_rate_limit_group, bufferevent_remove_from_rate_limit_group.
func (c *Conn) SetRateGroup(g *RateGroup) error {
	c.loop.assertOwner("Conn.SetRateGroup")
	if g != nil {
		return g.Add(c)
	}
	if old := c.RateGroup(); old != nil {
		old.Remove(c)
	}
	return nil
}

// RateGroup returns the group that the Conn is a member of, nil for none. Loop
// only.
func (c *Conn) RateGroup() *RateGroup {
	c.loop.assertOwner("Conn.RateGroup")
	if r := c.wire().rate(); r != nil {
		return r.group
	}
	return nil
}

// drop takes r out of the group.
func (g *RateGroup) drop(r *connRate) {
	last := len(g.members) - 1
	moved := g.members[last]
	g.members[r.member], moved.member = moved, r.member
	g.members[last] = nil
	g.members = g.members[:last]
	for _, dir := range []Dir{Reading, Writing} {
		if s := &r.share[dir.index()]; s.queued {
			g.flow[dir.index()].unlink(s)
		}
	}
	r.group = nil
	r.c.resume(Both, ReasonGroupRate)
	g.pace()
}

// Close takes all members out. Nothing can be added any more. It returns
// net.ErrClosed when the group is closed already. Loop only.
//
// Libevent: bufferevent_rate_limit_group_free. Unlike libevent, the group may
// have members.
func (g *RateGroup) Close() error {
	g.loop.assertOwner("RateGroup.Close")
	if g.closed {
		return errGroupClosed
	}
	g.closed = true
	for _, r := range slices.Clone(g.members) {
		g.drop(r)
		r.forget()
	}
	return nil
}

// Members returns how many members there are. Loop only.
func (g *RateGroup) Members() int {
	g.loop.assertOwner("RateGroup.Members")
	return len(g.members)
}

// Totals returns how many bytes the members have read and written since the
// group was made or ResetTotals was called, those of former members included.
// Loop only.
//
// Libevent: bufferevent_rate_limit_group_get_totals.
func (g *RateGroup) Totals() (read, written uint64) {
	g.loop.assertOwner("RateGroup.Totals")
	return g.flow[0].total, g.flow[1].total
}

// ResetTotals sets both totals to 0. Loop only.
//
// Libevent: bufferevent_rate_limit_group_reset_totals.
func (g *RateGroup) ResetTotals() {
	g.loop.assertOwner("RateGroup.ResetTotals")
	g.flow[0].total, g.flow[1].total = 0, 0
}

// ReadLimit returns how many bytes all members together may read now. It is
// negative where more was charged than there was, and math.MaxInt without a
// limit. Loop only.
//
// Libevent: bufferevent_rate_limit_group_get_read_limit.
func (g *RateGroup) ReadLimit() int {
	g.loop.assertOwner("RateGroup.ReadLimit")
	g.refill(g.loop.clock())
	return g.flow[0].left()
}

// WriteLimit is ReadLimit for writing. Loop only.
//
// Libevent: bufferevent_rate_limit_group_get_write_limit.
func (g *RateGroup) WriteLimit() int {
	g.loop.assertOwner("RateGroup.WriteLimit")
	g.refill(g.loop.clock())
	return g.flow[1].left()
}

// DecrementReadLimit charges n bytes to the group as if a member had read
// them; they are not in Totals. A negative n gives bytes back, up to the
// burst. Without a read rate it does nothing. Loop only.
//
// Libevent: bufferevent_rate_limit_group_decrement_read.
func (g *RateGroup) DecrementReadLimit(n int) {
	g.loop.assertOwner("RateGroup.DecrementReadLimit")
	g.decrement(Reading, n)
}

// DecrementWriteLimit is DecrementReadLimit for writing. Loop only.
//
// Libevent: bufferevent_rate_limit_group_decrement_write.
func (g *RateGroup) DecrementWriteLimit(n int) {
	g.loop.assertOwner("RateGroup.DecrementWriteLimit")
	g.decrement(Writing, n)
}

func (g *RateGroup) decrement(dir Dir, n int) {
	f := &g.flow[dir.index()]
	if f.rate == 0 {
		return
	}
	g.refill(g.loop.clock())
	f.take(n)
	if f.level <= 0 {
		g.round += 2 // what was granted before is good no more
		return
	}
	g.serve(dir, f)
	g.pace()
}

// What follows deals the buckets out.

// credit fills the buckets up to a time that need not be the end of a tick.
func (g *RateGroup) credit(until int64) {
	if until > g.filled {
		g.flow[0].credit(until - g.filled)
		g.flow[1].credit(until - g.filled)
		g.filled = until
	}
}

// refill begins a new round when a tick has ended since the last.
func (g *RateGroup) refill(now int64) {
	if end := tickEnd(now, int64(g.limit.Tick)); end > g.filled {
		g.credit(end)
		g.newRound()
	}
}

// newRound deals out what the buckets hold.
func (g *RateGroup) newRound() {
	g.round++
	for _, dir := range []Dir{Reading, Writing} {
		f := &g.flow[dir.index()]
		f.deal, f.short, f.mid = f.level, f.waiting > 0, f.last
		g.serve(dir, f)
	}
	g.pace()
}

// serve gives those who wait their parts, from the front of the queue until
// nothing is left. What does not make a whole part stays for the next round.
func (g *RateGroup) serve(dir Dir, f *groupFlow) {
	left := f.room()
	if left == 0 || f.waiting == 0 {
		return
	}
	part := max(left/int64(f.waiting), g.least(f))
	for ; f.first != nil && left >= part; left -= part {
		s := f.first
		f.unlink(s)
		s.give(part, g.round)
		if s.grant > 0 {
			s.r.c.resume(dir, ReasonGroupRate)
		} else {
			f.link(s, f.last)
		}
	}
}

// least is the smallest part that is dealt out.
func (g *RateGroup) least(f *groupFlow) int64 {
	n := g.minShare
	if n == 0 {
		n = DefaultMinShare
	}
	return int64(min(n, tickful(int(f.rate), g.limit.Tick)))
}

// has reports whether something is left of what s got in a round.
func (s *groupShare) has(round uint64) bool { return s.round == round && s.grant > 0 }

func (s *groupShare) give(n int64, round uint64) {
	s.grant, s.round = min(s.grant, 0)+n, round
}

// room is how many bytes r may move now. Who has not moved anything in this
// round, and comes while nobody waits, takes what would be its part if all
// members did.
func (g *RateGroup) room(r *connRate, dir Dir, now int64) int64 {
	f, s := &g.flow[dir.index()], &r.share[dir.index()]
	if f.rate == 0 {
		return math.MaxInt64
	}
	g.refill(now)
	switch {
	case s.has(g.round), !s.queued && s.has(g.round-1):
		return s.grant
	case s.queued || s.round == g.round || f.waiting > 0 || f.level <= 0:
		return 0
	}
	s.give(max(f.deal/int64(len(g.members)), g.least(f)), g.round)
	return max(s.grant, 0)
}

// charge accounts for n bytes that r has moved in dir.
func (g *RateGroup) charge(r *connRate, dir Dir, n int) {
	f, s := &g.flow[dir.index()], &r.share[dir.index()]
	f.total += uint64(n)
	if f.rate == 0 {
		return
	}
	g.refill(g.loop.clock())
	f.take(n)
	s.grant -= int64(n)
	if (f.short || f.waiting > 0) && r.c.reasons(dir)&ReasonRate != 0 {
		// Its own limit has stopped it. It would ask again only when that
		// lets it go on, and be a tick late for its turn here every time.
		g.enqueue(r, dir)
	}
}

// enqueue has dir of r wait for its turn, and stand still unless it has
// something left from this round.
func (g *RateGroup) enqueue(r *connRate, dir Dir) {
	f, s := &g.flow[dir.index()], &r.share[dir.index()]
	switch {
	case s.queued:
	case s.round == g.round:
		f.link(s, f.last)
	default:
		f.link(s, f.mid)
		f.mid = s
	}
	if !s.has(g.round) {
		r.c.suspend(dir, ReasonGroupRate)
	}
	g.pace()
}

// ticked is told that a tick is over.
func (g *RateGroup) ticked(now int64) bool {
	g.refill(now)
	return !g.idle()
}

func (g *RateGroup) place() *int32 { return &g.at }

// idle reports whether nobody waits.
func (g *RateGroup) idle() bool { return g.flow[0].waiting+g.flow[1].waiting == 0 }

// pace has the group told of the next tick if somebody waits for it.
func (g *RateGroup) pace() {
	if g.idle() {
		g.unpace()
		return
	}
	g.loop.pacer(g.limit.Tick).add(g)
}

func (g *RateGroup) unpace() {
	if g.at != 0 {
		g.loop.pacer(g.limit.Tick).remove(g)
	}
}

// link puts s into the queue behind after; nil: first.
func (f *groupFlow) link(s, after *groupShare) {
	s.prev, s.next, s.queued = after, f.first, true
	if after == nil {
		f.first = s
	} else {
		s.next, after.next = after.next, s
	}
	if s.next == nil {
		f.last = s
	} else {
		s.next.prev = s
	}
	f.waiting++
}

// unlink takes s out of the queue.
func (f *groupFlow) unlink(s *groupShare) {
	if f.mid == s {
		f.mid = s.prev
	}
	if s.prev == nil {
		f.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		f.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.prev, s.next, s.queued = nil, nil, false
	f.waiting--
}

package bev

import (
	"slices"
	"time"

	"github.com/bevgo/bev/internal/timer"
)

// Hold says why a [Listener] takes no callers, one bit each: they wait in the
// kernel's queue. No part of bev knows another's reason, and a Listener goes
// on when none is left.
type Hold uint8

const (
	HoldPaused    Hold = 1 << iota // Pause, or ListenOptions.Paused
	HoldMaxConns                   // as many connections as ListenOptions or LoopOptions allow
	HoldRate                       // ListenOptions.MaxAcceptRate
	HoldExhausted                  // descriptors or memory have run out
)

// String gives the reasons by name: "paused|rate".
func (h Hold) String() string {
	return joinBits(uint(h), []string{"paused", "max conns", "rate", "exhausted"})
}

// held is why the acceptor takes no callers now. Safe from any goroutine.
func (a *acceptor) held() (h Hold) {
	ln := a.ln
	if ln.paused.Load() {
		h |= HoldPaused
	}
	if !ln.hasPlace() || !a.hasRoom() {
		h |= HoldMaxConns
	}
	now := a.offset
	if a.loop.onLoop() {
		now += a.loop.clock()
	} else {
		now += a.loop.elapsed()
	}
	if ln.tokenWait(now, false) > 0 {
		h |= HoldRate
	}
	if a.exhausted.Load() {
		h |= HoldExhausted
	}
	return h
}

// mayAccept reports whether a caller may be taken now: there is then room on
// a Loop, a place and a token for it, see giveBack. Where it may not, it sees to it that the acceptor has
// another turn when that changes.
func (a *acceptor) mayAccept() bool {
	ln := a.ln
	if a.fd < 0 || ln.gone.Load() {
		return false
	}
	if !a.reserve() {
		a.awaitRoom()
		return false
	}
	if ln.paused.Load() || a.exhausted.Load() {
		a.unreserve()
		return false
	}
	if !ln.takePlace() {
		a.unreserve()
		ln.awaitPlace(a)
		return false
	}
	if wait := ln.tokenWait(a.now(), true); wait > 0 {
		a.unreserve()
		ln.leave(a.loop)
		a.loop.arm(a, a.loop.clock()+wait)
		return false
	}
	return true
}

// giveBack returns what mayAccept took, where no caller came. Who was too late
// for the room meanwhile is told by passOn; where descriptors have run out, too,
// the room would be of no use to anybody.
func (a *acceptor) giveBack() {
	ln := a.ln
	a.unreserve()
	if ln.maxRate.Load() > 0 {
		ln.mu.Lock()
		ln.rate.giveBack()
		ln.mu.Unlock()
	}
	ln.leave(a.loop)
}

// tokenWait is how long until the rate allows a caller. If that is now, it may
// take the token, too.
func (ln *Listener) tokenWait(now int64, take bool) int64 {
	if ln.maxRate.Load() == 0 {
		return 0
	}
	ln.mu.Lock()
	defer ln.mu.Unlock()
	wait := ln.rate.wait(now)
	if wait == 0 && take {
		ln.rate.take(now)
	}
	return wait
}

// hasPlace reports whether ListenOptions.MaxConns allows one more.
func (ln *Listener) hasPlace() bool {
	most := ln.maxConns.Load()
	return most == 0 || ln.conns.Load() < most
}

// takePlace counts one more, if there is a place.
func (ln *Listener) takePlace() bool {
	for {
		n, most := ln.conns.Load(), ln.maxConns.Load()
		if most > 0 && n >= most {
			return false
		}
		if ln.conns.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// awaitPlace queues a for the next place.
//
// One place is for one acceptor, the one that has waited longest: each that
// becomes free wakes one, and who does not use it frees it again. Whoever frees
// a place does so before it looks for somebody who waits, and who begins to wait
// then looks for a place once more. One of them sees the other.
func (ln *Listener) awaitPlace(a *acceptor) {
	ln.mu.Lock()
	if !slices.Contains(ln.full, a) {
		ln.full = append(ln.full, a)
		ln.hungry.Add(1)
	}
	ln.mu.Unlock()
	ln.offerPlace(a.loop)
}

// offerPlace wakes the acceptor that has waited longest, if there is a place.
// It runs on l, nil for none that may be touched.
func (ln *Listener) offerPlace(l *Loop) {
	for ln.hungry.Load() > 0 && ln.hasPlace() {
		ln.mu.Lock()
		if len(ln.full) == 0 {
			ln.mu.Unlock()
			return
		}
		a := ln.full[0]
		ln.full = slices.Delete(ln.full, 0, 1)
		ln.hungry.Add(-1)
		ln.mu.Unlock()
		if a.wake(l) {
			return
		}
	}
}

// wake gives a a turn, from Loop l, nil for none. It fails where a's Loop is closed.
func (a *acceptor) wake(l *Loop) bool {
	if a.loop == l {
		(*acceptorTurn)(a).run()
		return true
	}
	return a.loop.post((*acceptorTurn)(a)) == nil
}

// leave gives a place back: of a Conn that is closed, or of a caller who did
// not come. It runs on l, nil for none that may be touched.
func (ln *Listener) leave(l *Loop) {
	n := ln.conns.Add(-1)
	ln.offerPlace(l)
	if n == 0 && ln.gone.Load() {
		ln.drained()
	}
}

// full reports whether LoopOptions.MaxConns is reached. Safe from any
// goroutine.
func (l *Loop) full() bool { return l.opts.MaxConns > 0 && int(l.sockets.Load()) >= l.opts.MaxConns }

// left is told that a Conn over a descriptor is gone, so that those who had to
// do without one may go on. They do in their own turn: the descriptor may still
// be open.
func (s *socketConn) left() {
	l := s.loop
	l.sockets.Add(-1)
	if ln := s.rules.from; ln != nil {
		ln.leave(l)
	}
	l.relieve()
}

// awaitRoom queues a for the next Conn that is closed, where its Loop is full,
// or all those are that it could hand callers to.
func (a *acceptor) awaitRoom() {
	if len(a.ln.acceptors) == 1 {
		a.loop.starve(a)
		return
	}
	g := a.loop.group
	g.starve(a)
	if a.hasRoom() { // since: see awaitPlace
		g.relieve(a.loop)
	}
}

// starve queues a for the next descriptor, or place, that becomes free in the
// Loop.
func (l *Loop) starve(a *acceptor) {
	if !a.starving {
		a.starving = true
		l.starving = append(l.starving, a)
	}
}

// relieve gives a turn to the acceptor that has waited longest. One place is
// for one: with all of them trying, the first would win each time.
func (l *Loop) relieve() {
	if len(l.starving) > 0 {
		a := l.starving[0]
		l.starving = slices.Delete(l.starving, 0, 1)
		a.starving = false
		a.wake(l)
	} else if l.group != nil {
		l.group.relieve(l)
	}
}

// starve is Loop.starve for what any Loop of the group may free.
func (g *LoopGroup) starve(a *acceptor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !a.begging {
		a.begging = true
		g.starving = append(g.starving, a)
		g.hungry.Store(true)
	}
}

// relieve is Loop.relieve for those. It runs on l, nil for none that may be
// touched.
func (g *LoopGroup) relieve(l *Loop) {
	for g.hungry.Load() {
		g.mu.Lock()
		if len(g.starving) == 0 {
			g.mu.Unlock()
			return
		}
		a := g.starving[0]
		g.starving = slices.Delete(g.starving, 0, 1)
		g.hungry.Store(len(g.starving) > 0)
		a.begging = false
		g.mu.Unlock()
		if a.wake(l) {
			return
		}
	}
}

// passOn lets the next one try, where a turn has ended and left something. The
// turn of a Listener that is paused or closed by now is one, too.
func (a *acceptor) passOn() {
	if !a.exhausted.Load() && a.hasRoom() {
		a.loop.relieve()
	}
	a.ln.offerPlace(a.loop)
}

func (a *acceptor) timerNode() *timer.Node { return &a.node }

// expire ends a pause: for the rate, or to see whether there are descriptors.
func (a *acceptor) expire(int64) {
	a.exhausted.Store(false)
	a.acceptTurn()
}

// An acceptRate is a token bucket, kept as the time at which it will be full
// again (the "virtual scheduling" form of the generic cell rate algorithm, ITU-T
// I.371): it needs no refilling, and forgets no fraction of a token.
type acceptRate struct {
	interval int64 // nanoseconds a token takes, 0: no limit
	burst    int64 // what a full bucket allows beyond the first token, in time
	fullAt   int64
}

// burstTime is how much of the rate may come at once. Without any, a loop that
// was busy for a moment could not make up for it.
const burstTime = 100 * time.Millisecond

func newAcceptRate(perSecond int) acceptRate {
	if perSecond <= 0 {
		return acceptRate{}
	}
	interval := max(int64(time.Second)/int64(perSecond), 1)
	return acceptRate{interval: interval, burst: max(int64(burstTime)-interval, 0)}
}

// wait is how long until there is a token, 0 when there is one.
func (r *acceptRate) wait(now int64) int64 {
	if r.interval == 0 {
		return 0
	}
	return max(r.fullAt-r.burst-now, 0)
}

func (r *acceptRate) take(now int64) {
	r.fullAt = max(r.fullAt, now) + r.interval
}

// giveBack undoes the last take.
func (r *acceptRate) giveBack() { r.fullAt -= r.interval }

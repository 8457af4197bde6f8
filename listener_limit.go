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

// held is why the Listener takes no callers now.
func (ln *Listener) held() (h Hold) {
	if ln.paused.Load() {
		h |= HoldPaused
	}
	if ln.full() || ln.loop.full() {
		h |= HoldMaxConns
	}
	if ln.rate.wait(ln.loop.clock()) > 0 {
		h |= HoldRate
	}
	if ln.exhausted {
		h |= HoldExhausted
	}
	return h
}

// mayAccept reports whether a caller may be taken now. Where it may not, it
// sees to it that the Listener has another turn when that changes.
func (ln *Listener) mayAccept() bool {
	if ln.gone.Load() {
		return false
	}
	h := ln.held()
	if h == HoldRate {
		now := ln.loop.clock()
		ln.loop.arm(ln, now+ln.rate.wait(now))
	}
	if ln.loop.full() {
		ln.loop.starve(ln)
	}
	return h == 0
}

// full reports whether ListenOptions.MaxConns is reached.
func (ln *Listener) full() bool {
	most := int(ln.maxConns.Load())
	return most > 0 && ln.conns >= most
}

// full reports whether LoopOptions.MaxConns is reached.
func (l *Loop) full() bool { return l.opts.MaxConns > 0 && l.sockets >= l.opts.MaxConns }

// joined counts a Conn as one of ln's.
func (s *socketConn) joined(ln *Listener) {
	s.from = ln
	ln.conns++
}

// left is told that a Conn over a descriptor is gone, so that those who had to
// do without one may go on. They do in their own turn: the descriptor may still
// be open.
func (s *socketConn) left() {
	l := s.loop
	l.sockets--
	if ln := s.from; ln != nil {
		wasFull := ln.full()
		ln.conns--
		if wasFull && ln.waiting {
			ln.queue()
		}
		ln.drains.check(ln.conns)
	}
	l.relieve()
}

// starve queues ln for the next descriptor, or place, that becomes free in the
// Loop.
func (l *Loop) starve(ln *Listener) {
	if !ln.starving {
		ln.starving = true
		l.starving = append(l.starving, ln)
	}
}

// relieve gives a turn to the Listener that has waited longest. One place is
// for one: with all of them trying, the first would win each time.
func (l *Loop) relieve() {
	if len(l.starving) > 0 {
		ln := l.starving[0]
		l.starving = slices.Delete(l.starving, 0, 1)
		ln.starving = false
		ln.exhausted = false // it will see
		ln.queue()
	}
}

// passOn lets the next one try, where a turn has ended and left something. The
// turn of a Listener that is paused or closed by now is one, too.
func (ln *Listener) passOn() {
	if !ln.exhausted && !ln.loop.full() {
		ln.loop.relieve()
	}
}

func (ln *Listener) timerNode() *timer.Node { return &ln.node }

// expire ends a pause: for the rate, or to see whether there are descriptors.
func (ln *Listener) expire(int64) {
	ln.exhausted = false
	ln.acceptTurn()
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

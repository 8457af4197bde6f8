package bev

import (
	"math"
	"time"

	"github.com/bevgo/bev/internal/timer"
)

// A Timer runs a function on the loop once, or again and again. Made by
// [Loop.AfterFunc] and [Loop.Every]. Its methods are Loop only.
//
// Libevent: evtimer_new.
type Timer struct {
	loop   *Loop
	f      func()
	every  time.Duration // 0: once
	when   int64
	node   timer.Node
	seq    uint32 // see Loop.postpone
	prio   uint8
	active bool // by Activate
	queued bool // in Loop.work.again
}

// AfterFunc runs f on the loop once, d from now, never from inside this call
// and never early. Now is the start of the tick, as everything that one tick
// does happens at one time. Negative d counts as 0. Loop only.
//
// Libevent: evtimer_new, evtimer_add, event_base_once.
func (l *Loop) AfterFunc(d time.Duration, f func()) *Timer {
	l.assertOwner("Loop.AfterFunc")
	if f == nil {
		misuse("AfterFunc needs a function")
	}
	t := &Timer{loop: l, f: f, prio: l.agenda.middle}
	t.start(d)
	return t
}

// Every runs f on the loop each d, until [Timer.Stop]. The first run is d
// from now. The next deadline counts from the one before, so runs do not
// drift; where they could not keep up, the missed ones are left out. It panics
// if d is not positive. Loop only.
//
// Libevent: event_new with EV_PERSIST and a timeout.
func (l *Loop) Every(d time.Duration, f func()) *Timer {
	l.assertOwner("Loop.Every")
	if f == nil || d <= 0 {
		misuse("Every needs a function and an interval above 0, got %v", d)
	}
	t := &Timer{loop: l, f: f, every: d, prio: l.agenda.middle}
	t.start(d)
	return t
}

// Stop disarms t and reports whether it was armed. What Activate asked for is
// off, too. A stopped Timer may be armed again by Reset. Loop only.
//
// Libevent: evtimer_del.
func (t *Timer) Stop() bool {
	t.loop.assertOwner("Timer.Stop")
	armed := t.node.Armed()
	t.active = false
	t.loop.disarm(t)
	return armed
}

// Reset arms t to run d from now, whether it was armed or not, and reports
// whether it was. For a Timer of Every, d also becomes the interval, and must
// be positive. To a later time than it is armed for, which is what each message
// does to a timer that looks out for silence, it costs a few nanoseconds,
// however many timers there are. Loop only.
//
// Libevent: evtimer_add on a pending timer.
func (t *Timer) Reset(d time.Duration) bool {
	t.loop.assertOwner("Timer.Reset")
	armed := t.node.Armed()
	if t.every > 0 {
		if d <= 0 {
			misuse("Timer.Reset needs an interval above 0 for a timer of Every, got %v", d)
		}
		t.every = d
	}
	t.start(d)
	return armed
}

// Armed reports whether t will run. Loop only.
//
// Libevent: evtimer_pending.
func (t *Timer) Armed() bool {
	t.loop.assertOwner("Timer.Armed")
	return t.node.Armed()
}

// Activate has the function of t run in the next tick whether its time has come
// or not, once however often it is called until then. A Timer of AfterFunc is
// then disarmed, that of Every runs next an interval later. Loop only.
//
// Libevent: event_active.
func (t *Timer) Activate() {
	t.loop.assertOwner("Timer.Activate")
	t.active = true
	if !t.queued {
		t.queued = true
		t.loop.work.again.add(t)
	}
}

// Pending returns what t waits for. Loop only.
//
// Libevent: event_pending, evtimer_pending.
func (t *Timer) Pending() Pending {
	t.loop.assertOwner("Timer.Pending")
	return t.loop.pendingTimer(t.node.Armed(), t.active || t.node.Taken(), &t.node, t.when)
}

// SetPriority gives t another priority, see [Conn.SetPriority]. Loop only.
//
// Libevent: event_priority_set.
func (t *Timer) SetPriority(p int) {
	t.loop.assertOwner("Timer.SetPriority")
	t.prio = t.loop.checkPriority("Timer.SetPriority", p)
}

// Priority returns what SetPriority set. Loop only.
//
// Libevent: event_get_priority.
func (t *Timer) Priority() int {
	t.loop.assertOwner("Timer.Priority")
	return int(t.prio)
}

func (t *Timer) class() uint8 { return t.prio }

func (t *Timer) start(d time.Duration) {
	t.when = after(t.loop.clock(), max(d, 0))
	if !t.loop.postpone(&t.node, t.when, &t.seq) {
		t.loop.arm(t, t.when)
	}
}

func (t *Timer) timerNode() *timer.Node { return &t.node }

// expire re-arms before the callback, so that the callback may Stop or Reset.
func (t *Timer) expire(now int64) {
	t.active = false // one call answers both
	if t.every > 0 {
		if t.when = after(t.when, t.every); t.when <= now {
			t.when = after(now, t.every)
		}
		t.loop.arm(t, t.when)
	}
	t.f()
}

// resumeWork is what Activate asked for.
func (t *Timer) resumeWork() {
	t.queued = false
	if !t.active {
		return // stopped since, or its time has come
	}
	t.active = false
	if t.every > 0 {
		t.start(t.every)
	} else {
		t.loop.disarm(t)
	}
	t.f()
}

// clock is the time that deadlines count from: the tick's, or the real one
// while no tick is running, when the tick's may be long past.
func (l *Loop) clock() int64 {
	if l.ticking {
		return l.now
	}
	return l.elapsed()
}

// after is the time d past another, and the last there is, in 292 years, where
// that would be later still. Precondition: d is not negative.
func after(when int64, d time.Duration) int64 {
	return when + min(int64(d), math.MaxInt64-when)
}

// arm puts e into the heap, or moves it. A deadline that is not past the
// tick's clock is moved just past it, so that a timer of zero length runs in
// the next tick and not for ever in this one.
func (l *Loop) arm(e expirer, when int64) {
	l.timers.Reset(e, max(when, l.now+1))
}

// postpone is arm for a deadline that is armed for an earlier time and moves to
// a later one, as that of a timer does which is to notice silence and is set
// anew by every message: the heap stays as it is, and asks postponed when the
// earlier time comes. It reports false where that is not so.
func (l *Loop) postpone(n *timer.Node, when int64, seq *uint32) (ok bool) {
	if when <= l.now { // due in the next tick, see arm
		return false
	}
	s, ok := l.timers.Postpone(n, when)
	if ok {
		*seq = s
	}
	return ok
}

// postponed tells the heap the deadline of e and its place among equal ones, if
// it may be later than the heap knows; 0 if it may not.
func postponed(e expirer) (when int64, seq uint32) {
	switch e := e.(type) {
	case *Timer:
		return e.when, e.seq
	case *Watch:
		return e.when, e.seq
	}
	return 0, 0
}

// nextTimer is the time at which a sleeping loop has to look at its timers.
func (l *Loop) nextTimer() (when int64, ok bool) { return l.timers.Next(l.now + wakeAhead) }

// wakeAhead is how long before the old time of a postponed timer its entry is
// put right. Doing so before every wait would be a move in the heap for every
// message again; never doing so would wake an idle loop for each such timer.
// So it wakes at most once in a wakeAhead for nothing, until all are right.
const wakeAhead = int64(time.Second)

func (l *Loop) disarm(e expirer) {
	l.timers.Remove(e)
}

package bev

import (
	"math"
	"time"

	"github.com/bevgo/bev/internal/poll"
)

// MaxPriorities is the most that LoopOptions.Priorities may ask for.
//
// Libevent: EVENT_MAX_PRIORITIES, event_base_priority_init.
const MaxPriorities = 255

// A DispatchLimit bounds how long a Loop runs callbacks before it asks the
// kernel for new events, see LoopOptions.MaxDispatch. What is left keeps its
// turn. It lets what is urgent come through sooner, at the price of more waits.
//
// Libevent: event_config_set_max_dispatch_interval.
type DispatchLimit struct {
	// Interval is the time after which no further callback is begun. 0 or
	// less means no bound.
	Interval time.Duration
	// Callbacks is the number of turns, of Conns and of everything else that
	// has one, after which no further one is begun. 0 or less means no bound.
	Callbacks int
	// MinPriority is the first priority that both bounds hold for: with 1, what
	// has priority 0 runs unbounded. 0 means that they hold for all.
	MinPriority int
}

// Priorities returns how many priorities the Loop has: they are the numbers
// from 0, the most urgent, to one less. Safe from any goroutine.
//
// Libevent: event_base_get_npriorities.
func (l *Loop) Priorities() int { return len(l.agenda.classes) }

// checkPriority returns p as it is stored.
func (l *Loop) checkPriority(method string, p int) uint8 {
	if p < 0 || p >= len(l.agenda.classes) {
		misuse("%s(%d): the Loop has the priorities 0 to %d, see LoopOptions.Priorities", method, p, len(l.agenda.classes)-1)
	}
	return uint8(p)
}

// An agenda is what became active and has not run yet, sorted by priority. A
// Loop with one priority and no DispatchLimit keeps none: a tick does all that
// it finds, straight from the batch of events and the queues. There the agenda
// holds what Break or Continue kept a tick from doing.
//
// A tick with an agenda sorts into it all that is new. Then it works for the
// first class that has something to do, phase by phase, as a plain tick does
// for all. What ends it before it is through, the next tick for that class
// takes up again: so nothing is overtaken by what became active later, however
// often ticks are cut short.
type agenda struct {
	// Set at creation, then constant.
	middle uint8 // the priority of what has none of its own
	always bool  // each tick goes by the agenda
	limit  DispatchLimit

	classes []class // by priority
	n       int     // jobs in all of them
	// events are the readiness behind jobs of phaseEvents. A descriptor that
	// waits for its turn may be reported again and again meanwhile.
	events  map[poll.Token]poll.Ready
	running job  // the one that runs now
	cut     bool // no further job is begun in this tick

	// Of the tick that is going on.
	class int
	done  int // jobs so far
	since int64
}

// A class is what has one priority.
type class struct {
	queues [phaseDone]jobs // by the phase of a plain tick
	n      int             // jobs in all of them
	phase  phase           // which is being worked off; phaseDone: the next tick begins
	left   int             // jobs of it that were there when it began
}

// jobs is a first-in first-out queue.
type jobs struct {
	list []job
	next int // the first that has not run
}

// A job is one thing to do, what in a plain tick would be an event or an entry
// of a queue.
type job struct {
	token poll.Token // of phaseEvents
	owner any        // of the others: a resumer, expirer, call, deferrer or flusher
}

// ranked is implemented by what has a priority of its own.
type ranked interface{ class() uint8 }

// A splitter stands for several things, which may have a priority each. split
// has them queued.
type splitter interface{ split(r poll.Ready) }

func newAgenda(o *LoopOptions) agenda {
	n := max(o.Priorities, 1)
	a := agenda{
		middle:  uint8(n / 2),
		always:  n > 1 || o.MaxDispatch.Interval > 0 || o.MaxDispatch.Callbacks > 0,
		limit:   o.MaxDispatch,
		classes: make([]class, n),
		events:  make(map[poll.Token]poll.Ready),
	}
	for i := range a.classes {
		a.classes[i].phase = phaseDone
	}
	return a
}

// add puts something into the class that v, its owner, belongs to.
func (a *agenda) add(p phase, v any, j job) {
	k := a.middle
	if r, ok := v.(ranked); ok {
		k = r.class()
	}
	c := &a.classes[k]
	c.queues[p].list = append(c.queues[p].list, j)
	c.n++
	a.n++
}

// first is the most urgent class that holds something, the number of classes
// if none does.
func (a *agenda) first() int {
	for i := range a.classes {
		if a.classes[i].n > 0 {
			return i
		}
	}
	return len(a.classes)
}

// take removes the first job of a phase.
func (a *agenda) take(c *class, p phase) job {
	q := &c.queues[p]
	j := q.list[q.next]
	q.list[q.next] = job{} // let it go
	q.next++
	c.n--
	a.n--
	if q.next == len(q.list) {
		q.list, q.next = q.list[:0], 0
	} else if q.next > 64 && q.next > len(q.list)/2 {
		// What is always refilled would otherwise grow for ever.
		n := copy(q.list, q.list[q.next:])
		clear(q.list[n:])
		q.list, q.next = q.list[:n], 0
	}
	return j
}

func (q *jobs) len() int { return len(q.list) - q.next }

// runClass works for the most urgent class that has something to do, until that
// is done, something more urgent becomes active, or a limit is reached. It may
// be called again after a panic and then goes on behind the job that panicked.
func (l *Loop) runClass() {
	a, s := &l.agenda, &l.step
	a.running = job{} // of a panic
	if s.next == 0 {
		s.next = 1
		l.sortTick()
		a.class, a.done = a.first(), 0
		if a.n > 0 {
			a.classes[a.class].begin()
		}
		if a.limit.Interval > 0 {
			a.since = l.elapsed()
		}
	}
	for !a.cut && l.nextJob() {
		c := &a.classes[a.class]
		c.left--
		a.done++
		a.running = a.take(c, c.phase)
		l.runJob(c.phase, a.running)
		a.running = job{}
		l.sortQueues()
	}
	a.cut = false
}

// begin starts a tick of the class, unless one is under way.
func (c *class) begin() {
	if c.phase == phaseDone {
		c.phase, c.left = phaseEvents, c.queues[phaseEvents].len()
	}
}

// nextJob finds the phase that has the next job for this tick, and reports
// false where there is none.
func (l *Loop) nextJob() bool {
	a := &l.agenda
	if a.n == 0 && a.class == len(a.classes) || a.first() < a.class || l.limitReached() {
		return false
	}
	for c := &a.classes[a.class]; c.left == 0; {
		if c.phase < phasePosted && (c.n == 0 || c.phase+1 == phasePosted) {
			l.sortPosted() // what was posted in this tick runs in it
		}
		if c.phase++; c.n == 0 || c.phase >= phaseDone {
			c.phase = phaseDone // the next tick has what is there by then
			return false
		}
		c.left = c.queues[c.phase].len()
	}
	return true
}

// interrupt ends the tick behind the callback that calls it. What the phase
// would still have done goes to the agenda, and a tick by the agenda takes up
// from there.
func (l *Loop) interrupt() {
	a, s := &l.agenda, &l.step
	switch s.phase {
	case phaseEvents:
		for _, e := range s.events[s.next:] {
			l.sortEvent(e)
		}
		s.events = s.events[:s.next]
	case phaseAgain:
		sortRest(a, &l.work.again, phaseAgain)
	case phaseTimers:
		l.sortTimers()
	case phasePosted:
		sortRest(a, &l.posted, phasePosted)
	case phaseDeferred:
		sortRest(a, &l.work.deferred, phaseDeferred)
	case phaseFlush:
		sortRest(a, &l.work.dirty, phaseFlush)
	case phaseClass:
		a.cut = true
		return
	case phaseDone, phaseClassDone:
		return // before the wait
	}
	c := &a.classes[0]
	c.phase, c.left = s.phase, c.queues[s.phase].len()
	s.due = math.MinInt64
	s.end = s.phase + 1
	l.special |= specialAgenda
}

// sortRest takes from a pass what it has not begun.
func sortRest[T any](a *agenda, q *queue[T], p phase) {
	for _, v := range q.pass[q.next:] {
		a.add(p, v, job{owner: v})
	}
	clear(q.pass[q.next:])
	q.pass = q.pass[:q.next]
}

// limitReached reports whether LoopOptions.MaxDispatch ends the pass. One job
// is always done: there must be progress.
func (l *Loop) limitReached() bool {
	a, m := &l.agenda, &l.agenda.limit
	if a.done == 0 || a.class < m.MinPriority {
		return false
	}
	return m.Callbacks > 0 && a.done >= m.Callbacks ||
		m.Interval > 0 && l.elapsed()-a.since >= int64(m.Interval)
}

// runJob does what a phase of a plain tick does for one of its entries.
func (l *Loop) runJob(p phase, j job) {
	switch p {
	case phaseEvents:
		r := l.agenda.events[j.token]
		delete(l.agenda.events, j.token)
		if src, ok := l.sources.Lookup(j.token); ok {
			src.ready(r)
		}
	case phaseAgain:
		j.owner.(resumer).resumeWork()
	case phaseTimers:
		if e := j.owner.(expirer); l.timers.Claim(e) { // else it was stopped since
			e.expire(l.now)
		}
	case phasePosted:
		j.owner.(call).run()
	case phaseDeferred:
		j.owner.(deferrer).runDeferred()
	case phaseFlush:
		j.owner.(flusher).flushDirty()
	}
}

// runningOwner is what a panic in the job is charged to if nothing is known
// better.
func (l *Loop) runningOwner() any {
	switch j := l.agenda.running; l.agenda.classes[l.agenda.class].phase {
	case phaseEvents:
		src, _ := l.sources.Lookup(j.token)
		return src
	case phaseTimers:
		return nil
	default:
		return j.owner
	}
}

// dropCalls tells calls that the Loop closed before they ran.
func (a *agenda) dropCalls() {
	for i := range a.classes {
		for c := &a.classes[i]; c.queues[phasePosted].len() > 0; {
			a.take(c, phasePosted).owner.(call).drop()
		}
	}
}

// sortTick sorts all that is active at the beginning of a tick.
func (l *Loop) sortTick() {
	for _, e := range l.step.events {
		l.sortEvent(e)
	}
	l.sortTimers()
	l.sortPosted()
	l.sortQueues()
}

func (l *Loop) sortTimers() {
	for {
		e, ok := l.timers.Take(l.step.due)
		if !ok {
			return
		}
		l.agenda.add(phaseTimers, e, job{owner: e})
	}
}

func (l *Loop) sortPosted() {
	if l.waiting.Load() == 0 {
		return
	}
	q := &l.posted
	if q.next == 0 { // or else Goexit was here
		l.mu.Lock()
		q.begin()
		l.mu.Unlock()
		l.waiting.Add(-int32(len(q.pass)))
	}
	sortRest(&l.agenda, q, phasePosted)
	q.done()
}

// sortQueues sorts what has been queued.
func (l *Loop) sortQueues() {
	w := &l.work
	if len(w.again.waiting) > 0 {
		l.sortAgain()
	}
	if len(w.deferred.waiting) > 0 {
		w.deferred.begin()
		sortRest(&l.agenda, &w.deferred, phaseDeferred)
		w.deferred.done()
	}
	if len(w.dirty.waiting) > 0 {
		w.dirty.begin()
		sortRest(&l.agenda, &w.dirty, phaseFlush)
		w.dirty.done()
	}
}

func (l *Loop) sortEvent(e poll.Event) {
	src, ok := l.sources.Lookup(e.Token)
	if !ok {
		return
	}
	if g, ok := src.(splitter); ok {
		g.split(e.Ready)
		return
	}
	r, waits := l.agenda.events[e.Token]
	l.agenda.events[e.Token] = r | e.Ready
	if !waits {
		l.agenda.add(phaseEvents, src, job{token: e.Token})
	}
}

// sortAgain has a splitter queue what it stands for, and itself again as long
// as it goes on.
func (l *Loop) sortAgain() {
	q := &l.work.again
	q.begin()
	for _, v := range q.pass[q.next:] {
		if g, ok := v.(splitter); ok {
			g.split(poll.Readable | poll.Writable)
			continue
		}
		l.agenda.add(phaseAgain, v, job{owner: v})
	}
	q.done()
}

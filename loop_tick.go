package bev

import "github.com/bevgo/bev/internal/poll"

// workQueues hold what a tick has to do besides what the kernel reports. An
// owner is in a queue at most once: it keeps a bit that says so.
type workQueues struct {
	again    queue[resumer] // may go on without asking the kernel
	deferred queue[deferrer]
	dirty    queue[flusher] // written by others than their own callbacks
}

// A resumer stopped in the middle for the sake of others and goes on here.
type resumer interface{ resumeWork() }

// A deferrer has callbacks that were not run where they arose.
type deferrer interface{ runDeferred() }

// A flusher has output that somebody else wrote.
type flusher interface{ flushDirty() }

func (w *workQueues) len() int {
	return len(w.again.waiting) + len(w.deferred.waiting) + len(w.dirty.waiting)
}

func (w *workQueues) pending() bool { return w.len() > 0 }

// A queue is worked off in passes: what is added while a pass runs waits for
// the next one, so that work which makes work cannot keep the loop from the
// kernel.
type queue[T any] struct {
	waiting []T
	pass    []T // being worked off; empty, but with room, between passes
	next    int // first entry of pass not begun; not 0 after a panic in it
}

func (q *queue[T]) add(v T) { q.waiting = append(q.waiting, v) }

// begin makes what waits the current pass. It does nothing where a panic
// left one unfinished.
func (q *queue[T]) begin() {
	if q.next == 0 {
		q.pass, q.waiting = q.waiting, q.pass
	}
}

// run works the current pass off. It may be called again after do panicked
// and then goes on behind the entry that did.
func (q *queue[T]) run(do func(T)) {
	for q.next < len(q.pass) {
		q.next++
		do(q.pass[q.next-1])
	}
	q.done()
}

// settle ends a pass whose last entry called Goexit.
func (q *queue[T]) settle() {
	if q.next == len(q.pass) {
		q.done()
	}
}

// done ends a pass.
func (q *queue[T]) done() {
	clear(q.pass)
	q.pass, q.next = q.pass[:0], 0
}

// running is the entry that do was called with last, in a pass that it has not
// returned from.
func (q *queue[T]) running() (v T) {
	if q.next > 0 && q.next <= len(q.pass) {
		v = q.pass[q.next-1]
	}
	return v
}

// step is the progress of one tick. A panic in a callback leaves tick; the
// next call of tick goes on behind the entry that panicked.
type step struct {
	phase  phase
	end    phase // the first that is not done in this tick
	events []poll.Event
	next   int   // first of events not dispatched yet
	due    int64 // timers up to here expire
}

type phase uint8

const (
	phaseEvents phase = iota
	phaseAgain
	phaseTimers
	phasePosted
	phaseDeferred
	phaseFlush
	phaseDone
	phaseClass // all of it in one, by priority: see loop_priority.go
	phaseClassDone
)

// tick does what one wait found, phase by phase. It reports false when a
// callback panicked and the tick has to be taken up again.
func (l *Loop) tick() (complete bool) {
	defer func() {
		if complete {
			return
		}
		if v := recover(); v != nil { // nil: Goexit, which nobody can stop
			l.afterPanic(v)
		}
	}()
	for ; l.step.phase < l.step.end; l.step.phase++ {
		switch l.step.phase {
		case phaseEvents:
			l.dispatch()
		case phaseAgain:
			l.work.again.begin()
			l.work.again.run(resumer.resumeWork)
		case phaseTimers:
			l.runTimers()
		case phasePosted:
			l.runPosted()
		case phaseDeferred:
			l.work.deferred.begin()
			l.work.deferred.run(deferrer.runDeferred)
		case phaseFlush:
			l.work.dirty.begin()
			l.work.dirty.run(flusher.flushDirty)
		case phaseClass:
			l.runClass()
		}
	}
	return true
}

// dispatch hands each event to its source.
func (l *Loop) dispatch() {
	for s := &l.step; s.next < len(s.events); {
		e := s.events[s.next]
		s.next++
		// A token of something closed earlier in this batch finds nothing.
		if src, ok := l.sources.Lookup(e.Token); ok {
			src.ready(e.Ready)
		}
	}
}

// runTimers expires what is due by the clock of this tick. A callback that
// arms a timer of zero length does not keep the tick going: its deadline is
// moved past the tick's clock, see arm.
func (l *Loop) runTimers() {
	for {
		e, ok := l.timers.PopExpired(l.step.due)
		if !ok {
			return
		}
		e.expire(l.now)
	}
}

// runPosted runs what other goroutines handed over before this phase began.
func (l *Loop) runPosted() {
	q := &l.posted
	if q.next == 0 {
		if l.waiting.Load() == 0 {
			return
		}
		l.mu.Lock()
		q.begin()
		l.mu.Unlock()
		l.waiting.Add(-int32(len(q.pass)))
	}
	q.run(call.run)
}

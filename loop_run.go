package bev

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/bevgo/bev/internal/goid"
)

// This file is what begins and ends a Run. What happens in between is
// Loop.wait in loop.go and Loop.tick in loop_tick.go.

// Run runs the Loop until Stop or Break (it then returns nil), until ctx ends
// (it returns the context's cause), or until Close (net.ErrClosed). It does not
// end because nothing is left to wait for. A second Run at the same time
// returns ErrRunning; after Run has returned it may be called again and goes
// on where it was. A callback that calls runtime.Goexit ends Run with
// ErrGoexit and closes the Loop's connections.
//
// Run starts a goroutine and waits for it, so that Goexit in a callback does
// not unwind the caller. One goroutine at a time may be in Run, RunOnce,
// RunReady or RunUntilEmpty, whichever it is; a call from a callback returns
// ErrRunning. Safe from any goroutine.
//
// Libevent: event_base_loop with EVLOOP_NO_EXIT_ON_EMPTY.
func (l *Loop) Run(ctx context.Context) error { return l.run(ctx, runOn) }

// RunOnce waits until something is ready, does that, whatever its priority, and
// returns nil. Otherwise it is as Run: Stop, Break, ctx and Close end it, also
// while it waits. A Conn or a timeout may be ready for something that calls
// none of your functions. Safe from any goroutine.
//
// Libevent: event_base_loop with EVLOOP_ONCE. Unlike libevent, it waits also
// where nothing is left: another goroutine may Post.
func (l *Loop) RunOnce(ctx context.Context) error { return l.run(ctx, runOnce) }

// RunReady does what is ready now, whatever its priority, and returns nil
// without waiting for more. Safe from any goroutine.
//
// Libevent: event_base_loop with EVLOOP_ONCE and EVLOOP_NONBLOCK.
func (l *Loop) RunReady() error { return l.run(context.Background(), runReady) }

// RunUntilEmpty is Run that ends, with nil, also when nothing is left: no Conn,
// no Listener, no Watch, no Signal, no timer, and no call that was posted. To
// tell that from a Stop, ask StopAsked. Safe from any goroutine.
//
// Libevent: event_base_dispatch, event_base_loop. Unlike libevent, a Conn
// counts until it is closed, also while neither of its directions goes on.
func (l *Loop) RunUntilEmpty(ctx context.Context) error { return l.run(ctx, runUntilEmpty) }

// runMode says what ends a run besides Stop and its kin.
type runMode uint8

const (
	runOn runMode = iota
	runOnce
	runReady
	runUntilEmpty
)

func (l *Loop) run(ctx context.Context, m runMode) error {
	run, err := l.begin()
	if err != nil {
		return err
	}
	cancel := context.AfterFunc(ctx, func() { l.cancel(run, context.Cause(ctx)) })
	err = l.runBegun(m)
	cancel()
	return err
}

// begin claims the Loop for one Run, and returns what is closed when that has
// ended. Somebody has to end it.
func (l *Loop) begin() (run chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, errLoopClosed
	case l.running:
		return nil, ErrRunning
	}
	l.running = true
	l.away.Store(false)
	l.done = make(chan struct{})
	l.forgetBreak()
	l.asked.stop, l.asked.brk = l.stop, false
	return l.done, nil
}

// runBegun is what follows begin, to the end.
func (l *Loop) runBegun(m runMode) error {
	err := error(ErrGoexit) // what is left when the goroutine never assigns
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		// The end is of this goroutine, too: what is closed there may call the
		// user's functions, which have to find themselves on the loop.
		defer l.end(&err)
		l.enter()
		l.now = max(l.now, l.elapsed())
		l.ticking = true
		if m != runOn {
			l.special |= specialMode
		}
		err = l.ticks(m)
	}()
	<-finished
	return err
}

// giveBack ends a Run that never ran.
func (l *Loop) giveBack() {
	var err error
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		defer l.end(&err)
		l.enter()
	}()
	<-finished
}

// enter makes the calling goroutine the loop's.
func (l *Loop) enter() {
	l.entry.Store(goid.Entry())
	l.gid.Store(goid.Current())
}

// end gives the Loop back, and releases it where Close asked for that. err is
// what Run returns. What is closed here may call runtime.Goexit, too: the rest
// is done all the same.
func (l *Loop) end(err *error) {
	defer l.endOpen(err)
	l.away.Store(true)
	l.ticking = false
	l.special &^= specialMode
	if *err == ErrGoexit {
		defer l.settleAll()
		l.closeSources()
	}
}

// settleAll has what was cut short begin anew.
func (l *Loop) settleAll() {
	l.posted.settle()
	l.work.again.settle()
	l.work.deferred.settle()
	l.work.dirty.settle()
}

// endOpen is end, where nothing of the user's is left to call but what closing
// the Loop brings.
func (l *Loop) endOpen(err *error) {
	last := l.Stats()
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.gid.Store(0) // before another Run begins
	}
	l.running = false
	l.forgetCause()
	l.last = last
	done := l.done
	l.mu.Unlock()
	defer close(done)
	if closed {
		if *err == nil {
			*err = errLoopClosed
		}
		defer l.gid.Store(0)
		l.release()
	}
}

// ticks runs the loop until something stops it.
func (l *Loop) ticks(m runMode) error {
	yielded := int64(0)
	for {
		if l.waiting.Load() != 0 {
			if stopped, err := l.takeStop(); stopped {
				return err
			}
		}
		if l.special != 0 {
			if over, err := l.specialTick(m); over || err != nil {
				return err
			}
		} else {
			if err := l.wait(true); err != nil {
				return errWait(err)
			}
			for !l.tick() { // false after a panic: go on behind it
			}
		}
		if l.now-yielded > yieldEvery {
			runtime.Gosched()
			yielded = l.now
		}
	}
}

func errWait(err error) error { return fmt.Errorf("bev: the loop cannot wait: %w", err) }

// special says why ticks are not the plain ones.
type special uint8

const (
	specialMode   special = 1 << iota // this run may end by itself
	specialAgenda                     // there is an agenda, see loop_priority.go
	specialHooks                      // there are hooks, see loop_hook.go
)

// specialTick is one turn of a Loop that has a reason not to take plain ones.
// Those who have none do not pay for it.
func (l *Loop) specialTick(m runMode) (over bool, err error) {
	a := &l.agenda
	if m == runUntilEmpty && l.empty() {
		return true, nil
	}
	l.step.phase = phaseDone // there is nothing that a hook could cut short
	block := m != runReady && a.n == 0
	l.runPrepares(block)
	if l.breaking {
		return false, nil
	}
	if err := l.wait(block); err != nil {
		return true, errWait(err)
	}
	found := len(l.step.events) > 0 || a.n > 0 || l.work.pending() || l.waiting.Load() != 0 || l.timerDue()
	if l.special&specialAgenda != 0 {
		l.step.phase, l.step.end = phaseClass, phaseClassDone
	}
	a.cut = false
	l.runChecks()
	for !l.tick() {
	}
	if a.n == 0 && !a.always {
		l.special &^= specialAgenda
	}
	if (m == runOnce && found || m == runReady) && a.n == 0 && l.step.end >= phaseDone {
		// A Stop of this tick has its effect now, and none on the next run.
		_, err := l.takeStop()
		return true, err
	}
	return false, nil
}

// empty reports whether nothing is left that could make anything happen.
func (l *Loop) empty() bool {
	return l.sources.Len() == 0 && l.timers.Len() == 0 && l.agenda.n == 0 && !l.work.pending() && l.waiting.Load() == 0
}

// timerDue reports whether the tick has a timer to expire.
func (l *Loop) timerDue() bool {
	when, ok := l.timers.Next(l.step.due)
	return ok && when <= l.step.due
}

// yieldEvery is how long a busy loop keeps its processor from other
// goroutines. At ten milliseconds Go's sysmon would take it by force, in the
// middle of a system call, and then stay awake for a while to look for more to
// take: with one processor that cost a tenth of the loop's CPU time.
const yieldEvery = int64(4 * time.Millisecond)

// takeStop consumes a request to stop. It drops a hint that nothing is left
// of, and keeps it while posted calls wait.
func (l *Loop) takeStop() (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return true, nil
	}
	err := l.cause
	switch {
	case l.stop || l.breaking:
		l.forgetBreak()
		if l.stop {
			l.stop = false
			l.waiting.Add(-1)
		}
		err = nil
	case err == nil:
		return false, nil
	}
	l.forgetCause()
	return true, err
}

func (l *Loop) forgetBreak() {
	if l.breaking {
		l.breaking = false
		l.waiting.Add(-1)
	}
}

// forgetCause ends what the context of a Run has to say.
func (l *Loop) forgetCause() {
	if l.cause != nil {
		l.cause = nil
		l.waiting.Add(-1)
	}
}

// Stop makes Run return nil after the current tick. When no Run is going on,
// the next one returns at once: a Stop is never lost. On a Loop of a LoopGroup
// it ends the group's Run, see there. Safe from any goroutine.
//
// Libevent: event_base_loopexit.
func (l *Loop) Stop() {
	l.mu.Lock()
	l.asked.stop = true
	if !l.stop {
		l.stop = true
		l.waiting.Add(1)
	}
	l.mu.Unlock()
	l.wake()
}

// StopAfter calls Stop d from now, at the first priority. The Timer is armed
// like any other, so it can be stopped, and it outlives a Run that ends sooner;
// to bound one Run, give it a context with a timeout. Loop only.
//
// Libevent: event_base_loopexit with a timeout.
func (l *Loop) StopAfter(d time.Duration) *Timer {
	l.assertOwner("Loop.StopAfter")
	t := l.AfterFunc(d, l.Stop)
	t.SetPriority(0)
	return t
}

// Break makes Run return nil as soon as the callback that calls it has
// returned. What else is ready keeps its turn, and has it in the next Run. The
// turn of a Conn is one thing: where it called your Read function it may still
// call its Write function. Break does nothing while no Run is going on; from
// another goroutine, Post it. Loop only.
//
// Libevent: event_base_loopbreak.
func (l *Loop) Break() {
	l.assertOwner("Loop.Break")
	if !l.ticking {
		return
	}
	l.mu.Lock()
	l.asked.brk = true
	l.mu.Unlock()
	if !l.breaking {
		l.breaking = true
		l.waiting.Add(1)
	}
	l.interrupt()
}

// Continue has the Loop ask the kernel for new events, without waiting, as soon
// as the callback that calls it has returned; what else is ready keeps its
// turn. With several priorities, what is more urgent and has become ready
// meanwhile then comes first. It does nothing while no Run is going on. Loop
// only.
//
// Libevent: event_base_loopcontinue.
func (l *Loop) Continue() {
	l.assertOwner("Loop.Continue")
	if l.ticking {
		l.interrupt()
	}
}

// StopAsked reports whether Stop was called during the Run that is going on or,
// between two, since the last one began: also by the timer of StopAfter, and
// also where something else ended it. During the Run of a LoopGroup, its Stop
// counts. Safe from any goroutine.
//
// Libevent: event_base_got_exit.
func (l *Loop) StopAsked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked.stop
}

// BreakAsked reports whether Break was called in the Run that is going on or,
// between two, in the last one. Safe from any goroutine.
//
// Libevent: event_base_got_break.
func (l *Loop) BreakAsked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked.brk
}

// cancel ends a Run whose context has ended, or the Run of a LoopGroup of which
// it is part. It may come late, when Run has returned for another reason, and
// must not end the next one.
func (l *Loop) cancel(run chan struct{}, cause error) {
	l.mu.Lock()
	if l.running && l.done == run && l.cause == nil {
		l.cause = cause
		l.waiting.Add(1)
	}
	l.mu.Unlock()
	l.wake()
}

// noteStop has StopAsked tell that all Loops of a group were stopped.
func (l *Loop) noteStop(run chan struct{}) {
	l.mu.Lock()
	if l.done == run {
		l.asked.stop = true
	}
	l.mu.Unlock()
}

// settleStop takes back a Stop that came when run was over, and the Run of the
// LoopGroup was not: it wanted that one to end.
func (l *Loop) settleStop(run chan struct{}) {
	l.mu.Lock()
	if l.stop && !l.running && l.done == run {
		l.stop = false
		l.waiting.Add(-1)
	}
	l.mu.Unlock()
}

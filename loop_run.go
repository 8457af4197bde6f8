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

// Run runs the Loop until Stop (it then returns nil), until ctx ends (it
// returns the context's cause), or until Close (net.ErrClosed). It does not
// end because nothing is left to wait for. A second Run at the same time
// returns ErrRunning; after Run has returned it may be called again and goes
// on where it was. A callback that calls runtime.Goexit ends Run with
// ErrGoexit and closes the Loop's connections.
//
// Run starts a goroutine and waits for it, so that Goexit in a callback does
// not unwind the caller. One goroutine at a time may be in Run, whichever it
// is. Safe from any goroutine.
//
// Libevent: event_base_dispatch, event_base_loop.
func (l *Loop) Run(ctx context.Context) error {
	if err := l.begin(); err != nil {
		return err
	}
	run := l.done
	cancel := context.AfterFunc(ctx, func() { l.cancel(run, context.Cause(ctx)) })
	err := error(ErrGoexit) // what is left when the goroutine never assigns
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		l.entry.Store(goid.Entry())
		l.gid.Store(goid.Current())
		l.ticking = true
		err = l.ticks()
	}()
	<-finished
	cancel()
	return l.end(err)
}

// begin claims the Loop for one Run.
func (l *Loop) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return errLoopClosed
	case l.running:
		return ErrRunning
	}
	l.running = true
	l.away.Store(false)
	l.done = make(chan struct{})
	return nil
}

// end gives the Loop back, and releases it where Close asked for that.
func (l *Loop) end(err error) error {
	l.gid.Store(0)
	l.away.Store(true)
	l.ticking = false
	if err == ErrGoexit {
		l.closeSources()
	}
	l.mu.Lock()
	l.running = false
	l.forgetCause()
	closed := l.closed
	done := l.done
	l.mu.Unlock()
	if closed {
		l.release()
		if err == nil {
			err = errLoopClosed
		}
	}
	close(done)
	return err
}

// ticks runs the loop until something stops it.
func (l *Loop) ticks() error {
	yielded := int64(0)
	for {
		if l.waiting.Load() != 0 {
			if stopped, err := l.takeStop(); stopped {
				return err
			}
		}
		if err := l.wait(); err != nil {
			return fmt.Errorf("bev: the loop cannot wait: %w", err)
		}
		for !l.tick() { // false after a panic: go on behind it
		}
		if l.now-yielded > yieldEvery {
			runtime.Gosched()
			yielded = l.now
		}
	}
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
	case l.stop:
		l.stop = false
		l.waiting.Add(-1)
		err = nil
	case err == nil:
		return false, nil
	}
	l.forgetCause()
	return true, err
}

// forgetCause ends what the context of a Run has to say.
func (l *Loop) forgetCause() {
	if l.cause != nil {
		l.cause = nil
		l.waiting.Add(-1)
	}
}

// Stop makes Run return nil after the current tick. When no Run is going on,
// the next one returns at once: a Stop is never lost. Safe from any goroutine.
//
// Libevent: event_base_loopexit, event_base_loopbreak.
func (l *Loop) Stop() {
	l.mu.Lock()
	if !l.stop {
		l.stop = true
		l.waiting.Add(1)
	}
	l.mu.Unlock()
	l.wake()
}

// cancel ends a Run whose context has ended. It may come late, when Run has
// returned for another reason, and must not end the next one.
func (l *Loop) cancel(run chan struct{}, cause error) {
	l.mu.Lock()
	if l.running && l.done == run && l.cause == nil {
		l.cause = cause
		l.waiting.Add(1)
	}
	l.mu.Unlock()
	l.wake()
}

package bev

import (
	"slices"
	"time"
)

// A Hook runs a function of yours in each tick, at one place of it. Made by
// [Loop.Prepare] and [Loop.Check]. Together they measure a Loop: from Prepare to
// Check it waits, from Check to Prepare it works. Its methods are Loop only.
//
// Libevent: struct evwatch.
type Hook struct {
	loop *Loop
	in   *[]*Hook
	f    func(wait time.Duration)
}

// Prepare runs f in each tick before the Loop asks the kernel what is ready.
// wait is how long it is going to wait for that: until the next timer at most,
// 0 where there is something to do already, negative where nothing but an event
// or another goroutine will end the wait. What f itself makes ready or arms is
// still taken into account. Hooks run in the order in which they were made, and
// do not keep RunUntilEmpty going. A Hook that panics is stopped. Loop only.
//
// Libevent: evwatch_prepare_new, evwatch_prepare_get_timeout.
func (l *Loop) Prepare(f func(wait time.Duration)) *Hook {
	l.assertOwner("Loop.Prepare")
	if f == nil {
		misuse("Prepare needs a function")
	}
	return l.hook(&l.prepares, f)
}

// Check runs f in each tick when the wait is over, before anything that became
// ready is dealt with. Otherwise it is as Prepare. Loop only.
//
// Libevent: evwatch_check_new.
func (l *Loop) Check(f func()) *Hook {
	l.assertOwner("Loop.Check")
	if f == nil {
		misuse("Check needs a function")
	}
	return l.hook(&l.checks, func(time.Duration) { f() })
}

func (l *Loop) hook(in *[]*Hook, f func(time.Duration)) *Hook {
	h := &Hook{loop: l, in: in, f: f}
	*in = append(*in, h)
	l.special |= specialHooks
	return h
}

// Stop ends the Hook; its function is not called any more. Loop only.
//
// Libevent: evwatch_free.
func (h *Hook) Stop() {
	l := h.loop
	l.assertOwner("Hook.Stop")
	h.f = nil
	// Not in place: runHooks may be walking it.
	*h.in = slices.DeleteFunc(slices.Clone(*h.in), func(o *Hook) bool { return o == h })
	if len(l.prepares)+len(l.checks) == 0 {
		l.special &^= specialHooks
	}
}

// Loop returns the Loop that the Hook belongs to. Safe from any goroutine.
//
// Libevent: evwatch_base.
func (h *Hook) Loop() *Loop { return h.loop }

// runPrepares runs the hooks before a wait that block allows.
func (l *Loop) runPrepares(block bool) {
	if len(l.prepares) == 0 {
		return
	}
	wait := time.Duration(-1)
	if when, ok := l.nextTimer(); !block || l.work.pending() || l.waiting.Load() != 0 {
		wait = 0
	} else if ok {
		wait = time.Duration(max(when-l.elapsed(), 0))
	}
	runHooks(l.prepares, wait)
}

func (l *Loop) runChecks() { runHooks(l.checks, 0) }

func runHooks(hooks []*Hook, wait time.Duration) {
	for _, h := range hooks {
		if h.f != nil { // else stopped by one before it
			h.call(wait)
		}
	}
}

// call runs the function. It is not part of a tick that could be taken up
// again, so a panic ends here.
func (h *Hook) call(wait time.Duration) {
	l := h.loop
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil { // nil: Goexit, which nobody can stop
			l.afterPanic(v)
		}
	}()
	l.current = h
	h.f(wait)
	l.current = nil
	returned = true
}

// panicked stops a Hook: it would panic in each tick.
func (h *Hook) panicked(*PanicError) { h.Stop() }

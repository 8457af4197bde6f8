package bev

import (
	"time"

	"github.com/bevgo/bev/internal/timer"
)

// This file is when a Watch calls its function: how it is started, stopped and
// activated, and its timeout. What the kernel is told is in loop_watch.go.

// Stop takes the Watch away; f is not called any more, also for what it was
// active for already. Start brings it back. Loop only.
//
// Libevent: event_del.
func (w *Watch) Stop() {
	w.loop.assertOwner("Watch.Stop")
	w.active = 0
	if w.group != nil {
		w.remove()
	}
}

// Start adds a Watch that is not: after Stop, or after one with
// WatchOptions.Once has been called. The timeout begins anew, also of a Watch
// that is added already. The errors are those of Loop.Watch, and net.ErrClosed
// once the Loop is closed. Loop only.
//
// Libevent: event_add.
func (w *Watch) Start() error {
	w.loop.assertOwner("Watch.Start")
	if w.group == nil {
		return w.add()
	}
	w.startTimeout(w.loop.clock())
	return nil
}

// SetTimeout changes the timeout, see [WatchOptions]; 0 or less means none. It
// begins now. Loop only.
//
// Libevent: event_add (its timeout), event_remove_timer.
func (w *Watch) SetTimeout(d time.Duration) {
	w.loop.assertOwner("Watch.SetTimeout")
	w.timeout = max(d, 0)
	if w.group != nil {
		w.startTimeout(w.loop.clock())
	}
}

// Timeout returns the timeout, 0 for none. Loop only.
func (w *Watch) Timeout() time.Duration {
	w.loop.assertOwner("Watch.Timeout")
	return w.timeout
}

// TimedOut reports, in the Watch's function, whether it was called because its
// timeout has ended. ready is 0 then, unless the descriptor has become ready at
// the same time. Loop only.
//
// Libevent: EV_TIMEOUT.
func (w *Watch) TimedOut() bool {
	w.loop.assertOwner("Watch.TimedOut")
	return w.timedOut
}

// Activate has the function called in the next tick as if the descriptor were
// ready in the directions of ready, or, for 0, as if the timeout had ended. It
// is called once, for all that it was activated for until then, and also where
// the Watch is stopped. A timeout begins anew with that. Loop only.
//
// Libevent: event_active.
func (w *Watch) Activate(ready Dir) {
	w.loop.assertOwner("Watch.Activate")
	if ready&^Both != 0 {
		misuse("Watch.Activate needs Reading, Writing, Both, or 0 for the timeout")
	}
	if ready == 0 {
		ready = expired
	}
	w.activate(ready)
}

// ActivateFD activates the Watches of a descriptor that are added for one of
// the directions of ready, as [Watch.Activate] does. Where there are none it
// does nothing. Loop only.
//
// Libevent: event_base_active_by_fd.
func (l *Loop) ActivateFD(fd int, ready Dir) {
	l.assertOwner("Loop.ActivateFD")
	if g := l.files[fd]; g != nil {
		for _, w := range g.watches {
			if d := w.dir & ready; d != 0 {
				w.activate(d)
			}
		}
	}
}

// Pending returns what the Watch waits for. Loop only.
//
// Libevent: event_pending.
func (w *Watch) Pending() Pending {
	w.loop.assertOwner("Watch.Pending")
	return w.loop.pendingTimer(w.group != nil, w.active != 0 || w.node.Taken(), &w.node, w.when)
}

// SetPriority gives the Watch another priority, see [Conn.SetPriority]. Watches
// of one descriptor may differ in it. Loop only.
//
// Libevent: event_priority_set.
func (w *Watch) SetPriority(p int) {
	w.loop.assertOwner("Watch.SetPriority")
	w.prio = w.loop.checkPriority("Watch.SetPriority", p)
}

// Priority returns what SetPriority set. Loop only.
//
// Libevent: event_get_priority.
func (w *Watch) Priority() int {
	w.loop.assertOwner("Watch.Priority")
	return int(w.prio)
}

// FD returns the descriptor, also when the Watch is stopped. Loop only.
//
// Libevent: event_get_fd.
func (w *Watch) FD() int {
	w.loop.assertOwner("Watch.FD")
	return w.fd
}

// Dir returns the directions that the Watch is for. Loop only.
//
// Libevent: event_get_events.
func (w *Watch) Dir() Dir {
	w.loop.assertOwner("Watch.Dir")
	return w.dir
}

func (w *Watch) class() uint8 { return w.prio }

func (w *Watch) timerNode() *timer.Node { return &w.node }

// startTimeout begins the timeout at a time, or ends it where there is none.
func (w *Watch) startTimeout(from int64) {
	if w.timeout == 0 {
		w.loop.disarm(w)
		return
	}
	w.when = after(from, w.timeout)
	if !w.loop.postpone(&w.node, w.when, &w.seq) {
		w.loop.arm(w, w.when)
	}
}

// activate queues a call of the function.
func (w *Watch) activate(d Dir) {
	w.active |= d
	if !w.queued {
		w.queued = true
		w.loop.work.again.add(w)
	}
}

// resumeWork makes the call that was queued, unless it is stopped or made.
func (w *Watch) resumeWork() {
	w.queued = false
	if w.active != 0 {
		w.run(0)
	}
}

// expire is told that the timeout has ended.
func (w *Watch) expire(int64) { w.run(expired) }

// run calls the function, for d and for what it is active for besides. Before
// that, one for once is removed, and the timeout of the others begins anew:
// from its own end where that is the cause, so that it does not drift.
func (w *Watch) run(d Dir) {
	l := w.loop
	if w.node.Armed() && w.when <= l.now {
		d |= expired // at the same time
	}
	d |= w.active
	w.active = 0
	switch {
	case w.group == nil:
	case w.once:
		w.remove()
	case w.timeout > 0:
		from := l.now
		if d&expired != 0 && w.when <= l.now && after(w.when, w.timeout) > l.now {
			from = w.when
		}
		w.startTimeout(from)
	}
	w.timedOut = d&expired != 0
	l.current = w
	w.f(w, d&Both)
	l.current = nil
	w.timedOut = false
}

// panicked stops a Watch whose function panicked: what it was ready for is
// still there, and would call it again at once, for ever.
func (w *Watch) panicked(*PanicError) { w.Stop() }

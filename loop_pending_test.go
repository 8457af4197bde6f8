//go:build unix

package bev_test

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

func wantPending(t *testing.T, what string, got bev.Pending, added, active bool, due time.Time) {
	t.Helper()
	if want := (bev.Pending{Added: added, Active: active, Due: due}); got != want {
		t.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

// libevent's event_pending, of a timer.
func TestTimerPending(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		never := time.Time{}
		start := b.l.Now()
		var tm *bev.Timer
		tm = b.l.AfterFunc(time.Second, func() {
			wantPending(t, "in its function", tm.Pending(), false, false, never)
		})
		wantPending(t, "armed", tm.Pending(), true, false, start.Add(time.Second))
		b.pass(time.Minute)
		wantPending(t, "after it has run", tm.Pending(), false, false, never)
		tm.Activate()
		wantPending(t, "activated", tm.Pending(), false, true, never)
		tm.Stop()
		wantPending(t, "stopped", tm.Pending(), false, false, never)
	})
	// What is due waits for its priority.
	b := newLab(t, &bev.LoopOptions{Priorities: 2})
	n := &notes{t: t}
	low := b.after(time.Second, 1, n.say("low"))
	due := b.l.Now().Add(time.Second)
	b.after(time.Second, 0, func() {
		wantPending(t, "due, and of low priority", low.Pending(), true, true, due)
		if !low.Armed() {
			t.Error("a timer that is due is not armed")
		}
	})
	b.pass(time.Minute)
	n.want("its turn has come", "low")
	low.Reset(time.Second)
	for name, stop := range map[string]func(){
		"stopped": func() { low.Stop() },
		"reset":   func() { low.Reset(time.Hour) },
	} {
		low.Reset(time.Second)
		b.after(time.Second, 0, stop)
		b.pass(time.Minute)
		n.want(name + " while it waited for its turn")
	}
}

func TestTimerActivate(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		tm := b.l.AfterFunc(time.Hour, n.say("once"))
		tm.Activate()
		tm.Activate()
		n.want("never from inside the call")
		b.once()
		n.want("however often it was activated", "once")
		b.pass(2 * time.Hour)
		n.want("it is disarmed")

		// In its own function, in the next tick.
		left := 3
		tm = b.l.AfterFunc(0, func() {
			if n.add("again"); left > 0 {
				left--
				tm.Activate()
			}
		})
		b.pass(time.Second)
		n.want("it activates itself", "again", "again", "again", "again")

		// Due and activated is one call.
		tm = b.l.AfterFunc(time.Second, n.say("both"))
		b.l.Spend(time.Second)
		tm.Activate()
		b.once()
		n.want("its time had come, too", "both")
		tm.Activate()
		tm.Stop()
		b.once()
		n.want("it was stopped")
	})
}

// libevent's persistent_active_timeout: activated after 100 of 200 ms, it runs
// next at 300 and 500.
func TestPersistentActiveTimeout(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		start := b.l.Now()
		var at []time.Duration
		tm := b.l.Every(200*time.Millisecond, func() { at = append(at, b.l.Now().Sub(start).Round(time.Millisecond)) })
		b.l.AfterFunc(100*time.Millisecond, tm.Activate)
		b.pass(550 * time.Millisecond)
		if len(at) != 3 || at[0] != 100*time.Millisecond || at[1] != 300*time.Millisecond || at[2] != 500*time.Millisecond {
			t.Errorf("ran at %v, want 100, 300 and 500 ms", at)
		}
	})
}

func TestSignalActivateAndPending(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		s := b.l.Notify(func(sig os.Signal) { n.add("%v", sig) }, syscall.SIGUSR1)
		wantPending(t, "made", s.Pending(), true, false, time.Time{})
		s.Activate(syscall.SIGUSR2) // need not be one of its own
		s.Activate(syscall.SIGUSR1)
		wantPending(t, "activated", s.Pending(), true, true, time.Time{})
		b.once()
		n.want("two signals", "user defined signal 2", "user defined signal 1")
		s.Activate(syscall.SIGUSR1)
		s.Stop()
		wantPending(t, "stopped", s.Pending(), false, false, time.Time{})
		s.Activate(syscall.SIGUSR1)
		b.once()
		n.want("it is stopped")
	})
}

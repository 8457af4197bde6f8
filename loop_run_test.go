//go:build unix

package bev_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// everyPhase queues three of each kind of work that a tick does in a phase of
// its own, for a Loop that has nothing else to do, and says what f is called
// with: "timer 1".
func everyPhase(b *lab, f func(what string)) (names []string) {
	b.t.Helper()
	wires := make([][2]*bev.Conn, 12)
	for i := range wires {
		wires[i][0], wires[i][1] = b.wire(nil)
	}
	b.pass(time.Second)
	next := func() (plain, c *bev.Conn) {
		plain, c = wires[0][0], wires[0][1]
		wires = wires[1:]
		return plain, c
	}
	for _, kind := range []string{"event", "again", "timer", "post", "deferred", "flush"} {
		for i := range 3 {
			what := kind + " " + string(rune('1'+i))
			names = append(names, what)
			say := func() { f(what) }
			switch kind {
			case "event":
				plain, c := next()
				c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.Input().Reset(); say() }})
				c.Enable(bev.Reading)
				syscall.Write(plain.FD(), []byte("x"))
			case "again":
				b.l.AfterFunc(time.Hour, say).Activate()
			case "timer":
				b.l.AfterFunc(0, say)
			case "post":
				b.l.Post(say)
			case "deferred":
				_, c := next()
				c.SetCallbacks(bev.Callbacks{Read: func(*bev.Conn) { say() }})
				c.Trigger(bev.Reading, bev.TriggerIgnoreWatermarks)
			case "flush":
				_, c := next()
				c.SetCallbacks(bev.Callbacks{Write: func(*bev.Conn) { say() }})
				c.WriteString("x")
			}
		}
	}
	b.l.Spend(1) // the timers are due
	return names
}

func eachAgenda(t *testing.T, f func(t *testing.T, b *lab)) {
	for name, o := range map[string]*bev.LoopOptions{
		"plain":      {},
		"priorities": {Priorities: 3},
		"limit":      {MaxDispatch: bev.DispatchLimit{Callbacks: 4}},
	} {
		t.Run(name, func(t *testing.T) { f(t, newLab(t, o)) })
	}
}

// libevent's loopbreak, in each phase of a tick: what is left is left for the
// next Run, in its order.
func TestBreakKeepsTheRest(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		names := everyPhase(b, func(what string) {
			n.add("%s", what)
			b.l.Break()
			b.l.Break() // no more than once
			if !b.l.BreakAsked() || b.l.StopAsked() {
				t.Errorf("in a callback that breaks: break asked %v, stop asked %v", b.l.BreakAsked(), b.l.StopAsked())
			}
		})
		for _, want := range names {
			if err := b.l.Run(t.Context()); err != nil {
				t.Fatalf("Run: %v", err)
			}
			n.want("Run that breaks at "+want, want)
			if !b.l.BreakAsked() || b.l.StopAsked() {
				t.Errorf("after a Break: break asked %v, stop asked %v", b.l.BreakAsked(), b.l.StopAsked())
			}
		}
		b.once()
		n.want("all have had their turn")
		if b.l.BreakAsked() {
			t.Error("a new run has not been broken off, but says so")
		}
	})
}

// In a tick that was a plain one so far: what its phases would still have done
// keeps its order.
func TestBreakInEachPhase(t *testing.T) {
	for phase := range 6 {
		for _, i := range []int{3 * phase, 3*phase + 2} { // the first of three, and the last
			eachAgenda(t, func(t *testing.T, b *lab) {
				n := &notes{t: t}
				var names []string
				names = everyPhase(b, func(what string) {
					if n.add("%s", what); what == names[i] {
						b.l.Break()
					}
				})
				if err := b.l.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				n.want("a Run that breaks at "+names[i], names[:i+1]...)
				b.once()
				n.want("the next Run", names[i+1:]...)
				if b.l.Jobs() != 0 {
					t.Errorf("%d jobs are left", b.l.Jobs())
				}
			})
		}
	}
}

// A Loop that cannot wait says so, however it is run.
func TestRunOnceReportsThatTheLoopCannotWait(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		f := inject(t)
		f.fail(sys.OpEpollWait, anyFD, syscall.EBADF)
		if err := b.l.RunReady(); !errors.Is(err, syscall.EBADF) || !strings.HasPrefix(err.Error(), "bev: ") {
			t.Errorf("RunReady: %v, want EBADF", err)
		}
		if err := b.l.RunReady(); err != nil {
			t.Errorf("RunReady after that: %v", err)
		}
	})
}

// libevent's loopcontinue: the kernel is asked behind each callback.
func TestContinueAsksTheKernel(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		ticks := []uint64{0}
		names := everyPhase(b, func(what string) {
			n.add("%s", what)
			if now := b.l.Stats().Ticks; now != ticks[len(ticks)-1] {
				ticks = append(ticks, now)
			}
			b.l.Continue()
			b.l.Continue()
		})
		b.once()
		n.want("all are done by one RunReady", names...)
		if got := len(ticks) - 1; got != len(names) {
			t.Errorf("%d callbacks that Continue ran in %d ticks", len(names), got)
		}
		if b.l.BreakAsked() || b.l.StopAsked() {
			t.Error("Continue counts as Break or Stop")
		}
	})
}

// A callback that always asks for new events does not starve what comes after
// it in a tick.
func TestContinueStarvesNobody(t *testing.T) {
	b := newLab(t, nil)
	plain, c := b.wire(nil)
	c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
		syscall.Write(plain.FD(), []byte("x")) // there is always an event
		c.Input().Reset()
		b.l.Spend(1)
		b.l.Continue()
	}})
	c.Enable(bev.Reading)
	syscall.Write(plain.FD(), []byte("x"))
	b.l.AfterFunc(0, b.l.Stop)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.l.Run(ctx); err != nil {
		t.Fatalf("Run: %v; the timer waits for ever", err)
	}
}

// After a tick that was cut short and made up for, ticks are plain again.
func TestBreakCostsOnlyWhileSomethingIsLeft(t *testing.T) {
	b := newLab(t, nil)
	everyPhase(b, func(string) { b.l.Continue() })
	if !b.l.Plain() {
		t.Error("a Loop without anything special takes no plain ticks")
	}
	b.once()
	if !b.l.Plain() || b.l.Jobs() != 0 {
		t.Errorf("%d jobs are left; plain ticks: %v", b.l.Jobs(), b.l.Plain())
	}
}

func TestBreakAndContinueWithoutARunDoNothing(t *testing.T) {
	b := newLab(t, nil)
	b.l.Break()
	b.l.Continue()
	if b.l.BreakAsked() {
		t.Error("Break without a Run was asked for")
	}
	n := &notes{t: t}
	b.l.Post(n.say("posted"))
	b.once()
	n.want("the Break came before", "posted")
}

// Both at once end one Run, not two.
func TestBreakAndStopEndOneRun(t *testing.T) {
	b := newLab(t, nil)
	n := &notes{t: t}
	b.l.Post(func() { n.add("first"); b.l.Stop(); b.l.Break() })
	b.l.Post(n.say("second"))
	b.l.Post(b.l.Stop)
	for range 2 {
		if err := b.l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.add("ended")
	}
	n.want("Break and Stop in one callback", "first", "ended", "second", "ended")
	if !b.l.StopAsked() || b.l.BreakAsked() {
		t.Error("the last run was stopped, and not broken off")
	}
}

func TestPanicInACallbackThatBreaks(t *testing.T) {
	for _, o := range []bev.LoopOptions{{}, {Priorities: 2}} {
		told := newPanics()
		o.OnPanic = told.told
		b := newLab(t, &o)
		n := &notes{t: t}
		names := everyPhase(b, func(what string) {
			n.add("%s", what)
			b.l.Break()
			panic("boom")
		})
		for _, want := range names {
			if err := b.l.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			n.want("Run that breaks at "+want, want)
			await(t, told, "OnPanic")
		}
		b.l.Close()
	}
}

// libevent's loopexit and loopexit_multiple.
func TestStopAfter(t *testing.T) {
	b := newLab(t, &bev.LoopOptions{Priorities: 2})
	start := b.l.Now()
	tm := b.l.StopAfter(time.Minute)
	b.l.StopAfter(time.Hour)
	if p := tm.Priority(); p != 0 {
		t.Errorf("StopAfter has priority %d", p)
	}
	for _, want := range []time.Duration{time.Minute, time.Hour} { // a stale one ends a later Run
		if err := b.l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := b.l.Now().Sub(start).Round(time.Second); d != want || !b.l.StopAsked() {
			t.Errorf("stopped after %v, want %v; asked: %v", d, want, b.l.StopAsked())
		}
	}
	b.l.StopAfter(time.Minute).Stop()
	if err := b.l.RunUntilEmpty(t.Context()); err != nil || b.l.StopAsked() {
		t.Errorf("RunUntilEmpty: %v, stop asked: %v", err, b.l.StopAsked())
	}
}

func TestRunUntilEmpty(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		until := func(why string, want ...string) {
			t.Helper()
			if err := b.l.RunUntilEmpty(t.Context()); err != nil {
				t.Fatalf("%s: %v", why, err)
			}
			n.want(why, want...)
		}
		until("nothing is there")
		b.l.AfterFunc(time.Hour, n.say("timer"))
		b.l.Post(n.say("posted"))
		b.l.Prepare(func(time.Duration) {}) // does not count
		until("a call and a timer", "posted", "timer")

		// Each thing that can make something happen keeps it going.
		plain, c := b.wire(nil)
		b.l.AfterFunc(time.Minute, func() { n.add("close"); c.Close(); plain.Close() })
		until("two Conns", "close")
		ln, err := bev.Listen(b.l, "tcp", "127.0.0.1:0", func(*bev.Conn) {}, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.l.AfterFunc(time.Minute, func() { n.add("close"); ln.Close() })
		until("a Listener", "close")
		in, out := blockingPipe(t)
		w, err := b.l.Watch(in, bev.Reading, func(w *bev.Watch, _ bev.Dir) { n.add("%s", readSome(t, in, 1)); w.Stop() })
		if err != nil {
			t.Fatal(err)
		}
		b.l.AfterFunc(time.Minute, func() { mustWrite(t, out, "x") })
		until("a Watch", "x")
		w.Stop()
		every := b.l.Every(time.Second, func() { n.add("every") })
		b.l.AfterFunc(2500*time.Millisecond, func() { every.Stop() })
		until("a timer of Every", "every", "every")
	})
}

// libevent's no_events: the last thing is taken away by another goroutine.
func TestRunUntilEmptyEndsWhenAnotherGoroutineTakesTheLast(t *testing.T) {
	r := newRig(t, nil)
	tm := r.l.AfterFunc(time.Hour, func() { t.Error("called") })
	go func() { r.result <- r.l.RunUntilEmpty(context.Background()) }()
	eventually(t, "the loop to sleep", r.l.Asleep)
	r.l.Post(func() { tm.Stop() })
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
}

func TestRunOnce(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		b.after(time.Hour, 0, n.say("first"))
		b.after(time.Hour, b.l.Priorities()-1, n.say("same time"))
		b.after(2*time.Hour, 0, n.say("later"))
		once := func() {
			t.Helper()
			if err := b.l.RunOnce(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		once()
		n.want("it waits for the first", "first", "same time")
		once()
		n.want("and for the next", "later")
		b.l.Post(n.say("posted"))
		once()
		n.want("a call is something", "posted")
		b.l.Stop()
		once()
		n.want("it was stopped")
	})
}

// A wake-up for nothing is not something.
func TestRunOnceGoesOnWhenNothingWasThere(t *testing.T) {
	r := newRig(t, nil)
	go func() { r.result <- r.l.RunOnce(context.Background()) }()
	eventually(t, "the loop to sleep", r.l.Asleep)
	r.l.WakeForNothing()
	eventually(t, "the loop to sleep again", r.l.Asleep)
	ran := false
	r.l.Post(func() { ran = true })
	if err := r.wait(); err != nil || !ran {
		t.Fatalf("RunOnce: %v; the call has run: %v", err, ran)
	}
}

func TestRunReadyDoesNotWait(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		b.l.AfterFunc(time.Hour, n.say("timer"))
		b.once()
		n.want("the timer is not due")
		names := everyPhase(b, func(what string) { n.add("%s", what) })
		b.once()
		if len(n.all) < len(names) {
			t.Errorf("of %q only these have had their turn: %q", names, n.all)
		}
	})
}

func TestEachWayToRunEndsAlike(t *testing.T) {
	cause := errors.New("enough")
	for name, run := range map[string]func(l *bev.Loop, ctx context.Context) error{
		"Run":           (*bev.Loop).Run,
		"RunOnce":       (*bev.Loop).RunOnce,
		"RunUntilEmpty": (*bev.Loop).RunUntilEmpty,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.l.AfterFunc(time.Hour, func() {}) // not empty
			ended, cancel := context.WithCancelCause(t.Context())
			cancel(cause)
			if err := run(r.l, ended); err != cause {
				t.Errorf("the context has ended: %v", err)
			}
			r.l.Post(func() {
				if err := run(r.l, t.Context()); err != bev.ErrRunning {
					t.Errorf("from a callback: %v, want ErrRunning", err) // libevent's bad_reentrant
				}
				if err := r.l.RunReady(); err != bev.ErrRunning {
					t.Errorf("RunReady from a callback: %v, want ErrRunning", err)
				}
				r.l.Stop()
			})
			if err := run(r.l, t.Context()); err != nil || !r.l.StopAsked() {
				t.Errorf("stopped: %v, asked %v", err, r.l.StopAsked())
			}
			r.l.Post(runtime.Goexit)
			if err := run(r.l, t.Context()); err != bev.ErrGoexit {
				t.Errorf("after Goexit: %v", err)
			}
			r.l.Post(func() { r.l.Close() })
			if err := run(r.l, t.Context()); !errors.Is(err, net.ErrClosed) {
				t.Errorf("closed by a callback: %v", err)
			}
			if err := run(r.l, t.Context()); !errors.Is(err, net.ErrClosed) {
				t.Errorf("of a closed Loop: %v", err)
			}
		})
	}
}

// What a tick of RunOnce asks for holds for that run and not for the next.
func TestStopInTheLastTickIsUsedUp(t *testing.T) {
	b := newLab(t, nil)
	b.l.Post(b.l.Stop)
	b.once()
	if !b.l.StopAsked() {
		t.Error("Stop was called in this run")
	}
	n := &notes{t: t}
	b.l.AfterFunc(time.Second, n.say("timer"))
	b.pass(time.Minute)
	n.want("the Stop belonged to the run before", "timer")
}

// libevent's gettimeofday_cached and its kin.
func TestUpdateTime(t *testing.T) {
	b := newLab(t, nil)
	n := &notes{t: t}
	b.l.AfterFunc(0, func() {
		before := b.l.Now()
		b.l.Spend(time.Minute)
		if d := b.l.Now().Sub(before); d != 0 {
			t.Errorf("Now went on by %v in a tick", d)
		}
		late := b.l.AfterFunc(time.Second, n.say("late"))
		b.l.UpdateTime()
		if d := b.l.Now().Sub(before); d != time.Minute {
			t.Errorf("UpdateTime: %v later, want a minute", d)
		}
		// What has become due meanwhile is not run by this tick.
		b.l.AfterFunc(0, n.say("from now"))
		b.l.Post(func() { n.add("posted"); late.Reset(0) })
	})
	b.pass(time.Hour)
	n.want("a callback that took a minute", "posted", "from now", "late")
	now := b.l.Now()
	b.l.Spend(time.Second)
	if d := b.l.Now().Sub(now); d != time.Second {
		t.Errorf("between two runs Now is %v later, want a second", d)
	}
	b.l.UpdateTime() // harmless
}

//go:build unix

package bev_test

import (
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// libevent's callback_ordering: first in, first out, Prepare before Check, what
// is stopped is silent, and the wait that is told is the one that is planned.
func TestHooksRunInOrder(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		b.l.Prepare(func(wait time.Duration) { n.add("prepare %v", wait) })
		check := b.l.Check(n.say("check 1"))
		second := b.l.Prepare(func(time.Duration) { n.add("prepare again") })
		b.l.Check(n.say("check 2"))
		b.l.AfterFunc(time.Second, func() {
			n.add("timer")
			second.Stop()
			check.Stop()
			check.Stop()
			b.l.Stop()
		})
		if check.Loop() != b.l {
			t.Error("the Hook belongs to another Loop")
		}
		run := func() {
			t.Helper()
			if err := b.l.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		run()
		// The clock of a lab leaps when a wait finds nothing, so there is one
		// wait before.
		n.want("a second", "prepare 1s", "prepare again", "check 1", "check 2", "timer")
		b.l.AfterFunc(time.Minute, b.l.Stop)
		b.l.Post(n.say("posted"))
		run()
		n.want("a call, then a minute", "prepare 0s", "check 2", "posted", "prepare 1m0s", "check 2")
	})
}

// libevent's timeout_unavailable: without a timer the wait has no bound.
func TestPrepareWithoutATimer(t *testing.T) {
	r := newRig(t, nil)
	waits := make(chan time.Duration, 10)
	h := r.l.Prepare(func(wait time.Duration) { waits <- wait })
	r.start(t.Context())
	if wait := await(t, waits, "Prepare"); wait >= 0 {
		t.Errorf("nothing bounds the wait, but it is %v", wait)
	}
	r.on(h.Stop)
	r.l.Stop()
	r.wait()
	r.l.Prepare(func(wait time.Duration) { waits <- wait })
	r.l.RunReady()
	if wait := await(t, waits, "Prepare"); wait != 0 {
		t.Errorf("RunReady does not wait, but is going to wait for %v", wait)
	}
}

// What a hook makes ready, or arms, is taken into account by the wait that
// follows.
func TestPrepareMayMakeWork(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		b.l.AfterFunc(time.Hour, n.say("late"))
		left := 3
		b.l.Prepare(func(wait time.Duration) {
			switch left--; left {
			case 2:
				b.l.AfterFunc(time.Second, n.say("soon"))
			case 1:
				b.l.Post(n.say("posted"))
			case 0:
				_, c := b.wire(nil)
				c.SetCallbacks(bev.Callbacks{Read: func(*bev.Conn) { n.add("deferred") }})
				c.Trigger(bev.Reading, bev.TriggerIgnoreWatermarks)
			}
		})
		b.pass(time.Minute)
		n.want("by three hooks", "soon", "posted", "deferred")
	})
}

func TestHooksThatAreMadeOrStoppedByHooks(t *testing.T) {
	b := newLab(t, nil)
	n := &notes{t: t}
	var second *bev.Hook
	first := b.l.Check(func() {
		n.add("first")
		second.Stop()
		b.l.Check(n.say("new"))
	})
	second = b.l.Check(n.say("second"))
	b.once()
	n.want("the first stops the second", "first")
	first.Stop()
	b.once()
	n.want("the new one has its turn in the next tick", "new")
}

func TestTicksArePlainWithoutHooks(t *testing.T) {
	b := newLab(t, nil)
	hooks := []*bev.Hook{b.l.Check(func() {}), b.l.Prepare(func(time.Duration) {})}
	for _, h := range hooks {
		if b.l.Plain() {
			t.Error("there is a hook, and ticks are plain")
		}
		h.Stop()
	}
	if !b.l.Plain() {
		t.Error("all hooks are stopped, but ticks are not plain")
	}
}

// Break in a hook: nothing runs any more, and nothing is lost.
func TestBreakInAHook(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		plain, c := b.wire(nil)
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { n.add("read %s", c.Input().String()); c.Input().Reset() }})
		c.Enable(bev.Reading)
		b.pass(1)
		syscall.Write(plain.FD(), []byte("x"))
		b.l.Post(n.say("posted"))
		for name, hook := range map[string]func() *bev.Hook{
			"prepare": func() *bev.Hook { return b.l.Prepare(func(time.Duration) { n.add("hook"); b.l.Break() }) },
			"check":   func() *bev.Hook { return b.l.Check(func() { n.add("hook"); b.l.Break() }) },
		} {
			h := hook()
			if err := b.l.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			n.want("Break in "+name, "hook")
			h.Stop()
		}
		b.l.Prepare(func(time.Duration) { b.l.Continue() }) // there is nothing to cut short
		b.once()
		n.want("the next run", "read x", "posted")
	})
}

func TestPanicInAHook(t *testing.T) {
	told := newPanics()
	b := newLab(t, &bev.LoopOptions{OnPanic: told.told})
	n := &notes{t: t}
	b.l.Prepare(func(time.Duration) { n.add("prepare"); panic("boom in prepare") })
	b.l.Prepare(func(time.Duration) { n.add("prepare 2") })
	b.l.Check(func() { n.add("check"); panic("boom in check") })
	b.l.Check(n.say("check 2"))
	b.l.Post(n.say("posted"))
	b.once()
	n.want("two panic", "prepare", "prepare 2", "check", "check 2", "posted")
	for _, where := range []string{"prepare", "check"} {
		if got := await(t, told, "OnPanic"); !strings.HasPrefix(got, "boom in "+where) {
			t.Errorf("OnPanic was told %.40q, want %s", got, where)
		}
	}
	b.once()
	n.want("they are stopped", "prepare 2", "check 2")
	if p := b.l.Stats().Panics; p != 2 {
		t.Errorf("%d panics are counted", p)
	}
}

func TestGoexitInAHook(t *testing.T) {
	for _, check := range []bool{false, true} {
		b := newLab(t, nil)
		_, c := b.wire(nil)
		var h *bev.Hook
		if check {
			h = b.l.Check(runtime.Goexit)
		} else {
			h = b.l.Prepare(func(time.Duration) { runtime.Goexit() })
		}
		b.l.Post(func() {}) // a wait that ends
		if err := b.l.Run(t.Context()); err != bev.ErrGoexit {
			t.Errorf("Run: %v, want ErrGoexit", err)
		}
		if !c.Closed() {
			t.Error("the Conn is open")
		}
		h.Stop()
		ran := false
		b.l.Post(func() { ran = true })
		if err := b.l.RunOnce(t.Context()); err != nil || !ran {
			t.Errorf("the next run: %v, the call has run: %v", err, ran)
		}
	}
}

func TestHooksNeedAFunction(t *testing.T) {
	b := newLab(t, nil)
	for name, f := range map[string]func(){
		"Prepare": func() { b.l.Prepare(nil) },
		"Check":   func() { b.l.Check(nil) },
	} {
		if text := panicText(f); text != "bev: "+name+" needs a function" {
			t.Errorf("%s(nil): panic %q", name, text)
		}
	}
}

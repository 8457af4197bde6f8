//go:build unix

package bev_test

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// The regress tests of libevent's event core that are about events on
// descriptors, by their names there, on a virtual clock.

// watch is Loop.WatchWith that must not fail.
func (b *lab) watch(fd int, dir bev.Dir, o *bev.WatchOptions, f func(w *bev.Watch, ready bev.Dir)) *bev.Watch {
	b.t.Helper()
	w, err := b.l.WatchWith(fd, dir, f, o)
	if err != nil {
		b.t.Fatalf("WatchWith: %v", err)
	}
	return w
}

// seen notes what a Watch is called for: "reading", "timeout",
// "reading+timeout".
func (n *notes) seen(name string) func(w *bev.Watch, ready bev.Dir) {
	return func(w *bev.Watch, ready bev.Dir) {
		switch {
		case !w.TimedOut():
			n.add("%s %v", name, ready)
		case ready == 0:
			n.add("%s timeout", name)
		default:
			n.add("%s %v+timeout", name, ready)
		}
	}
}

func TestEdgeTriggeredWatch(t *testing.T) { // et
	eachAgenda(t, func(t *testing.T, b *lab) {
		for _, edge := range []bool{true, false} {
			n := &notes{t: t}
			in, out := blockingPipe(t)
			mustWrite(t, out, "ab")
			w := b.watch(in, bev.Reading, &bev.WatchOptions{Edge: edge}, n.seen("watch"))
			b.once()
			b.once()
			if edge {
				n.want("nobody reads", "watch reading")
			} else {
				n.want("nobody reads", "watch reading", "watch reading")
			}
			readSome(t, in, 2)
			b.once()
			n.want("it is empty")
			mustWrite(t, out, "c")
			b.once()
			n.want("more has come", "watch reading")
			w.Stop()
		}
	})
}

func TestEdgeAndLevelDoNotMix(t *testing.T) { // et_mix_error
	b := newLab(t, nil)
	in, _ := blockingPipe(t)
	nop := func(*bev.Watch, bev.Dir) {}
	for _, edge := range []bool{false, true} {
		first := b.watch(in, bev.Reading, &bev.WatchOptions{Edge: edge}, nop)
		w, err := b.l.WatchWith(in, bev.Reading, nop, &bev.WatchOptions{Edge: !edge})
		if w != nil || err == nil || !strings.HasPrefix(err.Error(), "bev: ") || !strings.Contains(err.Error(), "WatchOptions.Edge") {
			t.Errorf("edge %v beside %v: %v", !edge, edge, err)
		}
		first.Stop()
	}
	b.watch(in, bev.Reading, nil, nop).Stop() // nothing is left of them
}

func TestSeveralEdgeTriggeredWatches(t *testing.T) { // et_multiple_events
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		in, out := blockingPipe(t)
		edge := &bev.WatchOptions{Edge: true}
		first := b.watch(in, bev.Reading, edge, n.seen("first"))
		mustWrite(t, out, "x")
		b.once()
		n.want("one", "first reading")
		second := b.watch(in, bev.Reading, edge, n.seen("second"))
		b.once()
		n.want("the new one hears what was there", "first reading", "second reading")
		first.Stop()
		b.once()
		n.all = nil // a call without cause is possible
		b.once()
		n.want("still by edge")
		mustWrite(t, out, "y")
		b.once()
		n.want("more has come", "second reading")
		second.Stop()
	})
}

func TestPanicInAnEdgeTriggeredWatch(t *testing.T) {
	told := newPanics()
	b := newLab(t, &bev.LoopOptions{OnPanic: told.told})
	n := &notes{t: t}
	in, out := blockingPipe(t)
	edge := &bev.WatchOptions{Edge: true}
	b.watch(in, bev.Reading, edge, func(*bev.Watch, bev.Dir) { panic("boom") })
	b.watch(in, bev.Reading, edge, n.seen("other"))
	mustWrite(t, out, "x")
	b.once()
	await(t, told, "OnPanic")
	if len(n.all) == 0 {
		t.Error("the other Watch has lost its edge")
	}
}

func TestEdgeTriggeredWatchOfAFile(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		fd := int(sample(t, 1).Fd())
		w := b.watch(fd, bev.Reading, &bev.WatchOptions{Edge: true}, n.seen("watch"))
		b.once()
		b.once()
		n.want("a file is ready once", "watch reading")
		w.Stop()
		once := b.watch(fd, bev.Reading, &bev.WatchOptions{Once: true}, n.seen("once"))
		b.once()
		b.once()
		n.want("for once", "once reading")
		if p := once.Pending(); p.Added {
			t.Errorf("it is %+v", p)
		}
		// Several of one file are each called in each tick, until they stop.
		left := 3
		b.watch(fd, bev.Reading, nil, func(w *bev.Watch, _ bev.Dir) {
			if left--; left == 0 {
				w.Stop()
			}
		})
		second := b.watch(fd, bev.Writing, nil, n.seen("second"))
		for range 10 {
			b.once()
		}
		if left != 0 || len(n.all) < 3 {
			t.Errorf("%d calls are left for the one, the other had %d", left, len(n.all))
		}
		second.Stop()
	})
}

func TestWatchForOnce(t *testing.T) { // simpleread, nonpersist_readd, want_only_once
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		in, out := blockingPipe(t)
		w := b.watch(in, bev.Reading, &bev.WatchOptions{Once: true, Timeout: time.Second}, func(w *bev.Watch, ready bev.Dir) {
			n.seen("once")(w, ready)
			if p := w.Pending(); p.Added || p.Active || !p.Due.IsZero() {
				t.Errorf("in its function it is %+v", p)
			}
		})
		mustWrite(t, out, "x")
		b.pass(time.Minute)
		n.want("ready once, and without the timeout", "once reading")
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		b.once()
		n.want("it was started again", "once reading")
		readSome(t, in, 1)
		w.Start()
		b.pass(time.Minute)
		n.want("the timeout is once, too", "once timeout")

		left := 3
		again := b.watch(in, bev.Reading, &bev.WatchOptions{Once: true}, func(w *bev.Watch, _ bev.Dir) {
			n.add("%s", readSome(t, in, 1))
			if left--; left > 0 {
				if err := w.Start(); err != nil {
					t.Error(err)
				}
			}
		})
		mustWrite(t, out, "abcd")
		b.pass(time.Minute)
		n.want("in its own function", "a", "b", "c")
		again.Stop()
		b.once()
		n.want("stopped")
	})
}

// One for once beside one that stays, on one descriptor.
func TestWatchForOnceBesideAnother(t *testing.T) { // simpleread_multiple
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		in, out := blockingPipe(t)
		stays := b.watch(in, bev.Reading, nil, n.seen("stays"))
		b.watch(in, bev.Reading, &bev.WatchOptions{Once: true}, n.seen("once"))
		mustWrite(t, out, "x")
		b.once()
		n.want("both", "stays reading", "once reading")
		b.once()
		n.want("one", "stays reading")
		stays.Stop()
	})
}

func TestWatchTimeout(t *testing.T) { // persistent_timeout, event_remove_timeout
	eachAgenda(t, func(t *testing.T, b *lab) {
		in, out := blockingPipe(t)
		start := b.l.Now()
		var at []string
		w := b.watch(in, bev.Reading, &bev.WatchOptions{Timeout: 10 * time.Second}, func(w *bev.Watch, ready bev.Dir) {
			what := "timeout"
			if !w.TimedOut() {
				what = readSome(t, in, 1)
			}
			at = append(at, what+" "+b.l.Now().Sub(start).Round(time.Second).String())
		})
		b.l.AfterFunc(25*time.Second, func() { mustWrite(t, out, "x") })
		b.l.AfterFunc(50*time.Second, func() { w.SetTimeout(20 * time.Second) })
		b.l.AfterFunc(75*time.Second, func() { w.Start() }) // begins anew
		b.l.AfterFunc(100*time.Second, func() { w.SetTimeout(-1); w.Start() })
		b.l.AfterFunc(200*time.Second, func() { mustWrite(t, out, "y") })
		b.pass(time.Hour)
		want := "timeout 10s timeout 20s x 25s timeout 35s timeout 45s timeout 1m10s timeout 1m35s y 3m20s"
		if got := strings.Join(at, " "); got != want {
			t.Errorf("called at %s, want %s", got, want)
		}
		if d := w.Timeout(); d != 0 {
			t.Errorf("Timeout is %v", d)
		}
		w.Stop()
	})
}

// What it missed is one call, and the next is an interval later.
func TestPersistentTimeoutJump(t *testing.T) {
	b := newLab(t, nil)
	in, _ := blockingPipe(t)
	start := b.l.Now()
	var at []time.Duration
	w := b.watch(in, bev.Reading, &bev.WatchOptions{Timeout: time.Second}, func(*bev.Watch, bev.Dir) {
		at = append(at, b.l.Now().Sub(start).Round(time.Second))
	})
	b.l.Spend(5 * time.Second)
	b.pass(1500 * time.Millisecond)
	if len(at) != 2 || at[0] != 5*time.Second || at[1] != 6*time.Second {
		t.Errorf("called at %v, want 5 s and 6 s", at)
	}
	w.Stop()
}

// Bytes and the end of the timeout are one call that tells both.
func TestEventTimeoutLost(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		in, out := blockingPipe(t)
		b.watch(in, bev.Reading, &bev.WatchOptions{Once: true, Timeout: time.Second}, n.seen("watch"))
		mustWrite(t, out, "x")
		b.l.Spend(time.Second)
		b.pass(time.Minute)
		n.want("both at once", "watch reading+timeout")
	})
}

func TestWatchPending(t *testing.T) { // event_pending
	eachAgenda(t, func(t *testing.T, b *lab) {
		never := time.Time{}
		in, _ := blockingPipe(t)
		start := b.l.Now()
		w := b.watch(in, bev.Reading, &bev.WatchOptions{Timeout: time.Minute}, func(*bev.Watch, bev.Dir) {})
		wantPending(t, "with a timeout", w.Pending(), true, false, start.Add(time.Minute))
		w.SetTimeout(0)
		wantPending(t, "without", w.Pending(), true, false, never)
		w.Activate(bev.Reading)
		wantPending(t, "activated", w.Pending(), true, true, never)
		w.Stop()
		wantPending(t, "stopped", w.Pending(), false, false, never)
		if w.FD() != in || w.Dir() != bev.Reading {
			t.Errorf("a stopped Watch is for %v of %d", w.Dir(), w.FD())
		}
		w.Activate(bev.Writing)
		wantPending(t, "activated when stopped", w.Pending(), false, true, never)
	})
}

func TestWatchActivate(t *testing.T) { // manipulate_active_events, active_by_fd
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		in, out := blockingPipe(t)
		w := b.watch(in, bev.Reading, &bev.WatchOptions{Timeout: time.Hour}, n.seen("watch"))
		w.Activate(bev.Reading)
		w.Activate(bev.Writing) // need not be one of its own
		n.want("never from inside the call")
		b.once()
		n.want("both in one call", "watch reading|writing")
		w.Activate(0)
		b.once()
		n.want("as if timed out", "watch timeout")
		w.Activate(bev.Reading)
		w.Stop()
		b.once()
		n.want("Stop is for that, too")
		w.Activate(bev.Reading)
		b.once()
		n.want("also when stopped", "watch reading")

		b.l.ActivateFD(in, bev.Reading) // nobody is added
		b.l.ActivateFD(-1, bev.Both)
		b.l.ActivateFD(1<<20, bev.Both)
		b.once()
		n.want("nobody")
		w.Start()
		other := b.watch(out, bev.Writing, &bev.WatchOptions{Once: true}, n.seen("other"))
		b.once()
		n.want("the pipe takes bytes", "other writing")
		b.l.ActivateFD(out, bev.Writing)
		b.l.ActivateFD(in, bev.Writing)
		b.once()
		n.want("not added, or for the other direction")
		b.l.ActivateFD(in, bev.Both)
		b.once()
		n.want("the one that is", "watch reading")
		w.Stop()
		other.Stop()
		if text := panicText(func() { w.Activate(8) }); !strings.HasPrefix(text, "bev: Watch.Activate needs") {
			t.Errorf("Activate(8): panic %q", text)
		}
	})
}

// Two that activate each other do not keep others from their turn.
func TestActiveLater(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		in, out := blockingPipe(t)
		mustWrite(t, out, "x")
		var first, second *bev.Watch
		calls, reads := 0, 0
		first = b.watch(out, bev.Reading, nil, func(*bev.Watch, bev.Dir) { calls++; second.Activate(bev.Reading) })
		second = b.watch(out, bev.Reading, nil, func(*bev.Watch, bev.Dir) { calls++; first.Activate(bev.Reading) })
		io := b.watch(in, bev.Reading, nil, func(*bev.Watch, bev.Dir) {
			if reads++; reads == 100 {
				b.l.Stop()
			}
		})
		first.Activate(bev.Reading)
		if err := b.l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if calls < 90 || reads < 100 {
			t.Errorf("%d calls of those who activate each other, %d of the other", calls, reads)
		}
		for _, w := range []*bev.Watch{first, second, io} {
			w.Stop()
		}
	})
}

// Watches of one descriptor may have different priorities.
func TestWatchPriority(t *testing.T) {
	b := newLab(t, &bev.LoopOptions{Priorities: 3})
	n := &notes{t: t}
	in, out := blockingPipe(t)
	for i, name := range []string{"middle", "low", "high"} {
		w := b.watch(in, bev.Reading, nil, func(w *bev.Watch, ready bev.Dir) {
			n.add("%s", name)
			w.Stop()
		})
		if p := w.Priority(); p != 1 {
			t.Errorf("a Watch is born with priority %d", p)
		}
		if i > 0 {
			w.SetPriority([]int{0, 2, 0}[i])
		}
	}
	mustWrite(t, out, "x")
	b.once()
	n.want("ready for all", "high", "middle", "low")
}

func TestWatchStartReportsWhatTheKernelRefuses(t *testing.T) { // evmap_invalid_slots
	r := newRig(t, nil)
	in, _ := blockingPipe(t)
	f := inject(t)
	w, err := r.l.WatchWith(in, bev.Reading, func(*bev.Watch, bev.Dir) { t.Error("called") }, &bev.WatchOptions{Once: true})
	if err != nil {
		t.Fatal(err)
	}
	w.Stop()
	f.fail(sys.OpEpollCtl, in, syscall.ENOSPC)
	if err := w.Start(); !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "bev: ") {
		t.Errorf("Start: %v, want ENOSPC", err)
	}
	wantPending(t, "refused", w.Pending(), false, false, time.Time{})
	if err := w.Start(); err != nil {
		t.Errorf("Start again: %v", err)
	}
	r.l.Close()
	wantPending(t, "of a closed Loop", w.Pending(), false, false, time.Time{})
	if err := w.Start(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Start on a closed Loop: %v, want net.ErrClosed", err)
	}
	for _, fd := range []int{-1, 1<<31 - 1} {
		if _, err := newLab(t, nil).l.Watch(fd, bev.Reading, func(*bev.Watch, bev.Dir) {}); !errors.Is(err, syscall.EBADF) {
			t.Errorf("Watch of descriptor %d: %v, want EBADF", fd, err)
		}
	}
	if text := panicText(func() { newLab(t, nil).l.WatchWith(in, 0, nil, nil) }); !strings.HasPrefix(text, "bev: WatchWith needs") {
		t.Errorf("WatchWith without anything: panic %q", text)
	}
}

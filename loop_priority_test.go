//go:build unix

package bev_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// notes are what callbacks of a lab say, in order. A lab runs in the test's own
// goroutine, so nothing is locked and nothing has to be waited for.
type notes struct {
	t   testing.TB
	all []string
}

func (n *notes) add(format string, args ...any) { n.all = append(n.all, fmt.Sprintf(format, args...)) }

func (n *notes) say(what string) func() { return func() { n.add("%s", what) } }

// want compares with what was said since the last want.
func (n *notes) want(why string, want ...string) {
	n.t.Helper()
	if !slices.Equal(n.all, want) {
		n.t.Errorf("%s: got %q, want %q", why, n.all, want)
	}
	n.all = nil
}

// once is RunReady: what is ready now.
func (b *lab) once() {
	b.t.Helper()
	if err := b.l.RunReady(); err != nil {
		b.t.Fatalf("RunReady: %v", err)
	}
}

// after is AfterFunc with a priority.
func (b *lab) after(d time.Duration, p int, f func()) *bev.Timer {
	t := b.l.AfterFunc(d, f)
	t.SetPriority(p)
	return t
}

// The event_base_priority tests of libevent: one, two and three levels.
func TestPriorities(t *testing.T) {
	for _, test := range []struct {
		levels int
		want   [2]int // how often the urgent one and the other have run
	}{
		{1, [2]int{3, 3}}, // both have their turn in each tick, the other first
		{2, [2]int{3, 0}},
		{3, [2]int{3, 0}},
	} {
		b := newLab(t, &bev.LoopOptions{Priorities: test.levels})
		var ran [2]int
		again := func(i, p int) {
			var tm *bev.Timer
			tm = b.after(0, p, func() {
				if ran[i]++; ran[0] == 3 {
					b.l.Stop()
				}
				tm.Activate()
			})
		}
		again(1, test.levels-1)
		again(0, 0)
		if err := b.l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ran != test.want {
			t.Errorf("with %d levels the urgent and the other timer ran %v times, want %v", test.levels, ran, test.want)
		}
	}
}

// libevent's priority_active_inversion: what is urgent and becomes active in a
// callback comes before those that were active beside it.
func TestPriorityActiveInversion(t *testing.T) {
	b := newLab(t, &bev.LoopOptions{Priorities: 8})
	n := &notes{t: t}
	urgent := b.after(time.Hour, 0, n.say("urgent"))
	b.after(0, 4, func() { n.add("first"); urgent.Activate() })
	b.after(0, 4, n.say("second"))
	b.after(0, 4, n.say("third"))
	ticks := b.l.Stats().Ticks
	b.pass(1)
	n.want("an urgent timer was activated by the first", "first", "urgent", "second", "third")
	if n := b.l.Stats().Ticks - ticks; n < 3 {
		t.Errorf("%d ticks: the kernel has not been asked in between", n)
	}
}

func TestOnlyTheMostUrgentRunBeforeTheKernelIsAskedAgain(t *testing.T) {
	b := newLab(t, &bev.LoopOptions{Priorities: 3})
	n := &notes{t: t}
	conn := func(name string, p int) (peer *bev.Conn) {
		peer, c := b.wire(nil)
		c.SetPriority(p)
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
			n.add("%s %s", name, c.Input().String())
			c.Input().Reset()
		}})
		c.Enable(bev.Reading)
		return peer
	}
	low, high := conn("low", 2), conn("high", 0)
	b.pass(1)
	low.WriteString("a")
	high.WriteString("b")
	low.Flush(bev.Writing, bev.FlushAll)
	high.Flush(bev.Writing, bev.FlushAll)
	ticks := b.l.Stats().Ticks
	b.once()
	n.want("both were ready at once", "high b", "low a")
	if n := b.l.Stats().Ticks - ticks; n != 3 {
		t.Errorf("%d ticks, want 3: for one priority, for the peers', for the other", n)
	}

	// It is asked: what it says is urgent comes before what is left.
	b.after(0, 0, func() { high.WriteString("d"); high.Flush(bev.Writing, bev.FlushAll) }).Activate()
	low.WriteString("c")
	low.Flush(bev.Writing, bev.FlushAll)
	b.once()
	n.want("the urgent one became ready while the other waited", "high d", "low c")
}

// What waits for its turn is kept once, however often the kernel reports it.
func TestAStarvedConnDoesNotPileUp(t *testing.T) {
	b := newLab(t, &bev.LoopOptions{Priorities: 2})
	var check func()
	low := func() *bev.Conn {
		peer, c := b.wire(nil)
		c.SetPriority(1)
		peer.SetPriority(0)
		got := 0
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { got += c.Input().Len(); c.Input().Reset() }})
		c.Enable(bev.Reading)
		check = func() {
			if got != 100 {
				t.Errorf("the Conn that waited got %d bytes, want 100", got)
			}
		}
		return peer
	}()
	b.pass(1)
	most, left := 0, 100
	var tm *bev.Timer
	tm = b.after(time.Hour, 0, func() {
		low.WriteString("x")
		low.Flush(bev.Writing, bev.FlushAll)
		most = max(most, b.l.Jobs())
		if left--; left > 0 {
			tm.Activate()
		}
	})
	tm.Activate()
	b.once()
	if most > 3 {
		t.Errorf("%d things waited for their turn, want at most 3: a Conn, and what passes the time", most)
	}
	check()
}

func TestDefaultPriorityIsTheMiddle(t *testing.T) {
	for levels, want := range map[int]int{-1: 0, 0: 0, 1: 0, 2: 1, 3: 1, 8: 4, bev.MaxPriorities: 127} {
		l, err := bev.NewLoop(&bev.LoopOptions{Priorities: levels})
		if err != nil {
			t.Fatal(err)
		}
		b := &lab{t: t, l: l}
		if n := l.Priorities(); n != max(levels, 1) {
			t.Errorf("Priorities of a Loop with %d: %d", levels, n)
		}
		_, c := b.wire(nil)
		ln, err := bev.Listen(l, "tcp", "127.0.0.1:0", func(*bev.Conn) {}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := l.Notify(func(os.Signal) {}, syscall.SIGUSR2)
		in, _ := blockingPipe(t)
		w, err := l.Watch(in, bev.Reading, func(*bev.Watch, bev.Dir) {})
		if err != nil {
			t.Fatal(err)
		}
		for name, thing := range map[string]interface {
			Priority() int
			SetPriority(int)
		}{
			"Conn": c, "Listener": ln, "Signal": s, "Watch": w,
			"Timer": l.AfterFunc(0, func() {}), "Timer of Every": l.Every(1, func() {}),
		} {
			if p := thing.Priority(); p != want {
				t.Errorf("%s of %d levels: priority %d, want %d", name, levels, p, want)
			}
			last := max(levels, 1) - 1
			thing.SetPriority(last)
			if p := thing.Priority(); p != last {
				t.Errorf("%s: priority %d was set, and is %d", name, last, p)
			}
			for _, bad := range []int{-1, last + 1} {
				text := panicText(func() { thing.SetPriority(bad) })
				if !strings.HasPrefix(text, "bev: ") || !strings.Contains(text, "LoopOptions.Priorities") {
					t.Errorf("%s.SetPriority(%d) with %d levels: panic %q", name, bad, levels, text)
				}
			}
		}
		l.Close()
	}
	if l, err := bev.NewLoop(&bev.LoopOptions{Priorities: bev.MaxPriorities + 1}); l != nil || err == nil || !strings.Contains(err.Error(), "at most 255") {
		t.Errorf("256 priorities: %v", err)
	}
}

// panicText is what f panics with, "" if it does not.
func panicText(f func()) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprint(v)
		}
	}()
	f()
	return ""
}

// Each kind of work goes by the priority of what it belongs to.
func TestEachKindOfWorkHasItsPriority(t *testing.T) {
	b := newLab(t, &bev.LoopOptions{Priorities: 3})
	n := &notes{t: t}
	deferred := func(name string, p int) {
		_, c := b.wire(nil)
		c.SetPriority(p)
		c.SetCallbacks(bev.Callbacks{Read: func(*bev.Conn) { n.add("%s", name) }})
		c.Trigger(bev.Reading, bev.TriggerIgnoreWatermarks)
	}
	handled := func(name string, p int) {
		_, c := b.wire(nil)
		c.SetPriority(p)
		c.Handle().Do(func(*bev.Conn) { n.add("%s", name) })
	}
	sig := b.l.Notify(func(os.Signal) { n.add("signal 2") }, syscall.SIGUSR2)
	sig.SetPriority(2)
	sig.Activate(syscall.SIGUSR2)
	deferred("deferred 2", 2)
	handled("handle 2", 2)
	timer := b.after(time.Hour, 2, n.say("activated 2"))
	timer.Activate()
	b.l.Post(n.say("posted 1"))
	handled("handle 0", 0)
	deferred("deferred 0", 0)
	b.after(time.Hour, 0, n.say("activated 0")).Activate()
	b.once()
	n.want("all were due at once", "activated 0", "handle 0", "deferred 0", "posted 1",
		"activated 2", "signal 2", "handle 2", "deferred 2")
	sig.Stop()
}

func TestMaxDispatchBoundsCallbacks(t *testing.T) {
	for _, test := range []struct {
		limit bev.DispatchLimit
		ticks []int // that the timers of priority 0, then 1, ran in
	}{
		{bev.DispatchLimit{Callbacks: 2}, []int{0, 0, 1, 1, 2, 3, 3, 4, 4, 5}},
		{bev.DispatchLimit{Callbacks: 2, MinPriority: 1}, []int{0, 0, 0, 0, 0, 1, 1, 2, 2, 3}},
		{bev.DispatchLimit{Interval: 2 * time.Second}, []int{0, 0, 1, 1, 2, 3, 3, 4, 4, 5}},
		{bev.DispatchLimit{Interval: 2 * time.Second, MinPriority: 1}, []int{0, 0, 0, 0, 0, 1, 1, 2, 2, 3}},
		{bev.DispatchLimit{Callbacks: 100, Interval: time.Hour}, []int{0, 0, 0, 0, 0, 1, 1, 1, 1, 1}},
		{bev.DispatchLimit{}, []int{0, 0, 0, 0, 0, 1, 1, 1, 1, 1}},
	} {
		b := newLab(t, &bev.LoopOptions{Priorities: 2, MaxDispatch: test.limit})
		var ticks []int
		first := uint64(0)
		for i := range 10 {
			b.after(0, i/5, func() {
				if first == 0 {
					first = b.l.Stats().Ticks
				}
				ticks = append(ticks, int(b.l.Stats().Ticks-first))
				b.l.Spend(time.Second) // it took long
			})
		}
		b.pass(time.Hour)
		if !slices.Equal(ticks, test.ticks) {
			t.Errorf("%+v: ran in ticks %v, want %v", test.limit, ticks, test.ticks)
		}
	}
}

// With one priority, too; and nothing is overtaken for ever by what comes
// later.
func TestMaxDispatchStarvesNobody(t *testing.T) {
	b := newLab(t, &bev.LoopOptions{MaxDispatch: bev.DispatchLimit{Callbacks: 1}})
	plain, c := b.wire(nil)
	echo(c)
	echo(plain)
	plain.WriteString("x") // goes to and fro, an event in each tick
	done := false
	b.l.Post(func() {
		b.l.Spend(time.Second)
		b.after(0, 0, func() {
			_, d := b.wire(nil)
			d.SetCallbacks(bev.Callbacks{Read: func(*bev.Conn) { done = true; b.l.Stop() }})
			d.Trigger(bev.Reading, bev.TriggerIgnoreWatermarks)
		})
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.l.Run(ctx); err != nil || !done {
		t.Fatalf("Run: %v; the last link of the chain has run: %v", err, done)
	}
}

func TestPanicWithPriorities(t *testing.T) {
	told := newPanics()
	b := newLab(t, &bev.LoopOptions{Priorities: 3, OnPanic: told.told})
	n := &notes{t: t}
	_, c := b.wire(nil)
	c.SetCallbacks(bev.Callbacks{
		Read:  func(*bev.Conn) { panic("boom in a Conn") },
		Event: func(_ *bev.Conn, what bev.Event, _ error) { n.add("%v", what) },
	})
	c.Trigger(bev.Reading, bev.TriggerIgnoreWatermarks)
	b.after(0, 0, func() { n.add("urgent"); panic("boom in a timer") })
	b.after(0, 0, n.say("behind it"))
	b.after(0, 2, n.say("low"))
	b.l.Post(func() { panic("boom in a post") })
	b.l.Spend(1)
	b.pass(1)
	n.want("three panics", "urgent", "behind it", "error", "low")
	for _, where := range []string{"timer", "post", "Conn"} {
		if got := await(t, told, "OnPanic"); !strings.HasPrefix(got, "boom in a "+where) {
			t.Errorf("OnPanic was told %.40q, want the %s", got, where)
		}
	}
	if !c.Closed() {
		t.Error("the Conn that panicked is open")
	}
}

// What was asked of a Conn that is closed by its turn is told so.
func TestCallOfAConnThatIsClosedByItsTurn(t *testing.T) {
	b := newLab(t, &bev.LoopOptions{Priorities: 3})
	_, c := b.wire(nil)
	c.SetPriority(2)
	h := c.Handle()
	result := make(chan error, 1)
	go func() {
		result <- h.Call(context.Background(), func(*bev.Conn) error { t.Error("called"); return nil })
	}()
	eventually(t, "Call to be queued", func() bool { return bev.QueuedOps(h) == 1 })
	c.Close()
	b.once()
	if err := await(t, result, "Call"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Call: %v, want net.ErrClosed", err)
	}
}

// Bytes that a Conn drops may call functions of the user, at any time: the
// panic is the Conn's, whose turn it is.
func TestPanicInABufferWithPriorities(t *testing.T) {
	told := newPanics()
	b := newLab(t, &bev.LoopOptions{Priorities: 3, OnPanic: told.told})
	plain, c := b.wire(nil)
	c.Output().AppendOwned([]byte("x"), func() { panic("boom in a buffer") })
	b.once()
	await(t, told, "OnPanic")
	if !c.Closed() || plain.Closed() {
		t.Errorf("closed: %v, and the other: %v", c.Closed(), plain.Closed())
	}
}

// Calls that wait when the Loop is closed hear of it, in the agenda, too.
func TestCloseDropsWhatWaitsByPriority(t *testing.T) {
	r := newRig(t, &bev.LoopOptions{Priorities: 2})
	_, c := (&lab{t: t, l: r.l}).wire(nil)
	c.SetPriority(1)
	if err := r.l.RunReady(); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	h := c.Handle()
	go func() {
		result <- h.Call(t.Context(), func(*bev.Conn) error { t.Error("called"); return nil })
	}()
	eventually(t, "Call to be queued", func() bool { return bev.QueuedOps(h) == 1 })
	tm := r.l.AfterFunc(time.Hour, func() { r.l.Break() })
	tm.SetPriority(0)
	tm.Activate()
	if err := r.l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.l.Jobs(); n != 1 {
		t.Fatalf("%d things wait, want the call", n)
	}
	r.l.Close()
	if err := await(t, result, "Call"); err == nil {
		t.Error("Call on a Loop that is closed: nil")
	}
}

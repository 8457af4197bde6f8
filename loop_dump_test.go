//go:build unix

package bev_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// libevent's dumpevents, on a Loop that has one of each kind.
func TestDump(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		in, out := blockingPipe(t)
		b.watch(in, bev.Reading, &bev.WatchOptions{Edge: true, Once: true, Timeout: time.Minute}, func(*bev.Watch, bev.Dir) {})
		b.watch(out, bev.Writing, nil, func(w *bev.Watch, _ bev.Dir) { w.Stop() })
		plain, c := b.wire(&bev.ConnOptions{ReadTimeout: time.Hour})
		c.Enable(bev.Reading)
		ln, err := bev.Listen(b.l, "tcp", "127.0.0.1:0", func(*bev.Conn) {}, &bev.ListenOptions{Paused: true})
		if err != nil {
			t.Fatal(err)
		}
		b.l.AfterFunc(2*time.Second, func() {}).Activate()
		b.l.Every(3*time.Second, func() {})
		b.l.Notify(func(os.Signal) {}, syscall.SIGUSR2)
		var dump string
		b.l.Post(func() {
			c.Output().AppendString("abc") // it goes off at the end of the tick
			var text strings.Builder
			if err := b.l.Dump(&text); err != nil {
				t.Error(err)
			}
			dump = text.String()
		})
		b.once()
		p := b.l.Priorities() / 2
		for _, want := range []string{
			", 2 conns, ", " 1 watches, ", // the other one is stopped by now
			fmt.Sprintf("watch    fd %d reading once edge timeout 1m0s priority %d due in 1m0s\n", in, p),
			fmt.Sprintf("conn     fd %d writing not reading (disabled) priority %d\n", plain.FD(), p),
			fmt.Sprintf("conn     fd %d reading|writing input 0 output 3 priority %d active due in 1h0m0s\n", c.FD(), p),
			fmt.Sprintf("listener fd %d held (paused) priority %d\n", ln.FD(), p),
			fmt.Sprintf("timer    every 3s priority %d due in 3s\n", p),
			fmt.Sprintf("signal   priority %d\n", p),
		} {
			if strings.Count(dump, want) != 1 {
				t.Errorf("the dump lacks %q:\n%s", want, dump)
			}
		}
		if n := strings.Count(dump, "\n"); n != 7 {
			t.Errorf("%d lines, want the figures and one for each of six:\n%s", n, dump)
		}
	})
}

type fullWriter struct{ left int }

var errFull = errors.New("full")

func (w *fullWriter) Write(p []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestDumpReportsTheErrorOfItsWriter(t *testing.T) {
	b := newLab(t, nil)
	b.l.AfterFunc(1, func() {})
	b.l.AfterFunc(2, func() {})
	for n := range 3 {
		if err := b.l.Dump(&fullWriter{n}); err != errFull {
			t.Errorf("a writer that takes %d lines: %v", n, err)
		}
	}
	if err := b.l.Dump(&fullWriter{3}); err != nil {
		t.Errorf("a writer that takes all: %v", err)
	}
}

// libevent's event_foreach: it visits all, stops when told to, and what is
// visited may be stopped.
func TestEntries(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		var timers []*bev.Timer
		for i := range 5 {
			timers = append(timers, b.l.AfterFunc(time.Duration(i)*time.Second, func() {}))
		}
		n := 0
		for e := range b.l.Entries() {
			if n++; n == 3 {
				break
			}
			e.What.(*bev.Timer).Stop()
		}
		if n != 3 {
			t.Errorf("visited %d, want 3: it was told to stop", n)
		}
		n = 0
		for e := range b.l.Entries() {
			n++
			if e.Kind != "timer" || e.FD != -1 || !e.Added || e.Active {
				t.Errorf("a timer is shown as %+v", e)
			}
			for _, tm := range timers {
				tm.Stop()
			}
		}
		if n != 3 {
			t.Errorf("visited %d, want 3: two were stopped before", n)
		}
		for e := range b.l.Entries() {
			t.Errorf("nothing is left, but %v", e)
		}
	})
}

// What is due and waits for its priority is shown, too, and once.
func TestEntriesWithPriorities(t *testing.T) {
	b := newLab(t, &bev.LoopOptions{Priorities: 2})
	low := b.after(time.Second, 1, func() {})
	anew := b.after(time.Second, 1, func() {})
	n := &notes{t: t}
	b.after(time.Second, 0, func() {
		anew.Reset(time.Hour)
		for e := range b.l.Entries() {
			if e.What == low {
				n.add("low: %v", e)
			}
			if e.What == anew {
				n.add("anew: %v", e)
			}
		}
	})
	b.pass(time.Minute)
	if len(n.all) != 2 {
		t.Errorf("shown: %q", n.all)
	}
	for _, want := range []string{"low: timer    priority 1 active", "anew: timer    priority 1"} {
		found := false
		for _, line := range n.all {
			found = found || line == want
		}
		if !found {
			t.Errorf("shown: %q, want %q", n.all, want)
		}
	}
}

// libevent's event_base_get_num_events and _max_events.
func TestCountsAndTheirHighWaterMarks(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		want := func(why string, f func(s bev.LoopStats) []int, want ...int) {
			t.Helper()
			got := f(b.l.Stats())
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %v, want %v", why, got, want)
			}
		}
		sources := func(s bev.LoopStats) []int { return []int{s.Sources, s.MaxSources, s.Watches} }
		timers := func(s bev.LoopStats) []int { return []int{s.Timers, s.MaxTimers} }
		want("empty", sources, 0, 0, 0)
		in, out := blockingPipe(t)
		nop := func(*bev.Watch, bev.Dir) {}
		first := b.watch(in, bev.Reading, nil, nop)
		second := b.watch(in, bev.Reading, nil, nop)
		third := b.watch(out, bev.Reading, nil, nop)
		want("three Watches of two descriptors", sources, 2, 2, 3)
		second.Stop()
		third.Stop()
		want("one is left", sources, 1, 2, 1)
		b.l.ResetMax()
		want("counted anew", sources, 1, 1, 1)
		first.Stop()

		a, c := b.l.AfterFunc(1, func() {}), b.l.AfterFunc(1, func() {})
		a.Stop()
		want("two timers", timers, 1, 2)
		c.Stop()
		b.l.ResetMax()
		want("counted anew", timers, 0, 0)

		for range 3 {
			b.l.AfterFunc(time.Hour, func() {}).Activate()
		}
		b.l.Post(func() {})
		if s := b.l.Stats(); s.Active != 4 {
			t.Errorf("%d are active, want 4", s.Active)
		}
		b.once()
		if s := b.l.Stats(); s.Active != 0 || s.MaxActive != 4 {
			t.Errorf("%d are active, want 0; %d at most, want 4", s.Active, s.MaxActive)
		}
		b.l.ResetMax()
		if s := b.l.Stats(); s.MaxActive != 0 {
			t.Errorf("at most %d after ResetMax", s.MaxActive)
		}
	})
}

//go:build unix

package bev_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/seed"
)

// What these tests are about: Reset to a later time leaves a timer's entry in
// the loop's heap where it is. Nobody may notice.

func TestTimerResetToALaterTime(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		start := b.l.Now()
		say := func(what string) func() {
			return func() { n.add("%s %v", what, b.l.Now().Sub(start).Round(time.Millisecond)) }
		}
		tm := b.l.AfterFunc(2*time.Second, say("timer"))
		b.l.AfterFunc(5*time.Second, say("before"))
		b.l.AfterFunc(8*time.Second, say("armed before it"))
		b.pass(time.Second)
		for _, d := range []time.Duration{3, 6, 7} { // at last to 8 s
			if !tm.Reset(d * time.Second) {
				t.Errorf("Reset to %v says that it was not armed", d*time.Second)
			}
			wantPending(t, "set to a later time", tm.Pending(), true, false, b.l.Now().Add(d*time.Second))
		}
		if due := slices.Collect(b.l.Entries())[0].Due; due.Before(start.Add(5 * time.Second)) {
			t.Errorf("Entries say that a timer is due at %v", due.Sub(start))
		}
		b.l.AfterFunc(7*time.Second, say("armed after it"))
		b.pass(6 * time.Second)
		n.want("nothing else is due", "before 5s")
		b.pass(time.Minute)
		n.want("all at their times, and those of 8 s in the order of their arming",
			"armed before it 8s", "timer 8s", "armed after it 8s")
	})
}

func TestTimerResetToALaterTimeAndThen(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		n := &notes{t: t}
		var start time.Time
		var tm *bev.Timer
		say := func() { n.add("%v", b.l.Now().Sub(start).Round(time.Millisecond)) }
		later := func() {
			start = b.l.Now()
			tm = b.l.AfterFunc(10*time.Second, say)
			tm.Reset(30 * time.Second)
		}

		later()
		if !tm.Stop() || tm.Armed() {
			t.Error("Stop does not tell that it was armed")
		}
		b.pass(time.Minute)
		n.want("it was stopped")

		for _, d := range []time.Duration{0, 5 * time.Second, 10 * time.Second, 20 * time.Second} {
			later()
			tm.Reset(d)
			b.pass(time.Minute)
			n.want("it was set to an earlier time again", d.String())
		}

		later()
		b.pass(15 * time.Second) // the old time is gone
		n.want("too early")
		tm.Reset(20 * time.Second)
		b.pass(time.Minute)
		n.want("once more, after its old time", "35s")

		later()
		tm.Activate()
		b.pass(time.Minute)
		n.want("activated, it has run", "0s")

		later()
		b.l.AfterFunc(5*time.Second, func() { b.l.Spend(time.Minute) })
		b.pass(time.Hour)
		n.want("its old and its new time have come at once", "1m5s")
	})
}

// A timer of Every that is put off goes on from the time that it was put off
// to.
func TestEveryResetToALaterTime(t *testing.T) {
	b := newLab(t, nil)
	n := &notes{t: t}
	start := b.l.Now()
	tm := b.l.Every(time.Second, func() { n.add("%v", b.l.Now().Sub(start).Round(time.Millisecond)) })
	b.pass(1500 * time.Millisecond)
	tm.Reset(2 * time.Second)
	b.pass(5 * time.Second)
	n.want("an interval of 2 s from 1.5 s on", "1s", "3.5s", "5.5s")
}

// A timer that is due, and is reset to no time at all by another before its
// turn, runs in the next tick as any other.
func TestTimersThatResetEachOther(t *testing.T) {
	b := newLab(t, nil)
	b.l.AfterFunc(time.Second, func() { b.l.Spend(time.Second) }) // both are late
	var tm [2]*bev.Timer
	var ticks []uint64
	for i := range tm {
		tm[i] = b.l.AfterFunc(1500*time.Millisecond, func() {
			if ticks = append(ticks, b.l.Stats().Ticks); len(ticks) < 100 {
				tm[1-i].Reset(0)
			}
		})
	}
	b.pass(time.Minute)
	if n := len(ticks); n != 100 || len(slices.Compact(ticks)) != n {
		t.Errorf("%d runs of timers of no length were not each in a tick of its own", n)
	}
}

// An idle loop is woken for the old times of its timers, but not for each of
// them, and only until they are right.
func TestOldTimesOfTimersDoNotKeepALoopAwake(t *testing.T) {
	b := newLab(t, nil)
	const timers, span = 1000, 10 * time.Second
	ran := 0
	for i := range timers {
		tm := b.l.AfterFunc(span*time.Duration(i)/timers, func() { ran++ })
		tm.Reset(time.Hour + time.Duration(i))
	}
	before := b.l.Stats().Ticks
	b.pass(time.Hour - time.Second)
	// One tick in each second in which there were old times, and those of pass.
	if ticks := b.l.Stats().Ticks - before; ticks > 10+5 {
		t.Errorf("the old times of %d timers in %v made %d ticks", timers, span, ticks)
	}
	if ran > 0 {
		t.Fatalf("%d have run before their time", ran)
	}
	b.pass(2 * time.Second)
	if ran != timers {
		t.Errorf("%d of %d have run", ran, timers)
	}
}

// The old time of a timer is nothing that RunOnce could take for what it waits
// for.
func TestRunOnceWaitsForTheNewTimeOfATimer(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		ran := false
		tm := b.l.AfterFunc(5*time.Second, func() { ran = true })
		tm.Reset(time.Minute)
		if err := b.l.RunOnce(context.Background()); err != nil || !ran {
			t.Errorf("RunOnce: %v; the timer has run: %v", err, ran)
		}
	})
}

// Timers that are set, set anew and stopped at random run as a plain list of
// them says.
func TestTimersRandomly(t *testing.T) {
	eachAgenda(t, func(t *testing.T, b *lab) {
		r := seed.New(t)
		n := &notes{t: t}
		type state struct {
			name  string
			tm    *bev.Timer
			armed bool
			due   time.Time
		}
		var order []*state // the armed ones, as they were set
		drop := func(s *state) {
			order = slices.DeleteFunc(order, func(o *state) bool { return o == s })
			s.armed = false
		}
		all := make([]*state, 20)
		for i := range all {
			s := &state{name: fmt.Sprint(i)}
			s.tm = b.l.AfterFunc(time.Hour, func() { n.add("%s", s.name) })
			s.tm.Stop()
			all[i] = s
		}
		for range 1000 {
			s := all[r.IntN(len(all))]
			d := time.Duration(1+r.IntN(40)) * 100 * time.Millisecond
			switch r.IntN(8) {
			case 0:
				if s.tm.Stop() != s.armed {
					t.Fatalf("Stop of a timer, armed %v, says otherwise", s.armed)
				}
				drop(s)
			case 1:
				b.pass(d / 4)
				var want []string
				slices.SortStableFunc(order, func(a, b *state) int { return a.due.Compare(b.due) })
				for len(order) > 0 && !order[0].due.After(b.l.Now()) {
					want = append(want, order[0].name)
					drop(order[0])
				}
				n.want("of what is due", want...)
			default:
				if s.tm.Reset(d) != s.armed {
					t.Fatalf("Reset of a timer, armed %v, says otherwise", s.armed)
				}
				drop(s)
				s.armed, s.due = true, b.l.Now().Add(d)
				order = append(order, s)
			}
			if t.Failed() {
				return
			}
		}
	})
}

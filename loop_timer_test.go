//go:build unix

package bev_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/seed"
)

func TestTimerRunsOnceAndNotEarly(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		r := run(t, o)
		tr := r.trace()
		var start, end time.Time
		var tm *bev.Timer
		r.on(func() {
			start = r.l.Now()
			tm = r.l.AfterFunc(short, func() { end = r.l.Now(); tr.add("timer") })
			if !tm.Armed() {
				t.Error("a new timer is not armed")
			}
		})
		tr.want("timer")
		r.pass(4 * short)
		tr.wantNothing("it runs once")
		r.on(func() {
			if d := end.Sub(start); d < short {
				t.Errorf("a timer of %v ran after %v", short, d)
			}
			if tm.Armed() || tm.Stop() {
				t.Error("a timer that has run is armed")
			}
		})
	})
}

func TestTimerCountsFromNowWhereNoTickRuns(t *testing.T) {
	r := newRig(t, nil)
	for made := time.Now(); time.Since(made) < 2*short; {
	}
	start := time.Now()
	var end time.Time
	r.l.AfterFunc(short, func() { end = time.Now(); r.l.Stop() })
	if err := r.l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := end.Sub(start); d < short {
		t.Fatalf("a timer of %v that was set before Run ran after %v", short, d)
	}
}

func TestTimersRunInTheOrderOfTheirDeadlines(t *testing.T) {
	r := run(t, nil)
	random := seed.New(t)
	const n = 1000
	var ran []time.Duration
	done := make(chan struct{})
	r.on(func() {
		for _, i := range random.Perm(n) {
			d := time.Duration(i) * 10 * time.Microsecond
			r.l.AfterFunc(d, func() {
				if ran = append(ran, d); len(ran) == n {
					close(done)
				}
			})
		}
		if s := r.l.Stats(); s.Timers != n {
			t.Errorf("%d timers are armed, want %d", s.Timers, n)
		}
	})
	await(t, done, "1000 timers")
	if !slices.IsSorted(ran) {
		t.Fatalf("they ran in the order %v", ran)
	}
}

func TestTimerOfNoLengthRunsInTheNextTick(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Hour} {
		r := run(t, nil)
		tr := r.trace()
		r.on(func() {
			left := 3
			var again func()
			again = func() {
				tr.add("timer")
				if left--; left > 0 {
					before := r.l.Stats().Ticks
					r.l.AfterFunc(d, func() {
						if r.l.Stats().Ticks == before {
							t.Errorf("a timer of %v ran in the tick that armed it", d)
						}
						again()
					})
				}
			}
			r.l.AfterFunc(d, again)
			tr.add("AfterFunc has returned")
		})
		tr.want("AfterFunc has returned", "timer", "timer", "timer")
	}
}

// A timer that always arms another must not keep the loop from the kernel.
func TestTimersDoNotKeepTheLoopFromTheKernel(t *testing.T) {
	r := run(t, nil)
	done := make(chan struct{})
	_, p := r.adopt(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Read: func(*bev.Conn) { close(done) }})
		c.Enable(bev.Reading)
	})
	stop := false
	r.on(func() {
		var again func()
		again = func() {
			if !stop {
				r.l.AfterFunc(0, again)
			}
		}
		again()
	})
	p.send("x")
	await(t, done, "the Read callback")
	r.on(func() { stop = true })
}

func TestTimerStopAndReset(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	var start, end time.Time
	var tm *bev.Timer
	r.on(func() {
		tm = r.l.AfterFunc(0, func() { end = r.l.Now(); tr.add("timer") })
		if !tm.Stop() || tm.Stop() || tm.Armed() {
			t.Error("Stop does not tell whether the timer was armed")
		}
	})
	r.pass(short)
	tr.wantNothing("it was stopped")
	r.on(func() {
		start = r.l.Now()
		if tm.Reset(time.Hour) || !tm.Reset(short) || !tm.Armed() {
			t.Error("Reset does not tell whether the timer was armed")
		}
	})
	tr.want("timer")
	r.pass(4 * short)
	tr.wantNothing("it was armed once")
	r.on(func() {
		if d := end.Sub(start); d < short {
			t.Errorf("a timer that was reset to %v ran after %v", short, d)
		}
	})

	// In its own function, and later than it was.
	r.on(func() {
		left := 3
		tm = r.l.AfterFunc(0, func() {
			tr.add("again")
			if left--; left > 0 && tm.Reset(0) {
				t.Error("a timer is armed while its function runs")
			}
		})
	})
	tr.want("again", "again", "again")
	tr.wantNothing("the last one did not reset it")
}

func TestTimerStoppedByAnotherInTheSameTick(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	release := r.hold()
	r.l.Post(func() {
		var b *bev.Timer
		r.l.AfterFunc(0, func() { tr.add("a"); b.Stop() })
		b = r.l.AfterFunc(0, func() { tr.add("b") })
	})
	release()
	tr.want("a")
	r.pass(short)
	tr.wantNothing("b was stopped when both were due")
}

func TestEveryRunsAgainAndDoesNotDrift(t *testing.T) {
	r := run(t, nil)
	const runs = 10
	var start time.Time
	var at []time.Duration
	done := make(chan struct{})
	r.on(func() {
		start = r.l.Now()
		var tm *bev.Timer
		tm = r.l.Every(short, func() {
			if !tm.Armed() {
				t.Error("a timer of Every is not armed in its function")
			}
			if at = append(at, r.l.Now().Sub(start)); len(at) == runs {
				if !tm.Stop() || tm.Armed() {
					t.Error("Stop in its own function does not end it")
				}
				close(done)
			}
		})
	})
	await(t, done, "a timer of Every")
	r.pass(4 * short)
	if len(at) != runs {
		t.Fatalf("it ran %d times, want %d: it was stopped", len(at), runs)
	}
	for i, d := range at {
		// Each deadline is a whole number of intervals from the start, unless
		// one was so late that it was counted anew from there.
		if want := time.Duration(i+1) * short; d < want {
			t.Fatalf("run %d was after %v, before its time: %v", i+1, d, at)
		}
	}
}

func TestEveryLeavesOutWhatItMissed(t *testing.T) {
	r := run(t, nil)
	var at []time.Time
	done := make(chan struct{})
	r.on(func() {
		var tm *bev.Timer
		tm = r.l.Every(short, func() {
			at = append(at, r.l.Now())
			switch len(at) {
			case 1:
				// The next run is late by ten intervals.
				for start := time.Now(); time.Since(start) < 10*short; {
				}
			case 3:
				tm.Stop()
				close(done)
			}
		})
	})
	await(t, done, "a timer of Every")
	if late := at[1].Sub(at[0]); late < 9*short {
		t.Fatalf("the second run was %v after the first, which took %v", late, 10*short)
	}
	if d := at[2].Sub(at[1]); d < short {
		t.Fatalf("the third run was %v after the late one: what was missed is caught up with", d)
	}
}

func TestEveryResetChangesTheInterval(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	var tm *bev.Timer
	var start time.Time
	runs := 0
	r.on(func() {
		tm = r.l.Every(time.Hour, func() {
			runs++
			if d := r.l.Now().Sub(start); d < time.Duration(runs)*short {
				t.Errorf("run %d of an interval of %v was after %v", runs, short, d)
			}
			tr.add("tick")
		})
		if !tm.Reset(short) {
			t.Error("Reset says that it was not armed")
		}
		start = r.l.Now()
	})
	tr.want("tick", "tick", "tick")
	r.on(func() { tm.Stop() })
}

// The longest Duration is an end that is never seen, not one that was passed.
func TestTimersOfTheLongestDuration(t *testing.T) {
	const forever time.Duration = math.MaxInt64
	b := newLab(t, nil)
	n := &notes{t: t}
	b.pass(time.Second)
	in, _ := blockingPipe(t)
	tm, every := b.l.AfterFunc(forever, n.say("once")), b.l.Every(forever, n.say("every"))
	w := b.watch(in, bev.Reading, &bev.WatchOptions{Timeout: forever}, n.seen("watch"))
	_, c := b.wire(nil)
	c.Write(make([]byte, 1<<20)) // nobody reads that
	c.CloseAfterFlush(forever)
	b.pass(24 * 365 * time.Hour)
	n.want("a year is not for ever")
	if !tm.Armed() || !every.Armed() || !w.Pending().Due.After(b.l.Now()) || c.Closed() {
		t.Error("they do not wait any more")
	}

	r := run(t, nil) // the kernel's clock can wait for that, too
	r.on(func() { r.l.AfterFunc(forever, func() { t.Error("it has run") }) })
	eventually(t, "the loop to sleep", r.l.Asleep)
}

func TestTimersWaitBetweenTwoRuns(t *testing.T) {
	r := newRig(t, nil)
	ran := false
	r.l.AfterFunc(0, func() { ran = true; r.l.Stop() })
	r.l.Stop()
	if err := r.l.Run(t.Context()); err != nil || ran {
		t.Fatalf("the stopped Run: %v, timer has run: %v", err, ran)
	}
	if err := r.l.Run(t.Context()); err != nil || !ran {
		t.Fatalf("the next Run: %v, timer has run: %v", err, ran)
	}
}

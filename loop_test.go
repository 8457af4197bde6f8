//go:build unix

package bev_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/leak"
	"github.com/bevgo/bev/internal/sys"
)

func TestRunReturnsNilAfterStop(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		for _, from := range []string{"another goroutine", "a callback", "a timer"} {
			r := newRig(t, o)
			r.start(t.Context())
			switch from {
			case "another goroutine":
				r.settle()
				r.l.Stop()
			case "a callback":
				r.l.Post(r.l.Stop)
			case "a timer":
				r.on(func() { r.l.AfterFunc(short, r.l.Stop) })
			}
			if err := r.wait(); err != nil {
				t.Fatalf("Stop from %s: Run returned %v", from, err)
			}
		}
	})
}

func TestStopBeforeRunIsNotLostAndCountsOnce(t *testing.T) {
	r := newRig(t, nil)
	ran := false
	r.l.Post(func() { ran = true })
	r.l.Stop()
	r.l.Stop()
	if err := r.l.Run(t.Context()); err != nil {
		t.Fatalf("Run after Stop: %v", err)
	}
	if ran {
		t.Fatal("Run that was stopped before it began has run a posted call")
	}
	// The next Run is none of its business, and runs what waits.
	r.l.Post(r.l.Stop)
	if err := r.l.Run(t.Context()); err != nil || !ran {
		t.Fatalf("the next Run: %v, posted call has run: %v", err, ran)
	}
}

func TestStopLetsTheTickEnd(t *testing.T) {
	r := newRig(t, nil)
	var order []string
	r.l.Post(func() { order = append(order, "stops"); r.l.Stop() })
	r.l.Post(func() { order = append(order, "same tick") })
	if err := r.l.Run(t.Context()); err != nil {
		t.Fatalf("Run: %v", err)
	}
	if want := []string{"stops", "same tick"}; !slices.Equal(order, want) {
		t.Fatalf("ran %q, want %q", order, want)
	}
}

func TestRunReturnsTheContextsCause(t *testing.T) {
	cause := errors.New("enough")
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	r := newRig(t, nil)
	if err := r.l.Run(ended); err != cause {
		t.Fatalf("Run with a context that has ended: %v, want its cause", err)
	}

	ctx, cancel := context.WithCancelCause(context.Background())
	r.start(ctx)
	r.settle()
	cancel(cause)
	if err := r.wait(); err != cause {
		t.Fatalf("Run returned %v, want the cause", err)
	}

	late, stop := context.WithTimeout(context.Background(), short)
	defer stop()
	if err := r.l.Run(late); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Run returned %v, want the deadline", err)
	}
}

// lateContext ends while a Run waits for it, but Run does not learn why before
// release is closed.
type lateContext struct {
	context.Context
	asked   chan struct{}
	release chan struct{}
}

func (c *lateContext) Value(any) any { return nil } // or the cause would be known without asking

func (c *lateContext) Err() error {
	err := c.Context.Err()
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for f, more := frames.Next(); more && err != nil; f, more = frames.Next() {
		if strings.Contains(f.Function, "bev.(*Loop).run") {
			c.asked <- struct{}{}
			<-c.release
			break
		}
	}
	return err
}

func TestContextOfAnEarlierRunHasNoSay(t *testing.T) {
	r := newRig(t, nil)
	inner, cancel := context.WithCancel(context.Background())
	ctx := &lateContext{inner, make(chan struct{}, 1), make(chan struct{})}
	r.start(ctx)
	r.settle()
	cancel()
	await(t, ctx.asked, "Run to ask for the cause")
	r.l.Stop()
	if err := r.wait(); err != nil {
		t.Fatalf("Run returned %v after Stop", err)
	}
	r.start(t.Context())
	close(ctx.release)
	// The end of the first context arrives only now, if at all.
	eventually(t, "the goroutine of the first context to end", func() bool {
		buf := make([]byte, 1<<20)
		return !strings.Contains(string(buf[:runtime.Stack(buf, true)]), "lateContext")
	})
	r.settle()
	r.l.Stop()
	if err := r.wait(); err != nil {
		t.Fatalf("the second Run returned %v after Stop", err)
	}
}

func TestSecondRunIsAnErrorAndALaterOneGoesOn(t *testing.T) {
	r := newRig(t, nil)
	r.start(t.Context())
	c, p := r.accept(nil, echo)
	if err := r.l.Run(t.Context()); !errors.Is(err, bev.ErrRunning) {
		t.Fatalf("a second Run at once: %v, want ErrRunning", err)
	}
	p.sendN(100)
	p.wantN(100)
	r.l.Stop()
	if err := r.wait(); err != nil {
		t.Fatalf("Run: %v", err)
	}
	// What comes meanwhile waits: bytes, calls and timers.
	p.sendN(100)
	called := make(chan struct{})
	if err := r.l.Post(func() { close(called) }); err != nil {
		t.Fatalf("Post between two Runs: %v", err)
	}
	if c.Closed() {
		t.Fatal("Stop has closed a Conn")
	}
	c.SetData("mine between two Runs")
	r.start(t.Context())
	await(t, called, "the call that waited")
	p.wantN(100)
	r.l.Stop()
	if err := r.wait(); err != nil {
		t.Fatalf("Run: %v", err)
	}
}

func TestRunDoesNotEndBecauseNothingIsLeft(t *testing.T) {
	r := run(t, nil)
	r.wantIdle("there is nothing to wait for")
	r.on(func() {})
}

func TestPostedCallsRunInTheOrderPosted(t *testing.T) {
	const goroutines, calls = 8, 500
	r := run(t, nil)
	var got [goroutines][]int
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range calls {
				if err := r.l.Post(func() { got[g] = append(got[g], i) }); err != nil {
					t.Errorf("Post: %v", err)
				}
			}
		})
	}
	all.Wait()
	r.on(func() {
		for g := range got {
			if len(got[g]) != calls || !slices.IsSorted(got[g]) {
				t.Errorf("goroutine %d: %d calls have run, in order: %v", g, len(got[g]), slices.IsSorted(got[g]))
			}
		}
	})
}

func TestManyPostsToASleepingLoopAreOneWakeUp(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		r := run(t, o)
		const posts = 1000
		ran := make(chan struct{}, posts)
		post := func() {
			if err := r.l.Post(func() { ran <- struct{}{} }); err != nil {
				t.Errorf("Post: %v", err)
			}
		}
		wakes := 0
		var others sync.Once
		restore := sys.SetHook(func(op sys.Op, _, _ int) (int, error) {
			if op == sys.OpWake {
				// On the poster's goroutine, with the loop asleep still: the
				// other calls are posted before the wake-up reaches it.
				others.Do(func() {
					for range posts - 1 {
						post()
					}
				})
				wakes++
			}
			return -1, nil
		})
		defer restore()
		r.settle()
		wakes, others = 0, sync.Once{}
		eventually(t, "the loop to sleep", r.l.Asleep)
		post()
		for range posts {
			await(t, ran, "a posted call")
		}
		if wakes != 1 {
			t.Fatalf("%d posts took %d wake-ups, want 1", posts, wakes)
		}
	})
}

func TestPostsToABusyLoopAreNoWakeUp(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	release := r.hold()
	f.reset()
	for range 100 {
		r.l.Post(func() {})
	}
	if n := f.count(sys.OpWake); n != 0 {
		t.Fatalf("%d wake-ups of a loop that is awake", n)
	}
	release()
}

func TestACallThatPostsItselfDoesNotKeepTheLoopFromTheKernel(t *testing.T) {
	r := run(t, nil)
	done := make(chan struct{})
	_, p := r.adopt(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Read: func(*bev.Conn) { close(done) }})
		c.Enable(bev.Reading)
	})
	stop := false
	var again func()
	again = func() {
		if !stop {
			r.l.Post(again)
		}
	}
	r.l.Post(again)
	p.send("x")
	await(t, done, "the Read callback")
	r.on(func() { stop = true })
}

func TestMisuseSaysWhatToDo(t *testing.T) {
	r := newRig(t, nil)
	fd, _ := blockingPipe(t)
	tm := r.l.Every(time.Hour, func() {})
	for name, test := range map[string]struct {
		do   func()
		want string
	}{
		"Post":            {func() { r.l.Post(nil) }, "Post needs a function"},
		"AfterFunc":       {func() { r.l.AfterFunc(0, nil) }, "AfterFunc needs a function"},
		"Every":           {func() { r.l.Every(time.Second, nil) }, "Every needs a function"},
		"Every(0)":        {func() { r.l.Every(0, func() {}) }, "interval above 0"},
		"Reset of Every":  {func() { tm.Reset(-1) }, "interval above 0"},
		"Watch":           {func() { r.l.Watch(fd, bev.Reading, nil) }, "Watch needs a function"},
		"Watch nothing":   {func() { r.l.Watch(fd, 0, func(*bev.Watch, bev.Dir) {}) }, "a direction"},
		"Watch something": {func() { r.l.Watch(fd, 4, func(*bev.Watch, bev.Dir) {}) }, "a direction"},
		"Notify":          {func() { r.l.Notify(nil) }, "Notify needs a function"},
		"Listen":          {func() { bev.Listen(r.l, "tcp", "127.0.0.1:0", nil, nil) }, "Listen needs a function"},
	} {
		func() {
			defer func() {
				if v, ok := recover().(string); !ok || !strings.HasPrefix(v, "bev: ") || !strings.Contains(v, test.want) {
					t.Errorf("%s: panic(%q), want bev's, with %q", name, v, test.want)
				}
			}()
			test.do()
		}()
	}
}

func TestNowStandsStillWithinATick(t *testing.T) {
	r := run(t, nil)
	var first, second, next time.Time
	release := r.hold()
	r.l.Post(func() {
		first = r.l.Now()
		for start := time.Now(); time.Since(start) < time.Millisecond; {
		}
	})
	r.l.Post(func() { second = r.l.Now() })
	release()
	r.settle()
	r.on(func() { next = r.l.Now() })
	if !first.Equal(second) {
		t.Fatalf("two calls of one tick see %v and %v", first, second)
	}
	if next.Sub(first) < time.Millisecond {
		t.Fatalf("a later tick is at %v, %v after one that took a millisecond", next, next.Sub(first))
	}
}

func TestStatsOfALoop(t *testing.T) {
	r := run(t, nil)
	s := r.settle()
	if !strings.HasPrefix(s.Backend, "epoll") && !strings.HasPrefix(s.Backend, "kqueue") {
		t.Errorf("Backend is %q", s.Backend)
	}
	c, p := r.accept(nil, echo)
	p.sendN(1000)
	p.wantN(1000)
	var tm *bev.Timer
	r.on(func() { tm = r.l.AfterFunc(time.Hour, func() {}) })
	s = r.settle()
	if s.Conns != 1 || s.Opened != 1 || s.Timers != 1 || s.BytesRead != 1000 || s.BytesWritten != 1000 || s.Ticks == 0 || s.Events == 0 || s.Panics != 0 {
		t.Errorf("after an echo of 1000 bytes: %+v", s)
	}
	if cs := get(r, c.Stats); cs.BytesRead != 1000 || cs.BytesWritten != 1000 || cs.Input != 0 || cs.Output != 0 || cs.Memory != 0 || cs.Suspended != [2]bev.Reason{} {
		t.Errorf("the Conn's: %+v", cs)
	}
	r.on(func() { tm.Stop(); c.Close() })
	if s = r.settle(); s.Timers != 0 || s.Conns != 0 || s.BytesRead != 1000 {
		t.Errorf("after Close: %+v", s)
	}
}

func TestNewLoopReportsWhatTheKernelRefuses(t *testing.T) {
	leak.Check(t)
	for _, op := range []sys.Op{sys.OpEpollCreate, sys.OpEventfd} {
		f := inject(t)
		f.failTimes(-1, op, anyFD, syscall.EMFILE)
		l, err := bev.NewLoop(nil)
		if l != nil || !errors.Is(err, syscall.EMFILE) || !strings.HasPrefix(err.Error(), "bev: ") {
			t.Errorf("%v fails: %v, %v", op, l, err)
		}
		sys.SetHook(nil)
	}
}

func TestRunReportsAPollerThatFails(t *testing.T) {
	r := newRig(t, nil)
	f := inject(t)
	f.fail(sys.OpEpollWait, anyFD, syscall.EBADF)
	if err := r.l.Run(t.Context()); !errors.Is(err, syscall.EBADF) || !strings.HasPrefix(err.Error(), "bev: ") {
		t.Fatalf("Run: %v, want EBADF with bev's words", err)
	}
	// It may be transient: the Loop goes on where it was.
	r.l.Post(r.l.Stop)
	if err := r.l.Run(t.Context()); err != nil {
		t.Fatalf("the next Run: %v", err)
	}
}

func TestWaitSurvivesInterrupts(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		r := run(t, o)
		f := inject(t)
		f.failTimes(5, sys.OpEpollWait, anyFD, syscall.EINTR)
		_, p := r.accept(nil, echo)
		p.sendN(100)
		p.wantN(100)
	})
}

func TestALoopWithoutALoggerUsesTheDefault(t *testing.T) {
	leak.Check(t)
	log := new(logBook)
	before := slog.Default()
	slog.SetDefault(log.logger())
	defer slog.SetDefault(before)
	l, err := bev.NewLoop(nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Post(func() { panic("boom") })
	l.Post(l.Stop)
	if err := l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(log.lines("panic=boom")); n != 1 {
		t.Fatalf("%d lines of the default logger speak of a panic, want 1", n)
	}
}

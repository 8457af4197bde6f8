//go:build unix

package bev_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
)

// start runs the group; wait returns what Run returned.
func (k *crew) start(ctx context.Context) {
	go func() { k.ended <- k.g.Run(ctx) }()
}

func (k *crew) wait() error {
	k.t.Helper()
	return await(k.t, k.ended, "LoopGroup.Run to return")
}

// alive says that each Loop runs what is posted to it.
func (k *crew) alive() {
	k.t.Helper()
	for _, r := range k.rigs {
		r.on(func() {})
	}
}

// together keeps all loops busy until each of them is, then has each go on with
// f, in a callback.
func (k *crew) together(f func(i int)) {
	k.t.Helper()
	var busy sync.WaitGroup
	busy.Add(len(k.rigs))
	for i, r := range k.rigs {
		if err := r.l.Post(func() { busy.Done(); busy.Wait(); f(i) }); err != nil {
			k.t.Fatal(err)
		}
	}
}

var errEnough = errors.New("enough")

// groupEnds are the ways in which the Run of a group that runs comes to its end
// and may be called again.
var groupEnds = []struct {
	name string
	end  func(k *crew, cancel func())
	want error // what Run returns
}{
	{"Stop", func(k *crew, _ func()) { k.g.Stop() }, nil},
	{"Stop twice on a loop", func(k *crew, _ func()) { k.rigs[1].l.Post(func() { k.g.Stop(); k.g.Stop() }) }, nil},
	{"Stop on all loops", func(k *crew, _ func()) { k.together(func(int) { k.g.Stop() }) }, nil},
	{"Stop when one has returned already", func(k *crew, _ func()) { late(k, k.g.Stop, k.g.Stop) }, nil},
	{"Stop of one", func(k *crew, _ func()) { k.rigs[0].l.Stop() }, nil},
	{"Stop of all, one by one", func(k *crew, _ func()) { k.together(func(i int) { k.rigs[i].l.Stop() }) }, nil},
	{"Stop of one that has returned already", func(k *crew, _ func()) {
		late(k, k.rigs[0].l.Stop, k.rigs[0].l.Stop)
	}, nil},
	{"StopAfter of one", func(k *crew, _ func()) {
		k.rigs[0].on(func() { k.rigs[0].l.StopAfter(time.Hour); k.rigs[0].l.SkipTime(time.Hour) })
	}, nil},
	{"Break of one", func(k *crew, _ func()) { k.rigs[1].l.Post(k.rigs[1].l.Break) }, nil},
	{"Goexit", func(k *crew, _ func()) { k.rigs[0].l.Post(runtime.Goexit) }, bev.ErrGoexit},
	{"Goexit on all loops", func(k *crew, _ func()) { k.together(func(int) { runtime.Goexit() }) }, bev.ErrGoexit},
	{"Goexit, and Stop when that loop has returned", func(k *crew, _ func()) {
		late(k, func() { k.rigs[0].l.Post(runtime.Goexit) }, k.g.Stop)
	}, bev.ErrGoexit},
	{"the context", func(_ *crew, cancel func()) { cancel() }, errEnough},
	{"the context, and Stop when one has returned already", func(k *crew, cancel func()) { late(k, cancel, k.g.Stop) }, errEnough},
}

// late does one thing, and the other when all loops but the last have returned
// from their Runs. The last is busy until then.
func late(k *crew, first, second func()) {
	last := len(k.rigs) - 1
	release := k.rigs[last].hold()
	first()
	for _, r := range k.rigs[:last] {
		eventually(k.t, "a loop to return from its Run", func() bool { return !r.l.Running() })
	}
	second()
	release()
}

// A Run of a group begins with all its Loops and ends with all, whatever ended
// the one before.
func TestGroupRunsAllLoopsAgain(t *testing.T) {
	for _, test := range groupEnds {
		t.Run(test.name, func(t *testing.T) {
			k := newCrew(t, 3, nil)
			for range 3 {
				ctx, cancel := context.WithCancelCause(t.Context())
				k.start(ctx)
				k.alive()
				test.end(k, func() { cancel(errEnough) })
				if err := k.wait(); err != test.want {
					t.Fatalf("Run returned %v, want %v", err, test.want)
				}
				for i, r := range k.rigs {
					if r.l.Running() || r.l.Waiting() != 0 {
						t.Fatalf("loop %d runs: %v; %d calls or reasons to stop are left there", i, r.l.Running(), r.l.Waiting())
					}
				}
				cancel(nil)
			}
			k.start(t.Context())
			k.alive()
			k.g.Stop()
			if err := k.wait(); err != nil {
				t.Errorf("Run returned %v after Stop", err)
			}
		})
	}
}

// The socket of a Loop that has returned stays among those that the kernel
// spreads callers over, so the others must not run without it.
func TestGroupServesAllCallersAfterALoopWasStopped(t *testing.T) {
	k := newCrew(t, 2, nil)
	ln := k.listen("tcp", nil, nil)
	k.start(t.Context())
	k.alive()
	k.rigs[0].l.Stop()
	if err := k.wait(); err != nil {
		t.Fatalf("Run returned %v when one loop was stopped", err)
	}
	var callers []*peer
	for range 40 {
		callers = append(callers, k.call(ln))
	}
	k.start(t.Context())
	for _, p := range callers {
		p.wantEcho()
	}
	k.g.Stop()
	if err := k.wait(); err != nil {
		t.Error(err)
	}
}

// libevent's loopexit before the loop begins, for many.
func TestGroupStopBeforeRun(t *testing.T) {
	k := newCrew(t, 2, nil)
	ran := make(chan int, 2)
	k.g.Stop()
	k.g.Stop()
	for i, r := range k.rigs {
		r.l.Post(func() { ran <- i })
	}
	if err := k.g.Run(t.Context()); err != nil || len(ran) != 0 {
		t.Fatalf("Run after Stop: %v, and %d posted calls have run", err, len(ran))
	}
	for i, r := range k.rigs {
		if !r.l.StopAsked() {
			t.Errorf("loop %d does not know that it was stopped", i)
		}
	}
	k.start(t.Context())
	for range k.rigs {
		await(t, ran, "both posted calls to run in the next Run")
	}
	k.g.Stop()
	if err := k.wait(); err != nil {
		t.Fatal(err)
	}

	// A Stop of one that came before is a reason for all to return at once.
	k.rigs[1].l.Stop()
	if err := k.g.Run(t.Context()); err != nil {
		t.Errorf("Run after Stop of one loop: %v", err)
	}
	k.start(t.Context())
	k.alive()
	for i, r := range k.rigs {
		if r.l.StopAsked() {
			t.Errorf("nobody has stopped loop %d in this Run", i)
		}
	}
	k.rigs[0].on(func() {
		k.g.Stop()
		if !k.rigs[0].l.StopAsked() || !k.rigs[1].l.StopAsked() {
			t.Error("a Stop of the group is one of its Loops")
		}
	})
	if err := k.wait(); err != nil {
		t.Fatal(err)
	}
}

// Whoever runs the Loops of a group one by one may stop all of them at once.
func TestGroupStopOfLoopsThatRunByThemselves(t *testing.T) {
	k := newCrew(t, 2, nil)
	for range 2 {
		for _, r := range k.rigs {
			r.start(t.Context())
			r.on(func() {})
		}
		k.g.Stop()
		for _, r := range k.rigs {
			if err := r.wait(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestGroupRunWhileItRuns(t *testing.T) {
	k := newCrew(t, 2, nil)
	k.start(t.Context())
	k.alive()
	if err := k.g.Run(t.Context()); err != bev.ErrRunning {
		t.Errorf("a second Run: %v, want ErrRunning", err)
	}
	if err := get(k.rigs[0], func() error { return k.g.Run(t.Context()) }); err != bev.ErrRunning {
		t.Errorf("Run from a callback: %v, want ErrRunning", err)
	}
	k.alive()
	k.g.Stop()
	if err := k.wait(); err != nil {
		t.Errorf("the first Run: %v, want nil", err)
	}

	// One that runs already is an obstacle, and keeps running.
	k.rigs[1].start(t.Context())
	k.rigs[1].on(func() {})
	if err := k.g.Run(t.Context()); err != bev.ErrRunning {
		t.Errorf("Run while one Loop runs: %v, want ErrRunning", err)
	}
	k.rigs[1].on(func() {})
	if k.rigs[0].l.Running() {
		t.Error("the other Loop runs")
	}
	k.rigs[1].l.Stop()
	if err := k.rigs[1].wait(); err != nil {
		t.Error(err)
	}
	k.start(t.Context())
	k.alive()
	k.g.Stop()
	if err := k.wait(); err != nil {
		t.Error(err)
	}
}

func TestGroupRunWithALoopThatIsClosed(t *testing.T) {
	k := newCrew(t, 3, nil)
	k.rigs[1].l.Close()
	ran := false
	k.rigs[0].l.Post(func() { ran = true })
	if err := k.g.Run(t.Context()); !errors.Is(err, net.ErrClosed) || ran {
		t.Errorf("Run: %v, want net.ErrClosed; the others have run: %v", err, ran)
	}
	k.rigs[0].l.RunReady() // it is free
	if !ran {
		t.Error("what was posted to another is lost")
	}
}

// Run tells each thing that went wrong, and the same thing once.
func TestGroupRunJoinsErrors(t *testing.T) {
	k := newCrew(t, 3, nil)
	k.start(t.Context())
	k.together(func(i int) {
		if i == 0 {
			runtime.Goexit()
		}
		k.rigs[i].l.Close()
	})
	err := k.wait()
	if !errors.Is(err, net.ErrClosed) || !errors.Is(err, bev.ErrGoexit) || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("Run: %v, want net.ErrClosed and ErrGoexit, once each", err)
	}
}

// Where one Loop has nobody left, the others go on with theirs, and Run with
// them.
func TestGroupShutdownEndsRunWithTheLastLoop(t *testing.T) {
	k := newCrew(t, 3, nil)
	ln := k.listen("tcp", nil, &bev.ListenOptions{Spread: bev.SpreadRoundRobin})
	k.start(t.Context())
	p := k.call(ln)
	p.wantEcho()
	shut := make(chan error, 1)
	go func() { shut <- k.g.Shutdown(context.Background()) }()
	p.wantEOF("the group shuts down")
	var left []*rig
	eventually(t, "all loops but one to end", func() bool {
		left = nil
		for _, r := range k.rigs {
			if r.l.Running() {
				left = append(left, r)
			}
		}
		return len(left) == 1
	})
	left[0].settle()
	select {
	case err := <-k.ended:
		t.Fatalf("Run returned %v while a conversation goes on", err)
	default:
	}
	p.close()
	if err := k.wait(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run: %v, want net.ErrClosed", err)
	}
	if err := await(t, shut, "Shutdown"); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Two Loops that close each other do not wait for each other.
func TestGroupCloseFromCallbacks(t *testing.T) {
	k := newCrew(t, 3, nil)
	k.start(t.Context())
	k.together(func(i int) {
		if err := k.g.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if err := k.wait(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run: %v, want net.ErrClosed", err)
	}
	if err := k.g.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
}

// What is dropped with a Loop may call the user's functions, and they the Loop.
func TestLoopThatClosesMayBeCalledFromRelease(t *testing.T) {
	for name, end := range map[string]func(l *bev.Loop){
		"Close":  func(l *bev.Loop) { l.Post(func() { l.Close() }) },
		"Goexit": func(l *bev.Loop) { l.Post(runtime.Goexit) },
	} {
		t.Run(name, func(t *testing.T) {
			k := newCrew(t, 2, nil)
			l := k.rigs[0].l
			released := make(chan bev.LoopStats, 1)
			var out buffer.Buffer
			out.AppendOwned([]byte("x"), func() {
				s := k.g.Stats()
				l.Stats()
				if err := l.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				released <- s
			})
			c, _, err := bev.Pair(l, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.WriteBuffer(&out); err != nil { // nobody reads it
				t.Fatal(err)
			}
			k.start(t.Context())
			end(l)
			k.wait()
			await(t, released, "what was in Output to be released")
		})
	}
}

// Figures may be asked for at any time, also when a Run begins or ends, and by
// others than those who set a Loop up.
func TestGroupStatsAtAnyTime(t *testing.T) {
	k := newCrew(t, 2, nil)
	for range 100 {
		k.start(t.Context())
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			for range 50 {
				k.g.Stats()
			}
		}()
		for range 10 {
			k.g.Stats()
		}
		k.g.Stop()
		k.wait()
		for _, r := range k.rigs {
			r.l.AfterFunc(time.Hour, func() {}).Stop() // it is ours now
		}
		await(t, asked, "the others to have asked")
	}
}

// While no Run goes on, there is what the last one has left.
func TestGroupStatsBetweenRuns(t *testing.T) {
	k := newCrew(t, 2, nil)
	if s := k.g.Stats(); s.Backend == "" || s.Ticks != 0 {
		t.Errorf("before the first Run: %+v", s)
	}
	for _, r := range k.rigs {
		r.l.AfterFunc(time.Hour, func() {})
	}
	k.start(t.Context())
	k.alive()
	k.g.Stop()
	k.wait()
	if s := k.g.Stats(); s.Timers != 2 || s.Ticks == 0 {
		t.Errorf("after a Run with two timers: %+v", s)
	}
	k.start(t.Context())
	k.alive()
	if s := k.g.Stats(); s.Timers != 2 {
		t.Errorf("in a Run with two timers: %+v", s)
	}
	k.g.Close()
	k.wait()
	if s := k.g.Stats(); s.Sources != 0 || s.Ticks == 0 {
		t.Errorf("of a group that is closed: %+v", s)
	}
}

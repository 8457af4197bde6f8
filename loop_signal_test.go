//go:build unix

package bev_test

import (
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/bevgo/bev"
)

// raise sends sig to this process.
func raise(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		t.Fatal(err)
	}
}

func TestSignalRunsOnTheLoop(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	var usr1, both *bev.Signal
	r.on(func() {
		usr1 = r.l.Notify(func(s os.Signal) {
			if r.l.Asleep() {
				t.Error("the function runs while the loop sleeps")
			}
			tr.add("usr1: %v", s)
		}, syscall.SIGUSR1)
	})
	raise(t, syscall.SIGUSR1)
	tr.want("usr1: user defined signal 1")

	// Several hear of one signal.
	r.on(func() {
		both = r.l.Notify(func(s os.Signal) { tr.add("both: %v", s) }, syscall.SIGUSR1, syscall.SIGUSR2)
	})
	raise(t, syscall.SIGUSR1)
	a, _ := tr.next()
	b, _ := tr.next()
	if got := []string{a, b}; !slices.Contains(got, "usr1: user defined signal 1") || !slices.Contains(got, "both: user defined signal 1") {
		t.Fatalf("got %q", got)
	}
	raise(t, syscall.SIGUSR2)
	tr.want("both: user defined signal 2")

	r.on(func() { usr1.Stop(); usr1.Stop() })
	raise(t, syscall.SIGUSR1)
	tr.want("both: user defined signal 1")
	tr.wantNothing("the other was stopped")
	r.on(func() { both.Stop() })
}

func TestSignalStoppedOnTheLoopIsHeardOfNoMore(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	var once, guard *bev.Signal
	r.on(func() {
		once = r.l.Notify(func(os.Signal) { tr.add("once"); once.Stop() }, syscall.SIGUSR1)
		guard = r.l.Notify(func(os.Signal) { tr.add("guard") }, syscall.SIGUSR1)
	})
	for range 3 {
		raise(t, syscall.SIGUSR1)
		tr.until("guard")
	}
	n := 0
	for _, line := range tr.lines() {
		if line == "once" {
			n++
		}
	}
	if n != 1 {
		t.Fatalf("it was called %d times, want once", n)
	}
	r.on(func() { guard.Stop() })
}

func TestSignalThatWaitsWhenItIsStoppedIsDropped(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	var s *bev.Signal
	r.on(func() { s = r.l.Notify(func(os.Signal) { tr.add("signal") }, syscall.SIGUSR1) })
	seen := make(chan os.Signal, 1)
	r.on(func() { r.l.Notify(func(sig os.Signal) { seen <- sig }, syscall.SIGUSR2) })
	release := r.hold()
	raise(t, syscall.SIGUSR1)
	// Stopped by a call that runs before the signal's, or after it was heard.
	stopped := make(chan struct{})
	r.l.Post(func() { s.Stop(); close(stopped) })
	release()
	await(t, stopped, "Stop")
	before := len(tr.lines())
	raise(t, syscall.SIGUSR2)
	await(t, seen, "another signal")
	r.settle()
	if n := len(tr.lines()); n != before {
		t.Fatal("a stopped Signal was called")
	}
}

func TestNotifyOfNoSignalIsOfAll(t *testing.T) {
	r := run(t, nil)
	seen := make(chan struct{}, 1)
	r.on(func() {
		r.l.Notify(func(s os.Signal) {
			if s == syscall.SIGUSR2 { // Go's own may come besides
				select {
				case seen <- struct{}{}:
				default:
				}
			}
		})
	})
	raise(t, syscall.SIGUSR2)
	await(t, seen, "the signal")
}

func TestNotifyBeforeRun(t *testing.T) {
	r := newRig(t, nil)
	r.l.Notify(func(os.Signal) { r.l.Stop() }, syscall.SIGUSR1)
	raise(t, syscall.SIGUSR1)
	if err := r.l.Run(t.Context()); err != nil {
		t.Fatalf("Run: %v", err)
	}
}

func TestSignalsEndWithTheLoop(t *testing.T) {
	r := newRig(t, nil)
	r.l.Notify(func(os.Signal) { t.Error("called on a closed Loop") }, syscall.SIGUSR1)
	// One that has come and was not handed over is dropped.
	raise(t, syscall.SIGUSR1)
	eventually(t, "the signal to wait for the loop", func() bool { return r.l.Waiting() > 0 })
	// Without bev, the next one would end the process.
	ch := make(chan struct{}, 1)
	other := run(t, nil)
	other.on(func() { other.l.Notify(func(os.Signal) { ch <- struct{}{} }, syscall.SIGUSR1) })
	if err := r.l.Close(); err != nil {
		t.Fatal(err)
	}
	raise(t, syscall.SIGUSR1)
	await(t, ch, "the signal at another loop")
}

//go:build unix

package bev_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// watch is Loop.Watch on the rig's loop. It ends with the test, before the
// descriptor is closed.
func (r *rig) watch(fd int, dir bev.Dir, f func(w *bev.Watch, ready bev.Dir)) *bev.Watch {
	r.t.Helper()
	w := get(r, func() *bev.Watch {
		w, err := r.l.Watch(fd, dir, f)
		if err != nil {
			r.t.Errorf("Watch: %v", err)
		}
		return w
	})
	if w == nil {
		r.t.FailNow()
	}
	r.t.Cleanup(func() { r.on(w.Stop) })
	return w
}

func mustWrite(t *testing.T, fd int, s string) {
	t.Helper()
	if n, err := syscall.Write(fd, []byte(s)); n != len(s) || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
}

// readSome reads at most n bytes, without waiting only where some are there.
func readSome(t *testing.T, fd, n int) string {
	t.Helper()
	b := make([]byte, n)
	n, err := syscall.Read(fd, b)
	if err != nil {
		t.Errorf("read: %v", err)
		return ""
	}
	return string(b[:n])
}

func TestWatchCallsAsLongAsThereIsSomething(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		r := run(t, o)
		tr := r.trace()
		in, out := blockingPipe(t)
		w := r.watch(in, bev.Reading, func(w *bev.Watch, ready bev.Dir) {
			if ready != bev.Reading || w.FD() != in {
				t.Errorf("called for %v of %d", ready, w.FD())
			}
			tr.add("%s", readSome(t, in, 2))
		})
		tr.wantNothing("the pipe is empty")
		r.wantIdle("the pipe is empty")
		mustWrite(t, out, "abcde")
		tr.want("ab", "cd", "e")
		r.wantIdle("the pipe is empty")
		if nonblock, err := sys.IsNonblock(in); err != nil || nonblock {
			t.Fatalf("O_NONBLOCK is %v, %v: a pipe may be shared", nonblock, err)
		}
		r.on(func() {
			w.Stop()
			w.Stop()
			if w.FD() != in {
				t.Errorf("FD of a stopped Watch is %d", w.FD())
			}
		})
		mustWrite(t, out, "f")
		r.wantIdle("the Watch was stopped")
		tr.wantNothing("the Watch was stopped")
		// The descriptor may be watched again, and the bytes are still there.
		r.watch(in, bev.Reading, func(w *bev.Watch, _ bev.Dir) {
			tr.add("%s", readSome(t, in, 2))
			w.Stop()
		})
		tr.want("f")
	})
}

func TestWatchOfAnEndAndOfAHangUp(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	in, out := blockingPipe(t)
	r.watch(in, bev.Reading, func(w *bev.Watch, ready bev.Dir) {
		tr.add("%v %q", ready, readSome(t, in, 2))
		w.Stop()
	})
	syscall.Close(out)
	tr.want(`reading ""`)

	// The reader is gone: a write would not wait any more, it fails.
	in, out = blockingPipe(t)
	if err := sys.SetNonblock(out, true); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 4096); ; {
		if _, err := syscall.Write(out, b); err != nil {
			break
		}
	}
	r.watch(out, bev.Writing, func(w *bev.Watch, ready bev.Dir) {
		tr.add("%v", ready)
		w.Stop()
	})
	tr.wantNothing("the pipe is full")
	syscall.Close(in)
	tr.want("writing")
}

func TestSeveralWatchesOfOneDescriptor(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	fd, p := socketPair(t)
	defer syscall.Close(fd)
	reading := r.watch(fd, bev.Reading, func(_ *bev.Watch, ready bev.Dir) { tr.add("a %v %s", ready, readSome(t, fd, 10)) })
	r.wantIdle("there is nothing to read, and nobody asks for room")
	r.watch(fd, bev.Writing, func(w *bev.Watch, ready bev.Dir) {
		tr.add("b %v", ready)
		w.Stop()
	})
	tr.want("b writing")
	r.wantIdle("the one that asked for room has stopped")
	p.send("x")
	tr.want("a reading x")

	r.watch(fd, bev.Both, func(w *bev.Watch, ready bev.Dir) {
		if ready&bev.Writing != 0 {
			tr.add("c %v", ready)
			w.Stop()
		}
	})
	tr.want("c writing")
	r.on(func() { reading.Stop() })
	p.send("y")
	r.wantIdle("all have stopped")
	tr.wantNothing("all have stopped")
}

func TestWatchStoppedByAnotherOfTheSameDescriptor(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	in, out := blockingPipe(t)
	var watches []*bev.Watch
	for _, name := range []string{"a", "b", "c"} {
		watches = append(watches, r.watch(in, bev.Reading, func(w *bev.Watch, _ bev.Dir) {
			tr.add("%s", name)
			for _, o := range watches {
				o.Stop()
			}
		}))
	}
	r.on(func() {}) // the loop sees all three
	mustWrite(t, out, "x")
	tr.want("a")
	tr.wantNothing("a has stopped them all")
	r.wantIdle("a has stopped them all")
}

func TestWatchAddedByAnotherOfTheSameDescriptor(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	in, out := blockingPipe(t)
	r.watch(in, bev.Reading, func(w *bev.Watch, _ bev.Dir) {
		tr.add("first")
		w.Stop()
		r.l.Watch(in, bev.Reading, func(w *bev.Watch, _ bev.Dir) {
			tr.add("second %s", readSome(t, in, 1))
			w.Stop()
		})
	})
	mustWrite(t, out, "x")
	tr.want("first", "second x")
}

func TestWatchOfARegularFileIsAlwaysReady(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	f := sample(t, 10)
	fd := int(f.Fd())
	calls := 0
	r.watch(fd, bev.Reading, func(w *bev.Watch, ready bev.Dir) {
		if ready != bev.Reading {
			t.Errorf("ready for %v, asked for reading", ready)
		}
		calls++
		if s := readSome(t, fd, 4); s != "" {
			tr.add("%d", len(s))
			return
		}
		tr.add("end")
		w.Stop()
	})
	tr.want("4", "4", "2", "end")
	r.wantIdle("the Watch was stopped")

	// Others have their turn meanwhile, and a second Watch has its own.
	var first, second int
	a := r.watch(fd, bev.Both, func(*bev.Watch, bev.Dir) { first++ })
	b := r.watch(fd, bev.Writing, func(*bev.Watch, bev.Dir) { second++ })
	r.until(func() bool { return first > 10 && second > 10 }, "both Watches of a file")
	r.on(func() { a.Stop() })
	before := get(r, func() int { return first })
	r.until(func() bool { return second > 100 }, "the Watch that is left")
	r.on(func() {
		if first != before {
			t.Error("a stopped Watch was called")
		}
		b.Stop()
	})
	r.wantIdle("both Watches are stopped")
}

func TestWatchReportsWhatTheKernelRefuses(t *testing.T) {
	r := run(t, nil)
	in, out := blockingPipe(t)
	f := inject(t)
	nop := func(*bev.Watch, bev.Dir) {}
	refused := func(fd int, dir bev.Dir, want error) {
		t.Helper()
		r.on(func() {
			w, err := r.l.Watch(fd, dir, nop)
			if w != nil || !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "bev: ") {
				t.Errorf("Watch: %v, %v, want %v", w, err, want)
			}
		})
	}
	refused(1<<20, bev.Reading, syscall.EBADF)
	f.fail(sys.OpEpollCtl, in, syscall.ENOSPC)
	refused(in, bev.Reading, syscall.ENOSPC)
	r.wantIdle("nothing is watched")

	// One that is refused leaves the others of its descriptor alone.
	tr := r.trace()
	r.watch(in, bev.Reading, func(*bev.Watch, bev.Dir) { tr.add("%s", readSome(t, in, 1)) })
	f.fail(sys.OpEpollCtl, in, syscall.ENOMEM)
	refused(in, bev.Both, syscall.ENOMEM)
	mustWrite(t, out, "x")
	tr.want("x")
}

func TestWatchDescriptorsStayOpenWhenTheLoopCloses(t *testing.T) {
	r := newRig(t, nil)
	in, out := blockingPipe(t)
	called := 0
	w, err := r.l.Watch(in, bev.Reading, func(*bev.Watch, bev.Dir) { called++ })
	if err != nil {
		t.Fatal(err)
	}
	if err := r.l.Close(); err != nil {
		t.Fatal(err)
	}
	w.Stop() // nothing is left to stop
	mustWrite(t, out, "x")
	if s := readSome(t, in, 1); s != "x" || called != 0 {
		t.Fatalf("read %q, and the Watch was called %d times", s, called)
	}
}

func TestWatchOfADescriptorThatWasClosed(t *testing.T) {
	r := run(t, nil)
	in, _ := blockingPipe(t)
	w := r.watch(in, bev.Reading, func(*bev.Watch, bev.Dir) { t.Error("called") })
	dup, err := syscall.Dup(in)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Close(in)
	r.on(func() { w.Stop() }) // too late, but harmless
	r.wantIdle("nothing is watched")
	syscall.Close(dup)
}

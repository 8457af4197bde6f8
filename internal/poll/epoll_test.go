//go:build linux

package poll

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bevgo/bev/internal/leak"
	"github.com/bevgo/bev/internal/sys"
)

func TestToEpoll(t *testing.T) {
	for _, tc := range []struct {
		want Interest
		bits uint32
	}{
		{0, 0},
		{Read, unix.EPOLLIN | unix.EPOLLRDHUP},
		{Write, unix.EPOLLOUT},
		{Read | Write | Edge, unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET},
	} {
		if got := toEpoll(tc.want); got != tc.bits {
			t.Errorf("%v: %#x, want %#x", tc.want, got, tc.bits)
		}
	}
}

func TestFromEpoll(t *testing.T) {
	for _, tc := range []struct {
		bits uint32
		want Ready
	}{
		{0, 0},
		{unix.EPOLLIN, Readable},
		{unix.EPOLLOUT, Writable},
		{unix.EPOLLRDHUP, Readable | PeerClosed},
		{unix.EPOLLHUP, Readable | Writable | Hangup},
		{unix.EPOLLERR, Readable | Writable | Failed},
	} {
		if got := fromEpoll(tc.bits); got != tc.want {
			t.Errorf("%#x: %v, want %v", tc.bits, got, tc.want)
		}
	}
}

func TestEpollName(t *testing.T) {
	for _, tc := range []struct {
		wait WaitPolicy
		want string
	}{
		{WaitRuntime, "epoll, parked in the runtime's poller when at rest"},
		{WaitBlock, "epoll, blocking"},
	} {
		p, err := Open(Options{Wait: tc.wait})
		if err != nil {
			t.Fatal(err)
		}
		if p.Name() != tc.want {
			t.Errorf("Name is %q, want %q", p.Name(), tc.want)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The runtime refuses a descriptor that its own poller cannot watch, such as a
// file's: the poller then waits by itself, and says so.
func TestEpollFallsBack(t *testing.T) {
	leak.Check(t)
	fd, err := unix.Open(filepath.Join(t.TempDir(), "file"), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p := &epoll{wakefd: -1}
	if p.fd, err = sys.EpollCreate(); err != nil {
		t.Fatal(err)
	}
	p.waitBehind(fd)
	if err := p.openWaker(); err != nil {
		t.Fatal(err)
	}
	if want := "epoll, blocking, as the runtime's poller refused"; p.Name() != want {
		t.Errorf("Name is %q, want %q", p.Name(), want)
	}
	if err := p.Wake(); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Park(make([]Event, 1), time.Time{}); n != 0 || err != nil {
		t.Errorf("Park: %d, %v", n, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// Open fails at each of its calls in turn, and leaves nothing behind.
func TestOpenFails(t *testing.T) {
	for _, wait := range []WaitPolicy{WaitRuntime, WaitBlock} {
		for _, op := range []sys.Op{sys.OpEpollCreate, sys.OpFcntl, sys.OpEventfd, sys.OpEpollCtl} {
			if wait == WaitBlock && op == sys.OpFcntl {
				continue // makes no such call
			}
			t.Run(wait.String()+"/"+op.String(), func(t *testing.T) {
				leak.Check(t)
				defer sys.SetHook(func(got sys.Op, _, _ int) (int, error) {
					if got == op {
						return 0, syscall.EMFILE
					}
					return -1, nil
				})()
				p, err := Open(Options{Wait: wait})
				if p != nil || !errors.Is(err, syscall.EMFILE) {
					t.Errorf("Open: %v, %v, want EMFILE", p, err)
				}
			})
		}
	}
}

// The descriptor is closed once: a second close could hit one that has the
// number by then.
func TestEpollClosesOnce(t *testing.T) {
	for _, wait := range []WaitPolicy{WaitRuntime, WaitBlock} {
		p, err := Open(Options{Wait: wait})
		if err != nil {
			t.Fatal(err)
		}
		fd, wakefd := p.(*epoll).fd, p.(*epoll).wakefd
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		for _, fd := range []int{fd, wakefd} {
			if _, err := sys.IsNonblock(fd); !errors.Is(err, syscall.EBADF) {
				t.Errorf("%v: descriptor %d is open after Close", wait, fd)
			}
		}
		var closes int
		restore := sys.SetHook(func(op sys.Op, _, _ int) (int, error) {
			if op == sys.OpClose {
				closes++
			}
			return -1, nil
		})
		err = p.Close()
		restore()
		if err == nil || closes != 0 {
			t.Errorf("%v: second Close: %v, with %d calls", wait, err, closes)
		}
	}
}

// A failure of the wait itself ends Park, with the kernel's word for it.
func TestParkFails(t *testing.T) {
	for _, wait := range []WaitPolicy{WaitRuntime, WaitBlock} {
		p, err := Open(Options{Wait: wait})
		if err != nil {
			t.Fatal(err)
		}
		w := p.(*epoll)
		if f, ok := w.wait.(*runtimeWait); ok {
			f.file.Close() // as if somebody else had
			if _, err := p.Park(make([]Event, 1), time.Time{}); !errors.Is(err, syscall.EBADF) {
				t.Errorf("Park behind a gate that is gone: %v", err)
			}
			f.open = true
			if _, err := p.Park(make([]Event, 1), time.Time{}); err == nil || !strings.Contains(err.Error(), "parking") {
				t.Errorf("Park of a descriptor that is gone: %v", err)
			}
			if _, err := p.Park(make([]Event, 1), time.Now()); err == nil || !strings.Contains(err.Error(), "deadline") {
				t.Errorf("Park with a deadline: %v", err)
			}
			if err := p.Close(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("Close: %v", err)
			}
			continue
		}
		if err := sys.Close(w.fd); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Park(make([]Event, 1), time.Time{}); !errors.Is(err, syscall.EBADF) {
			t.Errorf("Park of a descriptor that is gone: %v", err)
		}
		if err := p.Close(); !errors.Is(err, syscall.EBADF) {
			t.Errorf("Close: %v", err)
		}
	}
}

// TestArmSpares counts how often the runtime is given a deadline: one that
// only moves forward is given when the old one has passed, and not before.
func TestArmSpares(t *testing.T) {
	p, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	w := p.(*epoll).wait.(*runtimeWait)
	w.short = 0 // no wait is: each parks
	park := func(deadline time.Time) {
		t.Helper()
		if err := p.Wake(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Park(make([]Event, 1), deadline); err != nil {
			t.Fatal(err)
		}
	}
	first := time.Now().Add(time.Hour)
	park(first)
	for _, tc := range []struct {
		name     string
		deadline time.Time
		armed    time.Time
	}{
		{"the same", first, first},
		{"later", first.Add(time.Second), first},
		{"none", time.Time{}, first},
		{"earlier", first.Add(-time.Second), first.Add(-time.Second)},
	} {
		park(tc.deadline)
		if !w.armed.Equal(tc.armed) || w.fired {
			t.Errorf("%s: armed %v, want %v", tc.name, w.armed, tc.armed)
		}
	}
}

// script is a backend that has what the test says.
type script struct {
	ready  int // what block finds
	lacks  int // how often collect finds nothing before it finds one
	polled int // calls of collect
	asked  []time.Duration
}

func (s *script) collect() (int, error) {
	s.polled++
	if s.lacks > 0 {
		s.lacks--
		return 0, nil
	}
	return 1, nil
}

func (s *script) release() error { return nil }

func (s *script) block(d time.Duration) (int, error) {
	s.asked = append(s.asked, d)
	return s.ready, nil
}

// While waits are short the loop waits in the kernel, and Go's poller does not
// watch; after one that was long it parks.
func TestRuntimeWaitParksWhenAtRest(t *testing.T) {
	s := &script{ready: 1}
	w := scripted(t, s)
	wait := func(name string, deadline time.Time, brisk bool, blocks int) {
		t.Helper()
		s.asked = nil
		if n, err := w.wait(deadline); n != 1 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		if w.brisk != brisk || w.open == brisk || len(s.asked) != blocks {
			t.Errorf("%s: brisk %v, gate open %v, waits in the kernel %v", name, w.brisk, w.open, s.asked)
		}
	}
	w.short = 0
	wait("the first parks", time.Time{}, false, 0)
	wait("so does one after a long one", time.Time{}, false, 0)
	w.short = time.Hour
	wait("this was short", time.Time{}, true, 0)
	wait("so the next does not park", time.Time{}, true, 1)
	if s.asked[0] != glance {
		t.Errorf("without a deadline it waits for %v, want %v", s.asked[0], glance)
	}
	wait("with a deadline far away", time.Now().Add(time.Hour), true, 1)
	if s.asked[0] != glance {
		t.Errorf("with a deadline far away it waits for %v, want %v", s.asked[0], glance)
	}
	s.ready = 0
	w.short = 0
	wait("nothing came: it parks", time.Time{}, false, 1)
	w.short, s.ready = time.Hour, 1
	wait("short again", time.Time{}, true, 0)
	s.ready = 0
	if n, err := w.wait(time.Now()); n != 0 || err != nil || s.asked[0] != 0 {
		t.Errorf("a deadline that has passed: %d, %v, asked for %v", n, err, s.asked)
	}
}

// scripted is a runtimeWait over s.
func scripted(t *testing.T, s *script) *runtimeWait {
	t.Helper()
	fd, err := sys.EpollCreate()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Close(fd) })
	gate, err := newGate()
	if err != nil {
		t.Fatal(err)
	}
	w, err := newRuntimeWait(s, fd, gate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.close() })
	return w
}

// Loops that leave no processor to others give way before they sleep; a lone
// one does not, nor one whose timer is due.
func TestRuntimeWaitGivesWay(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	yielded := 0
	defer sys.SetHook(func(op sys.Op, _, _ int) (int, error) {
		if op == sys.OpYield {
			yielded++
		}
		return -1, nil
	})()
	a, b := &script{ready: 1}, &script{ready: 1}
	wa, wb := scripted(t, a), scripted(t, b)
	wa.short, wb.short = time.Hour, time.Hour
	wait := func(name string, lacks, wantYields, wantBlocks int) {
		t.Helper()
		yielded, a.asked, a.lacks = 0, nil, lacks
		wa.until = time.Time{} // this machine may be busy
		if n, err := wa.wait(time.Time{}); n != 1 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		if yielded != wantYields || len(a.asked) != wantBlocks {
			t.Errorf("%s: gave way %d times, want %d, slept %d, want %d", name, yielded, wantYields, len(a.asked), wantBlocks)
		}
	}
	before := brisk.Load()
	wait("the first parks", 0, 0, 0)
	wait("a lone loop", 0, 0, 1)
	if n, err := wb.wait(time.Time{}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	wait("one of two", 0, 1, 0)
	wait("it finds nothing at first", 1, 2, 0)
	wait("it finds nothing at all", yields, yields, 1)
	yielded, a.lacks = 0, 0
	if n, err := wa.wait(time.Now()); n != 1 || err != nil || yielded != 0 {
		t.Errorf("with a timer due: %d, %v, gave way %d times", n, err, yielded)
	}
	wb.short, b.ready, b.lacks = 0, 0, yields
	if n, err := wb.wait(time.Time{}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	wait("the other is at rest", 0, 0, 1)
	wa.close()
	if n := brisk.Load() - before; n != 0 {
		t.Errorf("%d loops are brisk in the end", n)
	}
}

// Whoever lets others in and gets its core back late does so less and less, until
// it mostly gets it back early.
func TestRuntimeWaitBecomesShy(t *testing.T) {
	w := new(runtimeWait)
	now := time.Now()
	give := func(took time.Duration) time.Duration {
		w.gaveWay(now, now.Add(took))
		if w.until.IsZero() {
			return 0
		}
		return w.until.Sub(now.Add(took))
	}
	for i, want := range []time.Duration{4, 8, 16, 32} {
		if got := give(2 * tooLong); got != want*time.Millisecond {
			t.Errorf("after %d long ones it is shy for %v", i+1, got)
		}
	}
	for range 20 {
		give(2 * tooLong)
	}
	if got := give(2 * tooLong); got != mostShy {
		t.Errorf("it is shy for %v, want %v at most", got, mostShy)
	}
	if got := give(tooLong); got != 0 {
		t.Errorf("after a short one it is shy for %v", got)
	}
	if got := give(2 * tooLong); got != mostShy {
		t.Errorf("one short one made it forget: shy for %v", got)
	}
	for range 100 {
		give(0)
	}
	if got := give(2 * tooLong); got != leastShy {
		t.Errorf("after a hundred short ones it is shy for %v, want %v", got, leastShy)
	}
	brisk.Add(2)
	defer brisk.Add(-2)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	if w.until = time.Now().Add(time.Hour); w.crowded() {
		t.Error("it gives way although it is shy")
	}
	if w.until = time.Now(); !w.crowded() {
		t.Error("it does not give way although it is shy no more")
	}
	runtime.GOMAXPROCS(8)
	for range lookEvery {
		w.crowded()
	}
	if w.crowded() {
		t.Error("it gives way although there are processors enough")
	}
}

func BenchmarkPollEmpty(b *testing.B) {
	p, err := Open(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	out := make([]Event, 256)
	for b.Loop() {
		if _, err := p.Poll(out); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParkReady is a byte through a socketpair, with a Park before the
// read: what a loop pays for its wait when there is something.
func BenchmarkParkReady(b *testing.B) {
	for _, wait := range []WaitPolicy{WaitRuntime, WaitBlock} {
		b.Run(wait.String(), func(b *testing.B) {
			p, err := Open(Options{Wait: wait})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			fd, peer, err := sys.SocketPair()
			if err != nil {
				b.Fatal(err)
			}
			defer sys.Close(fd)
			defer sys.Close(peer)
			if err := p.Add(fd, 1, Read|Edge); err != nil {
				b.Fatal(err)
			}
			out := make([]Event, 256)
			buf := make([]byte, 64)
			for b.Loop() {
				if _, err := sys.Direct.Write(peer, buf); err != nil {
					b.Fatal(err)
				}
				if n, err := p.Park(out, time.Time{}); n != 1 || err != nil {
					b.Fatal(n, err)
				}
				if _, err := sys.Direct.Read(fd, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWake is a wake by another goroutine, and its answer by a channel.
func BenchmarkWake(b *testing.B) {
	for _, wait := range []WaitPolicy{WaitRuntime, WaitBlock} {
		b.Run(wait.String(), func(b *testing.B) {
			p, err := Open(Options{Wait: wait})
			if err != nil {
				b.Fatal(err)
			}
			awake := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				out := make([]Event, 1)
				for {
					if _, err := p.Park(out, time.Time{}); err != nil {
						return
					}
					if _, ok := <-awake; !ok {
						return
					}
				}
			}()
			for b.Loop() {
				if err := p.Wake(); err != nil {
					b.Fatal(err)
				}
				awake <- struct{}{}
			}
			close(awake)
			if err := p.Wake(); err != nil {
				b.Fatal(err)
			}
			<-done
			if err := p.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

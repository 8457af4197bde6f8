//go:build unix

package bev_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/leak"
)

// A lab is a Loop on a virtual clock that runs on demand, in the test's own
// goroutine: between two calls of pass the Loop belongs to the test. All
// connections of a lab have both ends on its Loop, so nothing happens but what
// the test has caused, and an hour passes as fast as the work in it is done.
type lab struct {
	t testing.TB
	l *bev.Loop
}

func newLab(t testing.TB, o *bev.LoopOptions) *lab {
	t.Helper()
	leak.Check(t)
	l, err := bev.NewLoop(o)
	if err != nil {
		t.Fatalf("NewLoop: %v", err)
	}
	l.Virtual()
	t.Cleanup(func() { l.Close() })
	return &lab{t: t, l: l}
}

// pass lets d go by: all that is due until then, and what comes of it, is
// done when it returns. That takes a nanosecond more: the clock moves only when
// there is nothing left to do.
func (b *lab) pass(d time.Duration) {
	b.t.Helper()
	b.l.AfterFunc(d, func() { b.l.AfterFunc(0, b.l.Stop) })
	if err := b.l.Run(context.Background()); err != nil {
		b.t.Fatalf("Run: %v", err)
	}
}

// resolution is how much later than asked for a timeout of a Conn may end, on a
// clock that is exact.
const resolution = time.Millisecond

// wire makes two Conns that are connected to each other by a unix socket pair:
// a plain one, and one with options.
func (b *lab) wire(o *bev.ConnOptions) (plain, c *bev.Conn) {
	b.t.Helper()
	fds := rawPair(b.t)
	plain, err := bev.NewConn(b.l, fds[0], nil)
	if err != nil {
		b.t.Fatalf("NewConn: %v", err)
	}
	c, err = bev.NewConn(b.l, fds[1], o)
	if err != nil {
		b.t.Fatalf("NewConn: %v", err)
	}
	return plain, c
}

// rawPair returns the ends of a unix socket pair, for the caller to own.
func rawPair(t testing.TB) [2]int {
	t.Helper()
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatalf("socketpair: %v", err)
	}
	return fds
}

// flood has c write without end. A step is what it writes at once.
func flood(c *bev.Conn, step int) {
	block := make([]byte, step)
	cb := c.Callbacks()
	cb.Write = func(c *bev.Conn) { c.Write(block) }
	cb.Event = func(*bev.Conn, bev.Event, error) {}
	c.SetCallbacks(cb)
	c.Enable(bev.Writing)
}

// sink has c read and forget all that comes.
func sink(c *bev.Conn) {
	cb := c.Callbacks()
	cb.Read = func(c *bev.Conn) { c.Input().Reset() }
	c.SetCallbacks(cb)
	c.Enable(bev.Reading)
}

// flow is a wire with a flood at the plain end and a sink at the other.
func (b *lab) flow() (c *bev.Conn) {
	b.t.Helper()
	plain, c := b.wire(nil)
	flood(plain, 16<<10)
	sink(c)
	return c
}

// pour is a wire with a sink at the plain end and a flood at the other.
func (b *lab) pour() (c *bev.Conn) {
	b.t.Helper()
	plain, c := b.wire(nil)
	sink(plain)
	flood(c, 16<<10)
	return c
}

// limit is SetRateLimit that must not fail.
func (b *lab) limit(c *bev.Conn, r bev.RateLimit) {
	b.t.Helper()
	if err := c.SetRateLimit(&r); err != nil {
		b.t.Fatalf("SetRateLimit(%+v): %v", r, err)
	}
}

// group is NewRateGroup that must not fail.
func (b *lab) group(r bev.RateLimit, members ...*bev.Conn) *bev.RateGroup {
	b.t.Helper()
	g, err := bev.NewRateGroup(b.l, r)
	if err != nil {
		b.t.Fatalf("NewRateGroup(%+v): %v", r, err)
	}
	for _, c := range members {
		if err := g.Add(c); err != nil {
			b.t.Fatalf("Add: %v", err)
		}
	}
	return g
}

// wantNear says that got is at most off away from want.
func wantNear(t testing.TB, what string, got, want, off float64) {
	t.Helper()
	if got < want-off || got > want+off {
		t.Errorf("%s: %.2f, want %.2f ± %.2f", what, got, want, off)
	}
}

// processorTime is what this process has used so far.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

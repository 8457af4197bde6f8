//go:build unix

package bev_test

import (
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// call n times.
func (r *rig) calls(h *host, n int) (callers []*peer) {
	r.t.Helper()
	for range n {
		callers = append(callers, r.call(h.ln))
	}
	return callers
}

func TestMaxConnsPausesUntilOneIsClosed(t *testing.T) {
	r := run(t, nil)
	h := r.host("tcp4", &bev.ListenOptions{MaxConns: 2})
	callers := r.calls(h, 5)
	h.want(2, "MaxConns is 2")
	h.wantHeld(bev.HoldMaxConns, "MaxConns is reached")
	r.wantIdle("callers wait in the kernel's queue")
	callers[1].wantEcho()

	r.on(func() { h.accepted()[0].Close() })
	h.want(3, "one was closed by the program")
	callers[1].reset()
	h.want(4, "one was closed by its peer")
	if s := h.stats(); s.Conns != 2 || s.Accepted != 4 {
		t.Errorf("Stats are %+v", s)
	}
	if n := h.ln.MaxConns(); n != 2 {
		t.Errorf("MaxConns is %d, want 2", n)
	}
	h.ln.SetMaxConns(0)
	h.want(5, "there is no limit any more")
	h.wantHeld(0, "there is no limit any more")
	h.ln.SetMaxConns(1)
	r.calls(h, 1)
	h.want(5, "three are open, beyond the new limit")
	r.on(func() {
		for _, c := range h.accepted() {
			c.Close()
		}
	})
	h.want(6, "all were closed")
	callers[4].wantEOF("its Conn was closed")
}

// A Conn that is closed in the accept function, or by its panic, has left.
func TestMaxConnsCountsConnsThatCameToNothing(t *testing.T) {
	r := run(t, nil)
	n := 0
	done := make(chan struct{}, 1)
	ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
		switch n++; n {
		case 1:
			c.Close()
		case 2:
			c.Abort()
		case 3:
			panic("accept bug")
		case 4:
			c.CloseAfterFlush(0) // its peer has ended: it is gone soon
		default:
			done <- struct{}{}
		}
	}, &bev.ListenOptions{MaxConns: 1})
	release := r.hold()
	for range 5 {
		r.call(ln).halfClose()
	}
	release()
	await(t, done, "the fifth caller")
	r.wantPanic("accept bug")
	if s := get(r, ln.Stats); s.Conns != 1 || s.Accepted != 5 {
		t.Errorf("Stats are %+v", s)
	}
}

func TestLoopMaxConns(t *testing.T) {
	r := run(t, &bev.LoopOptions{MaxConns: 4})
	a, b := r.host("tcp4", nil), r.host("tcp4", nil)
	server := netListen(t, "tcp4", "127.0.0.1:0")
	tr := r.trace()
	dialled := r.dialTo(server, tr.callbacks(everything), nil)
	tr.want("event connected")
	adopted, _ := r.adopt(nil, nil)
	r.calls(a, 2)
	a.want(2, "with the dialled and the adopted Conn that makes four")
	b.want(0, "no callers yet")
	r.calls(a, 4)
	r.calls(b, 4)
	a.want(2, "the Loop is full")
	b.want(0, "the Loop is full")
	a.wantHeld(bev.HoldMaxConns, "LoopOptions.MaxConns is reached")
	b.wantHeld(bev.HoldMaxConns, "LoopOptions.MaxConns is reached")
	r.wantIdle("callers wait in the kernel's queue")
	r.dialTo(server, tr.callbacks(everything), nil)
	tr.want("event connected") // what the program asks for is not refused

	// Five are open: closing one makes no place yet.
	r.on(func() { dialled.Close() })
	a.want(2, "the Loop is still full")
	b.want(0, "the Loop is still full")
	// From now on each Conn that is closed makes one place, and the two
	// listeners take turns.
	r.on(func() { adopted.Close() })
	r.until(func() bool { return a.ln.Stats().Accepted+b.ln.Stats().Accepted == 3 }, "one more caller")
	for i := range 5 {
		r.on(func() {
			for _, c := range append(a.accepted(), b.accepted()...) {
				if !c.Closed() {
					c.Close()
					break
				}
			}
		})
		want := uint64(4 + i)
		r.until(func() bool { return a.ln.Stats().Accepted+b.ln.Stats().Accepted == want }, "one more caller")
	}
	r.settle()
	if na, nb := len(a.accepted()), len(b.accepted()); na != 5 || nb != 3 {
		t.Errorf("the listeners took %d and %d callers, want 5 and 3: two before, and three each", na, nb)
	}
}

// A listener that waits for a place, and does not want it any more, hands its
// turn on.
func TestLoopMaxConnsWithAListenerThatStops(t *testing.T) {
	for _, test := range []struct {
		name string
		stop func(r *rig, a *host)
	}{
		{"Close before", func(r *rig, a *host) {
			a.ln.Close()
			r.settle()
			r.on(func() { a.accepted()[0].Close() })
		}},
		{"Close with the turn given", func(r *rig, a *host) {
			r.on(func() { a.accepted()[0].Close(); a.ln.Close() })
		}},
		{"Pause", func(r *rig, a *host) {
			a.ln.Pause()
			r.on(func() { a.accepted()[0].Close() })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, &bev.LoopOptions{MaxConns: 1})
			a, b := r.host("tcp4", nil), r.host("tcp4", nil)
			r.calls(a, 1)
			a.want(1, "there is a place")
			r.calls(a, 1)
			r.settle() // a is the first to wait
			r.calls(b, 1)
			r.settle()
			test.stop(r, a)
			b.want(1, "a does not want the place, and b waits")
		})
	}
}

// Ten callers a second, and as many at once as a tenth of a second allows, to
// the nanosecond on a virtual clock.
func TestMaxAcceptRate(t *testing.T) {
	for _, test := range []struct {
		rate, callers int
		want          func(i int) time.Duration // of caller i, from 0
	}{
		{10, 12, func(i int) time.Duration { return time.Duration(i) * 100 * time.Millisecond }},
		{2, 5, func(i int) time.Duration { return time.Duration(i) * 500 * time.Millisecond }},
		{100, 100, func(i int) time.Duration { return time.Duration(max(i-9, 0)) * 10 * time.Millisecond }},
		{1000, 120, func(i int) time.Duration { return time.Duration(max(i-99, 0)) * time.Millisecond }},
		{0, 100, func(int) time.Duration { return 0 }},
	} {
		r := newRig(t, nil)
		var at []time.Duration
		var start time.Time
		ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
			if at == nil {
				start = r.l.Now()
			}
			at = append(at, r.l.Now().Sub(start))
			if len(at) == test.callers {
				r.l.Stop()
			}
			c.Close()
		}, &bev.ListenOptions{MaxAcceptRate: test.rate})
		r.l.Virtual()
		for range test.callers {
			r.call(ln)
		}
		r.start(t.Context())
		r.wait()
		for i, got := range at {
			if want := test.want(i); got != want {
				t.Errorf("with %d a second, caller %d was accepted after %v, want %v", test.rate, i, got, want)
				break
			}
		}
		ln.Close()
	}
}

// A bucket that was not used for long holds no more than its burst.
func TestMaxAcceptRateForgetsIdleTime(t *testing.T) {
	r := run(t, nil)
	h := r.host("tcp4", &bev.ListenOptions{MaxAcceptRate: 1})
	if n := h.ln.MaxAcceptRate(); n != 1 {
		t.Errorf("MaxAcceptRate is %d, want 1", n)
	}
	r.skip(1000 * time.Hour)
	r.calls(h, 5)
	h.want(1, "one a second")
	h.wantHeld(bev.HoldRate, "one a second")
	r.skip(time.Second)
	h.want(2, "a second later")
	r.skip(time.Hour)
	h.want(3, "an hour later")
	h.ln.SetMaxAcceptRate(0)
	h.want(5, "there is no limit any more")
	h.ln.SetMaxAcceptRate(1)
	r.settle()
	r.calls(h, 3)
	h.want(6, "a new limit begins with a full bucket")
}

// Pause holds at once, in the middle of a crowd, as does Close.
func TestPauseInTheAcceptFunctionHoldsAtOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		stop func(ln *bev.Listener) error
	}{
		{"Pause", (*bev.Listener).Pause},
		{"Close", (*bev.Listener).Close},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, nil)
			n := 0
			var ln *bev.Listener
			ln = r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
				n++
				c.Close()
				if err := test.stop(ln); err != nil {
					t.Error(err)
				}
			}, nil)
			for range 5 {
				r.call(ln)
			}
			r.start(t.Context())
			r.until(func() bool { return n > 0 }, "a caller")
			r.settle()
			if got := get(r, func() int { return n }); got != 1 {
				t.Errorf("%d callers were accepted after %s in the first accept", got-1, test.name)
			}
			if test.name == "Pause" {
				if !ln.Paused() {
					t.Error("Paused is false after Pause")
				}
				ln.Resume()
				r.until(func() bool { return n == 2 }, "the next caller")
			}
			r.l.Stop()
			r.wait()
		})
	}
}

func TestListenerCreatedPaused(t *testing.T) {
	r := run(t, nil)
	h := r.host("tcp4", &bev.ListenOptions{Paused: true})
	p := r.call(h.ln)
	h.want(0, "the listener is paused")
	h.wantHeld(bev.HoldPaused, "the listener is paused")
	if err := h.ln.Resume(); err != nil {
		t.Error(err)
	}
	h.want(1, "Resume")
	p.wantEcho()
}

func TestListenerGetters(t *testing.T) {
	r := run(t, nil)
	h := r.host("tcp4", nil)
	if h.ln.Loop() != r.l {
		t.Error("Loop is another one")
	}
	if fd := get(r, h.ln.FD); fd < 0 {
		t.Errorf("FD is %d", fd)
	}
	if h.ln.MaxConns() != 0 || h.ln.MaxAcceptRate() != 0 || h.ln.Paused() {
		t.Error("limits that nobody set")
	}
	h.ln.Close()
	for name, f := range map[string]func() error{
		"Close": h.ln.Close, "Pause": h.ln.Pause, "Resume": h.ln.Resume,
		"SetMaxConns":      func() error { return h.ln.SetMaxConns(1) },
		"SetMaxAcceptRate": func() error { return h.ln.SetMaxAcceptRate(1) },
	} {
		if err := f(); !isClosed(err) {
			t.Errorf("%s of a closed listener: %v, want net.ErrClosed", name, err)
		}
	}
	r.settle()
	if fd := get(r, h.ln.FD); fd != -1 {
		t.Errorf("FD is %d after Close", fd)
	}
}

func TestHoldsHaveNames(t *testing.T) {
	all := bev.HoldPaused | bev.HoldMaxConns | bev.HoldRate | bev.HoldExhausted
	if got := all.String(); got != "paused|max conns|rate|exhausted" {
		t.Errorf("all holds are %q", got)
	}
	if bev.Wait.String() != "wait" || bev.Refuse.String() != "refuse" {
		t.Errorf("what to do with callers is %q or %q", bev.Wait, bev.Refuse)
	}
}

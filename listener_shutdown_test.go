//go:build unix

package bev_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }

// shutdown runs a Shutdown on a goroutine of its own.
func shutdown(ctx context.Context, f func(context.Context) error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	return done
}

// stillWaiting says that a Shutdown has not returned when all has come to rest.
func stillWaiting(r *rig, done <-chan error, why string) {
	r.t.Helper()
	r.settle()
	select {
	case err := <-done:
		r.t.Fatalf("Shutdown returned %v: %s", err, why)
	default:
	}
}

// plenty is more than the kernel takes off a Conn's hands.
const plenty = 6 << 20

// busyWriters are Conns of h that have more to send than the kernel takes, each
// with its peer.
func busyWriters(h *host, n int) (callers []*peer) {
	h.r.t.Helper()
	callers = h.r.calls(h, n)
	for _, p := range callers {
		p.Conn.(*net.TCPConn).SetReadBuffer(32 << 10) // else the kernel takes 6 MiB
	}
	h.want(n, "the callers")
	h.r.on(func() {
		for _, c := range h.accepted() {
			if _, err := c.Write(part(0, plenty)); err != nil {
				h.r.t.Errorf("Write: %v", err)
			}
		}
	})
	h.r.settle()
	return callers
}

func TestListenerShutdownFlushesAndWaits(t *testing.T) {
	r := run(t, nil)
	h, other := r.host("tcp4", nil), r.host("tcp4", nil)
	bystander := r.call(other.ln)
	callers := busyWriters(h, 2)
	done := shutdown(t.Context(), h.ln.Shutdown)
	r.until(func() bool { return h.ln.FD() == -1 }, "the listener to be closed")
	if nc, err := net.Dial("tcp", h.ln.Addr().String()); err == nil {
		nc.Close()
		t.Error("a caller was let in during a Shutdown")
	}
	stillWaiting(r, done, "nothing has been read")
	for _, p := range callers {
		p.wantN(plenty)
		p.wantEOF("all was sent")
		stillWaiting(r, done, "a peer has not ended")
		p.close()
	}
	if err := await(t, done, "Shutdown"); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	bystander.wantEcho() // the Loop runs on, and so do others' Conns
	if s := r.settle(); s.Conns != 1 {
		t.Errorf("%d Conns are open, want the other listener's", s.Conns)
	}
	if err := h.ln.Shutdown(t.Context()); err != nil {
		t.Errorf("a second Shutdown: %v", err)
	}
}

func TestListenerShutdownReportsWhatItCut(t *testing.T) {
	errWhy := errors.New("long enough")
	r := run(t, nil)
	h := r.host("tcp4", nil)
	callers := busyWriters(h, 3)
	quick := callers[0]
	ctx, cancel := context.WithCancelCause(t.Context())
	done := shutdown(ctx, h.ln.Shutdown)
	quick.wantN(plenty)
	quick.wantEOF("all was sent")
	quick.close()
	r.until(func() bool { return h.ln.Stats().Conns == 2 }, "the quick one to be done")
	left := get(r, func() (n int64) {
		for _, c := range h.accepted() {
			if !c.Closed() {
				n += int64(c.Output().Len())
			}
		}
		return n
	})
	cancel(errWhy)
	err := await(t, done, "Shutdown")
	var cut *bev.ShutdownError
	if !errors.As(err, &cut) || !errors.Is(err, errWhy) {
		t.Fatalf("Shutdown: %v", err)
	}
	if cut.Conns != 2 || cut.Bytes != left || left == 0 {
		t.Errorf("cut off %d Conns and %d bytes, want 2 and %d", cut.Conns, cut.Bytes, left)
	}
	if want := "bev: shutdown cut off 2 connections and "; !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), ": long enough") {
		t.Errorf("the text is %q", err)
	}
	for _, p := range callers[1:] {
		p.wantReset("it was cut off, and must not take what it got for all there was")
	}
}

// Two at a time, one with less patience.
func TestListenerShutdownTwiceAtATime(t *testing.T) {
	r := run(t, nil)
	h := r.host("tcp4", nil)
	callers := busyWriters(h, 1)
	ctx, cancel := context.WithCancel(t.Context())
	first := shutdown(t.Context(), h.ln.Shutdown)
	second := shutdown(ctx, h.ln.Shutdown)
	r.until(func() bool { return h.ln.Drains() == 2 }, "both to begin")
	cancel()
	var cut *bev.ShutdownError
	if err := await(t, second, "the second Shutdown"); !errors.As(err, &cut) || cut.Conns != 1 {
		t.Errorf("the second Shutdown: %v", err)
	}
	if err := await(t, first, "the first Shutdown"); err != nil {
		t.Errorf("the first Shutdown: %v: it had no part in it", err)
	}
	callers[0].wantReset("it was cut off")
}

func TestListenerShutdownWhereNothingIsLeft(t *testing.T) {
	r := run(t, nil)
	h := r.host("tcp4", nil)
	if err := h.ln.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown without Conns: %v", err)
	}
	h = r.host("tcp4", nil)
	p := r.call(h.ln)
	h.want(1, "a caller")
	h.ln.Close()
	done := shutdown(t.Context(), h.ln.Shutdown)
	p.wantEOF("Shutdown after Close ends the Conns, too")
	p.close()
	if err := await(t, done, "Shutdown"); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.ln.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown without Conns, and with a context that has ended: %v", err)
	}
}

func TestListenerShutdownWithAClosedLoop(t *testing.T) {
	r := newRig(t, nil)
	h := r.host("tcp4", nil)
	r.l.Close()
	if err := h.ln.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// The Loop is closed while a Shutdown waits: there is nothing left to wait for.
func TestListenerShutdownEndsWithItsLoop(t *testing.T) {
	for _, running := range []bool{true, false} {
		r := newRig(t, nil)
		h := r.host("tcp4", nil)
		p := r.call(h.ln)
		if running {
			r.start(t.Context())
			h.want(1, "a caller")
		}
		done := shutdown(t.Context(), h.ln.Shutdown)
		if running {
			p.wantEOF("Shutdown has begun")
		}
		r.l.Close()
		if err := await(t, done, "Shutdown"); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if running {
			r.wait()
		}
	}
}

func TestListenerShutdownNeedsALoopThatRuns(t *testing.T) {
	r := newRig(t, nil)
	h := r.host("tcp4", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := h.ln.Shutdown(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the loop does not run") {
		t.Errorf("Shutdown: %v", err)
	}
}

// On the loop it would wait for itself.
func TestShutdownOnTheLoopPanics(t *testing.T) {
	r := run(t, nil)
	h := r.host("tcp4", nil)
	r.settle()
	r.l.Post(func() { h.ln.Shutdown(t.Context()) })
	r.wantPanic("bev: Listener.Shutdown waits for the loop")
	r.l.Post(func() { r.l.Shutdown(t.Context()) })
	r.wantPanic("bev: Loop.Shutdown waits for the loop")
}

func TestLoopShutdownFlushesEverything(t *testing.T) {
	r := newRig(t, nil)
	r.start(t.Context())
	h := r.host("tcp4", nil)
	callers := busyWriters(h, 2)
	server := netListen(t, "tcp4", "127.0.0.1:0")
	tr := r.trace()
	dialled := r.dialTo(server, tr.callbacks(everything), nil)
	nc, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	tr.want("event connected")
	callers = append(callers, newPeer(t, nc))
	adopted, p := r.adopt(nil, nil)
	callers = append(callers, p)
	ticks := 0
	r.on(func() {
		dialled.Write(part(0, plenty))
		adopted.Write(part(0, plenty))
		a, b, err := bev.Pair(r.l, nil)
		if err != nil {
			t.Error(err)
			return
		}
		a.WriteString("to the other end")
		b.Enable(bev.Reading)
		r.l.Every(time.Millisecond, func() { ticks++ })
	})
	done := shutdown(t.Context(), r.l.Shutdown)
	r.until(func() bool { return h.ln.FD() == -1 }, "the listener to be closed")
	if _, err := bev.Dial(t.Context(), r.l, "tcp", "192.0.2.1:80", bev.Callbacks{}, nil); !isClosed(err) {
		t.Errorf("Dial during Shutdown: %v", err)
	}
	if _, err := bev.Listen(r.l, "tcp", "127.0.0.1:0", func(*bev.Conn) {}, nil); !isClosed(err) {
		t.Errorf("Listen during Shutdown: %v", err)
	}
	before := get(r, func() int { return ticks })
	r.until(func() bool { return ticks > before }, "timers to run on")
	stillWaiting(r, done, "nothing has been read")
	for _, p := range callers {
		p.wantN(plenty)
		p.wantEOF("all was sent")
		p.close()
	}
	if err := await(t, done, "Shutdown"); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := r.wait(); !isClosed(err) {
		t.Errorf("Run returned %v, want net.ErrClosed", err)
	}
	if err := r.l.Shutdown(t.Context()); !isClosed(err) {
		t.Errorf("Shutdown of a closed Loop: %v, want net.ErrClosed", err)
	}
}

func TestLoopShutdownReportsWhatItCut(t *testing.T) {
	for _, running := range []bool{true, false} {
		r := newRig(t, nil)
		r.start(t.Context())
		h := r.host("tcp4", nil)
		callers := busyWriters(h, 3)
		left := get(r, func() (n int64) {
			for _, c := range h.accepted() {
				n += int64(c.Output().Len())
			}
			return n
		})
		if !running {
			r.l.Stop()
			r.wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := r.l.Shutdown(ctx)
		var cut *bev.ShutdownError
		if !errors.As(err, &cut) || !errors.Is(err, context.Canceled) {
			t.Fatalf("Shutdown: %v", err)
		}
		// A little more may have gone out when it began.
		if cut.Conns != 3 || cut.Bytes == 0 || cut.Bytes > left {
			t.Errorf("cut off %d Conns and %d bytes, want 3 and at most %d", cut.Conns, cut.Bytes, left)
		}
		if running {
			r.wait()
		}
		for _, p := range callers {
			p.wantReset("it was cut off")
		}
	}
}

// The usual way to end: the context of Run ends, and the rest is Shutdown's.
func TestLoopShutdownRunsTheLoopItself(t *testing.T) {
	r := newRig(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	r.start(ctx)
	h := r.host("tcp4", nil)
	callers := busyWriters(h, 1)
	cancel()
	if err := r.wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	done := shutdown(t.Context(), r.l.Shutdown)
	callers[0].wantN(plenty)
	callers[0].wantEOF("all was sent")
	callers[0].close()
	if err := await(t, done, "Shutdown"); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// A Run that ends while Shutdown waits is taken over.
func TestLoopShutdownGoesOnWhenRunEnds(t *testing.T) {
	r := newRig(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	r.start(ctx)
	h := r.host("tcp4", nil)
	callers := busyWriters(h, 1)
	done := shutdown(t.Context(), r.l.Shutdown)
	r.until(func() bool { return r.l.Drains() == 1 }, "Shutdown to begin")
	cancel()
	r.wait()
	r.l.Stop() // nor is this a reason to lose anything
	callers[0].wantN(plenty)
	callers[0].wantEOF("all was sent")
	callers[0].close()
	if err := await(t, done, "Shutdown"); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Somebody closes the Loop in the middle: what that cut off is reported.
func TestLoopShutdownWhileSomebodyClosesTheLoop(t *testing.T) {
	r := newRig(t, nil)
	r.start(t.Context())
	h := r.host("tcp4", nil)
	busyWriters(h, 1)
	first, second := shutdown(t.Context(), r.l.Shutdown), shutdown(t.Context(), r.l.Shutdown)
	r.until(func() bool { return r.l.Drains() == 2 }, "both to begin")
	r.l.Close()
	for _, done := range []<-chan error{first, second} {
		var cut *bev.ShutdownError
		if err := await(t, done, "Shutdown"); !errors.As(err, &cut) || cut.Conns != 1 || !isClosed(err) {
			t.Errorf("Shutdown: %v, want one Conn cut off by net.ErrClosed", err)
		}
	}
	r.wait()
}

func TestLoopShutdownOfALoopThatNeverRan(t *testing.T) {
	r := newRig(t, nil)
	r.host("tcp4", nil)
	cb, ch := outcomes()
	if _, err := bev.Dial(t.Context(), r.l, "tcp", "192.0.2.1:80", cb, &bev.DialOptions{Control: refusing}); err != nil {
		t.Fatal(err)
	}
	if err := r.l.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	r.l.Close()
	// Its turn came first: it was told, and left to be closed.
	if err := await(t, ch, "the Dial to fail"); !errors.Is(err, errRefusedByControl) {
		t.Errorf("the Dial was told %v", err)
	}
}

// upper holds back everything until it has to come out.
type upper struct{ held []byte }

func (u *upper) In(s *bev.FilterStreams, _ bev.FlushMode) error {
	s.ToUser.MoveAll(s.FromBelow)
	return nil
}

func (u *upper) Out(s *bev.FilterStreams, mode bev.FlushMode) error {
	b := make([]byte, s.FromUser.Len())
	s.FromUser.Read(b)
	u.held = append(u.held, strings.ToUpper(string(b))...)
	if mode != bev.FlushNormal {
		s.ToBelow.Append(u.held)
		u.held = nil
	}
	return nil
}

// A stack of filters is ended from the top, even one that would give the Conn
// below back.
func TestShutdownEndsFiltersFromTheTop(t *testing.T) {
	for _, which := range []string{"listener", "loop"} {
		t.Run(which, func(t *testing.T) {
			r := newRig(t, nil)
			r.start(t.Context())
			ready := make(chan struct{}, 1)
			ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
				f, err := bev.NewFilter(c, new(upper), &bev.ConnOptions{KeepOpen: true})
				if err != nil {
					t.Error(err)
					return
				}
				f.WriteString("held back")
				ready <- struct{}{}
			}, nil)
			p := r.call(ln)
			await(t, ready, "the caller")
			end := ln.Shutdown
			if which == "loop" {
				end = r.l.Shutdown
			}
			done := shutdown(t.Context(), end)
			p.want("HELD BACK")
			p.wantEOF("all was sent")
			p.close()
			if err := await(t, done, "Shutdown"); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if which == "listener" {
				if s := r.settle(); s.Conns != 0 {
					t.Errorf("%d Conns are open", s.Conns)
				}
				r.l.Stop()
			}
			r.wait()
		})
	}
}

// A stack that is cut off counts as one connection, with the bytes of all its
// layers.
func TestShutdownCutsAStackOnce(t *testing.T) {
	r := newRig(t, nil)
	r.start(t.Context())
	tops := make(chan *bev.Conn, 1)
	ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
		f, err := bev.NewFilter(c, nil, nil)
		if err != nil {
			t.Error(err)
			return
		}
		tops <- f
	}, nil)
	p := r.call(ln)
	top := await(t, tops, "the caller")
	r.on(func() {
		if _, err := top.Write(part(0, plenty)); err != nil {
			t.Error(err)
		}
	})
	r.settle()
	both := get(r, func() int64 { return int64(top.Output().Len() + top.Underlying().Output().Len()) })
	ctx, cancel := context.WithCancel(t.Context())
	done := shutdown(ctx, ln.Shutdown)
	r.until(func() bool { return ln.Drains() == 1 }, "Shutdown to begin")
	cancel()
	var cut *bev.ShutdownError
	if err := await(t, done, "Shutdown"); !errors.As(err, &cut) || cut.Conns != 1 || cut.Bytes > both || cut.Bytes == 0 {
		t.Errorf("Shutdown: %v, want 1 connection and %d bytes", err, both)
	}
	p.wantReset("it was cut off")
	r.l.Stop()
	r.wait()
}

// A Dial that is under way ends, too, when its time is up.
func TestLoopShutdownCutsADialOff(t *testing.T) {
	r := newRig(t, nil)
	r.start(t.Context())
	wait := hanging(r)
	cb, ch := outcomes()
	c, err := bev.Dial(t.Context(), r.l, "tcp", "192.0.2.1:80", cb, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.write(c, "nobody will read this")
	wait(1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var cut *bev.ShutdownError
	if err := r.l.Shutdown(ctx); !errors.As(err, &cut) || cut.Conns != 1 || cut.Bytes != 21 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v, want 1 connection and 21 bytes", err)
	}
	r.wait()
	if len(ch) > 0 {
		t.Errorf("told %v after CloseAfterFlush", <-ch)
	}
}

func TestLoopGroupShutdown(t *testing.T) {
	g, err := bev.NewLoopGroup(3, nil)
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- g.Run(t.Context()) }()
	var mu sync.Mutex
	var conns int
	var peers []*peer
	for _, l := range g.Loops()[:2] {
		ln, err := bev.Listen(l, "tcp", "127.0.0.1:0", func(c *bev.Conn) {
			c.Write(part(0, plenty))
			mu.Lock()
			conns++
			mu.Unlock()
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, newPeer(t, nc))
	}
	eventually(t, "both callers", func() bool { mu.Lock(); defer mu.Unlock(); return conns == 2 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var cut *bev.ShutdownError
	if err := g.Shutdown(ctx); !errors.As(err, &cut) || cut.Conns != 2 || cut.Bytes == 0 {
		t.Errorf("Shutdown: %v, want 2 connections of 2 loops", err)
	}
	for _, p := range peers {
		if _, err := io.Copy(io.Discard, p.Conn); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a peer got %v, want a reset", err)
		}
	}
	await(t, result, "Run to return")
	if err := g.Shutdown(t.Context()); !isClosed(err) {
		t.Errorf("a second Shutdown: %v", err)
	}
}

// Who waits in a blocking view of a Conn hears of the Shutdown.
func TestShutdownWakesReadersOfANetConn(t *testing.T) {
	r := run(t, nil)
	views := make(chan net.Conn, 1)
	ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
		views <- bev.NetConn(c)
	}, nil)
	p := r.call(ln)
	nc := await(t, views, "the caller")
	read := make(chan error, 1)
	go func() {
		_, err := nc.Read(make([]byte, 1))
		read <- err
	}()
	done := shutdown(t.Context(), ln.Shutdown)
	p.wantEOF("the Shutdown")
	p.close()
	if err := await(t, read, "Read"); err == nil {
		t.Error("Read read something")
	}
	if err := await(t, done, "Shutdown"); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

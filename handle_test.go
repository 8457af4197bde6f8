//go:build unix

package bev_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
)

func TestHandlesOfAConnAreEqual(t *testing.T) {
	r := run(t, nil)
	a, _ := r.adopt(nil, nil)
	b, _ := r.adopt(nil, nil)
	r.on(func() {
		first, again := a.Handle(), a.Handle()
		if first != again || first == b.Handle() {
			t.Error("Handles of one Conn differ, or those of two are equal")
		}
		seen := map[bev.Handle]*bev.Conn{a.Handle(): a, b.Handle(): b}
		if seen[a.Handle()] != a {
			t.Error("a Handle is no key of a map")
		}
	})
}

func TestHandleDoesThingsInOrder(t *testing.T) {
	r := run(t, nil)
	c, p := r.adopt(nil, nil)
	h := get(r, c.Handle)
	b := []byte("copied ")
	if n, err := h.Write(b); n != 7 || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	clear(b)
	var buf buffer.Buffer
	buf.AppendString("moved ")
	if err := h.WriteBuffer(&buf); err != nil || buf.Len() != 0 {
		t.Fatalf("WriteBuffer: %v, %d bytes left", err, buf.Len())
	}
	if err := h.Do(func(c *bev.Conn) { c.WriteString("done ") }); err != nil {
		t.Fatalf("Do: %v", err)
	}
	if _, err := h.Write([]byte("last")); err != nil {
		t.Fatalf("Write: %v", err)
	}
	if err := h.CloseAfterFlush(0); err != nil {
		t.Fatalf("CloseAfterFlush: %v", err)
	}
	p.want("copied moved done last")
	p.wantEOF("CloseAfterFlush")
}

func TestHandleWritesFromManyGoroutinesStayWhole(t *testing.T) {
	const goroutines, writes = 8, 200
	r := run(t, nil)
	c, p := r.accept(nil, nil)
	h := get(r, c.Handle)
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range writes {
				if _, err := fmt.Fprintf(h, "%d:%03d\n", g, i); err != nil {
					t.Errorf("Write: %v", err)
				}
			}
		})
	}
	all.Wait()
	if err := h.CloseAfterFlush(0); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, goroutines*writes*6)
	p.readFull(b)
	p.wantEOF("all was written")
	var next [goroutines]int
	for line := range strings.Lines(string(b)) {
		var g, i int
		if _, err := fmt.Sscanf(line, "%d:%d\n", &g, &i); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if i != next[g] {
			t.Fatalf("goroutine %d: line %d, want %d", g, i, next[g])
		}
		next[g]++
	}
}

func TestHandleWritesCountForTheOutputLimit(t *testing.T) {
	r := run(t, nil)
	c, p := r.adopt(&bev.ConnOptions{OutputLimit: 100}, func(c *bev.Conn) { c.Disable(bev.Writing) })
	h := get(r, c.Handle)
	release := r.hold()
	if _, err := h.Write(part(0, 60)); err != nil {
		t.Fatalf("Write: %v", err)
	}
	// What is on its way counts, for Handles and for the loop.
	if n, err := h.Write(part(0, 41)); n != 0 || !errors.Is(err, bev.ErrOutputFull) {
		t.Fatalf("Write beyond the limit: %d, %v, want ErrOutputFull", n, err)
	}
	var b buffer.Buffer
	b.Append(part(60, 41))
	if err := h.WriteBuffer(&b); !errors.Is(err, bev.ErrOutputFull) || b.Len() != 41 {
		t.Fatalf("WriteBuffer beyond the limit: %v, %d bytes left, want ErrOutputFull and all 41", err, b.Len())
	}
	b.Reset()
	if err := h.WriteBuffer(&b); err != nil {
		t.Fatalf("WriteBuffer of nothing: %v", err)
	}
	release()
	r.wantOutput(c, 60, "all that was accepted")
	if _, err := h.Write(part(60, 40)); err != nil {
		t.Fatalf("Write up to the limit: %v", err)
	}
	r.settle()
	if _, err := h.Write([]byte("x")); !errors.Is(err, bev.ErrOutputFull) {
		t.Fatalf("Write with Output full: %v, want ErrOutputFull", err)
	}
	r.on(func() {
		if _, err := c.WriteString("x"); !errors.Is(err, bev.ErrOutputFull) {
			t.Errorf("Write on the loop with Output full: %v, want ErrOutputFull", err)
		}
		c.SetOutputLimit(200)
	})
	if _, err := h.Write(part(100, 10)); err != nil {
		t.Fatalf("Write below a raised limit: %v", err)
	}
	r.on(func() { c.SetOutputLimit(0) })
	if _, err := h.Write(part(110, 1000)); err != nil {
		t.Fatalf("Write without a limit: %v", err)
	}
	if err := h.Enable(bev.Writing); err != nil {
		t.Fatal(err)
	}
	p.wantN(1110)
	r.settle()
	if _, err := h.Write(part(1110, 10)); err != nil {
		t.Fatalf("Write after all was sent: %v", err)
	}
	p.wantN(10)
}

func TestHandleCountsWhatTheLoopWroteItself(t *testing.T) {
	r := run(t, nil)
	c, _ := r.adopt(&bev.ConnOptions{OutputLimit: 100}, func(c *bev.Conn) { c.Disable(bev.Writing) })
	h := get(r, c.Handle)
	r.on(func() { c.Write(part(0, 90)) })
	r.settle()
	if _, err := h.Write(part(0, 11)); !errors.Is(err, bev.ErrOutputFull) {
		t.Fatalf("Write beyond the limit: %v, want ErrOutputFull", err)
	}
	// Queued calls of a Handle that was full are not in the way of others.
	if err := h.Call(t.Context(), func(c *bev.Conn) error { c.Output().Drain(50); return nil }); err != nil {
		t.Fatal(err)
	}
	r.settle()
	r.write(c, "x") // lets Output be looked at again
	r.settle()
	if _, err := h.Write(part(0, 11)); err != nil {
		t.Fatalf("Write after Output fell: %v", err)
	}
}

func TestHandleEnableAndDisable(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.adopt(nil, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(everything)) })
	h := get(r, c.Handle)
	if err := h.Enable(bev.Reading); err != nil {
		t.Fatal(err)
	}
	p.send("hello")
	tr.want("read 5")
	if err := h.Disable(bev.Both); err != nil {
		t.Fatal(err)
	}
	r.settle()
	p.send("hello")
	if d := get(r, c.Enabled); d != 0 {
		t.Fatalf("%v is enabled", d)
	}
	tr.wantNothing("reading is disabled")
}

func TestHandleCallWaitsAndReturnsWhatItsFunctionReturns(t *testing.T) {
	r := run(t, nil)
	c, _ := r.adopt(nil, nil)
	h := get(r, c.Handle)
	mine := errors.New("mine")
	var got *bev.Conn
	if err := h.Call(t.Context(), func(c *bev.Conn) error { got = c; return mine }); err != mine || got != c {
		t.Fatalf("Call: %v, with %p, want %v with %p", err, got, mine, c)
	}
	if err := h.Call(t.Context(), func(*bev.Conn) error { return nil }); err != nil {
		t.Fatalf("Call: %v", err)
	}
	// On the loop it runs at once.
	r.on(func() {
		ran := false
		if err := h.Call(t.Context(), func(*bev.Conn) error { ran = true; return mine }); err != mine || !ran {
			t.Errorf("Call on the loop: %v, has run: %v", err, ran)
		}
	})
}

func TestHandleCallEndsItsWaitWithTheContext(t *testing.T) {
	r := run(t, nil)
	c, _ := r.adopt(nil, nil)
	h := get(r, c.Handle)
	cause := errors.New("no more patience")
	ctx, cancel := context.WithCancelCause(context.Background())
	release := r.hold()
	cancel(cause)
	ran := make(chan struct{})
	if err := h.Call(ctx, func(*bev.Conn) error { close(ran); return nil }); err != cause {
		t.Fatalf("Call: %v, want the context's cause", err)
	}
	release()
	await(t, ran, "the function, which runs all the same")
}

func TestHandleOutlivesItsConn(t *testing.T) {
	r := run(t, nil)
	for _, how := range []string{"Close", "Handle.Close", "zero"} {
		c, _ := r.adopt(nil, nil)
		h := get(r, c.Handle)
		switch how {
		case "Close":
			r.on(func() { c.Close() })
		case "Handle.Close":
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			r.settle()
		case "zero":
			h = bev.Handle{}
		}
		for name, err := range map[string]error{
			"Write":           second(h.Write([]byte("x"))),
			"WriteBuffer":     h.WriteBuffer(new(buffer.Buffer)),
			"Enable":          h.Enable(bev.Both),
			"Disable":         h.Disable(bev.Both),
			"Close":           h.Close(),
			"CloseAfterFlush": h.CloseAfterFlush(0),
			"Do":              h.Do(func(*bev.Conn) { t.Error("has run") }),
			"Call":            h.Call(context.Background(), func(*bev.Conn) error { t.Error("has run"); return nil }),
		} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s after %s: %v, want net.ErrClosed", name, how, err)
			}
		}
		r.on(func() {
			if how == "zero" {
				return
			}
			if err := h.Call(context.Background(), func(*bev.Conn) error { t.Error("has run"); return nil }); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Call on the loop after %s: %v, want net.ErrClosed", how, err)
			}
		})
	}
}

func second(_ int, err error) error { return err }

func TestWhatWaitsForAConnThatCloses(t *testing.T) {
	r := run(t, nil)
	c, p := r.adopt(nil, nil)
	h := get(r, c.Handle)
	result := make(chan error, 1)
	release := r.hold()
	if err := r.l.Post(func() { c.Close() }); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Write([]byte("never sent")); err != nil {
		t.Fatalf("Write before Close: %v", err)
	}
	if err := h.Do(func(*bev.Conn) { t.Error("has run on a closed Conn") }); err != nil {
		t.Fatalf("Do before Close: %v", err)
	}
	go func() { result <- h.Call(context.Background(), func(*bev.Conn) error { return nil }) }()
	eventually(t, "Call to be queued", func() bool { return bev.QueuedOps(h) == 3 })
	release()
	if err := await(t, result, "Call"); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("Call: %v, want net.ErrClosed", err)
	}
	p.wantEOF("Close")
	r.settle()
}

func TestCallThatWaitsWhenTheLoopCloses(t *testing.T) {
	r := newRig(t, nil)
	fd, _ := socketPair(t)
	c, err := bev.NewConn(r.l, fd, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := c.Handle()
	result := make(chan error, 1)
	go func() { result <- h.Call(context.Background(), func(*bev.Conn) error { return nil }) }()
	eventually(t, "Call to be queued", func() bool { return bev.QueuedOps(h) == 1 })
	if err := r.l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := await(t, result, "Call"); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("Call: %v, want net.ErrClosed", err)
	}
}

func TestHandleWritesAfterCloseWriteAreDropped(t *testing.T) {
	r := run(t, nil)
	c, p := r.adopt(nil, nil)
	h := get(r, c.Handle)
	release := r.hold()
	r.l.Post(func() { c.WriteString("first"); c.CloseWrite() })
	if _, err := h.Write([]byte("late")); err != nil {
		t.Fatalf("Write: %v", err)
	}
	release()
	p.want("first")
	p.wantEOF("CloseWrite")
	r.wantOutput(c, 0, "what came after CloseWrite is dropped")
}

func TestHandleInACallbackIsDoneLater(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	_, p := r.adopt(nil, func(c *bev.Conn) {
		h := c.Handle()
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
			c.Input().Drain(100)
			h.Do(func(*bev.Conn) { tr.add("done") })
			h.Write([]byte("written"))
			tr.add("read returns")
		}})
		c.Enable(bev.Reading)
	})
	p.send("x")
	tr.want("read returns", "done")
	p.want("written")
}

func TestABroadcastCostsOneCallForManyWritesOfAHandle(t *testing.T) {
	r := run(t, nil)
	c, p := r.adopt(nil, nil)
	h := get(r, c.Handle)
	release := r.hold()
	for i := range 100 {
		if _, err := h.Write(part(10*i, 10)); err != nil {
			t.Fatal(err)
		}
	}
	if n := bev.QueuedOps(h); n != 1 {
		t.Fatalf("100 writes in a row wait as %d, want 1", n)
	}
	release()
	p.wantN(1000)
}

func TestOpsOfAHandleThatPostMoreDoNotStarveTheRest(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, _ := r.adopt(nil, nil)
	h := get(r, c.Handle)
	r.on(func() {
		left := 5
		var again func(*bev.Conn)
		again = func(*bev.Conn) {
			tr.add("op")
			if left--; left > 0 {
				h.Do(again)
				r.l.Post(func() { tr.add("post") })
			}
		}
		h.Do(again)
	})
	r.settle()
	lines := tr.lines()
	if n := slices.Index(lines, "post"); n < 0 || n > 2 {
		t.Fatalf("a posted call waited for %d ops: %q", n, lines)
	}
}

//go:build unix

package bev_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// This file tests filters in numbers: marks and ends that have to get through
// a stack of them.

func TestFullInputAboveStopsReadingBelow_Libevent362(t *testing.T) {
	r := run(t, nil)
	under, p := r.adopt(nil, nil)
	c := r.filter(under, xorFilter(0), &bev.ConnOptions{ReadWatermark: bev.Watermark{High: 1000}})
	tr := r.spy(c, 0)
	sent := p.offerAll(r, 4<<20)
	if sent == 4<<20 {
		t.Fatalf("all %d bytes were taken while nobody drains", sent)
	}
	tr.want("read 1000")
	r.wantInput(c, 1000, "the filter's high mark")
	r.on(func() {
		if n := under.Input().Len(); n > 64<<10 {
			t.Errorf("%d bytes wait between the layers, want 64 KiB at most", n)
		}
	})
	r.wantIdle("Input is full above")
	// Draining gets all of it moving again, to the last byte.
	r.on(func() {
		cb := tr.callbacks(everything)
		cb.Write = nil
		c.SetCallbacks(cb)
		tr.take(c, everything)
	})
	r.until(func() bool { return c.Stats().BytesRead == uint64(sent) }, "all bytes")
	tr.wantData(string(part(0, sent)))
}

func TestFullOutputBelowStopsOut_Libevent690(t *testing.T) {
	r := run(t, nil)
	const high, size = 32 << 10, 4 << 20
	under, p := r.adopt(&bev.ConnOptions{WriteWatermark: bev.Watermark{High: high}}, nil)
	c := r.filter(under, xorFilter(0), nil)
	r.on(func() { c.Write(part(0, size)) })
	r.settle()
	r.on(func() {
		if n := under.Output().Len(); n > high {
			t.Errorf("%d bytes in the Output below, want at most its high mark, %d", n, high)
		}
		if c.Output().Len() == 0 {
			t.Error("the filter gave all of it down")
		}
	})
	r.wantIdle("the peer does not read")
	p.wantN(size) // and nothing is stuck
	r.wantOutput(c, 0, "the peer has read all")
}

func TestEchoThroughAFilterIsBoundedWhileThePeerDoesNotRead(t *testing.T) {
	r := run(t, nil)
	under, p := r.adopt(nil, nil)
	c := r.filter(under, xorFilter(0), nil)
	r.on(func() {
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
		c.Enable(bev.Reading)
	})
	sent := p.offerAll(r, 16<<20)
	if sent == 16<<20 {
		t.Fatal("the echo took 16 MiB whose echo nobody reads")
	}
	r.on(func() {
		if n := c.Stats().Output + under.Stats().Output + under.Stats().Input; n > 700<<10 {
			t.Errorf("the echo holds %d bytes", n)
		}
	})
	r.wantIdle("the peer does not read")
	p.wantN(sent)
}

func TestFilterReadsOnlyWhenEnabled(t *testing.T) {
	r := run(t, nil)
	under, p := r.adopt(nil, nil)
	c := r.filter(under, xorFilter(0), nil)
	if n := p.offerAll(r, 4<<20); n == 4<<20 {
		t.Fatal("4 MiB went into a filter that does not read")
	}
	r.wantInput(c, 0, "reading is not enabled")
	r.wantIdle("reading is not enabled")
	tr := r.spy(c, everything)
	r.until(func() bool { return c.Stats().BytesRead == uint64(p.sent) }, "all bytes")
	tr.wantData(string(part(0, p.sent)))
	r.on(func() { c.Disable(bev.Reading) })
	p.sendN(10)
	r.wantInput(c, 0, "reading is disabled")
	r.on(func() { c.Enable(bev.Reading) })
	r.until(func() bool { return c.Stats().BytesRead == uint64(p.sent) }, "the rest")
}

func TestFilterHasNoWriteTimeoutWhenIdle_Libevent67(t *testing.T) {
	b := newLab(t, nil)
	plain, under := b.wire(nil)
	sink(plain)
	c, err := bev.NewFilter(under, xorFilter(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	events := 0
	c.SetCallbacks(bev.Callbacks{Event: func(*bev.Conn, bev.Event, error) { events++ }})
	c.SetTimeouts(0, time.Second)
	b.pass(time.Hour)
	if events != 0 {
		t.Fatalf("%d events of a filter that had nothing to send", events)
	}
	c.WriteString("sent at once")
	b.pass(time.Hour)
	if events != 0 || c.Output().Len() != 0 {
		t.Fatalf("%d events, %d bytes left, of a filter that sent all it had", events, c.Output().Len())
	}
}

func TestFilterTimeouts(t *testing.T) {
	b := newLab(t, nil)
	x, y, err := bev.Pair(b.l, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = y // reads nothing
	if err := x.SetWatermark(bev.Writing, bev.Watermark{High: 10}); err != nil {
		t.Fatal(err)
	}
	c, err := bev.NewFilter(x, nil, &bev.ConnOptions{ReadTimeout: time.Second, WriteTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	c.SetCallbacks(bev.Callbacks{Event: func(_ *bev.Conn, what bev.Event, _ error) { said = append(said, what.String()) }})
	c.Enable(bev.Reading)
	c.WriteString("more than ten bytes")
	b.pass(3 * time.Second)
	if got := fmt.Sprint(said); got != "[reading|timeout writing|timeout]" {
		t.Fatalf("the timeouts said %s", got)
	}
}

func TestTimeoutBelowIsToldAbove(t *testing.T) {
	b := newLab(t, nil)
	_, under := b.wire(&bev.ConnOptions{ReadTimeout: time.Second})
	c, err := bev.NewFilter(under, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	c.SetCallbacks(bev.Callbacks{Event: func(_ *bev.Conn, what bev.Event, _ error) { said = append(said, what.String()) }})
	c.Enable(bev.Reading)
	b.pass(5 * time.Second)
	if got := fmt.Sprint(said); got != "[reading|timeout]" || c.Enabled() != bev.Writing {
		t.Fatalf("the events were %s, and %v is enabled", got, c.Enabled())
	}
}

func eachDepth(t *testing.T, f func(t *testing.T, depth int)) {
	for _, depth := range []int{1, 3, 40, 2000} {
		t.Run(fmt.Sprint(depth), func(t *testing.T) { f(t, depth) })
	}
}

func TestStacksOverSocketsCarryAndEnd(t *testing.T) {
	eachDepth(t, func(t *testing.T, depth int) {
		r := run(t, nil)
		under, p := r.adopt(nil, nil)
		c := r.stack(under, depth)
		tr := r.spy(c, everything)
		key := byte(0)
		for i := range depth {
			key ^= byte(i)
		}
		p.send(flip("hello", key))
		r.until(func() bool { return c.Stats().BytesRead == 5 }, "what the peer sent")
		tr.wantData("hello")
		r.write(c, "world")
		p.want(flip("world", key))
		r.wantIdle("all has been said")
		p.halfClose()
		tr.until("event reading|eof")
		r.on(func() {
			c.WriteString("last")
			c.CloseAfterFlush(-1)
		})
		p.want(flip("last", key))
		p.wantEOF("the stack has ended")
		r.until(func() bool { return r.l.Stats().Conns == 0 }, "the whole stack to be closed")
	})
}

func TestStacksOverPairsCarryBulk(t *testing.T) {
	for _, depth := range []int{1, 3, 40} {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			r := run(t, nil)
			a, b := r.pair(nil)
			a, b = r.stack(a, depth), r.stack(b, depth)
			tr := r.spy(b, everything)
			const size = 1 << 20
			r.on(func() {
				a.Write(part(0, size))
				a.CloseWrite()
			})
			tr.until("event reading|eof")
			tr.wantData(string(part(0, size)))
			ta := r.spy(a, everything)
			r.write(b, "thanks")
			r.on(func() { b.Close() })
			r.settle()
			ta.until("event reading|eof")
			r.on(func() { a.Close() })
			r.until(func() bool { return r.l.Stats().Conns == 0 }, "both stacks to be closed")
		})
	}
}

func TestStacksFlushFromTheTop(t *testing.T) {
	eachDepth(t, func(t *testing.T, depth int) {
		r := run(t, nil)
		under, p := r.adopt(nil, nil)
		c := r.stack(under, depth)
		r.on(func() {
			c.WriteString("x")
			if !c.Flush(bev.Writing, bev.FlushAll) {
				t.Error("Flush moved nothing")
			}
			if n := c.Output().Len() + under.Output().Len(); n != 0 {
				t.Errorf("one Flush at the top left %d bytes on the way", n)
			}
		})
		want := "x"
		for i := range depth {
			want = flip(want, byte(i))
		}
		p.want(want)
	})
}

func TestStacksCloseAndAbort(t *testing.T) {
	eachDepth(t, func(t *testing.T, depth int) {
		r := run(t, nil)
		closing, p := r.accept(nil, nil)
		aborting, q := r.accept(nil, nil)
		top, other := r.stack(closing, depth), r.stack(aborting, depth)
		q.send("unread")
		r.on(func() {
			top.Close()
			other.Abort()
		})
		p.wantEOF("a closed stack")
		p.close()
		q.wantReset("an aborted stack")
		r.until(func() bool { return r.l.Stats().Conns == 0 }, "both stacks to be closed")
	})
}

// What is below waits for the peer's end, and meets it, although the filter did
// not read: on a clock that stands still no time limit can take its place.
func TestClosingAFilterThatDoesNotReadMeetsThePeersEnd(t *testing.T) {
	eachDepth(t, func(t *testing.T, depth int) {
		b := newLab(t, nil)
		plain, c := b.wire(nil)
		for range depth {
			var err error
			if c, err = bev.NewFilter(c, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		plain.WriteString("never read")
		plain.Close()
		c.Close()
		b.pass(bev.DefaultLinger / 2)
		if n := b.l.Stats().Conns; n != 0 {
			t.Fatalf("%d Conns are open after both ends were closed", n)
		}
	})
}

func TestStacksCloseWithTheirLoop(t *testing.T) {
	eachDepth(t, func(t *testing.T, depth int) {
		b := newLab(t, nil)
		_, c := b.wire(nil)
		for range depth {
			var err error
			if c, err = bev.NewFilter(c, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.l.Close(); err != nil {
			t.Fatal(err)
		}
		if !c.Closed() {
			t.Fatal("the top of the stack is open after its Loop was closed")
		}
	})
}

func TestAConnHasOneFilterOverIt(t *testing.T) {
	r := run(t, nil)
	under, p := r.adopt(nil, nil)
	c := r.filter(under, xorFilter(1), &bev.ConnOptions{KeepOpen: true})
	tr := r.spy(c, everything)
	r.on(func() {
		if second, err := bev.NewFilter(under, xorFilter(2), nil); second != nil || err == nil || !strings.Contains(err.Error(), "over the Conn of that filter") {
			t.Errorf("a second filter over the same Conn: %v, %v", second, err)
		}
	})
	p.send(flip("first", 1))
	tr.want("read 5") // the first one works on
	r.on(func() { c.Close() })
	next := r.spy(r.filter(under, xorFilter(2), nil), everything) // it is free again
	p.send(flip("second", 2))
	next.want("read 6")
	next.wantData("second")
}

func TestKeepOpenGivesTheConnBelowBack(t *testing.T) {
	r := run(t, nil)
	under, p := r.adopt(nil, nil)
	c := r.filter(under, xorFilter(1), &bev.ConnOptions{KeepOpen: true})
	tr := r.spy(c, everything)
	p.send(flip("in", 1))
	tr.want("read 2")
	r.write(c, "out")
	p.want(flip("out", 1))
	r.on(func() {
		c.Close()
		if under.Closed() || under.Enabled() != bev.Writing || under.Callbacks().Read != nil {
			t.Errorf("given back: closed %v, enabled %v", under.Closed(), under.Enabled())
		}
		if c.Underlying() != nil || c.FD() != -1 || c.LocalAddr() != nil || c.RemoteAddr() != nil {
			t.Error("a closed filter still shows what was under it")
		}
	})
	plain := r.spy(under, everything)
	p.send("as it is")
	plain.want("read 8")
	plain.wantData("as it is")
	r.write(under, "and back")
	p.want("and back")
}

func TestFilterDeliversWhatWasAlreadyBelow(t *testing.T) {
	r := run(t, nil)
	under, p := r.adopt(nil, nil)
	tr := r.spy(under, 0)
	p.send("early")
	tr.want("read 5")
	c := r.filter(under, xorFilter(0), nil)
	top := r.spy(c, everything)
	top.want("read 5")
	top.wantData("early")
}

func TestNewFilterRefuses(t *testing.T) {
	r := run(t, nil)
	under, _ := r.adopt(nil, nil)
	r.on(func() {
		if _, err := bev.NewFilter(under, nil, &bev.ConnOptions{ReadWatermark: bev.Watermark{Low: -1}}); err == nil {
			t.Error("NewFilter took a negative mark")
		}
		if under.Enabled() != bev.Writing {
			t.Error("a NewFilter that failed has changed the Conn")
		}
		under.Close()
		if _, err := bev.NewFilter(under, nil, nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("NewFilter over a closed Conn: %v", err)
		}
	})
}

func TestConnBelowClosedByItselfEndsTheFilter(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(nil)
	c := r.filter(a, nil, nil)
	tr := r.spy(c, everything)
	r.on(func() { b.Abort() })
	tr.want("event reading|error: reset")
	r.on(func() { c.Close() })
	r.until(func() bool { return r.l.Stats().Conns == 0 }, "both layers to be closed")
}

func TestFilterDeferredCallbacks(t *testing.T) {
	r := run(t, nil)
	under, p := r.adopt(nil, nil)
	c := r.filter(under, xorFilter(0), &bev.ConnOptions{DeferCallbacks: true})
	tr := r.spy(c, everything)
	p.sendN(200_000)
	p.halfClose()
	tr.until("event reading|eof")
	tr.wantData(string(part(0, 200_000)))
}

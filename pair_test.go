//go:build unix

package bev_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// spy has c read, and its Read and Event callbacks recorded.
func (r *rig) spy(c *bev.Conn, drain int) *trace {
	r.t.Helper()
	tr := r.trace()
	r.on(func() {
		cb := tr.callbacks(drain)
		cb.Write = nil
		c.SetCallbacks(cb)
		c.Enable(bev.Reading)
	})
	return tr
}

// pairWatched is a pair of which both ends are watched.
func (r *rig) pairWatched(o *bev.ConnOptions) (a, b *bev.Conn, ta, tb *trace) {
	r.t.Helper()
	a, b = r.pair(o)
	return a, b, r.spy(a, everything), r.spy(b, everything)
}

func TestPairCarriesBytesBothWays(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		r := run(t, o)
		a, b, ta, tb := r.pairWatched(nil)
		r.write(a, "to b")
		tb.want("read 4")
		r.write(b, "back")
		ta.want("read 4")
		tb.wantData("to b")
		ta.wantData("back")
		r.wantIdle("all has been read")
	})
}

func TestPairCarriesBulkInOrder(t *testing.T) {
	r := run(t, nil)
	a, _, ta, tb := r.pairWatched(nil)
	const size = 3 << 20
	r.write(a, string(part(0, size)))
	tb.wantData(string(part(0, size)))
	ta.wantNothing("nothing came back")
	r.on(func() {
		if s := a.Stats(); s.BytesWritten != size || s.Output != 0 {
			t.Errorf("the writer's %+v, want %d bytes written", s, size)
		}
	})
}

func TestPairWritesBothWaysInOneTick(t *testing.T) {
	r := run(t, nil)
	a, b, ta, tb := r.pairWatched(nil)
	r.on(func() {
		a.Write(part(0, 1<<20))
		b.Write(part(7, 1<<20))
	})
	tb.wantData(string(part(0, 1<<20)))
	ta.wantData(string(part(7, 1<<20)))
}

func TestPairReadMarksHold(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(&bev.ConnOptions{ReadWatermark: bev.Watermark{Low: 5, High: 10}})
	tr := r.spy(b, everything)
	r.write(a, "abc")
	tr.wantNothing("3 bytes are below the low mark")
	r.wantInput(b, 3, "they are read all the same")
	r.write(a, "de")
	tr.want("read 5")
	r.write(a, strings.Repeat("x", 25))
	tr.want("read 10", "read 10", "read 5")
}

func TestPairBytesThatNobodyReadsStayWithTheWriter(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(&bev.ConnOptions{ReadWatermark: bev.Watermark{High: 10}})
	tr := r.spy(b, 0)
	r.write(a, strings.Repeat("x", 25))
	tr.want("read 10")
	r.wantOutput(a, 15, "b is at its high mark")
	r.wantIdle("b is at its high mark")
	r.wantSuspended(b, bev.Reading, bev.ReasonHighMark, "b is at its high mark")
	r.on(func() { b.Input().Drain(4) })
	tr.want("read 10")
	r.wantOutput(a, 11, "b took 4 more")
}

func TestPairBornWithReadingDisabled(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(nil)
	r.write(a, "hello")
	r.wantInput(b, 0, "reading was not enabled")
	r.wantOutput(a, 5, "nobody reads")
	r.wantIdle("nobody reads")
	tr := r.spy(b, everything)
	tr.want("read 5")
}

func TestPairWritingDisabledHoldsBytesBack(t *testing.T) {
	r := run(t, nil)
	a, _, _, tb := r.pairWatched(nil)
	r.on(func() {
		a.Disable(bev.Writing)
		a.WriteString("hello")
	})
	tb.wantNothing("a does not write")
	r.wantIdle("a does not write")
	r.on(func() { a.Enable(bev.Writing) })
	tb.want("read 5")
}

func TestPairWriteCallbackFollowsTheLowMark(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(&bev.ConnOptions{WriteWatermark: bev.Watermark{Low: 4}})
	ta := r.trace()
	r.on(func() { a.SetCallbacks(ta.callbacks(everything)) })
	r.on(func() {
		b.SetMaxSingle(5, 0)
		a.WriteString("0123456789")
	})
	ta.wantNothing("nobody has taken a byte")
	r.on(func() {
		if err := b.SetWatermark(bev.Reading, bev.Watermark{High: 5}); err != nil {
			t.Error(err)
		}
		b.Enable(bev.Reading)
	})
	ta.wantNothing("5 bytes are left, the low mark is 4")
	r.on(func() { b.Input().Drain(1) })
	ta.want("write")
}

func TestPairMaxSingleWriteBoundsOneRead(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(&bev.ConnOptions{MaxSingleWrite: 4})
	r.write(a, "0123456789")
	r.spy(b, everything).want("read 4", "read 4", "read 2")
}

func TestPairHalfClose(t *testing.T) {
	r := run(t, nil)
	a, b, ta, tb := r.pairWatched(nil)
	r.on(func() {
		a.WriteString("last")
		if err := a.CloseWrite(); err != nil {
			t.Errorf("CloseWrite: %v", err)
		}
		if _, err := a.WriteString("x"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after CloseWrite: %v", err)
		}
	})
	tb.want("read 4", "event reading|eof")
	r.write(b, "answer")
	ta.want("read 6")
	r.on(func() { b.CloseWrite() })
	ta.want("event reading|eof")
	r.wantOpen(a, "an end of file closes nothing by itself")
}

func TestPairCloseIsEOFAtTheOther_Libevent93(t *testing.T) {
	r := run(t, nil)
	a, b, _, tb := r.pairWatched(nil)
	r.on(func() {
		if a.Partner() != b || b.Partner() != a {
			t.Error("the ends of a pair are not each other's partners")
		}
		a.Close()
		if a.Partner() != nil || b.Partner() != nil {
			t.Error("a closed end has a partner, or is one")
		}
	})
	tb.want("event reading|eof")
	tb.wantNothing("the end is told once")
	r.write(b, "into the void")
	tb.want("event writing|error: broken pipe")
	r.wantIdle("there is nothing left to say")
}

func TestPairCloseWhileReadingIsDisabledIsEOFLater(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(nil)
	r.on(func() { a.Close() })
	r.settle()
	r.spy(b, everything).want("event reading|eof")
}

func TestPairCloseWithUnreadBytesOfTheOther(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(nil)
	tb := r.spy(b, everything)
	r.write(b, "never read")
	r.on(func() { a.Close() })
	tb.want("event reading|writing|eof|error: broken pipe")
}

func TestPairAbortIsAReset(t *testing.T) {
	r := run(t, nil)
	a, _, _, tb := r.pairWatched(nil)
	r.on(func() { a.Abort() })
	tb.want("event reading|error: reset")
	tb.wantNothing("a failure is told once")
}

func TestPairAbortIsToldWhileReadingIsDisabled(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(nil)
	tb := r.spy(b, everything)
	r.on(func() {
		b.Disable(bev.Reading)
		a.Abort()
	})
	tb.want("event reading|error: reset")
}

func TestPairCloseAfterFlush(t *testing.T) {
	r := run(t, nil)
	a, b, _, tb := r.pairWatched(nil)
	r.on(func() {
		a.Write(part(0, 200_000))
		a.CloseAfterFlush(-1)
	})
	tb.until("event reading|eof")
	tb.wantData(string(part(0, 200_000)))
	r.wantOpen(a, "b has not ended yet")
	r.on(func() { b.CloseAfterFlush(-1) })
	r.wantClosed(a, "both have ended")
	r.wantClosed(b, "both have ended")
}

func TestPairFlushModes(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(nil)
	tb := r.trace()
	r.on(func() {
		b.SetCallbacks(bev.Callbacks{Read: tb.callbacks(everything).Read, Event: tb.event})
		a.WriteString("hello")
		if a.Flush(bev.Writing, bev.FlushNormal) {
			t.Error("FlushNormal moved bytes to an end that does not read")
		}
		if a.Flush(bev.Reading, bev.FlushAll) {
			t.Error("a flush of reading moved bytes that were written")
		}
		if !a.Flush(bev.Writing, bev.FlushAll) || b.Input().Len() != 5 || a.Output().Len() != 0 {
			t.Errorf("FlushAll left %d bytes, and the other end has %d", a.Output().Len(), b.Input().Len())
		}
	})
	tb.want("read 5")
	r.on(func() {
		a.WriteString("bye")
		if !b.Flush(bev.Reading, bev.FlushFinished) {
			t.Error("FlushFinished of the reading end moved nothing")
		}
		b.Enable(bev.Reading)
	})
	tb.want("read 3", "event reading|eof")
}

func TestPairFlushPassesTheHighMark(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(&bev.ConnOptions{ReadWatermark: bev.Watermark{High: 4}})
	r.on(func() {
		a.WriteString("0123456789")
		a.Flush(bev.Writing, bev.FlushAll)
	})
	r.wantInput(b, 10, "a flush does not ask for marks")
	r.wantSuspended(b, bev.Reading, bev.ReasonDisabled|bev.ReasonHighMark, "Input is past its mark")
}

func TestPairOutputLimit(t *testing.T) {
	r := run(t, nil)
	a, _ := r.pair(&bev.ConnOptions{OutputLimit: 10})
	r.on(func() {
		if _, err := a.Write(make([]byte, 11)); !errors.Is(err, bev.ErrOutputFull) {
			t.Errorf("11 bytes into an Output of 10: %v", err)
		}
		if _, err := a.Write(make([]byte, 10)); err != nil {
			t.Errorf("10 bytes into an Output of 10: %v", err)
		}
	})
}

func TestPairInputLimitIsAnError(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(nil)
	r.on(func() { a.Write(make([]byte, bev.DefaultInputLimit+1)) })
	tr := r.spy(b, 0)
	tr.until("event reading|error: input full")
	r.wantInput(b, bev.DefaultInputLimit, "reading stopped at the limit")
}

func TestPairPausesReadingOnOutputWhenAsked(t *testing.T) {
	for _, pause := range []bool{false, true} {
		r := run(t, nil)
		a, b := r.pair(&bev.ConnOptions{PauseReadOnOutput: pause, WriteWatermark: bev.Watermark{High: 1000}})
		r.on(func() {
			b.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
			b.SetMaxSingle(100, 0)
			b.Enable(bev.Reading)
			a.Write(make([]byte, 5000))
		})
		want := 5000
		if pause {
			want = 1000
		}
		r.wantOutput(b, want, "nobody reads the echo")
	}
}

func TestPairTimeouts(t *testing.T) {
	b := newLab(t, nil)
	x, y, err := bev.Pair(b.l, nil)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	note := func(name string) func(*bev.Conn, bev.Event, error) {
		return func(_ *bev.Conn, what bev.Event, _ error) { said = append(said, name+" "+what.String()) }
	}
	x.SetCallbacks(bev.Callbacks{Event: note("x")})
	y.SetCallbacks(bev.Callbacks{Event: note("y")})
	x.SetTimeouts(time.Second, 2*time.Second)
	y.SetIdleTimeout(time.Hour)
	x.Enable(bev.Reading)
	x.WriteString("nobody reads this")
	b.pass(999 * time.Millisecond)
	if len(said) != 0 {
		t.Fatalf("too early: %q", said)
	}
	b.pass(time.Millisecond)
	b.pass(time.Second)
	b.pass(time.Hour)
	if got := strings.Join(said, ","); got != "x reading|timeout,x writing|timeout,y timeout" {
		t.Fatalf("the timeouts said %q", got)
	}
	if d := x.Enabled(); d != 0 {
		t.Fatalf("after both timeouts %v is enabled", d)
	}
}

func TestPairTimeoutStartsAnewWithBytes(t *testing.T) {
	b := newLab(t, nil)
	x, y, err := bev.Pair(b.l, &bev.ConnOptions{ReadTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	timeouts := 0
	y.SetCallbacks(bev.Callbacks{Event: func(*bev.Conn, bev.Event, error) { timeouts++ }})
	y.Enable(bev.Reading)
	for range 5 {
		b.pass(900 * time.Millisecond)
		x.WriteString("tick")
	}
	b.pass(900 * time.Millisecond)
	if timeouts != 0 || y.Input().Len() != 20 {
		t.Fatalf("%d timeouts and %d bytes while bytes kept coming, want 0 and 20", timeouts, y.Input().Len())
	}
	b.pass(100*time.Millisecond + resolution)
	if timeouts != 1 {
		t.Fatalf("%d timeouts after a second of silence, want 1", timeouts)
	}
}

func TestPairRateLimitOfTheWriter(t *testing.T) {
	b := newLab(t, nil)
	x, y, err := bev.Pair(b.l, nil)
	if err != nil {
		t.Fatal(err)
	}
	sink(y)
	b.limit(x, bev.RateLimit{Write: 1000, WriteBurst: 1000})
	x.Write(make([]byte, 10_000))
	b.pass(5 * time.Second)
	if n := x.Stats().BytesWritten; n < 5000 || n > 7000 {
		t.Fatalf("%d bytes in 5 s at 1000 a second", n)
	}
	b.pass(6 * time.Second)
	if n := x.Stats().BytesWritten; n != 10_000 {
		t.Fatalf("%d bytes in 11 s at 1000 a second, want all 10000", n)
	}
}

func TestPairHasNoDescriptorButAddresses(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(nil)
	c, _ := r.adopt(nil, nil)
	r.on(func() {
		if a.FD() != -1 || a.LocalAddr().String() != "pair" || b.RemoteAddr().Network() != "pair" {
			t.Errorf("descriptor %d, addresses %v and %v", a.FD(), a.LocalAddr(), b.RemoteAddr())
		}
		if c.Partner() != nil || c.Underlying() != nil || a.Underlying() != nil {
			t.Error("a socket has a partner, or something lies under a socket or a pair")
		}
		if err := a.SetFD(0); err == nil {
			t.Error("SetFD of a pair end did not fail")
		}
	})
}

func TestPairRefusesBadOptions(t *testing.T) {
	r := run(t, nil)
	r.on(func() {
		_, _, err := bev.Pair(r.l, &bev.ConnOptions{ReadWatermark: bev.Watermark{Low: 2, High: 1}})
		if err == nil || r.l.Stats().Conns != 0 {
			t.Errorf("Pair with impossible marks: %v, %d Conns", err, r.l.Stats().Conns)
		}
	})
}

func TestPairClosesWithItsLoop(t *testing.T) {
	b := newLab(t, nil)
	x, y, err := bev.Pair(b.l, nil)
	if err != nil {
		t.Fatal(err)
	}
	x.WriteString("too late")
	if err := b.l.Close(); err != nil {
		t.Fatal(err)
	}
	if !x.Closed() || !y.Closed() {
		t.Fatalf("closed with the loop: %v, %v", x.Closed(), y.Closed())
	}
}

// lineServer is protocol code for the test below: it knows Conns and no
// sockets. It answers each line in capitals, and ends after "quit".
func lineServer(c *bev.Conn) {
	c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
		for {
			line, err := c.Input().ReadLine(nil, 0, 100)
			if err != nil {
				return
			}
			if string(line) == "quit" {
				c.CloseAfterFlush(-1)
				return
			}
			c.WriteString(strings.ToUpper(string(line)) + "\n")
		}
	}})
	c.Enable(bev.Reading)
}

func TestPairIsATransportForProtocolCode(t *testing.T) {
	r := run(t, nil)
	client, server := r.pair(nil)
	tr := r.spy(client, everything)
	r.on(func() { lineServer(server) })
	r.write(client, "hel")
	r.write(client, "lo\nworld\nqui")
	tr.want("read 12")
	r.write(client, "t\n")
	tr.want("event reading|eof")
	tr.wantData("HELLO\nWORLD\n")
	r.on(func() { client.Close() })
	r.wantClosed(server, "the client has closed")
}

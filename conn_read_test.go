//go:build unix

package bev_test

import (
	"syscall"
	"testing"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// reader adopts a Conn with these marks whose Read callback drains that many
// bytes, and reads.
func (r *rig) reader(low, high, drain int) (*bev.Conn, *peer, *trace) {
	r.t.Helper()
	tr := r.trace()
	o := &bev.ConnOptions{ReadWatermark: bev.Watermark{Low: low, High: high}}
	c, p := r.adopt(o, func(c *bev.Conn) {
		c.SetCallbacks(tr.callbacks(drain))
		c.Enable(bev.Reading)
	})
	return c, p, tr
}

func TestReadCallbackWaitsForTheLowMark(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		r := run(t, o)
		c, p, tr := r.reader(5, 10, everything)
		p.sendN(3)
		tr.wantNothing("3 bytes are below the low mark")
		r.wantInput(c, 3, "they are read all the same")
		p.sendN(2)
		tr.want("read 5")
		p.sendN(22)
		tr.want("read 10", "read 10")
		tr.wantNothing("2 bytes are below the low mark again")
		r.wantInput(c, 2, "and stay")
		tr.wantData(string(part(0, 25)))
	})
}

func TestReadHighMarkCutsALongMessageIntoPieces(t *testing.T) {
	r := run(t, nil)
	_, p, tr := r.reader(0, 10, everything)
	p.sendN(25)
	tr.want("read 10", "read 10", "read 5")
	tr.wantData(string(part(0, 25)))
}

func TestUndrainedHighMarkDoesNotSpin_Libevent891(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		r := run(t, o)
		c, p, tr := r.reader(0, 10, 0)
		p.sendN(25)
		p.close()
		tr.want("read 10")
		r.wantIdle("Input is at its high mark and the callback drains nothing")
		tr.wantNothing("nothing has come since")
		r.wantSuspended(c, bev.Reading, bev.ReasonHighMark, "Input is at its high mark")

		r.on(func() {
			r.l.AfterFunc(1, func() {
				c.SetCallbacks(tr.callbacks(everything))
				tr.take(c, everything)
			})
		})
		tr.want("read 10", "read 5", "event reading|eof")
		tr.wantData(string(part(0, 25)))
		tr.wantNothing("the end is told once")
	})
}

func TestReadCallbackRunsForEachReadAndNotForBytesLeftBehind(t *testing.T) {
	r := run(t, nil)
	_, p, tr := r.reader(0, 0, 1)
	p.sendN(5)
	tr.want("read 5")
	tr.wantNothing("4 bytes were left, and nothing new came")
	p.sendN(1)
	tr.want("read 5")
	tr.wantNothing("the same again")
}

func TestBytesBelowTheHighMarkStayUntilMoreComes(t *testing.T) {
	r := run(t, nil)
	_, p, tr := r.reader(4, 8, 4)
	p.sendN(8)
	tr.want("read 8") // 4 are left, which the low mark would allow
	tr.wantNothing("no bytes have come since")
	p.sendN(1)
	tr.want("read 5")
}

func TestConnIsBornWritingAndNotReading(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.adopt(nil, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(everything)) })
	p.sendN(5)
	tr.wantNothing("reading was not enabled")
	r.wantInput(c, 0, "reading was not enabled")
	r.wantSuspended(c, bev.Reading, bev.ReasonDisabled, "reading was not enabled")
	if d := get(r, c.Enabled); d != bev.Writing {
		t.Fatalf("a new Conn has %v enabled, want writing", d)
	}
	r.write(c, "hello")
	p.want("hello")
	tr.want("write")
	r.on(func() { c.Enable(bev.Reading) })
	tr.want("read 5")
}

func TestDisableStopsReadingAndKeepsInput(t *testing.T) {
	r := run(t, nil)
	c, p, tr := r.reader(0, 0, 0)
	p.sendN(5)
	tr.want("read 5")
	r.on(func() { c.Disable(bev.Reading) })
	p.sendN(5)
	r.wantIdle("reading is disabled, so bytes in the kernel cost nothing")
	tr.wantNothing("reading is disabled")
	r.wantInput(c, 5, "what was there stays")
	if d := get(r, c.Enabled); d != bev.Writing {
		t.Fatalf("%v is enabled, want writing", d)
	}
	r.on(func() { c.Enable(bev.Reading) })
	tr.want("read 10")
}

func TestDisableInTheReadCallbackHoldsAtOnce(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	_, p := r.adopt(&bev.ConnOptions{MaxSingleRead: 2}, func(c *bev.Conn) {
		cb := tr.callbacks(everything)
		read := cb.Read
		cb.Read = func(c *bev.Conn) { read(c); c.Disable(bev.Reading) }
		c.SetCallbacks(cb)
		c.Enable(bev.Reading)
	})
	p.sendN(6)
	tr.want("read 2")
	tr.wantNothing("the first callback disabled reading")
}

func TestConnWithoutReadCallbackCollectsInput(t *testing.T) {
	r := run(t, nil)
	c, p := r.adopt(nil, func(c *bev.Conn) { c.Enable(bev.Reading) })
	p.sendN(1000)
	r.wantInput(c, 1000, "nobody drains")
	p.sendN(1000)
	r.wantInput(c, 2000, "nobody drains")
	if s := get(r, c.Stats); s.BytesRead != 2000 || s.Input != 2000 || s.Memory < 2000 || s.Memory > 2000+2000/8+2*512 {
		t.Fatalf("with 2000 bytes in Input: %+v", s)
	}
}

func TestOneReadMayExceed4096Bytes_Libevent798(t *testing.T) {
	r := run(t, nil)
	_, p, tr := r.reader(0, 0, everything)
	release := r.hold()
	p.sendN(60_000)
	release()
	tr.want("read 60000")
	tr.wantData(string(part(0, 60_000)))
}

func TestMaxSingleReadBoundsOneRead(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.adopt(&bev.ConnOptions{MaxSingleRead: 7}, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(everything)) })
	p.sendN(20)
	r.on(func() { c.Enable(bev.Reading) })
	tr.want("read 7", "read 7", "read 6")
	r.on(func() {
		c.SetMaxSingle(3, 0)
		if read, _ := c.MaxSingle(); read != 3 {
			t.Errorf("MaxSingle: %d bytes of a read, want 3", read)
		}
		c.Disable(bev.Reading)
	})
	p.sendN(5)
	r.on(func() { c.Enable(bev.Reading) })
	tr.want("read 3", "read 2")
}

func TestReadBufferBoundsOneRead(t *testing.T) {
	for _, test := range []struct{ size, want int }{{0, 64 << 10}, {1, 4 << 10}, {10_000, 16 << 10}, {1 << 20, 64 << 10}} {
		r := run(t, &bev.LoopOptions{ReadBuffer: test.size})
		most := 0
		c, p := r.adopt(nil, func(c *bev.Conn) {
			c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
				most = max(most, c.Input().Len())
				c.Input().Drain(c.Input().Len())
			}})
		})
		p.sendN(100_000)
		r.on(func() { c.Enable(bev.Reading) })
		r.until(func() bool { return c.Stats().BytesRead == 100_000 }, "100000 bytes to be read")
		if got := get(r, func() int { return most }); got != test.want {
			t.Errorf("with a ReadBuffer of %d one read took %d bytes, want %d", test.size, got, test.want)
		}
	}
}

func TestBusyConnsTakeTurns(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	var conns []*bev.Conn
	for _, name := range []string{"a", "b"} {
		c, p := r.adopt(&bev.ConnOptions{MaxSingleRead: 100}, func(c *bev.Conn) {
			c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { tr.add("%s", name); c.Input().Drain(100) }})
		})
		p.sendN(1000)
		conns = append(conns, c)
	}
	r.on(func() {
		for _, c := range conns {
			c.Enable(bev.Reading)
		}
	})
	r.settle()
	lines := tr.lines()
	if len(lines) != 20 {
		t.Fatalf("%d turns for 20 times 100 bytes: %q", len(lines), lines)
	}
	for i := 0; i < len(lines); i += 2 {
		if lines[i] == lines[i+1] {
			t.Fatalf("one Conn had two turns while the other waited: %q", lines)
		}
	}
}

func TestReadSurvivesInterruptsAndFalseReadiness(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	c, p, tr := r.reader(0, 0, everything)
	fd := get(r, c.FD)
	f.failTimes(3, sys.OpRead, fd, syscall.EINTR)
	p.sendN(5)
	tr.want("read 5")

	// A kernel that says EAGAIN has nothing; the next byte is an edge.
	f.fail(sys.OpRead, fd, syscall.EAGAIN)
	p.sendN(5)
	tr.wantNothing("the kernel said that nothing is there")
	r.wantIdle("the kernel said that nothing is there")
	p.sendN(1)
	tr.want("read 6")
}

func TestShortReadsLoseNothing(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	c, p, tr := r.reader(0, 0, everything)
	cut := f.limit(sys.OpRead, get(r, c.FD), 3)
	for range 20 {
		p.sendN(7)
		r.settle()
	}
	f.lift(cut)
	p.sendN(1)
	p.close()
	tr.until("event reading|eof")
	tr.wantData(string(part(0, 141)))
}

func TestAReadOfNothingIsTheEnd(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	c, p, tr := r.reader(0, 0, everything)
	f.add(&fault{op: sys.OpRead, fd: get(r, c.FD), times: 1, limit: 0})
	p.sendN(1)
	tr.want("event reading|eof")
}

func TestInputPutInByTheUserStaysInOrder(t *testing.T) {
	r := run(t, nil)
	c, p, tr := r.reader(0, 0, 0)
	r.on(func() { c.Input().AppendString("first ") })
	tr.wantNothing("bytes that the user puts in are announced to nobody")
	p.send("second")
	tr.want("read 12")
	r.on(func() { tr.take(c, everything) })
	tr.wantData("first second")
}

func TestBuffersHoldNoEmptySegments_Libevent358(t *testing.T) {
	r := run(t, nil)
	var bad int
	count := func(c *bev.Conn) {
		for _, b := range []interface{ NumExtents(int) int }{c.Input(), c.Output()} {
			_ = b.NumExtents(-1)
		}
		for p := range c.Input().Extents() {
			if len(p) == 0 {
				bad++
			}
		}
		for p := range c.Output().Extents() {
			if len(p) == 0 {
				bad++
			}
		}
	}
	_, p := r.adopt(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
			c.Write(nil)
			c.WriteString("")
			count(c)
			c.Output().Move(c.Input(), 1)
			c.Input().Append(nil)
			count(c)
			c.WriteBuffer(c.Input())
			c.WriteBuffer(c.Input()) // empty by now
			count(c)
		}})
		c.Enable(bev.Reading)
	})
	for range 100 {
		p.sendN(300)
		p.wantN(300)
	}
	if n := get(r, func() int { return bad }); n > 0 {
		t.Fatalf("%d empty segments", n)
	}
}

//go:build unix

package bev_test

import (
	"errors"
	"io"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

func TestBitsHaveNames(t *testing.T) {
	for _, test := range []struct {
		bits interface{ String() string }
		want string
	}{
		{bev.Event(0), "none"},
		{bev.EventReading | bev.EventEOF, "reading|eof"},
		{bev.EventWriting | bev.EventError, "writing|error"},
		{bev.EventTimeout | bev.EventConnected, "timeout|connected"},
		{bev.Event(0x0c), "0x4|0x8"},
		{bev.Dir(0), "none"},
		{bev.Reading, "reading"},
		{bev.Both, "reading|writing"},
		{bev.Reason(0), "none"},
		{bev.ReasonHighMark | bev.ReasonOutputFull, "high mark|output full"},
		{bev.ReasonDisabled | bev.ReasonConnecting | bev.ReasonEnded | bev.ReasonNoFD, "disabled|connecting|ended|no descriptor"},
	} {
		if got := test.bits.String(); got != test.want {
			t.Errorf("%T: %q, want %q", test.bits, got, test.want)
		}
	}
}

func TestEventBitsHaveLibeventsValues(t *testing.T) {
	for e, want := range map[bev.Event]uint16{
		bev.EventReading: 0x01, bev.EventWriting: 0x02, bev.EventEOF: 0x10,
		bev.EventError: 0x20, bev.EventTimeout: 0x40, bev.EventConnected: 0x80,
	} {
		if uint16(e) != want {
			t.Errorf("%v is %#x, want %#x", e, uint16(e), want)
		}
	}
}

func TestDeferredCallbacksRunInOrderAndJoinTheRest(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	var told error
	r.adopt(&bev.ConnOptions{DeferCallbacks: true}, func(c *bev.Conn) {
		cb := tr.callbacks(everything)
		cb.Event = func(c *bev.Conn, what bev.Event, err error) { told = err; tr.event(c, what, err) }
		c.SetCallbacks(cb)
		c.TriggerEvent(bev.EventError|bev.EventWriting, syscall.EPIPE)
		c.Trigger(bev.Writing, 0)
		c.TriggerEvent(bev.EventReading|bev.EventEOF, io.EOF)
		c.TriggerEvent(bev.EventConnected, nil)
		c.Trigger(bev.Reading, 0)
		tr.add("all are due")
	})
	tr.want("all are due", "event connected", "read 0", "write", "event reading|writing|eof|error: broken pipe")
	tr.wantNothing("each was called once")
	r.on(func() {
		if !errors.Is(told, io.EOF) || !errors.Is(told, syscall.EPIPE) {
			t.Errorf("the error %v does not join the two", told)
		}
	})
}

func TestDeferredCallbacksOfRealTrafficRunInOrder(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.adopt(&bev.ConnOptions{DeferCallbacks: true}, func(c *bev.Conn) {
		c.SetCallbacks(tr.callbacks(everything))
		c.Enable(bev.Reading)
	})
	release := r.hold()
	p.send("hello")
	p.halfClose()
	// In one tick: 5 bytes, the end behind them, and a write.
	if err := r.l.Post(func() { c.WriteString("x"); c.Flush(bev.Writing, bev.FlushNormal) }); err != nil {
		t.Fatal(err)
	}
	release()
	tr.want("read 5", "write", "event reading|eof")
	p.want("x")
	tr.wantNothing("each was called once")
}

func TestConnectedComesBeforeBytesThatCameWithIt(t *testing.T) {
	for _, deferred := range []bool{false, true} {
		r := run(t, nil)
		tr := r.trace()
		ln := netListen(t, "tcp", "127.0.0.1:0")
		// What is posted on the loop runs in its next tick: the loop begins to
		// connect and looks again only when all is there.
		held, free := make(chan struct{}), make(chan struct{})
		r.on(func() {
			c := r.dialTo(ln, tr.callbacks(everything), &bev.DialOptions{Conn: &bev.ConnOptions{DeferCallbacks: deferred}})
			r.l.Post(func() {
				c.Enable(bev.Reading)
				c.WriteString("x")
				close(held)
				<-free
			})
		})
		await(t, held, "the loop to be held")
		nc, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p := newPeer(t, nc)
		p.send("hello")
		close(free)
		if deferred {
			tr.want("event connected", "read 5", "write")
		} else {
			tr.want("event connected", "write", "read 5") // each as it happens
		}
		p.want("x")
	}
}

func TestDeferredReadIsDroppedWhenItsBytesAreGone(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.adopt(&bev.ConnOptions{DeferCallbacks: true, ReadWatermark: bev.Watermark{Low: 3}}, func(c *bev.Conn) {
		c.SetCallbacks(tr.callbacks(everything))
		c.Enable(bev.Reading)
	})
	release := r.hold()
	p.send("hello")
	// In the tick that reads, before the callback's turn, somebody drains.
	if err := r.l.Post(func() { c.Input().Drain(4) }); err != nil {
		t.Fatal(err)
	}
	release()
	tr.wantNothing("Input is below the low mark by now")
	p.send("wo")
	tr.want("read 3")
}

func TestCloseInADeferredCallbackEndsTheOthers(t *testing.T) {
	for _, at := range []string{"event connected", "read 0", "write"} {
		t.Run(at, func(t *testing.T) {
			r := run(t, nil)
			tr := r.trace()
			say := func(c *bev.Conn, line string) {
				tr.add("%s", line)
				if line == at {
					c.Close()
				}
			}
			r.adopt(&bev.ConnOptions{DeferCallbacks: true}, func(c *bev.Conn) {
				c.SetCallbacks(bev.Callbacks{
					Read:  func(c *bev.Conn) { say(c, "read 0") },
					Write: func(c *bev.Conn) { say(c, "write") },
					Event: func(c *bev.Conn, what bev.Event, _ error) { say(c, "event "+what.String()) },
				})
				c.Trigger(bev.Both, 0)
				c.TriggerEvent(bev.EventConnected|bev.EventError, syscall.EIO)
			})
			r.settle()
			all := []string{"event connected", "read 0", "write"}
			if got := tr.lines(); !slices.Equal(got, all[:slices.Index(all, at)+1]) {
				t.Fatalf("closed at %q, but callbacks ran: %q", at, got)
			}
		})
	}
}

func TestReplacedCallbacksHearWhatIsDue(t *testing.T) {
	r := run(t, nil)
	first, second := r.trace(), r.trace()
	c, _ := r.adopt(nil, func(c *bev.Conn) {
		c.SetCallbacks(first.callbacks(everything))
		c.Trigger(bev.Both, 0)
		c.TriggerEvent(bev.EventEOF, io.EOF)
		c.SetCallbacks(second.callbacks(everything))
	})
	second.want("read 0", "write", "event eof")
	first.wantNothing("it was replaced")
	r.on(func() {
		c.SetCallbacks(bev.Callbacks{})
		if cb := c.Callbacks(); cb.Read != nil || cb.Write != nil || cb.Event != nil {
			t.Error("Callbacks returns some that were taken away")
		}
		c.SetCallbacks(first.callbacks(0))
		if cb := c.Callbacks(); cb.Read == nil || cb.Write == nil || cb.Event == nil {
			t.Error("Callbacks does not return those that were set")
		}
	})
}

func TestCallbackReplacedInACallbackHoldsFromThere(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	_, p := r.adopt(&bev.ConnOptions{MaxSingleRead: 2}, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
			tr.add("first")
			c.SetCallbacks(bev.Callbacks{Read: func(*bev.Conn) { tr.add("second") }})
		}})
		c.Enable(bev.Reading)
	})
	p.send("abcd")
	tr.want("first", "second")
}

func TestNoCallbackRunsInsideTheCallThatCausedIt(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	tr := r.trace()
	c, p := r.adopt(nil, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(everything)) })
	p.send("hello")
	r.settle()
	r.on(func() {
		c.Enable(bev.Reading)
		tr.add("Enable(Reading)")
	})
	tr.want("Enable(Reading)", "read 5")
	r.on(func() {
		c.Enable(bev.Writing)
		tr.add("Enable(Writing)")
	})
	tr.want("Enable(Writing)", "write")
	r.on(func() {
		c.Trigger(bev.Both, 0)
		tr.add("Trigger")
	})
	tr.want("Trigger", "read 0", "write")
	r.on(func() {
		c.TriggerEvent(bev.EventEOF, io.EOF)
		tr.add("TriggerEvent")
	})
	tr.want("TriggerEvent", "event eof")
	r.on(func() {
		c.WriteString("x")
		if !c.Flush(bev.Writing, bev.FlushNormal) {
			t.Error("Flush says that nothing was moved")
		}
		tr.add("Flush")
	})
	tr.want("Flush", "write")
	p.want("x")
	r.on(func() {
		f.fail(sys.OpWrite, c.FD(), syscall.EPIPE)
		c.WriteString("x")
		if c.Flush(bev.Writing, bev.FlushNormal) {
			t.Error("Flush says that bytes were moved, but the write failed")
		}
		tr.add("failing Flush")
	})
	tr.want("failing Flush", "event writing|error: broken pipe")
}

func TestFlushInACallbackRunsTheWriteCallbackLater(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	_, p := r.adopt(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{
			Read: func(c *bev.Conn) {
				c.WriteBuffer(c.Input())
				if !c.Flush(bev.Writing, bev.FlushNormal) || c.Output().Len() != 0 {
					t.Errorf("after Flush %d bytes are in Output", c.Output().Len())
				}
				tr.add("read returns")
			},
			Write: func(*bev.Conn) { tr.add("write") },
		})
		c.Enable(bev.Reading)
	})
	p.send("hello")
	p.want("hello")
	tr.want("read returns", "write")
	tr.wantNothing("there was one write")
}

func TestFlushMovesNothingWhereNothingIsToBeMoved(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.adopt(nil, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(everything)) })
	p.send("hello")
	r.on(func() {
		for _, mode := range []bev.FlushMode{bev.FlushNormal, bev.FlushAll, bev.FlushFinished} {
			if c.Flush(bev.Both, mode) {
				t.Errorf("Flush(Both, %d) of an empty Output says that bytes were moved", mode)
			}
		}
		c.Disable(bev.Writing)
		c.WriteString("x")
		if c.Flush(bev.Reading, bev.FlushAll) || c.Flush(bev.Writing, bev.FlushAll) {
			t.Error("Flush moved bytes while writing is disabled, or for reading")
		}
	})
	tr.wantNothing("nothing was moved")
	r.on(func() {
		c.Close()
		if c.Flush(bev.Writing, bev.FlushNormal) {
			t.Error("Flush of a closed Conn says that bytes were moved")
		}
	})
}

func TestTriggerObeysTheLowMarksUnlessTold(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	o := &bev.ConnOptions{ReadWatermark: bev.Watermark{Low: 5}, WriteWatermark: bev.Watermark{Low: 2}}
	c, p := r.adopt(o, func(c *bev.Conn) {
		c.SetCallbacks(tr.callbacks(0))
		c.Enable(bev.Reading)
		c.Disable(bev.Writing)
		c.WriteString("abc")
	})
	p.send("1234")
	r.wantInput(c, 4, "4 bytes came")
	r.on(func() { c.Trigger(bev.Both, 0) })
	tr.wantNothing("Input is below its low mark, Output above")
	r.on(func() { c.Trigger(bev.Both, bev.TriggerIgnoreWatermarks) })
	tr.want("read 4", "write")
	r.on(func() { c.Trigger(bev.Reading, bev.TriggerIgnoreWatermarks) })
	tr.want("read 4")
	tr.wantNothing("writing was not triggered")
	r.on(func() {
		c.Input().AppendString("5")
		c.Output().Drain(1)
		c.Trigger(bev.Both, 0)
	})
	tr.want("read 5", "write")
	r.on(func() {
		c.Trigger(0, bev.TriggerIgnoreWatermarks)
		c.TriggerEvent(0, io.EOF)
		c.Trigger(bev.Both, 0)
		c.Close()
		c.Trigger(bev.Both, bev.TriggerIgnoreWatermarks)
		c.TriggerEvent(bev.EventEOF, io.EOF)
	})
	tr.wantNothing("nothing was triggered, and the Conn is closed")
}

func TestTriggerEventOnItsOwnChangesNothing(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.adopt(nil, func(c *bev.Conn) {
		c.SetCallbacks(tr.callbacks(everything))
		c.Enable(bev.Reading)
		c.TriggerEvent(bev.EventReading|bev.EventEOF, io.EOF)
	})
	tr.want("event reading|eof")
	if d := get(r, c.Enabled); d != bev.Both {
		t.Fatalf("%v is enabled after an event that did not happen", d)
	}
	p.send("hello")
	tr.want("read 5")
}

func TestWithoutEventCallbackAConnClosesItself(t *testing.T) {
	const reply = 8 << 20 // more than the kernel holds
	for _, test := range []struct {
		name string
		opts bev.ConnOptions
		do   func(r *rig, c *bev.Conn, p *peer)
	}{
		{"end", *unpaused, func(r *rig, c *bev.Conn, p *peer) {
			// What was written is sent, though the end has come by then.
			r.write(c, string(part(0, reply)))
			p.halfClose()
			r.until(func() bool { return c.Suspended(bev.Reading)&bev.ReasonEnded != 0 }, "the end")
			if n := get(r, func() int { return c.Output().Len() }); n == 0 {
				t.Error("the kernel took 8 MB from a peer that does not read")
			}
			p.wantN(reply)
			p.wantEOF("the Conn closes after its last byte")
		}},
		{"reset", bev.ConnOptions{}, func(_ *rig, _ *bev.Conn, p *peer) { p.reset() }},
		{"read timeout", bev.ConnOptions{ReadTimeout: short}, nil},
		{"write timeout", bev.ConnOptions{WriteTimeout: short}, func(r *rig, c *bev.Conn, _ *peer) {
			r.on(func() { fill(r.t, c, 12<<20) })
		}},
		{"idle timeout", bev.ConnOptions{IdleTimeout: short}, nil},
		{"full input", bev.ConnOptions{}, func(_ *rig, _ *bev.Conn, p *peer) {
			go p.Write(make([]byte, 8<<20))
		}},
		{"triggered end", bev.ConnOptions{}, func(r *rig, c *bev.Conn, p *peer) {
			r.on(func() { c.TriggerEvent(bev.EventEOF, io.EOF) })
			p.halfClose()
		}},
		{"triggered error", bev.ConnOptions{}, func(r *rig, c *bev.Conn, _ *peer) {
			r.on(func() { c.TriggerEvent(bev.EventError, syscall.EIO) })
		}},
		{"triggered timeout", bev.ConnOptions{}, func(r *rig, c *bev.Conn, _ *peer) {
			r.on(func() { c.TriggerEvent(bev.EventTimeout, os.ErrDeadlineExceeded) })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, nil)
			c, p := r.accept(&test.opts, func(c *bev.Conn) { c.Enable(bev.Reading) })
			if test.do != nil {
				test.do(r, c, p)
			}
			r.wantClosed(c, test.name)
		})
	}
}

func TestWithoutEventCallbackBeingConnectedIsNothing(t *testing.T) {
	r := run(t, nil)
	c, p := r.dial(bev.Callbacks{}, nil)
	r.write(c, "hello")
	p.want("hello")
	r.wantOpen(c, "it is connected")
}

// Callbacks of one Conn that work on another must not nest: what they cause
// runs after they have returned.
func TestCallbacksDoNotNest(t *testing.T) {
	r := run(t, nil)
	depth, most, calls := 0, 0, 0
	var a, b *bev.Conn
	cb := func(f func()) {
		depth++
		most = max(most, depth)
		calls++
		if calls < 100 {
			f()
		}
		depth--
	}
	poke := func(c *bev.Conn) func() {
		return func() {
			c.WriteString("x")
			c.Flush(bev.Writing, bev.FlushNormal)
			c.Enable(bev.Writing)
			c.Trigger(bev.Both, bev.TriggerIgnoreWatermarks)
			c.TriggerEvent(bev.EventTimeout, nil)
		}
	}
	a, _ = r.adopt(nil, nil)
	b, _ = r.adopt(nil, nil)
	done := make(chan struct{})
	r.on(func() {
		for c, other := range map[*bev.Conn]*bev.Conn{a: b, b: a} {
			c.SetCallbacks(bev.Callbacks{
				Read:  func(*bev.Conn) { cb(poke(other)) },
				Write: func(*bev.Conn) { cb(poke(c)) },
				Event: func(*bev.Conn, bev.Event, error) { cb(poke(other)) },
			})
		}
		poke(a)()
		r.l.AfterFunc(10*time.Millisecond, func() { close(done) })
	})
	await(t, done, "a timer")
	r.settle()
	r.on(func() {
		if most != 1 || calls < 100 {
			t.Errorf("%d calls, nested up to %d deep, want 100 or more and none nested", calls, most)
		}
	})
}

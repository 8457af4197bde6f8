//go:build unix

package bev_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/leak"
	"github.com/bevgo/bev/internal/sys"
)

// closeTwice closes c and says what is wrong with the answers.
func closeTwice(t *testing.T, c *bev.Conn) {
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second Close: %v, want net.ErrClosed", err)
	}
	if !c.Closed() || c.FD() != -1 {
		t.Errorf("after Close: Closed is %v, FD is %d", c.Closed(), c.FD())
	}
}

func TestCloseInsideEachCallback(t *testing.T) {
	for _, deferred := range []bool{false, true} {
		for _, at := range []string{"read", "write", "write after a write", "event eof", "event error", "event timeout", "event connected"} {
			name := at
			if deferred {
				name += " deferred"
			}
			t.Run(name, func(t *testing.T) {
				r := run(t, nil)
				var calls atomic.Int32
				closing := func(c *bev.Conn) { calls.Add(1); closeTwice(t, c) }
				cb := bev.Callbacks{
					Read:  closing,
					Write: closing,
					Event: func(c *bev.Conn, _ bev.Event, _ error) { closing(c) },
				}
				o := &bev.ConnOptions{DeferCallbacks: deferred}
				if at == "event timeout" {
					o.ReadTimeout = short
				}
				var c *bev.Conn
				var p *peer
				if at == "event connected" {
					c, p = r.dial(cb, &bev.DialOptions{Conn: o})
				} else {
					c, p = r.accept(o, func(c *bev.Conn) { c.SetCallbacks(cb); c.Enable(bev.Reading) })
				}
				switch at {
				case "read":
					p.send("hello")
				case "write":
					r.on(func() { c.Enable(bev.Writing) })
				case "write after a write":
					r.write(c, "hello")
					p.want("hello")
				case "event eof":
					p.halfClose()
				case "event error":
					p.reset()
				}
				r.wantClosed(c, at)
				r.settle()
				if n := calls.Load(); n != 1 {
					t.Fatalf("%d callbacks ran, want the one that closes", n)
				}
			})
		}
	}
}

func TestCloseOfAnotherConnInTheSameBatch(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	conns := make([]*bev.Conn, 2)
	peers := make([]*peer, 2)
	for i := range conns {
		conns[i], peers[i] = r.adopt(nil, func(c *bev.Conn) {
			c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
				tr.add("read")
				conns[1-i].Close()
			}})
			c.Enable(bev.Reading)
		})
	}
	release := r.hold()
	peers[0].send("x")
	peers[1].send("x")
	release()
	tr.want("read")
	tr.wantNothing("the other was closed, whatever is left of the batch")
	r.on(func() {
		if conns[0].Closed() == conns[1].Closed() {
			t.Errorf("closed are %v and %v, want one of them", conns[0].Closed(), conns[1].Closed())
		}
	})
}

func TestCloseInTheAcceptFunction(t *testing.T) {
	r := run(t, nil)
	ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Event: func(*bev.Conn, bev.Event, error) { t.Error("a callback of a closed Conn") }})
		c.Enable(bev.Both)
		c.WriteString("never sent")
		closeTwice(t, c)
	}, nil)
	for range 3 {
		p := r.call(ln)
		if b, err := io.ReadAll(p); len(b) > 0 {
			t.Fatalf("the peer got %q, %v", b, err)
		}
	}
	if n := r.settle().Conns; n != 0 {
		t.Fatalf("%d connections are left", n)
	}
}

func TestCloseInTimersAndPostedCallsAndHandles(t *testing.T) {
	r := run(t, nil)
	for i, how := range []func(c *bev.Conn, h bev.Handle){
		func(c *bev.Conn, _ bev.Handle) { r.l.AfterFunc(0, func() { closeTwice(t, c) }) },
		func(c *bev.Conn, _ bev.Handle) { r.l.Post(func() { closeTwice(t, c) }) },
		func(_ *bev.Conn, h bev.Handle) { h.Do(func(c *bev.Conn) { closeTwice(t, c) }) },
		func(_ *bev.Conn, h bev.Handle) {
			h.Call(context.Background(), func(c *bev.Conn) error { closeTwice(t, c); return nil })
		},
		func(_ *bev.Conn, h bev.Handle) { h.Close() },
	} {
		c, p := r.adopt(nil, func(c *bev.Conn) { c.WriteString("dropped"); c.Disable(bev.Writing) })
		r.on(func() { how(c, c.Handle()) })
		r.wantClosed(c, "closed")
		p.wantEOF("output is dropped")
		_ = i
	}
}

func TestCloseReleasesTheDescriptorAtOnce(t *testing.T) {
	r := run(t, nil)
	for _, conn := range []func() *bev.Conn{
		func() *bev.Conn { c, _ := r.accept(nil, nil); return c },
		func() *bev.Conn { c, _ := r.adopt(nil, nil); return c },
		func() *bev.Conn {
			tr := r.trace()
			c, _ := r.dial(tr.callbacks(0), nil)
			tr.want("event connected")
			return c
		},
	} {
		c := conn()
		r.on(func() {
			fd := c.FD()
			if _, open := leak.Descriptors()[fd]; !open {
				t.Errorf("descriptor %d is not open before Close", fd)
			}
			closeTwice(t, c)
			if what, open := leak.Descriptors()[fd]; open {
				t.Errorf("descriptor %d (%s) is open after Close", fd, what)
			}
		})
	}
}

func TestCloseReportsWhatTheKernelSays(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	c, _ := r.adopt(nil, nil)
	r.on(func() {
		f.fail(sys.OpClose, c.FD(), syscall.EIO)
		err := c.Close()
		var oe *net.OpError
		if !errors.As(err, &oe) || oe.Op != "close" || !errors.Is(err, syscall.EIO) {
			t.Errorf("Close: %v, want a *net.OpError of close over EIO", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the second Close: %v", err)
		}
	})
}

func TestAClosedConnAnswersEverything(t *testing.T) {
	r := run(t, nil)
	c, _ := r.accept(nil, func(c *bev.Conn) { c.SetData("data") })
	r.on(func() {
		c.Input().AppendString("in")
		c.WriteString("out")
		c.Close()
		if c.Input().Len() != 0 || c.Output().Len() != 0 {
			t.Errorf("%d and %d bytes are left in Input and Output", c.Input().Len(), c.Output().Len())
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write: %v", err)
		}
		if _, err := c.WriteString("x"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteString: %v", err)
		}
		if err := c.WriteBuffer(c.Input()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteBuffer: %v", err)
		}
		if err := c.CloseWrite(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("CloseWrite: %v", err)
		}
		if err := c.Abort(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Abort: %v", err)
		}
		if err := c.SetFD(-1); !errors.Is(err, net.ErrClosed) {
			t.Errorf("SetFD: %v", err)
		}
		if err := c.SetWatermark(bev.Both, bev.Watermark{High: 5}); err != nil {
			t.Errorf("SetWatermark: %v", err)
		}
		c.Enable(bev.Both)
		c.Disable(bev.Both)
		c.SetTimeouts(1, 1)
		c.SetIdleTimeout(1)
		c.SetMaxSingle(1, 1)
		c.SetOutputLimit(1)
		c.CloseAfterFlush(0)
		c.Trigger(bev.Both, 0)
		c.TriggerEvent(bev.EventEOF, nil)
		c.Flush(bev.Both, bev.FlushAll)
		c.Input().AppendString("in")
		c.Input().Reset()
		c.Output().AppendString("out")
		c.Output().Reset()
		if c.Data() != "data" || c.Loop() != r.l || c.RemoteAddr() == nil || c.LocalAddr() != nil {
			t.Errorf("Data %v, Loop %p, RemoteAddr %v, LocalAddr %v", c.Data(), c.Loop(), c.RemoteAddr(), c.LocalAddr())
		}
		if err := c.Handle().Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a Handle made after Close: %v", err)
		}
	})
	if n := r.settle().Timers; n != 0 {
		t.Fatalf("%d timers are armed for a closed Conn", n)
	}
}

func TestAbortShowsThePeerAReset(t *testing.T) {
	r := run(t, nil)
	c, p := r.accept(nil, nil)
	r.on(func() {
		if err := c.Abort(); err != nil {
			t.Errorf("Abort: %v", err)
		}
	})
	p.wantReset("Abort")
	c, p = r.adopt(nil, nil)
	r.on(func() {
		if err := c.Abort(); err != nil {
			t.Errorf("Abort of a unix socket: %v", err)
		}
	})
	p.wantEOF("unix sockets know no reset")
}

func TestCloseWriteEndsAfterWhatIsQueuedAndReadingGoesOn(t *testing.T) {
	for _, where := range []string{"posted", "in a callback", "in the write callback", "with nothing queued", "twice"} {
		t.Run(where, func(t *testing.T) {
			const n = 3 << 20
			r := run(t, nil)
			tr := r.trace()
			do := func(c *bev.Conn) {
				if where != "with nothing queued" {
					c.Write(part(0, n))
				}
				if err := c.CloseWrite(); err != nil {
					t.Errorf("CloseWrite: %v", err)
				}
				if where == "twice" {
					if err := c.CloseWrite(); err != nil {
						t.Errorf("CloseWrite again, before the end is sent: %v", err)
					}
				}
				if _, err := c.WriteString("x"); !errors.Is(err, net.ErrClosed) {
					t.Errorf("a write after CloseWrite: %v", err)
				}
			}
			c, p := r.accept(unpaused, func(c *bev.Conn) {
				cb := bev.Callbacks{Event: tr.event, Read: func(c *bev.Conn) { tr.add("read %d", c.Input().Drain(100)) }}
				switch where {
				case "in a callback":
					cb.Read = func(c *bev.Conn) {
						c.Input().Drain(c.Input().Len())
						do(c)
						c.SetCallbacks(bev.Callbacks{Event: tr.event, Read: func(c *bev.Conn) { tr.add("read %d", c.Input().Drain(100)) }})
					}
				case "in the write callback":
					cb.Write = func(c *bev.Conn) {
						c.SetCallbacks(bev.Callbacks{Event: tr.event, Read: func(c *bev.Conn) { tr.add("read %d", c.Input().Drain(100)) }})
						do(c)
					}
				}
				c.SetCallbacks(cb)
				c.Enable(bev.Reading)
			})
			switch where {
			case "in a callback":
				p.send("go")
			case "in the write callback":
				r.on(func() { c.Enable(bev.Writing) })
			default:
				r.on(func() { do(c) })
			}
			if where != "with nothing queued" {
				p.wantN(n)
			}
			p.wantEOF("CloseWrite")
			p.send("hello")
			tr.want("read 5")
			p.close()
			tr.want("event reading|eof")
			r.on(func() {
				if err := c.CloseWrite(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("CloseWrite of a shut side: %v, want net.ErrClosed", err)
				}
				if _, err := c.WriteString("x"); !errors.Is(err, net.ErrClosed) {
					t.Errorf("a write to a shut side: %v, want net.ErrClosed", err)
				}
			})
			r.wantOpen(c, "the end of both directions closes nothing")
		})
	}
}

func TestCloseWriteWaitsUntilWritingIsEnabled(t *testing.T) {
	r := run(t, nil)
	c, p := r.adopt(nil, nil)
	r.on(func() {
		c.Disable(bev.Writing)
		c.WriteString("hello")
		if err := c.CloseWrite(); err != nil {
			t.Errorf("CloseWrite: %v", err)
		}
	})
	r.settle()
	if n := p.available(); n != 0 {
		t.Fatalf("%d bytes, or the end, came while writing is disabled", n)
	}
	r.on(func() { c.Enable(bev.Writing) })
	p.want("hello")
	p.wantEOF("writing is enabled")
}

func TestKeepOpenLeavesTheDescriptorOpen(t *testing.T) {
	r := run(t, nil)
	fd, p := socketPair(t)
	f := os.NewFile(uintptr(fd), "kept")
	defer f.Close()
	c := r.adoptFrom(fd, &bev.ConnOptions{KeepOpen: true})
	r.write(c, "hello")
	p.want("hello")
	r.on(func() { closeTwice(t, c) })
	// Nobody watches it any more: bytes cost the loop nothing.
	p.send("more")
	r.wantIdle("the descriptor is no longer the loop's")
	b := make([]byte, 4)
	if n, err := syscall.Read(fd, b); n != 4 || err != nil {
		t.Fatalf("reading the descriptor after Close: %d, %v", n, err)
	}
	// Another Conn may have it now.
	c = r.adoptFrom(fd, &bev.ConnOptions{KeepOpen: true})
	r.write(c, "again")
	p.want("again")
}

func TestCloseAfterFlushSendsEverythingThenLingers_Libevent616(t *testing.T) {
	const reply = 4 << 20
	r := run(t, nil)
	tr := r.trace()
	c, p := r.accept(nil, func(c *bev.Conn) {
		c.SetCallbacks(tr.callbacks(everything))
		c.Enable(bev.Reading)
	})
	r.on(func() {
		if _, err := c.Write(part(0, reply)); err != nil {
			t.Errorf("Write: %v", err)
		}
		c.CloseAfterFlush(-1)
		if _, err := c.WriteString("x"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after CloseAfterFlush: %v", err)
		}
		if err := c.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("CloseWrite after CloseAfterFlush: %v", err)
		}
		c.CloseAfterFlush(short) // the first one's deadline stays
	})
	r.pass(4 * short)
	r.wantOpen(c, "the peer has not read yet")
	p.sendN(100_000)
	p.wantN(reply)
	p.wantEOF("after the reply")
	r.wantOpen(c, "the peer has not ended yet")
	p.sendN(100_000)
	p.close()
	r.wantClosed(c, "the peer has ended")
	if got := tr.lines(); len(got) != 0 {
		t.Fatalf("callbacks ran after CloseAfterFlush: %q", got)
	}
}

// A close with unread input has the kernel send a reset, which destroys what
// the peer has not read yet.
func TestCloseAfterFlushWithUnreadInputLosesNothing_Libevent943(t *testing.T) {
	const reply, unread = 4 << 20, 1 << 20
	for _, mode := range []string{"in the kernel", "in Input and the kernel"} {
		t.Run(mode, func(t *testing.T) {
			r := run(t, nil)
			o := &bev.ConnOptions{ReadWatermark: bev.Watermark{High: 1000}}
			c, p := r.accept(o, func(c *bev.Conn) {
				if mode != "in the kernel" {
					c.Enable(bev.Reading)
				}
			})
			sent := make(chan error, 1)
			go func() {
				_, err := p.Conn.Write(make([]byte, unread))
				sent <- err
			}()
			if mode != "in the kernel" {
				r.until(func() bool { return c.Input().Len() == 1000 }, "Input to be full")
			}
			r.on(func() { c.Write(part(0, reply)); c.CloseAfterFlush(0) })
			if err := await(t, sent, "1 MB to be taken"); err != nil {
				t.Fatalf("the peer sends: %v", err)
			}
			p.wantN(reply)
			p.wantEOF("after the reply")
			p.close()
			r.wantClosed(c, "the peer has ended")
		})
	}
}

func TestCloseAfterFlushEndsAtItsDeadline(t *testing.T) {
	r := run(t, nil)
	for _, state := range []string{"not sent", "sent, and the peer does not end"} {
		c, _ := r.accept(nil, nil)
		var start, end time.Time
		r.on(func() {
			start = r.l.Now()
			if state == "not sent" {
				fill(t, c, 12<<20)
			}
			c.CloseAfterFlush(short)
		})
		r.until(func() bool { end = r.l.Now(); return c.Closed() }, "the deadline of "+state)
		if d := end.Sub(start); d < short {
			t.Fatalf("%s: closed after %v, before its deadline of %v", state, d, short)
		}
	}
}

func TestCloseAfterFlushIsNotHeldUpByWhatStopsTheUser(t *testing.T) {
	r := run(t, nil)
	c, p := r.accept(&bev.ConnOptions{ReadWatermark: bev.Watermark{High: 10}, WriteWatermark: bev.Watermark{High: 10}}, func(c *bev.Conn) { c.Enable(bev.Reading) })
	p.sendN(100)
	r.wantInput(c, 10, "the high mark")
	r.on(func() {
		c.Disable(bev.Both)
		c.Write(part(0, 100))
		c.SetTimeouts(short, short) // are over, too
		c.SetIdleTimeout(short)
		c.CloseAfterFlush(-1)
		if c.Input().Len() != 0 {
			t.Errorf("Input holds %d bytes, want none", c.Input().Len())
		}
		c.Enable(bev.Both)
		c.Disable(bev.Both)
	})
	p.wantN(100)
	p.wantEOF("after the reply")
	r.pass(4 * short)
	r.wantOpen(c, "the peer has not ended, and timeouts are over")
	p.close()
	r.wantClosed(c, "the peer has ended")
}

func TestCloseAfterFlushWhereNothingIsLeftToWaitFor(t *testing.T) {
	r := run(t, nil)
	for _, test := range []struct {
		name string
		do   func(c *bev.Conn, p *peer)
	}{
		{"the peer has ended, nothing to send", func(c *bev.Conn, p *peer) { p.halfClose() }},
		{"both directions have ended", func(c *bev.Conn, p *peer) {
			r.on(func() { c.CloseWrite() })
			p.wantEOF("CloseWrite")
			p.halfClose()
		}},
		{"the peer has reset", func(c *bev.Conn, p *peer) { p.reset() }},
	} {
		tr := r.trace()
		c, p := r.accept(nil, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(0)); c.Enable(bev.Reading) })
		test.do(c, p)
		if line, _ := tr.next(); line != "event reading|eof" && line != "event reading|error: reset" {
			t.Fatalf("%s: got %q", test.name, line)
		}
		r.on(func() { c.CloseAfterFlush(-1) })
		r.wantClosed(c, test.name)
	}
	c := r.adoptFrom(-1, nil)
	r.on(func() { c.WriteString("nobody"); c.CloseAfterFlush(-1) })
	r.wantClosed(c, "a Conn without a descriptor")
}

func TestCloseAfterFlushWhenThePeerIsGone(t *testing.T) {
	r := run(t, nil)
	for _, how := range []string{"reset", "broken pipe"} {
		tr := r.trace()
		c, p := r.accept(nil, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(0)) })
		r.on(func() { fill(t, c, 12<<20); c.CloseAfterFlush(-1) })
		r.settle()
		if how == "reset" {
			p.reset()
		} else {
			f := inject(t)
			f.fail(sys.OpWritev, get(r, c.FD), syscall.EPIPE)
			io.ReadFull(p, make([]byte, 4<<20)) // room, so that writing goes on
		}
		r.wantClosed(c, how)
		tr.wantNothing("callbacks are over")
	}
}

func TestCloseAfterFlushWhileConnecting(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	ln := netListen(t, "tcp", "127.0.0.1:0")
	var c *bev.Conn
	r.on(func() {
		c = r.dialTo(ln, tr.callbacks(0), nil)
		c.Write(part(0, 1<<20))
		c.CloseAfterFlush(-1)
	})
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, nc)
	p.wantN(1 << 20)
	p.wantEOF("after the last byte")
	p.close()
	r.wantClosed(c, "the peer has ended")
	tr.wantNothing("callbacks are over")

	// One that is never connected.
	nobody := closedPort(t)
	r.on(func() {
		c = r.dialTo(nobody, tr.callbacks(0), nil)
		c.WriteString("nobody")
		c.CloseAfterFlush(-1)
	})
	r.wantClosed(c, "the dial was refused")
	tr.wantNothing("callbacks are over")
}

func TestCloseAfterFlushInEachCallback(t *testing.T) {
	for _, deferred := range []bool{false, true} {
		r := run(t, nil)
		bye := func(c *bev.Conn) { c.WriteString("bye"); c.CloseAfterFlush(0) }
		o := &bev.ConnOptions{DeferCallbacks: deferred}
		for _, test := range []struct {
			cb bev.Callbacks
			do func(c *bev.Conn, p *peer)
		}{
			{bev.Callbacks{Read: bye}, func(_ *bev.Conn, p *peer) { p.send("hello") }},
			{bev.Callbacks{Write: bye}, func(c *bev.Conn, _ *peer) { r.on(func() { c.Enable(bev.Writing) }) }},
			{bev.Callbacks{Event: func(c *bev.Conn, _ bev.Event, _ error) { bye(c) }}, func(_ *bev.Conn, p *peer) { p.halfClose() }},
		} {
			c, p := r.accept(o, func(c *bev.Conn) { c.SetCallbacks(test.cb); c.Enable(bev.Reading) })
			test.do(c, p)
			p.want("bye")
			p.wantEOF("after the last byte")
			p.close()
			r.wantClosed(c, "the peer has ended")
		}
		ln := r.listen("tcp", "127.0.0.1:0", bye, &bev.ListenOptions{Conn: o})
		p := r.call(ln)
		p.want("bye")
		p.wantEOF("after the last byte")
	}
}

// A pipe has no half to shut: its reader hears of the end by the close.
func TestCloseAfterFlushOfAPipe(t *testing.T) {
	r := run(t, nil)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, pipeEnd{pr})
	c := r.adoptFrom(pw, nil)
	r.on(func() { c.Write(part(0, 1<<20)); c.CloseAfterFlush(-1) })
	p.wantN(1 << 20)
	p.wantEOF("after the last byte")
	r.wantClosed(c, "all is sent")
}

func TestTheLoopCountsItsConns(t *testing.T) {
	r := run(t, nil)
	for i := range 5 {
		c, _ := r.accept(nil, nil)
		if s := r.settle(); s.Conns != 1 || s.Opened != uint64(i+1) {
			t.Fatalf("%d connections of %d so far, want 1 of %d", s.Conns, s.Opened, i+1)
		}
		r.on(func() { closeTwice(t, c) })
	}
	if s := r.settle(); s.Conns != 0 || s.Opened != 5 {
		t.Fatalf("%d connections of %d so far, want 0 of 5", s.Conns, s.Opened)
	}
}

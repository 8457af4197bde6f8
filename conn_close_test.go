//go:build unix

package bev_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
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

// Close empties Input, which is no mistake of a loop over it, nor of a parser of it.
func TestCloseWhileInputIsLookedAt(t *testing.T) {
	for name, look := range map[string]func(c *bev.Conn){
		"Lines": func(c *bev.Conn) {
			for range c.Input().Lines(buffer.LF) {
				c.Close()
			}
		},
		"Lines, break": func(c *bev.Conn) {
			for range c.Input().Lines(buffer.LF) {
				c.Close()
				break
			}
		},
		"Extents": func(c *bev.Conn) {
			for range c.Input().Extents() {
				c.Close()
			}
		},
		"Parse": func(c *bev.Conn) {
			c.Input().Parse(func(r *bufio.Reader) error {
				_, err := r.ReadSlice('\n')
				c.Close()
				return err
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, nil)
			c, _ := r.accept(nil, nil)
			r.on(func() {
				c.Input().AppendString("one\ntwo\n")
				c.Input().AppendOwned([]byte("three\n"), nil)
				look(c)
				if !c.Closed() || c.Input().Len() != 0 {
					t.Errorf("Close did not close: %d bytes in Input", c.Input().Len())
				}
			})
		})
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
	for _, how := range []func(c *bev.Conn, h bev.Handle){
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

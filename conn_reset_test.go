//go:build unix

package bev_test

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

func TestEndComesAfterTheBytesAndLeavesWritingAlone(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			r := run(t, nil)
			tr := r.trace()
			set := func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(everything)) }
			var c *bev.Conn
			var p *peer
			if network == "tcp" {
				c, p = r.accept(nil, set)
			} else {
				c, p = r.adopt(nil, set)
			}
			p.sendN(100)
			p.halfClose()
			tr.wantNothing("reading is not enabled, so the end behind the bytes is not told")
			r.on(func() { c.Enable(bev.Reading) })
			if before := tr.until("event reading|eof"); !slices.Equal(before, []string{"read 100"}) {
				t.Fatalf("before the end: %q", before)
			}
			tr.wantData(string(part(0, 100)))
			if d := get(r, c.Enabled); d != bev.Writing {
				t.Fatalf("after the end %v is enabled, want writing", d)
			}
			r.wantSuspended(c, bev.Reading, bev.ReasonDisabled|bev.ReasonEnded, "the stream has ended")
			r.write(c, "bye")
			p.want("bye")
			tr.want("write")
			r.on(func() { c.Enable(bev.Reading) })
			tr.wantNothing("the end is told once")
		})
	}
}

func TestEndBehindAMarkIsToldWhenTheBytesBeforeItAreRead(t *testing.T) {
	r := run(t, nil)
	c, p, tr := r.reader(0, 10, 0)
	p.sendN(10)
	p.close()
	tr.want("read 10")
	tr.wantNothing("the end waits behind the mark")
	r.on(func() { c.Input().Drain(1) })
	tr.want("event reading|eof")
}

func TestResetComesAfterTheBytes(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.accept(nil, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(everything)); c.Enable(bev.Reading) })
	release := r.hold()
	p.sendN(100)
	p.reset()
	release()
	tr.want("read 100", "event reading|error: reset")
	tr.wantNothing("a reset is told once")
	if d := get(r, c.Enabled); d != 0 {
		t.Fatalf("after a reset %v is enabled", d)
	}
	r.on(func() {
		if _, err := c.WriteString("x"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after a reset: %v, want net.ErrClosed", err)
		}
	})
}

func TestResetWhileReadingIsSuspendedIsNoticed_Libevent677(t *testing.T) {
	for _, why := range []struct {
		name string
		high int
		read string // the line of what is read before reading stops
		left string // the lines of what can be read afterwards
	}{
		{"disabled", 0, "", "read 25"},
		{"high mark", 10, "read 10", "read 10,read 5"},
	} {
		t.Run(why.name, func(t *testing.T) {
			r := run(t, nil)
			tr := r.trace()
			o := &bev.ConnOptions{ReadWatermark: bev.Watermark{High: why.high}}
			c, p := r.accept(o, func(c *bev.Conn) {
				c.SetCallbacks(tr.callbacks(0))
				if why.high > 0 {
					c.Enable(bev.Reading)
				}
			})
			p.sendN(25)
			if why.read != "" {
				tr.want(why.read)
			}
			r.settle()
			p.reset()
			tr.want("event reading|error: reset")
			r.wantIdle("a peer is gone and reading is suspended")
			tr.wantNothing("a reset is told once")
			r.wantSuspended(c, bev.Writing, bev.ReasonDisabled|bev.ReasonEnded, "nobody is there to write to")

			// What Input and the kernel hold stays readable.
			r.on(func() {
				c.SetCallbacks(tr.callbacks(everything))
				tr.take(c, everything)
				c.Enable(bev.Reading)
			})
			tr.want(strings.Split(why.left, ",")...)
			tr.wantData(string(part(0, 25)))
			tr.wantNothing("the error is not told twice")
		})
	}
}

func TestResetDropsOutputWhileReadingIsSuspended_Libevent666(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.accept(nil, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(everything)) })
	r.on(func() {
		if _, err := c.Write(make([]byte, 12<<20)); err != nil {
			t.Errorf("Write: %v", err)
		}
	})
	r.settle()
	if n := get(r, func() int { return c.Output().Len() }); n == 0 {
		t.Fatal("the kernel took 12 MB from a peer that does not read")
	}
	p.reset()
	tr.want("event reading|error: reset")
	r.wantOutput(c, 0, "nobody is there to send it to")
	r.wantIdle("the peer is gone")
}

// The reset is noticed while reading goes on, but before it has come to the
// end, the mark stops it. Whoever waits to drain Input must hear of it.
func TestResetIsToldWhenTheMarkStopsReadingBeforeTheEnd(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	o := &bev.ConnOptions{ReadWatermark: bev.Watermark{High: 10}}
	c, p := r.accept(o, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(0)); c.Enable(bev.Reading) })
	release := r.hold()
	p.sendN(25)
	p.reset()
	release()
	tr.want("read 10", "event reading|error: reset")
	r.on(func() {
		c.SetCallbacks(tr.callbacks(everything))
		tr.take(c, everything)
		c.Enable(bev.Reading)
	})
	tr.want("read 10", "read 5")
	tr.wantNothing("the error is not told twice")
	tr.wantData(string(part(0, 25)))
}

func TestResetIsToldWhenACallbackDisablesReadingBeforeTheEnd(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	_, p := r.accept(&bev.ConnOptions{MaxSingleRead: 10}, func(c *bev.Conn) {
		cb := tr.callbacks(0)
		read := cb.Read
		cb.Read = func(c *bev.Conn) { read(c); c.Disable(bev.Reading) }
		c.SetCallbacks(cb)
		c.Enable(bev.Reading)
	})
	release := r.hold()
	p.sendN(25)
	p.reset()
	release()
	tr.want("read 10", "event reading|error: reset")
	tr.wantNothing("the error is not told twice")
}

func TestResetIsToldWhenReadingIsDisabledBetweenTwoTurns(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.accept(&bev.ConnOptions{MaxSingleRead: 10}, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(0)) })
	p.sendN(25)
	r.settle()
	r.on(func() {
		// The turn that Enable asks for comes after this call, by which time
		// reading is disabled again and the reset has arrived.
		c.Enable(bev.Reading)
		p.reset()
	})
	r.on(func() { c.Disable(bev.Reading) })
	if before := tr.until("event reading|error: reset"); len(before) > 3 {
		t.Fatalf("%q", before)
	}
	tr.wantNothing("the error is not told twice")
}

func TestReadErrorIsToldOnceWithItsReason(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	var told error
	tr := r.trace()
	c, p := r.adopt(nil, func(c *bev.Conn) {
		cb := tr.callbacks(everything)
		cb.Event = func(c *bev.Conn, what bev.Event, err error) { told = err; tr.event(c, what, err) }
		c.SetCallbacks(cb)
		c.Enable(bev.Reading)
		f.fail(sys.OpRead, c.FD(), syscall.ECONNRESET)
	})
	p.sendN(5)
	tr.want("event reading|error: reset")
	r.on(func() {
		var op *net.OpError
		var call *os.SyscallError
		if !errors.As(told, &op) || op.Op != "read" || op.Net != "unix" || !errors.As(told, &call) || call.Syscall != "read" {
			t.Errorf("the error is %#v, want a *net.OpError of read over a *os.SyscallError", told)
		}
		// Writing finds the same connection broken, but that is no news.
		f.fail(sys.OpWrite, c.FD(), syscall.EPIPE)
		if _, err := c.WriteString("x"); err != nil {
			t.Errorf("WriteString: %v", err)
		}
	})
	tr.wantNothing("the failure is told once")
	r.wantIdle("the connection is broken")
}

func TestResetAfterAReadErrorIsNoNews(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	tr := r.trace()
	c, p := r.accept(nil, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(everything)); c.Enable(bev.Reading) })
	f.fail(sys.OpRead, get(r, c.FD), syscall.ECONNRESET)
	p.sendN(5)
	tr.want("event reading|error: reset")
	p.reset()
	tr.wantNothing("the connection had failed before")
	r.wantIdle("the connection has failed")
}

func TestErrorOfAConnWhosePeerHasNoAddress(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	told := make(chan error, 1)
	c, p := r.adopt(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Event: func(_ *bev.Conn, _ bev.Event, err error) { told <- err }})
		c.Enable(bev.Reading)
	})
	fd := get(r, c.FD)
	f.fail(sys.OpRead, fd, syscall.EIO)
	f.fail(sys.OpGetpeername, fd, syscall.ENOTCONN)
	p.sendN(5)
	var oe *net.OpError
	if err := await(t, told, "the error"); !errors.As(err, &oe) || oe.Addr != nil || oe.Source == nil || oe.Net != "unix" {
		t.Fatalf("the error is %#v, want one with the address of this end only", err)
	}
}

func TestBytesComeBeforeAWriteError(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.adopt(nil, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(everything)) })
	p.send("hello")
	r.settle()
	f := inject(t)
	r.on(func() {
		f.fail(sys.OpWrite, c.FD(), syscall.EPIPE)
		c.Enable(bev.Reading)
		if _, err := c.WriteString("x"); err != nil {
			t.Errorf("WriteString: %v", err)
		}
		c.Flush(bev.Writing, bev.FlushNormal)
	})
	tr.want("read 5", "event writing|error: broken pipe")
	tr.wantNothing("the failure is told once")
	if d := get(r, c.Enabled); d != bev.Reading {
		t.Fatalf("after a write error %v is enabled, want reading", d)
	}
	p.send("more")
	tr.want("read 4")
}

func TestBytesThenEndAndWriteErrorInOneEvent(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.adopt(nil, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(everything)) })
	p.send("hello")
	p.close()
	r.settle()
	var told error
	r.on(func() {
		cb := tr.callbacks(everything)
		cb.Event = func(c *bev.Conn, what bev.Event, err error) { told = err; tr.event(c, what, err) }
		c.SetCallbacks(cb)
		c.Enable(bev.Reading)
		if _, err := c.WriteString("x"); err != nil {
			t.Errorf("WriteString: %v", err)
		}
		c.Flush(bev.Writing, bev.FlushNormal)
	})
	tr.want("read 5", "event reading|writing|eof|error: broken pipe")
	tr.wantNothing("both ends of the connection are told in one call")
	r.on(func() {
		if !errors.Is(told, io.EOF) || !errors.Is(told, syscall.EPIPE) {
			t.Errorf("the error %v is not both io.EOF and EPIPE", told)
		}
	})
}

func TestWriteErrorIsToldAtOnceWhileReadingIsSuspended(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.adopt(nil, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(everything)) })
	p.send("hello")
	r.settle()
	f := inject(t)
	f.fail(sys.OpWrite, get(r, c.FD), syscall.EPIPE)
	r.write(c, "x")
	tr.want("event writing|error: broken pipe")
	r.on(func() { c.Enable(bev.Reading) })
	tr.want("read 5")
}

//go:build unix

package bev_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

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

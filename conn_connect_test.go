//go:build unix

package bev_test

import (
	"context"
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

// What becomes of one address is tested here, on real sockets; names, several
// addresses and their race have tests of their own (dial_test.go).

func TestRefusedConnectIsOneErrorEventAfterDialHasReturned(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	nobody := closedPort(t)
	var told error
	cb := tr.callbacks(everything)
	cb.Event = func(c *bev.Conn, what bev.Event, err error) { told = err; tr.event(c, what, err) }
	var c *bev.Conn
	r.on(func() {
		c = r.dialTo(nobody, cb, nil)
		c.WriteString("nobody hears this")
		c.Enable(bev.Reading)
		tr.add("Dial has returned")
	})
	tr.want("Dial has returned", "event error: refused")
	tr.wantNothing("it is told once")
	r.wantIdle("the attempt is over")
	r.on(func() {
		var oe *net.OpError
		var se *os.SyscallError
		if !errors.As(told, &oe) || oe.Op != "dial" || oe.Net != "tcp" || oe.Addr.String() != nobody.Addr().String() || !errors.As(told, &se) || se.Syscall != "connect" {
			t.Errorf("the error is %#v, want package net's", told)
		}
		if c.FD() != -1 || c.Enabled() != 0 || c.Output().Len() != 0 {
			t.Errorf("FD %d, enabled %v, %d bytes in Output, want none of these", c.FD(), c.Enabled(), c.Output().Len())
		}
		if _, err := c.WriteString("x"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after the failure: %v, want net.ErrClosed", err)
		}
		c.Enable(bev.Both)
		c.SetTimeouts(short, short)
	})
	r.pass(4 * short)
	tr.wantNothing("the Conn is good for Close only")
	r.on(func() { closeTwice(t, c) })
}

func TestConnectedThenDataThenTheWriteCallback(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	ln := netListen(t, "tcp", "127.0.0.1:0")
	r.on(func() {
		c := r.dialTo(ln, tr.callbacks(everything), nil)
		c.Enable(bev.Reading)
		c.WriteString("hello")
		tr.add("Dial has returned")
	})
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, nc)
	p.want("hello")
	tr.want("Dial has returned", "event connected", "write")
	p.send("world")
	tr.want("read 5")
	tr.wantNothing("each is told once")
}

func TestConnectWithoutDataRunsNoWriteCallback(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		r := run(t, nil)
		tr := r.trace()
		addr := "127.0.0.1:0"
		if network == "unix" {
			addr = t.TempDir() + "/s"
		}
		ln := netListen(t, network, addr)
		c := r.dialTo(ln, tr.callbacks(everything), nil)
		tr.want("event connected")
		tr.wantNothing("nothing was written")
		r.on(func() { c.Enable(bev.Writing) })
		tr.want("write")
	}
}

func TestConnWhileItConnects(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	tr := r.trace()
	stuck := hungConnect(f)
	c := r.dialTo(netListen(t, "tcp", "127.0.0.1:0"), tr.callbacks(everything), nil)
	r.wantSuspended(c, bev.Reading, bev.ReasonConnecting|bev.ReasonDisabled, "it is not connected yet")
	r.wantSuspended(c, bev.Writing, bev.ReasonConnecting, "it is not connected yet")
	r.on(func() {
		c.Enable(bev.Both)
		c.WriteString("x")
		if c.Flush(bev.Writing, bev.FlushNormal) {
			t.Error("Flush says that bytes were moved")
		}
		if c.LocalAddr() != nil || c.RemoteAddr() != nil {
			t.Errorf("addresses %v and %v, want none yet", c.LocalAddr(), c.RemoteAddr())
		}
		if err := c.SetFD(-1); err == nil {
			t.Error("SetFD of a Conn that is being dialled is accepted")
		}
	})
	tr.wantNothing("it is not connected yet")
	r.wantIdle("it is not connected yet")
	if f.struck(stuck) == 0 {
		t.Fatal("the kernel was asked to connect")
	}
	r.on(func() { closeTwice(t, c) })
	tr.wantNothing("it was closed")
}

// hungConnect has the next connect hang: the kernel is not asked, and the
// socket stays as it is.
func hungConnect(f *faults) *fault { return f.fail(sys.OpConnect, anyFD, syscall.EINPROGRESS) }

func TestConnectTimeoutIsOneShotAndEndsTheAttempt_Libevent669(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	tr := r.trace()
	hungConnect(f)
	var told error
	var start, end time.Time
	cb := tr.callbacks(everything)
	cb.Event = func(c *bev.Conn, what bev.Event, err error) { told, end = err, r.l.Now(); tr.event(c, what, err) }
	ln := netListen(t, "tcp", "127.0.0.1:0")
	var c *bev.Conn
	r.on(func() {
		start = r.l.Now()
		c = r.dialTo(ln, cb, &bev.DialOptions{Timeout: short})
		c.SetTimeouts(1, 1) // have no say before it is connected
		c.Enable(bev.Reading)
		c.WriteString("x")
	})
	tr.want("event error|timeout")
	r.pass(4 * short)
	tr.wantNothing("it is one shot")
	r.on(func() {
		if d := end.Sub(start); d < short {
			t.Errorf("a timeout of %v ended after %v", short, d)
		}
		var oe *net.OpError
		if !errors.Is(told, os.ErrDeadlineExceeded) || !errors.As(told, &oe) || oe.Op != "dial" || !oe.Timeout() {
			t.Errorf("the error is %v", told)
		}
		if c.FD() != -1 {
			t.Error("the attempt has not ended")
		}
	})
}

func TestConnectTimeoutIsOverOnceConnected(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	r.dial(tr.callbacks(everything), &bev.DialOptions{Timeout: 100 * short})
	tr.want("event connected")
	r.pass(200 * short)
	tr.wantNothing("it is connected")
}

func TestContextEndsAnAttemptAndNothingElse(t *testing.T) {
	cause := errors.New("no longer wanted")
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	for _, test := range []struct {
		name string
		want string
		is   error
	}{
		{"ended before", "event error", cause},
		{"deadline", "event error|timeout", context.DeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, nil)
			f := inject(t)
			tr := r.trace()
			ln := netListen(t, "tcp", "127.0.0.1:0")
			ctx := ended
			if test.name == "deadline" {
				stuck := hungConnect(f)
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(context.Background(), short)
				defer cancel()
				stuck.hits++ // on a busy machine it may be too late to begin
			}
			var told error
			_, err := bev.Dial(ctx, r.l, "tcp", ln.Addr().String(), bev.Callbacks{Event: func(c *bev.Conn, what bev.Event, err error) {
				told = err
				tr.add("event %v", what)
			}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			tr.want(test.want)
			tr.wantNothing("it is told once")
			r.on(func() {
				if !errors.Is(told, test.is) {
					t.Errorf("the error is %v, want %v", told, test.is)
				}
			})
		})
	}

	t.Run("canceled while connecting", func(t *testing.T) {
		r := run(t, nil)
		f := inject(t)
		tr := r.trace()
		hungConnect(f)
		ctx, cancel := context.WithCancelCause(context.Background())
		ln := netListen(t, "tcp", "127.0.0.1:0")
		if _, err := bev.Dial(ctx, r.l, "tcp", ln.Addr().String(), tr.callbacks(0), nil); err != nil {
			t.Fatal(err)
		}
		tr.wantNothing("it is still trying")
		cancel(syscall.EIO)
		tr.want("event error: I/O error")
	})

	t.Run("canceled when connected", func(t *testing.T) {
		r := run(t, nil)
		tr := r.trace()
		ctx, cancel := context.WithCancel(context.Background())
		ln := netListen(t, "tcp", "127.0.0.1:0")
		c, err := bev.Dial(ctx, r.l, "tcp", ln.Addr().String(), tr.callbacks(0), nil)
		if err != nil {
			t.Fatal(err)
		}
		tr.want("event connected")
		cancel()
		tr.wantNothing("the context has no meaning any more")
		r.wantOpen(c, "the context has no meaning any more")
	})

	t.Run("canceled when closed", func(t *testing.T) {
		r := run(t, nil)
		f := inject(t)
		tr := r.trace()
		hungConnect(f)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		ln := netListen(t, "tcp", "127.0.0.1:0")
		c, err := bev.Dial(ctx, r.l, "tcp", ln.Addr().String(), tr.callbacks(0), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.settle()
		// Both at once: the context's end is posted and finds a closed Conn.
		r.on(func() { cancel(); c.Close() })
		tr.wantNothing("it was closed")
	})
}

func TestConnAddresses(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.dial(tr.callbacks(everything), &bev.DialOptions{LocalAddr: "127.0.0.1:0"})
	tr.want("event connected")
	r.on(func() {
		if l, w := c.LocalAddr().String(), p.RemoteAddr().String(); l != w {
			t.Errorf("LocalAddr is %s, the peer says %s", l, w)
		}
		if l, w := c.RemoteAddr().String(), p.LocalAddr().String(); l != w {
			t.Errorf("RemoteAddr is %s, the peer says %s", l, w)
		}
		if _, ok := c.RemoteAddr().(*net.TCPAddr); !ok {
			t.Errorf("RemoteAddr is a %T", c.RemoteAddr())
		}
		remote := c.RemoteAddr().String()
		c.Close()
		if c.RemoteAddr() == nil || c.RemoteAddr().String() != remote {
			t.Errorf("after Close RemoteAddr is %v, was %s", c.RemoteAddr(), remote)
		}
	})
}

func TestConnectToTheOtherLoopsEcho(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		server := run(t, o)
		ln := server.listen("tcp", "127.0.0.1:0", echo, nil)
		client := run(t, o)
		tr := client.trace()
		c := client.dialTo(ln, tr.callbacks(everything), nil)
		client.on(func() { c.Enable(bev.Reading); c.WriteString("hello") })
		tr.want("event connected", "write", "read 5")
		tr.wantData("hello")
		client.on(func() { c.CloseWrite() })
		tr.want("event reading|eof")
	})
}

// echo is the naive echo server's accept function.
func echo(c *bev.Conn) {
	c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
	c.Enable(bev.Reading)
}

func TestConnectOverIPv6(t *testing.T) {
	needIPv6(t)
	r := run(t, nil)
	ln := r.listen("tcp6", "[::1]:0", echo, nil)
	tr := r.trace()
	c := r.dialTo(ln, tr.callbacks(everything), nil)
	r.on(func() { c.Enable(bev.Reading); c.WriteString("hello") })
	tr.want("event connected", "write", "read 5")
	if a := get(r, func() string { return c.RemoteAddr().String() }); a != ln.Addr().String() {
		t.Fatalf("RemoteAddr is %s, want %s", a, ln.Addr())
	}
}

func TestDialledConnIsClosedWithItsLoopAtAnyStage(t *testing.T) {
	for _, stage := range []string{"before Run", "connecting", "connected"} {
		t.Run(stage, func(t *testing.T) {
			r := newRig(t, nil)
			f := inject(t)
			ln := netListen(t, "tcp", "127.0.0.1:0")
			if stage == "connecting" {
				hungConnect(f)
			}
			tr := r.trace()
			c := r.dialTo(ln, tr.callbacks(0), nil)
			if stage != "before Run" {
				r.start(t.Context())
				if stage == "connected" {
					tr.want("event connected")
				}
				r.settle()
			}
			if err := r.l.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			if stage != "before Run" {
				if err := r.wait(); !errors.Is(err, net.ErrClosed) {
					t.Fatalf("Run returned %v, want net.ErrClosed", err)
				}
			}
			if !c.Closed() {
				t.Fatal("the Conn is not closed")
			}
			if _, err := bev.Dial(t.Context(), r.l, "tcp", ln.Addr().String(), bev.Callbacks{}, nil); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("Dial on a closed Loop: %v, want net.ErrClosed", err)
			}
		})
	}
}

func TestPeerThatIsGoneBeforeTheLoopLooksIsConnectedThenEnded(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	ln := netListen(t, "tcp", "127.0.0.1:0")
	held, free := make(chan struct{}), make(chan struct{})
	r.on(func() {
		c := r.dialTo(ln, tr.callbacks(everything), nil)
		r.l.Post(func() { c.Enable(bev.Reading); close(held); <-free })
	})
	await(t, held, "the loop to be held")
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(nc, "bye"); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	close(free)
	tr.want("event connected", "read 3", "event reading|eof")
}

//go:build unix

package bev_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/bevgo/bev"
)

// view is bev.NetConn on the loop. The net.Conn is closed at the end of the
// test, like everything else of the loop's.
func (r *rig) view(c *bev.Conn) net.Conn {
	r.t.Helper()
	return get(r, func() net.Conn { return bev.NetConn(c) })
}

// acceptView and adoptView are accept and adopt for the blocking view.
func (r *rig) acceptView(o *bev.ConnOptions) (net.Conn, *bev.Conn, *peer) {
	r.t.Helper()
	c, p := r.accept(o, nil)
	return r.view(c), c, p
}

func (r *rig) adoptView(o *bev.ConnOptions) (net.Conn, *bev.Conn, *peer) {
	r.t.Helper()
	c, p := r.adopt(o, nil)
	return r.view(c), c, p
}

// result is what a call on another goroutine returned.
type result struct {
	n   int
	err error
}

// start runs a call that is to block on a goroutine of its own.
func start(call func() (int, error)) <-chan result {
	done := make(chan result, 1)
	go func() {
		n, err := call()
		done <- result{n, err}
	}()
	return done
}

// reading starts a Read of a view that has nothing to read.
func reading(nc net.Conn) <-chan result {
	return start(func() (int, error) { return nc.Read(make([]byte, 100)) })
}

// wantBlocked fails the test unless the call is still waiting once everything
// else has come to rest.
func (r *rig) wantBlocked(done <-chan result, why string) {
	r.t.Helper()
	r.settle()
	for range 1000 {
		runtime.Gosched()
	}
	select {
	case got := <-done:
		r.t.Fatalf("%s: the call returned %d, %v, it should wait", why, got.n, got.err)
	default:
	}
}

// wantNetError says that err is package net's way of putting want.
func wantNetError(t *testing.T, err error, op string, want error) {
	t.Helper()
	var oe *net.OpError
	switch {
	case !errors.As(err, &oe):
		t.Fatalf("error is %T %v, want a *net.OpError over %v", err, err, want)
	case oe.Op != op, !errors.Is(err, want):
		t.Fatalf("error is %v, want %s: %v", err, op, want)
	case oe.Addr == nil || oe.Source == nil || oe.Net == "":
		t.Fatalf("error %#v lacks an address", oe)
	case oe.Timeout() != errors.Is(want, os.ErrDeadlineExceeded):
		t.Fatalf("error %v has Timeout() %v", err, oe.Timeout())
	}
}

func wantRead(t *testing.T, nc io.Reader, s string) {
	t.Helper()
	b := make([]byte, len(s))
	if n, err := io.ReadFull(nc, b); err != nil || string(b) != s {
		t.Fatalf("Read %q, %v, want %q", b[:n], err, s)
	}
}

func netWrite(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if n, err := io.WriteString(w, s); n != len(s) || err != nil {
		t.Fatalf("Write = %d, %v, want all of %d bytes", n, err, len(s))
	}
}

// eachView runs f for a view of each kind of Conn, with a peer that is not bev
// or, for the kinds that live in memory, the view of the other end.
func eachView(t *testing.T, f func(t *testing.T, r *rig, nc, peer net.Conn)) {
	kinds := []struct {
		name string
		make func(r *rig) (nc, peer net.Conn)
	}{
		{"accepted", func(r *rig) (net.Conn, net.Conn) {
			nc, _, p := r.acceptView(nil)
			return nc, p.Conn
		}},
		{"dialled", func(r *rig) (net.Conn, net.Conn) {
			c, p := r.dial(bev.Callbacks{}, nil)
			return r.view(c), p.Conn
		}},
		{"adopted", func(r *rig) (net.Conn, net.Conn) {
			nc, _, p := r.adoptView(nil)
			return nc, p.Conn
		}},
		{"pair", func(r *rig) (net.Conn, net.Conn) {
			a, b := r.pair(nil)
			return r.view(a), r.view(b)
		}},
		{"filter", func(r *rig) (net.Conn, net.Conn) {
			c, p := r.accept(nil, nil)
			return get(r, func() net.Conn {
				f, err := bev.NewFilter(c, nil, nil)
				if err != nil {
					r.t.Errorf("NewFilter: %v", err)
					return nil
				}
				return bev.NetConn(f)
			}), p.Conn
		}},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			r := run(t, nil)
			nc, peer := k.make(r)
			f(t, r, nc, peer)
		})
	}
}

func (r *rig) pair(o *bev.ConnOptions) (a, b *bev.Conn) {
	r.t.Helper()
	r.on(func() {
		var err error
		if a, b, err = bev.Pair(r.l, o); err != nil {
			r.t.Errorf("Pair: %v", err)
		}
	})
	return a, b
}

func TestNetConnConverses(t *testing.T) {
	eachView(t, func(t *testing.T, r *rig, nc, peer net.Conn) {
		const size = 3 << 20 // more than all buffers on the way hold together
		sent := make(chan error, 1)
		go func() {
			_, err := nc.Write(part(0, size))
			if err == nil {
				err = nc.(interface{ CloseWrite() error }).CloseWrite()
			}
			sent <- err
		}()
		echoed := make(chan error, 1)
		go func() {
			_, err := io.Copy(peer, struct{ io.Reader }{peer})
			if err == nil {
				err = peer.(interface{ CloseWrite() error }).CloseWrite()
			}
			echoed <- err
		}()
		got, err := io.ReadAll(nc)
		if err != nil || !bytes.Equal(got, part(0, size)) {
			t.Fatalf("got %d bytes back, %v, want %d and the end", len(got), err, size)
		}
		for _, done := range []chan error{sent, echoed} {
			if err := await(t, done, "the end of one half"); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := nc.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Fatalf("Read behind the end = %d, %v, want io.EOF again", n, err)
		}
		if err := nc.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	})
}

func TestNetConnReadsAnyWay(t *testing.T) {
	eachView(t, func(t *testing.T, r *rig, nc, peer net.Conn) {
		want := part(0, 5000)
		if _, err := peer.Write(want); err != nil {
			t.Fatal(err)
		}
		if err := peer.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(nc, want); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNetConnIsOne(t *testing.T) {
	r := run(t, nil)
	nc, c, _ := r.adoptView(nil)
	if again := r.view(c); again != nc {
		t.Errorf("a second NetConn is %p, want the first one, %p", again, nc)
	}
	r.on(func() { c.Close() })
	closed := get(r, func() net.Conn {
		c, _ := bev.NewConn(r.l, -1, nil)
		c.Close()
		return bev.NetConn(c)
	})
	_, err := closed.Read(make([]byte, 1))
	wantNetError(t, err, "read", net.ErrClosed)
	if err := closed.Close(); err != nil {
		t.Errorf("the first Close of the view of a closed Conn: %v", err)
	}
}

// What a Conn has read and written before it becomes a net.Conn is not lost.
func TestNetConnTakesOver(t *testing.T) {
	r := run(t, nil)
	c, p := r.adopt(nil, func(c *bev.Conn) { c.Enable(bev.Reading) })
	p.send("hello")
	r.wantInput(c, 5, "nobody takes it")
	nc := get(r, func() net.Conn {
		c.WriteString("before ")
		return bev.NetConn(c)
	})
	wantRead(t, nc, "hello")
	netWrite(t, nc, "after")
	p.want("before after")

	c, p = r.adopt(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Event: func(*bev.Conn, bev.Event, error) {}})
		c.Enable(bev.Reading)
	})
	p.send("end")
	p.halfClose()
	r.settle()
	nc = r.view(c)
	wantRead(t, nc, "end")
	if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read of a Conn that had read the end before: %v, want io.EOF", err)
	}
	r.on(func() { c.CloseWrite() })
	r.settle()
	c, _ = r.adopt(nil, func(c *bev.Conn) { c.CloseWrite() })
	_, err := r.view(c).Write([]byte("x"))
	wantNetError(t, err, "write", net.ErrClosed)
}

// A net.Conn may be had before its Conn is connected.
func TestNetConnWhileDialling(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp", "127.0.0.1:0")
	release := r.hold()
	c := r.dialTo(ln, bev.Callbacks{}, nil)
	made := make(chan net.Conn, 1)
	if err := r.l.Post(func() { made <- bev.NetConn(c) }); err != nil {
		t.Fatal(err)
	}
	release()
	nc := await(t, made, "NetConn")
	netWrite(t, nc, "hello")
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, accepted)
	p.want("hello")
	r.until(func() bool { return nc.RemoteAddr().String() == ln.Addr().String() }, "the address of the peer")
	if local := nc.LocalAddr().String(); local != p.RemoteAddr().String() {
		t.Errorf("LocalAddr is %s, the peer sees %s", local, p.RemoteAddr())
	}

	addr := ln.Addr()
	ln.Close()
	c, err = bev.Dial(context.Background(), r.l, "tcp", addr.String(), bev.Callbacks{Event: func(*bev.Conn, bev.Event, error) {}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	nc = r.view(c)
	if _, err := nc.Read(make([]byte, 1)); err == nil {
		t.Error("Read of what was never connected succeeds")
	}
	_, err = nc.Write([]byte("x"))
	if err == nil {
		t.Error("Write to what was never connected succeeds")
	}
}

func TestNetConnOfAPipe(t *testing.T) {
	r := run(t, nil)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pw.Close()
	nc := get(r, func() net.Conn {
		c, err := bev.NewConn(r.l, pr, nil)
		if err != nil {
			t.Errorf("NewConn: %v", err)
			return nil
		}
		return bev.NetConn(c)
	})
	io.WriteString(pw, "hello")
	wantRead(t, nc, "hello")
	for _, a := range []net.Addr{nc.LocalAddr(), nc.RemoteAddr()} {
		if a == nil || a.Network() == "" || a.String() == "" {
			t.Errorf("a pipe has the address %v", a)
		}
	}
}

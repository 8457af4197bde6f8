//go:build unix

package nettest

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// runLoop runs a Loop for the length of a test.
func runLoop(t *testing.T) *bev.Loop {
	t.Helper()
	l, err := bev.NewLoop(nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run(context.Background()) }()
	t.Cleanup(func() {
		l.Stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		l.Close()
	})
	return l
}

// listen is bev.NetListen on an address that is free.
func listen(t *testing.T, l *bev.Loop, network string) net.Listener {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "socket")
	}
	ln, err := bev.NetListen(l, network, addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// dialers make the other end of what a listener of bev accepts.
var dialers = map[string]func(l *bev.Loop, to net.Addr) (net.Conn, error){
	"net": func(_ *bev.Loop, to net.Addr) (net.Conn, error) { return net.Dial(to.Network(), to.String()) },
	"bev": dial,
}

// dial connects a blocking view: it is made on EventConnected.
func dial(l *bev.Loop, to net.Addr) (net.Conn, error) {
	type dialled struct {
		nc  net.Conn
		err error
	}
	done := make(chan dialled, 1)
	_, err := bev.Dial(context.Background(), l, to.Network(), to.String(), bev.Callbacks{
		Event: func(c *bev.Conn, what bev.Event, err error) {
			if what&bev.EventConnected != 0 {
				done <- dialled{nc: bev.NetConn(c)}
				return
			}
			done <- dialled{err: err}
			c.Close()
		},
	}, nil)
	if err != nil {
		return nil, err
	}
	d := <-done
	return d.nc, d.err
}

// closer returns a function that closes both ends.
func closer(a, b net.Conn) func() {
	return func() {
		a.Close()
		b.Close()
	}
}

func TestSockets(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for by, dial := range dialers {
			t.Run(network+" dialled by "+by, func(t *testing.T) {
				l := runLoop(t)
				ln := listen(t, l, network)
				nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
					a, err := dial(l, ln.Addr())
					if err != nil {
						return nil, nil, nil, err
					}
					b, err := ln.Accept()
					if err != nil {
						a.Close()
						return nil, nil, nil, err
					}
					return a, b, closer(a, b), nil
				})
			})
		}
	}
}

func TestPair(t *testing.T) {
	l := runLoop(t)
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		return onLoop(l, func() (net.Conn, net.Conn, error) {
			a, b, err := bev.Pair(l, nil)
			if err != nil {
				return nil, nil, err
			}
			return bev.NetConn(a), bev.NetConn(b), nil
		})
	})
}

// TestFilter puts a filter that changes nothing on both ends of a pair.
func TestFilter(t *testing.T) {
	l := runLoop(t)
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		return onLoop(l, func() (net.Conn, net.Conn, error) {
			a, b, err := bev.Pair(l, nil)
			if err != nil {
				return nil, nil, err
			}
			over := func(c *bev.Conn) *bev.Conn {
				f, filterErr := bev.NewFilter(c, nil, nil)
				if filterErr != nil {
					err = filterErr
				}
				return f
			}
			a, b = over(a), over(b)
			if err != nil {
				return nil, nil, err
			}
			return bev.NetConn(a), bev.NetConn(b), nil
		})
	})
}

// onLoop makes two ends on the loop.
func onLoop(l *bev.Loop, pipe func() (a, b net.Conn, err error)) (a, b net.Conn, stop func(), err error) {
	done := make(chan struct{})
	postErr := l.Post(func() {
		defer close(done)
		a, b, err = pipe()
	})
	if postErr != nil {
		return nil, nil, nil, postErr
	}
	if <-done; err != nil {
		return nil, nil, nil, err
	}
	return a, b, closer(a, b), nil
}

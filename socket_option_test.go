//go:build unix

package bev_test

import (
	"errors"
	"math"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// keepAlive is what Conn.KeepAlive returns, to compare.
type keepAlive struct {
	idle, interval time.Duration
	count          int
}

func keepAliveOf(t *testing.T, c *bev.Conn) (k keepAlive) {
	t.Helper()
	var err error
	if k.idle, k.interval, k.count, err = c.KeepAlive(); err != nil {
		t.Errorf("KeepAlive: %v", err)
	}
	return k
}

func TestKeepAliveOptions(t *testing.T) {
	if runtime.GOOS == "openbsd" {
		t.Skip("openbsd has them for the whole system only")
	}
	const s = time.Second
	r := run(t, nil)
	for _, test := range []struct {
		opts bev.ConnOptions
		want keepAlive
	}{
		{bev.ConnOptions{}, keepAlive{bev.DefaultKeepAlive, bev.DefaultKeepAliveInterval, bev.DefaultKeepAliveCount}},
		{bev.ConnOptions{KeepAlive: 7 * s, KeepAliveInterval: 1500 * time.Millisecond, KeepAliveCount: 3}, keepAlive{7 * s, 2 * s, 3}},
		{bev.ConnOptions{KeepAlive: math.MaxInt64, KeepAliveInterval: math.MaxInt64, KeepAliveCount: math.MaxInt}, keepAlive{32767 * s, 32767 * s, 127}},
	} {
		tr := r.trace()
		accepted, _ := r.accept(&test.opts, nil)
		dialled, _ := r.dial(tr.callbacks(0), &bev.DialOptions{Conn: &test.opts})
		tr.want("event connected")
		r.on(func() {
			for _, c := range []*bev.Conn{accepted, dialled} {
				if got := keepAliveOf(t, c); got != test.want {
					t.Errorf("%+v: keep-alive is %+v, want %+v", test.opts, got, test.want)
				}
			}
		})
	}
	c, _ := r.accept(&bev.ConnOptions{KeepAlive: -1, KeepAliveInterval: -1, KeepAliveCount: -1}, nil)
	r.on(func() {
		if got := keepAliveOf(t, c); got.idle >= 0 {
			t.Errorf("turned off: keep-alive is %+v", got)
		}
		if err := c.SetKeepAlive(3*s, 2*s, 1); err != nil {
			t.Errorf("SetKeepAlive: %v", err)
		}
		if got, want := keepAliveOf(t, c), (keepAlive{3 * s, 2 * s, 1}); got != want {
			t.Errorf("set: keep-alive is %+v, want %+v", got, want)
		}
		if err := c.SetKeepAlive(-1, 0, 0); err != nil || keepAliveOf(t, c).idle >= 0 {
			t.Errorf("turned off by the setter: %+v, %v", keepAliveOf(t, c), err)
		}
	})
}

func TestUserTimeoutOption(t *testing.T) {
	r := run(t, nil)
	o := &bev.ConnOptions{UserTimeout: 1500 * time.Microsecond}
	if runtime.GOOS != "linux" {
		if _, err := bev.Listen(r.l, "tcp", "127.0.0.1:0", echo, &bev.ListenOptions{Conn: o}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Listen: %v, want ErrUnsupported", err)
		}
		return
	}
	tr := r.trace()
	accepted, _ := r.accept(o, nil)
	dialled, _ := r.dial(tr.callbacks(0), &bev.DialOptions{Conn: o})
	tr.want("event connected")
	r.on(func() {
		for _, c := range []*bev.Conn{accepted, dialled} {
			want := 2 * time.Millisecond // rounded up
			for _, set := range []time.Duration{time.Minute, math.MaxInt64, -1} {
				if d, err := c.UserTimeout(); d != want || err != nil {
					t.Errorf("UserTimeout is %v, %v, want %v", d, err, want)
				}
				if err := c.SetUserTimeout(set); err != nil {
					t.Errorf("SetUserTimeout(%v): %v", set, err)
				}
				want = max(min(set, math.MaxInt32*time.Millisecond), 0)
			}
		}
	})
}

func TestTCPOptionsOfAConnThatHasNoTCP(t *testing.T) {
	r := run(t, nil)
	unix, _ := r.adopt(nil, nil)
	none := r.adoptFrom(-1, nil)
	closed, _ := r.accept(nil, func(c *bev.Conn) { c.Close() })
	r.on(func() {
		end, _, err := bev.Pair(r.l, nil)
		if err != nil {
			t.Errorf("Pair: %v", err)
			return
		}
		for _, c := range []*bev.Conn{unix, none, closed, end} {
			_, _, _, err := c.KeepAlive()
			_, userErr := c.UserTimeout()
			for _, err := range []error{err, userErr, c.SetKeepAlive(time.Second, 0, 0), c.SetUserTimeout(0)} {
				if err == nil {
					t.Error("a Conn without a TCP socket has its options")
				}
				if (c == closed) != errors.Is(err, net.ErrClosed) {
					t.Errorf("closed %v: %v", c == closed, err)
				}
			}
		}
	})
}

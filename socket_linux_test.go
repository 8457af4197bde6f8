package bev_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

func TestKeepAliveTimesAreThoseOfTheOptions(t *testing.T) {
	r := run(t, nil)
	for _, test := range []struct {
		option time.Duration
		idle   int // seconds
	}{{0, 300}, {7 * time.Second, 7}, {1500 * time.Millisecond, 2}} {
		c, _ := r.accept(&bev.ConnOptions{KeepAlive: test.option}, nil)
		r.on(func() {
			for _, opt := range []struct{ name, want int }{
				{syscall.TCP_KEEPIDLE, test.idle}, {syscall.TCP_KEEPINTVL, 15}, {syscall.TCP_KEEPCNT, 9},
			} {
				if n := option(t, c.FD(), syscall.IPPROTO_TCP, opt.name); n != opt.want {
					t.Errorf("KeepAlive %v: option %d is %d, want %d", test.option, opt.name, n, opt.want)
				}
			}
		})
	}
}

func TestListenFailsWhereTheUserTimeoutDoes(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	// After reuse, delay, keep-alive and its three values.
	f.add(&fault{op: sys.OpSetsockopt, fd: anyFD, skip: 6, times: 1, limit: -1, err: syscall.ENOPROTOOPT})
	_, err := bev.Listen(r.l, "tcp", "127.0.0.1:0", echo, &bev.ListenOptions{Conn: &bev.ConnOptions{UserTimeout: time.Second}})
	if !errors.Is(err, syscall.ENOPROTOOPT) || !strings.Contains(err.Error(), "UserTimeout") {
		t.Errorf("Listen: %v, want ENOPROTOOPT and the option's name", err)
	}
}

// A port that bind has chosen is one connection's alone, whoever it goes to.
func TestDialFromALocalAddressLeavesThePortToConnect(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	for local, want := range map[string]int{"127.0.0.1:0": 1, "": 0} {
		tr := r.trace()
		c := r.dialTo(ln, tr.callbacks(everything), &bev.DialOptions{LocalAddr: local})
		tr.want("event connected")
		r.on(func() {
			if n := option(t, c.FD(), syscall.IPPROTO_IP, 0x18); n != want { // IP_BIND_ADDRESS_NO_PORT
				t.Errorf("LocalAddr %q: IP_BIND_ADDRESS_NO_PORT is %d, want %d", local, n, want)
			}
		})
	}
}

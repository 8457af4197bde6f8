package bev_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
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

//go:build unix

package bev_test

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// hang has connects hang from now on: they are under way, and the kernel does
// not know of them.
func hang(f *faults, times int) *fault {
	return f.failTimes(times, sys.OpConnect, anyFD, syscall.EINPROGRESS)
}

func TestDialStaggersAttempts(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	f := inject(t)
	hang(f, 2)
	closes := 0
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	told := make(chan bev.Event, 1)
	_, err := bev.Dial(t.Context(), r.l, "tcp", "server.test:"+port, bev.Callbacks{
		Event: func(_ *bev.Conn, what bev.Event, err error) {
			closes = f.count(sys.OpClose)
			told <- what
		},
	}, &bev.DialOptions{AttemptDelay: time.Hour, Resolver: answers("127.0.0.3", "127.0.0.2", "127.0.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first attempt", func() bool { return f.count(sys.OpConnect) == 1 })
	r.skip(50 * time.Minute)
	if n := f.count(sys.OpConnect); n != 1 {
		t.Fatalf("%d attempts before the delay has passed, want 1", n)
	}
	f.reset()
	r.skip(10 * time.Minute)
	if n := f.count(sys.OpConnect); n != 1 {
		t.Fatalf("%d more attempts when the delay has passed, want 1", n)
	}
	r.skip(50 * time.Minute)
	if n := f.count(sys.OpConnect); n != 1 {
		t.Fatalf("a third attempt after %d, and the delay has not passed again", n)
	}
	if n := f.count(sys.OpClose); n != 0 {
		t.Fatalf("%d sockets were closed: an attempt goes on when the next begins", n)
	}
	r.skip(10 * time.Minute)
	if what := await(t, told, "the third attempt to succeed"); what != bev.EventConnected {
		t.Fatalf("told %v", what)
	}
	if closes != 2 {
		t.Errorf("%d of the 2 others were closed when EventConnected was told", closes)
	}
	if s := r.settle(); s.Timers != 0 || s.Conns != 1 {
		t.Errorf("after a Dial the loop has %d timers and %d Conns, want 0 and 1", s.Timers, s.Conns)
	}
}

// The first attempt is slow; it succeeds while a later one is under way.
func TestDialFirstSuccessWins(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	f := inject(t)
	// The kernel has connected it at once, and is not asked about it.
	slow := f.fail(sys.OpGetpeername, anyFD, syscall.ENOTCONN)
	f.add(&fault{op: sys.OpConnect, fd: anyFD, skip: 1, times: 1, limit: -1, err: syscall.EINPROGRESS})
	c, tr := r.dialName(t.Context(), "tcp", ln, &bev.DialOptions{
		AttemptDelay: time.Hour, Resolver: answers("127.0.0.1", "127.0.0.2", "127.0.0.3"),
	})
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, nc)
	eventually(t, "the first attempt to look unfinished", func() bool { return f.struck(slow) == 1 })
	r.skip(time.Hour)
	if n := f.count(sys.OpConnect); n != 2 {
		t.Fatalf("%d attempts, want 2", n)
	}
	p.send("!") // readiness is reported again
	tr.want("event connected")
	if n := f.count(sys.OpClose); n != 1 {
		t.Errorf("%d sockets closed when EventConnected was told, want the other one", n)
	}
	r.skip(10 * time.Hour)
	if n := f.count(sys.OpConnect); n != 2 {
		t.Errorf("%d attempts: the third address is not needed any more", n)
	}
	if got := get(r, c.RemoteAddr).String(); got != ln.Addr().String() {
		t.Errorf("RemoteAddr is %v, want %v", got, ln.Addr())
	}
}

func TestDialAttemptDelay(t *testing.T) {
	for set, want := range map[time.Duration]time.Duration{
		0:                       250 * time.Millisecond,
		time.Millisecond:        10 * time.Millisecond,
		time.Second:             time.Second,
		-1:                      -1,
		bev.DefaultAttemptDelay: 250 * time.Millisecond,
	} {
		if got := (bev.DialOptions{AttemptDelay: set}).Delay(); got != want {
			t.Errorf("AttemptDelay %v means %v, want %v", set, got, want)
		}
	}
}

// The sum of the time and the longest delay there is is not in the past.
func TestDialDelayOfTheLongestDuration(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	hang(f, -1)
	cb, _ := outcomes()
	_, err := bev.Dial(t.Context(), r.l, "tcp", "server.test:80", cb, &bev.DialOptions{
		AttemptDelay: math.MaxInt64, AttemptTimeout: time.Hour, Resolver: answers("192.0.2.1", "192.0.2.2"),
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first attempt", func() bool { return f.count(sys.OpConnect) > 0 })
	r.skip(time.Second)
	if n := f.count(sys.OpConnect); n != 1 {
		t.Errorf("%d attempts began, want one", n)
	}
}

func TestDialOneAfterTheOther(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	f := inject(t)
	hang(f, 1)
	_, tr := r.dialName(t.Context(), "tcp", ln, &bev.DialOptions{
		AttemptDelay: -1, AttemptTimeout: 1000 * time.Hour, Resolver: answers("127.0.0.2", "127.0.0.1"),
	})
	eventually(t, "the first attempt", func() bool { return f.count(sys.OpConnect) == 1 })
	r.skip(999 * time.Hour)
	if n := f.count(sys.OpConnect); n != 1 {
		t.Fatalf("%d attempts, although a negative delay means one after the other", n)
	}
	r.skip(time.Hour)
	tr.want("event connected")
}

func TestDialBoundsTheSocketsThatRace(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	hang(f, -1)
	addrs := make([]string, bev.MaxRacing+8)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String()
	}
	cb, ch := outcomes()
	_, err := bev.Dial(t.Context(), r.l, "tcp", "server.test:80", cb, &bev.DialOptions{
		AttemptDelay: time.Second, AttemptTimeout: time.Hour, Resolver: answers(addrs...),
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first attempt", func() bool { return f.count(sys.OpConnect) == 1 })
	for range len(addrs) {
		r.skip(time.Second)
	}
	if n := f.count(sys.OpConnect); n != bev.MaxRacing {
		t.Fatalf("%d sockets race, want %d", n, bev.MaxRacing)
	}
	for range 8 {
		r.skip(time.Hour) // all that are old enough go at once, and the next begin
		for range len(addrs) {
			r.skip(time.Second)
		}
	}
	err = await(t, ch, "the Dial to fail")
	if n := f.count(sys.OpConnect); n != len(addrs) {
		t.Errorf("%d addresses of %d were tried", n, len(addrs))
	}
	for _, a := range addrs {
		if !strings.Contains(err.Error(), a+":80: ") {
			t.Errorf("the error does not name %s", a)
		}
	}
}

func TestDialAttemptTimeout(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	f := inject(t)
	hang(f, 1)
	_, tr := r.dialName(t.Context(), "tcp", ln, &bev.DialOptions{
		AttemptDelay: 1000 * time.Hour, AttemptTimeout: time.Hour, Resolver: answers("127.0.0.2", "127.0.0.1"),
	})
	eventually(t, "the first attempt", func() bool { return f.count(sys.OpConnect) == 1 })
	r.skip(59 * time.Minute)
	tr.wantNothing("the first attempt has a minute left")
	r.skip(time.Minute)
	tr.want("event connected")
}

func TestDialEveryAttemptTimesOut(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	hang(f, -1)
	cb, ch := outcomes()
	_, err := bev.Dial(t.Context(), r.l, "tcp", "server.test:80", cb, &bev.DialOptions{
		AttemptDelay: time.Minute, AttemptTimeout: time.Hour, Resolver: answers("192.0.2.1", "192.0.2.2"),
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first attempt", func() bool { return f.count(sys.OpConnect) == 1 })
	r.skip(time.Minute)
	r.skip(time.Hour)
	err = await(t, ch, "the Dial to fail")
	wantTimeout(t, err)
	for _, text := range []string{"192.0.2.1:80: i/o timeout", "192.0.2.2:80: i/o timeout"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the text has no %q: %v", text, err)
		}
	}
}

func wantTimeout(t *testing.T, err error) {
	t.Helper()
	var timeout net.Error
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		t.Errorf("not os.ErrDeadlineExceeded: %v", err)
	case !errors.As(err, &timeout) || !timeout.Timeout():
		t.Errorf("not a timeout to net.Error: %v", err)
	case !strings.HasPrefix(err.Error(), "error|timeout: "):
		t.Errorf("not told as EventError|EventTimeout: %v", err)
	}
}

//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sys

import (
	"errors"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func option(t *testing.T, fd, level, name int) int {
	t.Helper()
	n, err := unix.GetsockoptInt(fd, level, name)
	must(t, err)
	return n
}

func TestBoolOptions(t *testing.T) {
	for _, tc := range []struct {
		name        string
		set         func(int, bool) error
		level, code int
		family      Family
	}{
		{"NoDelay", SetNoDelay, unix.IPPROTO_TCP, unix.TCP_NODELAY, Inet4},
		{"ReuseAddr", SetReuseAddr, unix.SOL_SOCKET, unix.SO_REUSEADDR, Inet4},
		{"ReusePort", SetReusePort, unix.SOL_SOCKET, reusePort, Inet4},
		{"V6Only", SetV6Only, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, Inet6},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.family == Inet6 {
				needIPv6(t)
			}
			fd, err := Socket(tc.family, Stream)
			must(t, err)
			own(t, fd)
			for _, on := range []bool{true, false, true} {
				must(t, tc.set(fd, on))
				if got := option(t, fd, tc.level, tc.code) != 0; got != on {
					t.Errorf("set %v, is %v", on, got)
				}
			}
			if err := tc.set(-1, true); !errors.Is(err, syscall.EBADF) {
				t.Errorf("without a descriptor: %v", err)
			}
		})
	}
}

func TestBuffers(t *testing.T) {
	a, _ := tcpPair(t)
	must(t, SetRecvBuffer(a, 32<<10))
	must(t, SetSendBuffer(a, 48<<10))
	if n, err := RecvBuffer(a); n < 32<<10 || n > 64<<10 || err != nil {
		t.Errorf("receive buffer %d, %v", n, err)
	}
	if n, err := SendBuffer(a); n < 48<<10 || n > 96<<10 || err != nil {
		t.Errorf("send buffer %d, %v", n, err)
	}
}

func TestLinger(t *testing.T) {
	a, _ := tcpPair(t)
	for _, tc := range []struct {
		d      time.Duration
		on     int32
		linger int32
	}{{0, 1, 0}, {-1, 0, 0}, {1, 1, 1}, {1500 * time.Millisecond, 1, 2}} {
		must(t, SetLinger(a, tc.d))
		if runtime.GOOS != "linux" {
			continue // x/sys can read it on Linux only
		}
		if on, secs := linger(t, a); on != tc.on || tc.on != 0 && secs != tc.linger {
			t.Errorf("%v: on %d, %d s, want %d, %d s", tc.d, on, secs, tc.on, tc.linger)
		}
	}
}

func TestKeepAlive(t *testing.T) {
	a, _ := tcpPair(t)
	on := func() bool { return option(t, a, unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 0 }
	values := func() (v [3]int) {
		for i, o := range keepAliveOptions(time.Second, time.Second, 1) {
			if o.value > 0 {
				v[i] = option(t, a, unix.IPPROTO_TCP, o.name)
			}
		}
		return v
	}
	system := values()
	must(t, SetKeepAlive(a, 0, 0, 0))
	if !on() || values() != system {
		t.Errorf("with the system's values: on %v, %v, want %v", on(), values(), system)
	}
	must(t, SetKeepAlive(a, -1, time.Second, 5))
	if on() || values() != system {
		t.Errorf("turned off: on %v, %v, want %v", on(), values(), system)
	}
	must(t, SetKeepAlive(a, 90*time.Second, 1500*time.Millisecond, 4))
	if !on() {
		t.Error("not turned on")
	}
	if runtime.GOOS == "linux" || runtime.GOOS == "darwin" {
		if got, want := values(), [3]int{90, 2, 4}; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	idle, interval, count, err := KeepAlive(a)
	must(t, err)
	if runtime.GOOS != "openbsd" && (idle != 90*time.Second || interval != 2*time.Second || count != 4) {
		t.Errorf("KeepAlive says %v, %v, %d", idle, interval, count)
	}
	must(t, SetKeepAlive(a, -1, 0, 0))
	if idle, _, _, err := KeepAlive(a); idle >= 0 || err != nil {
		t.Errorf("turned off: KeepAlive says %v, %v", idle, err)
	}
	if _, _, _, err := KeepAlive(-1); !errors.Is(err, syscall.EBADF) {
		t.Errorf("without a descriptor: %v", err)
	}
}

func TestLinuxOptions(t *testing.T) {
	a, _ := tcpPair(t)
	l, _ := listener(t, loopback("127.0.0.1:0"))
	user := SetUserTimeout(a, 1500*time.Microsecond)
	accept := SetDeferAccept(l, time.Second)
	if runtime.GOOS != "linux" {
		if !errors.Is(user, errors.ErrUnsupported) || !errors.Is(accept, errors.ErrUnsupported) {
			t.Errorf("got %v, %v", user, accept)
		}
		if err := SetBindLater(a); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("SetBindLater: %v", err)
		}
		if _, err := UserTimeout(a); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("UserTimeout: %v", err)
		}
		return
	}
	must(t, user)
	must(t, accept)
	checkLinuxOptions(t, a, l)
}

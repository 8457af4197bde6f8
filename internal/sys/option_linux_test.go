package sys

import (
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// linger reads SO_LINGER, for which x/sys has no getter.
func linger(t *testing.T, fd int) (on, seconds int32) {
	t.Helper()
	var l unix.Linger
	n := uint32(unsafe.Sizeof(l))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&l)), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	return l.Onoff, l.Linger
}

func checkLinuxOptions(t *testing.T, conn, listener int) {
	t.Helper()
	if ms := option(t, conn, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); ms != 2 {
		t.Errorf("user timeout %d ms, want 2 (rounded up)", ms)
	}
	if s := option(t, listener, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT); s < 1 {
		t.Errorf("defer accept %d s, want at least 1", s)
	}
	if d, err := UserTimeout(conn); d != 2*time.Millisecond || err != nil {
		t.Errorf("UserTimeout says %v, %v", d, err)
	}
	for _, family := range []Family{Inet4, Inet6} {
		fd, err := Socket(family, Stream)
		if err != nil {
			continue // no IPv6 here
		}
		own(t, fd)
		must(t, SetBindLater(fd))
		a, err := ParseAddr("tcp", map[Family]string{Inet4: "127.0.0.1:0", Inet6: "[::1]:0"}[family])
		must(t, err)
		if err := Bind(fd, a); err != nil {
			continue
		}
		if local, err := LocalAddr(fd); err != nil || local.Port() != 0 {
			t.Errorf("family %v: bound to %v, %v, want no port yet", family, local, err)
		}
	}
	must(t, SetUserTimeout(conn, 0))
	must(t, SetDeferAccept(listener, 0))
	if ms := option(t, conn, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); ms != 0 {
		t.Errorf("user timeout %d ms, want none", ms)
	}
	if s := option(t, listener, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT); s != 0 {
		t.Errorf("defer accept %d s, want none", s)
	}
}

package main

import (
	"net"
	"strings"
	"syscall"
	"testing"
)

// fullListener is one that answers nobody: its queue holds one caller, and that
// one has come. Linux drops what later callers send (tcp(7)), so that they go on
// connecting.
func fullListener(t *testing.T) net.Addr {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: sa.(*syscall.SockaddrInet4).Port}
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return addr
}

func TestProxyConnectTimeout(t *testing.T) {
	s := startServer(t, "proxy", "--to="+fullListener(t).String(), "--connect-timeout=20ms")
	wantReset(t, s)
	if r := s.log.awaitMsg(t, "closed"); r.Level != "WARN" || !strings.Contains(r.Error, "timeout") {
		t.Errorf("closed says %+v, want a timeout", r)
	}
	s.stop()
}

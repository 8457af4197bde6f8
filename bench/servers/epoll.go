package main

import (
	"errors"
	"net/netip"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// serveEpoll is the limit for a Go program: level-triggered epoll, one read
// and one write an event, system calls that the scheduler does not hear of, no
// buffers, no bounds, no errors to speak of.
func serveEpoll(s *settings) error {
	if s.network != "tcp" {
		return errors.New("only tcp")
	}
	ap, err := netip.ParseAddrPort(s.address)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for range s.loops {
		fd, err := listenEpoll(ap)
		if err != nil {
			return err
		}
		go func() {
			runtime.LockOSThread()
			failed <- loopEpoll(fd)
		}()
	}
	s.ready()
	return <-failed
}

func listenEpoll(ap netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	return fd, errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}),
		unix.Listen(fd, 1024),
	)
}

func loopEpoll(lfd int) error {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, lfd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(lfd)}); err != nil {
		return err
	}
	events := make([]unix.EpollEvent, 256)
	p := make([]byte, 64<<10)
	for {
		n, _, _ := unix.RawSyscall6(unix.SYS_EPOLL_WAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
		if int(n) <= 0 {
			if k, err := unix.EpollWait(ep, events, -1); err == nil {
				n = uintptr(k)
			} else {
				continue
			}
		}
		for _, e := range events[:n] {
			if int(e.Fd) == lfd {
				acceptEpoll(ep, lfd)
			} else {
				echoEpoll(int(e.Fd), p)
			}
		}
	}
}

func acceptEpoll(ep, lfd int) {
	fd, _, err := unix.Accept4(lfd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err == nil {
		err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	}
	if err != nil && fd >= 0 {
		unix.Close(fd)
	}
}

func echoEpoll(fd int, p []byte) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 || n == 0 {
		if errno != unix.EAGAIN && errno != unix.EINTR {
			unix.Close(fd)
		}
		return
	}
	for q := p[:n]; len(q) > 0; {
		m, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&q[0])), uintptr(len(q)))
		if errno == 0 {
			q = q[m:]
		} else if errno != unix.EAGAIN {
			unix.Close(fd)
			return
		}
	}
}

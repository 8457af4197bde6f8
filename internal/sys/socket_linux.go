package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func socket(family, typ int) (int, error) {
	return unix.Socket(family, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}

// Accept takes a connection off a listener's queue: a descriptor that is
// non-blocking and close-on-exec, and the peer's address. ErrAgain: none
// waits. ECONNABORTED: the peer went away before its turn, the next may be
// there; EMFILE, ENFILE, ENOBUFS and ENOMEM: nothing was taken off. Allocates
// nothing for TCP. Source: accept4(2).
func Accept(fd int) (nfd int, addr Addr, err error) {
	nfd = -1
	var raw unix.RawSockaddrAny
	n := uint32(unsafe.Sizeof(raw))
	err = retry(OpAccept, fd, func() error {
		r, _, errno := syscall.Syscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&raw)),
			uintptr(unsafe.Pointer(&n)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if errno != 0 {
			return errno
		}
		nfd = int(r)
		return nil
	})
	if err != nil {
		return -1, Addr{}, err
	}
	return nfd, fromRaw(&raw, n), nil
}

// LocalAddr is the address that the socket is bound to. Source: getsockname(2).
func LocalAddr(fd int) (Addr, error) { return nameOf(OpGetsockname, unix.SYS_GETSOCKNAME, fd) }

// PeerAddr is the address that the socket is connected to; ENOTCONN if it is
// not. Source: getpeername(2).
func PeerAddr(fd int) (Addr, error) { return nameOf(OpGetpeername, unix.SYS_GETPEERNAME, fd) }

func nameOf(op Op, trap uintptr, fd int) (Addr, error) {
	var raw unix.RawSockaddrAny
	n := uint32(unsafe.Sizeof(raw))
	err := retry(op, fd, func() error {
		_, _, errno := syscall.Syscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&n)))
		if errno != 0 {
			return errno
		}
		return nil
	})
	if err != nil {
		return Addr{}, err
	}
	return fromRaw(&raw, n), nil
}

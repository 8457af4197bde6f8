//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package sys

import (
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// abstractNames says that unix sockets need not have a file.
const abstractNames = false

// socket makes the descriptor ours in three calls: darwin has no flags for it,
// and the others gain nothing that matters by theirs. The lock keeps a fork
// from taking the descriptor along before it is close-on-exec.
func socket(family, typ int) (int, error) {
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(family, typ, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, err
	}
	return nonblocking(fd)
}

// nonblocking takes ownership of fd: it is closed if it cannot be made so.
func nonblocking(fd int) (int, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Accept takes a connection off a listener's queue: a descriptor that is
// non-blocking and close-on-exec, and the peer's address. ErrAgain: none
// waits. ECONNABORTED: the peer went away before its turn, the next may be
// there; EMFILE, ENFILE, ENOBUFS and ENOMEM: nothing was taken off. Source:
// accept(2).
func Accept(fd int) (nfd int, addr Addr, err error) {
	nfd = -1
	err = retry(OpAccept, fd, func() (err error) {
		syscall.ForkLock.RLock()
		var sa unix.Sockaddr
		nfd, sa, err = unix.Accept(fd)
		if err == nil {
			unix.CloseOnExec(nfd)
		}
		syscall.ForkLock.RUnlock()
		if err != nil {
			return err
		}
		addr = fromSockaddr(sa)
		nfd, err = nonblocking(nfd)
		return err
	})
	if err != nil {
		return -1, Addr{}, err
	}
	return nfd, addr, nil
}

// LocalAddr is the address that the socket is bound to. Source: getsockname(2).
func LocalAddr(fd int) (Addr, error) { return nameOf(OpGetsockname, fd, unix.Getsockname) }

// PeerAddr is the address that the socket is connected to; ENOTCONN if it is
// not. Source: getpeername(2).
func PeerAddr(fd int) (Addr, error) { return nameOf(OpGetpeername, fd, unix.Getpeername) }

func nameOf(op Op, fd int, f func(int) (unix.Sockaddr, error)) (Addr, error) {
	var sa unix.Sockaddr
	err := retry(op, fd, func() (err error) {
		sa, err = f(fd)
		return err
	})
	if err != nil {
		return Addr{}, err
	}
	return fromSockaddr(sa), nil
}

func fromSockaddr(sa unix.Sockaddr) Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return TCPAddr(netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)))
	case *unix.SockaddrInet6:
		return fromIPv6(sa.Addr, uint16(sa.Port), sa.ZoneId)
	case *unix.SockaddrUnix:
		return UnixAddr(sa.Name)
	}
	return Addr{}
}

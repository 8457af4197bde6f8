//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sys

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Socket types, as Socket takes and SocketType returns them.
const (
	Stream    = unix.SOCK_STREAM
	Datagram  = unix.SOCK_DGRAM
	SeqPacket = unix.SOCK_SEQPACKET
)

// What Shutdown closes.
const (
	ShutRead  = unix.SHUT_RD
	ShutWrite = unix.SHUT_WR
	ShutBoth  = unix.SHUT_RDWR
)

// native is the kernel's number of a family.
func (f Family) native() int {
	switch f {
	case Inet4:
		return unix.AF_INET
	case Inet6:
		return unix.AF_INET6
	case Unix:
		return unix.AF_UNIX
	}
	return unix.AF_UNSPEC
}

// Socket makes a socket that is non-blocking and close-on-exec. Source:
// socket(2).
func Socket(f Family, typ int) (int, error) {
	fd := -1
	err := retry(OpSocket, -1, func() (err error) {
		fd, err = socket(f.native(), typ)
		return err
	})
	if err != nil {
		return -1, err
	}
	return fd, nil
}

// SocketPair makes two connected unix stream sockets, non-blocking and
// close-on-exec. Source: socketpair(2).
func SocketPair() (a, b int, err error) {
	var fds [2]int
	err = retry(OpSocket, -1, func() (err error) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		fds, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err == nil {
			unix.CloseOnExec(fds[0])
			unix.CloseOnExec(fds[1])
		}
		return err
	})
	if err != nil {
		return -1, -1, err
	}
	for _, fd := range fds {
		if err := unix.SetNonblock(fd, true); err != nil {
			unix.Close(fds[0])
			unix.Close(fds[1])
			return -1, -1, failure(OpFcntl, err)
		}
	}
	return fds[0], fds[1], nil
}

// Bind gives the socket an address of its own. Source: bind(2).
func Bind(fd int, a Addr) error {
	sa, err := a.sockaddr()
	if err != nil {
		return failure(OpBind, err)
	}
	return retry(OpBind, fd, func() error { return unix.Bind(fd, sa) })
}

// Listen makes the socket take connections; backlog of them wait for Accept at
// most, and the system has a limit of its own. Source: listen(2).
func Listen(fd, backlog int) error {
	return retry(OpListen, fd, func() error { return unix.Listen(fd, backlog) })
}

// Connect begins to connect. nil: connected already, as unix sockets are;
// ErrInProgress: wait until fd is writable, then ask SocketError. A unix
// socket whose listener's queue is full gives ErrAgain, and nothing goes on in
// the background. Source: connect(2).
func Connect(fd int, a Addr) error {
	sa, err := a.sockaddr()
	if err != nil {
		return failure(OpConnect, err)
	}
	interrupted := false
	err = retry(OpConnect, fd, func() error {
		err := unix.Connect(fd, sa)
		if err == unix.EINTR {
			interrupted = true
		}
		// An interrupted connect goes on, and POSIX has the second call say so.
		if interrupted && (err == unix.EALREADY || err == unix.EISCONN) {
			err = unix.EINPROGRESS
		}
		return err
	})
	return err
}

// SocketError takes the error that waits on the socket, and clears it: nil
// when there is none, a bare syscall.Errno when there is (only the caller
// knows what call it belongs to), an *os.SyscallError when asking failed.
// Source: SO_ERROR, socket(7).
func SocketError(fd int) error {
	n, err := intOption(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || n == 0 {
		return err
	}
	return syscall.Errno(n)
}

// Shutdown ends one direction or both, for every descriptor of the socket.
// how is ShutRead, ShutWrite or ShutBoth. Source: shutdown(2).
func Shutdown(fd, how int) error {
	return retry(OpShutdown, fd, func() error { return unix.Shutdown(fd, how) })
}

// Close closes the descriptor. It does not call again when interrupted: the
// descriptor is gone either way, and its number may be another's by then.
// Source: close(2), Notes.
func Close(fd int) error {
	var hookErr error
	if hooked() {
		_, hookErr = ask(OpClose, fd, 0)
	}
	err := unix.Close(fd)
	if err == unix.EINTR {
		err = nil
	}
	if hookErr != nil {
		return hookErr
	}
	return failure(OpClose, err)
}

// SocketType is Stream, Datagram, SeqPacket or another number of socket(2);
// ENOTSOCK for what is no socket.
func SocketType(fd int) (int, error) { return intOption(fd, unix.SOL_SOCKET, unix.SO_TYPE) }

// SocketFamily is the family of the socket's addresses, FamilyNone for those
// that have no Family.
func SocketFamily(fd int) (Family, error) {
	a, err := LocalAddr(fd)
	return a.family, err
}

// IsListening reports whether Listen was called on the socket.
func IsListening(fd int) (bool, error) {
	n, err := intOption(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return n != 0, err
}

// IsSocket reports whether fd is a socket.
func IsSocket(fd int) (bool, error) {
	mode, err := fileMode(fd)
	return mode&unix.S_IFMT == unix.S_IFSOCK, err
}

// IsRegular reports whether fd is a file or a directory: what is always ready,
// and what epoll refuses.
func IsRegular(fd int) (bool, error) {
	mode, err := fileMode(fd)
	return mode&unix.S_IFMT == unix.S_IFREG || mode&unix.S_IFMT == unix.S_IFDIR, err
}

func fileMode(fd int) (uint32, error) {
	var st unix.Stat_t
	err := retry(OpFstat, fd, func() error { return unix.Fstat(fd, &st) })
	return uint32(st.Mode), err
}

// SetNonblock sets or clears O_NONBLOCK, which belongs to the open file: every
// descriptor of it, in other processes too, changes with it. Leave it alone on
// a terminal or pipe that others share. Source: fcntl(2).
func SetNonblock(fd int, on bool) error {
	return retry(OpFcntl, fd, func() error { return unix.SetNonblock(fd, on) })
}

// IsNonblock reports whether O_NONBLOCK is set.
func IsNonblock(fd int) (bool, error) {
	flags := 0
	err := retry(OpFcntl, fd, func() (err error) {
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		return err
	})
	return flags&unix.O_NONBLOCK != 0, err
}

// DupCloexec is a second descriptor of the same open file, close-on-exec.
// O_NONBLOCK is shared with the first. Source: fcntl(2), F_DUPFD_CLOEXEC.
func DupCloexec(fd int) (int, error) {
	dup := -1
	err := retry(OpFcntl, fd, func() (err error) {
		dup, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, err
	}
	return dup, nil
}

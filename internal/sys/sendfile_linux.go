package sys

import (
	"errors"
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxTransfer is the most that one sendfile or splice is asked for: the
// kernel's own limit (MAX_RW_COUNT) is a little more.
const maxTransfer = 1 << 30

// Sendfile sends up to n bytes of the file src, from offset off, to the socket
// dst, and returns how many went. The file's own position does not move.
// io.EOF: off is at or behind the end of the file. ErrAgain: the socket is
// full. handled is false, and nothing was sent, when the kernel cannot do it
// for these two: read and write instead. It may wait for a disk. Source:
// sendfile(2).
func Sendfile(dst, src int, off int64, n int) (sent int, handled bool, err error) {
	if n <= 0 {
		return 0, true, nil
	}
	return bulk(OpSendfile, dst, min(n, maxTransfer), func(n int) (int, error) {
		from := off
		return unix.Sendfile(dst, src, &from, n)
	})
}

// Splice moves up to n bytes from src to dst inside the kernel; one of the two
// is a pipe. It returns how many were moved, io.EOF at the end of src, and
// ErrAgain when src is empty or dst is full, without saying which. handled is
// false, and nothing was moved, when the kernel cannot do it for these two.
// A Direct call of a megabyte keeps the collector waiting for some 100 µs, a
// Polite one has sysmon take the P in the middle of most calls: with one P a
// fifth to a third of what relaying costs. Source: splice(2), SPLICE_F_MOVE,
// SPLICE_F_NONBLOCK.
func (m Mode) Splice(dst, src, n int) (moved int, handled bool, err error) {
	if n <= 0 {
		return 0, true, nil
	}
	return bulk(OpSplice, src, min(n, maxTransfer), func(n int) (int, error) {
		return m.splice(dst, src, n)
	})
}

// splice stays out of line for the sake of its prologue, as [Mode.call] does.
//
//go:noinline
func (m Mode) splice(dst, src, n int) (int, error) {
	const flags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK
	enter := syscall.Syscall6
	if m == Direct {
		enter = syscall.RawSyscall6
	}
	moved, _, errno := enter(unix.SYS_SPLICE, uintptr(src), 0, uintptr(dst), 0, uintptr(n), flags)
	if errno != 0 {
		return 0, errno
	}
	return int(moved), nil
}

// bulk is what Sendfile and Splice have in common.
func bulk(op Op, fd, n int, f func(n int) (int, error)) (int, bool, error) {
	if hooked() {
		limit, err := ask(op, fd, n)
		if errno := syscall.Errno(0); errors.As(err, &errno) && notDone(errno) {
			return 0, false, nil
		}
		if err != nil {
			return 0, true, err
		}
		if limit == 0 {
			return 0, true, io.EOF
		}
		n = limit
	}
	if raceEnabled {
		raceWrite(nil) // what a file holds, nobody races for
	}
	for {
		done, err := f(n)
		switch {
		case err == nil && done == 0:
			return 0, true, io.EOF
		case err == nil:
			return done, true, nil
		case err == syscall.EINTR:
		case notDone(err):
			return 0, false, nil
		default:
			return 0, true, failure(op, err)
		}
	}
}

// notDone reports whether err is what a kernel says to descriptors of a kind
// that it does not do this for (see also package internal/poll of Go).
func notDone(err error) bool {
	switch err {
	case syscall.EINVAL, syscall.ENOSYS, syscall.EOPNOTSUPP, syscall.EPERM, syscall.ESPIPE:
		return true
	}
	return false
}

// Pipe makes a pipe, both ends non-blocking and close-on-exec. Source:
// pipe2(2).
func Pipe() (r, w int, err error) {
	var p [2]int
	err = retry(OpPipe, -1, func() error { return unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC) })
	if err != nil {
		return -1, -1, err
	}
	return p[0], p[1], nil
}

// SetPipeSize sets what a pipe holds, in bytes, and returns what the kernel
// made of it. Source: F_SETPIPE_SZ, fcntl(2).
func SetPipeSize(fd, n int) (int, error) {
	size := 0
	err := retry(OpFcntl, fd, func() (err error) {
		size, err = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, n)
		return err
	})
	return size, err
}

//go:build !386 && !s390x

package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// callSocket is [Mode.call] for the calls of sockets, which want six arguments.
//
//go:noinline
func (m Mode) callSocket(trap uintptr, fd int, p unsafe.Pointer, n int, flags uintptr) (int, syscall.Errno) {
	if m == Direct {
		r, _, errno := syscall.RawSyscall6(trap, uintptr(fd), uintptr(p), uintptr(n), flags, 0, 0)
		return int(r), errno
	}
	r, _, errno := syscall.Syscall6(trap, uintptr(fd), uintptr(p), uintptr(n), flags, 0, 0)
	return int(r), errno
}

func (m Mode) transferSocket(op Op, trap uintptr, fd int, p unsafe.Pointer, n int, flags uintptr) (int, error) {
	for {
		done, errno := m.callSocket(trap, fd, p, n, flags)
		if errno == 0 {
			return done, nil
		}
		if errno != syscall.EINTR {
			return 0, failed(op, errno)
		}
	}
}

func (m Mode) recv(fd int, p []byte) (int, error) {
	n, err := m.transferSocket(OpRead, unix.SYS_RECVFROM, fd, unsafe.Pointer(unsafe.SliceData(p)), len(p), 0)
	if raceEnabled && err == nil {
		raceRead(fd, p[:n])
	}
	return n, err
}

func (m Mode) send(fd int, p []byte) (int, error) {
	if raceEnabled {
		raceWrite(p)
	}
	return m.transferSocket(OpWrite, unix.SYS_SENDTO, fd, unsafe.Pointer(unsafe.SliceData(p)), len(p), unix.MSG_NOSIGNAL)
}

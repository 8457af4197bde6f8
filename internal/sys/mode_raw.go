//go:build linux || freebsd || netbsd || dragonfly

package sys

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is where a Mode is obeyed, and nowhere else. The pointers are turned
// into numbers in the argument lists, which keeps what they point to alive
// and in place during the call (package unsafe, pattern 4).
//
// It must stay out of line: its prologue is what lets the garbage collector
// stop a loop that makes nothing but Direct calls.
//
//go:noinline
func (m Mode) call(trap uintptr, fd int, p unsafe.Pointer, n int) (int, syscall.Errno) {
	if m == Direct {
		r, _, errno := syscall.RawSyscall(trap, uintptr(fd), uintptr(p), uintptr(n))
		return int(r), errno
	}
	r, _, errno := syscall.Syscall(trap, uintptr(fd), uintptr(p), uintptr(n))
	return int(r), errno
}

// transfer is the one loop around the calls that move bytes.
func (m Mode) transfer(op Op, trap uintptr, fd int, p unsafe.Pointer, n int) (int, error) {
	for {
		done, errno := m.call(trap, fd, p, n)
		if errno == 0 {
			return done, nil
		}
		if errno != syscall.EINTR {
			return 0, failed(op, errno)
		}
	}
}

func (m Mode) read(fd int, p []byte) (int, error) {
	n, err := m.transfer(OpRead, unix.SYS_READ, fd, unsafe.Pointer(unsafe.SliceData(p)), len(p))
	if raceEnabled && err == nil {
		raceRead(fd, p[:n])
	}
	return n, err
}

func (m Mode) write(fd int, p []byte) (int, error) {
	if raceEnabled {
		raceWrite(p)
	}
	return m.transfer(OpWrite, unix.SYS_WRITE, fd, unsafe.Pointer(unsafe.SliceData(p)), len(p))
}

// smallExtents is what most vectored calls need. Their array is small enough
// to be cleared for nothing; the large one costs 1 KiB of clearing.
const smallExtents = 8

func (m Mode) readv(fd int, v [][]byte) (int, error) {
	n, err := m.vector(OpReadv, unix.SYS_READV, fd, v)
	if raceEnabled && err == nil {
		raceReadv(fd, v, n)
	}
	return n, err
}

func (m Mode) writev(fd int, v [][]byte) (int, error) {
	if raceEnabled {
		raceWritev(v)
	}
	return m.vector(OpWritev, unix.SYS_WRITEV, fd, v)
}

// vector builds the kernel's array on the stack, so that no connection has to
// hold one and no call allocates.
func (m Mode) vector(op Op, trap uintptr, fd int, v [][]byte) (int, error) {
	if len(v) > smallExtents {
		return m.vectorLarge(op, trap, fd, v)
	}
	var vec [smallExtents]unix.Iovec
	n := fill(vec[:], v)
	done, err := m.transfer(op, trap, fd, unsafe.Pointer(&vec), n)
	runtime.KeepAlive(v)
	return done, err
}

//go:noinline
func (m Mode) vectorLarge(op Op, trap uintptr, fd int, v [][]byte) (int, error) {
	var vec [MaxExtents]unix.Iovec
	n := fill(vec[:], v)
	done, err := m.transfer(op, trap, fd, unsafe.Pointer(&vec), n)
	runtime.KeepAlive(v)
	return done, err
}

// fill describes the slices of v that are not empty, as many as there is room
// for, and returns how many those are.
func fill(vec []unix.Iovec, v [][]byte) int {
	n := 0
	for _, p := range v {
		if len(p) == 0 {
			continue
		}
		if n == len(vec) {
			break
		}
		vec[n].Base = unsafe.SliceData(p)
		vec[n].SetLen(len(p))
		n++
	}
	return n
}

//go:build darwin || openbsd

package sys

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// transfer is the one loop around the calls that move bytes.
func transfer(op Op, f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err == nil {
			return n, nil
		}
		if err != syscall.EINTR {
			return 0, failure(op, err)
		}
	}
}

func (m Mode) read(fd int, p []byte) (int, error) {
	n, err := transfer(OpRead, func() (int, error) { return unix.Read(fd, p) })
	if raceEnabled && err == nil {
		raceRead(fd, p[:n])
	}
	return n, err
}

func (m Mode) write(fd int, p []byte) (int, error) {
	if raceEnabled {
		raceWrite(p)
	}
	return transfer(OpWrite, func() (int, error) { return unix.Write(fd, p) })
}

func (m Mode) readv(fd int, v [][]byte) (int, error) {
	v = extents(v)
	n, err := transfer(OpReadv, func() (int, error) { return unix.Readv(fd, v) })
	if raceEnabled && err == nil {
		raceReadv(fd, v, n)
	}
	return n, err
}

func (m Mode) writev(fd int, v [][]byte) (int, error) {
	v = extents(v)
	if raceEnabled {
		raceWritev(v)
	}
	return transfer(OpWritev, func() (int, error) { return unix.Writev(fd, v) })
}

// extents is v up to the MaxExtents-th slice that is not empty. Empty ones in
// between are passed to the kernel, which does not mind; its own limit is 1024.
func extents(v [][]byte) [][]byte {
	full := 0
	for i, p := range v {
		if len(p) > 0 {
			full++
		}
		if full > MaxExtents || i >= 1024 {
			return v[:i]
		}
	}
	return v
}

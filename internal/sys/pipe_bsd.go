//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package sys

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Pipe makes a pipe, both ends non-blocking and close-on-exec. Source: pipe(2).
func Pipe() (r, w int, err error) {
	var p [2]int
	err = retry(OpPipe, -1, func() error {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if err := unix.Pipe(p[:]); err != nil {
			return err
		}
		unix.CloseOnExec(p[0])
		unix.CloseOnExec(p[1])
		return nil
	})
	if err != nil {
		return -1, -1, err
	}
	for _, fd := range p {
		if err := unix.SetNonblock(fd, true); err != nil {
			unix.Close(p[0])
			unix.Close(p[1])
			return -1, -1, failure(OpFcntl, err)
		}
	}
	return p[0], p[1], nil
}

// PipeWake puts a byte into a pipe whose other end a kqueue watches. Safe from
// any goroutine.
func PipeWake(w int) error {
	return retry(OpWake, w, func() error {
		_, err := unix.Write(w, []byte{0})
		if err == unix.EAGAIN {
			err = nil // the pipe is full: it has been noticed, or will be
		}
		return err
	})
}

// PipeDrain empties a pipe, for its reader.
func PipeDrain(r int) {
	var buf [512]byte
	for {
		n, err := unix.Read(r, buf[:])
		if err != unix.EINTR && n < len(buf) {
			return
		}
	}
}

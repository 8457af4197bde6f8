//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package sys

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What OpEpollCreate and the rest are called here.
const (
	pollCreateName = "kqueue"
	pollCtlName    = "kevent"
	pollWaitName   = "kevent"
)

// Kqueue makes a kqueue, close-on-exec. Source: kqueue(2).
func Kqueue() (int, error) {
	fd := -1
	err := retry(OpEpollCreate, -1, func() (err error) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, err = unix.Kqueue(); err == nil {
			unix.CloseOnExec(fd)
		}
		return err
	})
	if err != nil {
		return -1, err
	}
	return fd, nil
}

// KeventChange changes what kq watches. The first change that fails is the
// error; those before it hold, those behind it were not tried. fd is what the
// hook is told. Source: kevent(2).
func KeventChange(op Op, kq, fd int, changes []unix.Kevent_t) error {
	return retry(op, fd, func() error {
		_, err := unix.Kevent(kq, changes, nil, nil)
		return err
	})
}

// KeventWait collects what is ready, and waits for it up to d; 0 does not
// wait, and a negative d is for ever. It may return 0 before that, after a
// signal.
func KeventWait(kq int, events []unix.Kevent_t, d time.Duration) (int, error) {
	if hooked() {
		limit, err := ask(OpEpollWait, kq, len(events))
		if err != nil || limit == 0 {
			return 0, err
		}
		events = events[:limit]
	}
	var timeout *unix.Timespec
	if d >= 0 {
		t := unix.NsecToTimespec(int64(d))
		timeout = &t
	}
	n, err := unix.Kevent(kq, nil, events, timeout)
	if err == syscall.EINTR {
		return 0, nil
	}
	if err != nil {
		return 0, failure(OpEpollWait, err)
	}
	return n, nil
}

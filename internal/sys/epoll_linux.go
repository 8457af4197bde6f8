package sys

import (
	"math"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What OpEpollCreate and the rest are called here.
const (
	pollCreateName = "epoll_create1"
	pollCtlName    = "epoll_ctl"
	pollWaitName   = "epoll_wait"
)

// EpollCreate makes an epoll descriptor, close-on-exec. Source:
// epoll_create1(2).
func EpollCreate() (int, error) {
	fd := -1
	err := retry(OpEpollCreate, -1, func() (err error) {
		fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		return err
	})
	if err != nil {
		return -1, err
	}
	return fd, nil
}

// EpollCtl adds fd to what epfd watches, modifies or deletes it. data comes
// back with every event. Source: epoll_ctl(2).
func EpollCtl(epfd, op, fd int, events uint32, data uint64) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(uint32(data)), Pad: int32(uint32(data >> 32))}
	return retry(OpEpollCtl, fd, func() error { return unix.EpollCtl(epfd, op, fd, &ev) })
}

// EpollTurn changes what epfd watches fd for, which it knows already; 0 is
// nothing. It is EPOLL_CTL_MOD, under a name of its own so that tests can tell
// the few calls of a loop that comes to rest from those for connections.
// Source: epoll_ctl(2).
func EpollTurn(epfd, fd int, events uint32) error {
	ev := unix.EpollEvent{Events: events}
	return retry(OpEpollTurn, fd, func() error { return unix.EpollCtl(epfd, unix.EPOLL_CTL_MOD, fd, &ev) })
}

// EventData is the data that EpollCtl gave with the event's descriptor.
func EventData(ev *unix.EpollEvent) uint64 {
	return uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32
}

// EpollPoll collects what is ready now, and does not wait. It never lets the
// scheduler know: a call of 150 ns that cannot block is not worth telling
// about, and the loop makes one for every batch. Source: epoll_wait(2).
func EpollPoll(epfd int, events []unix.EpollEvent) (int, error) {
	n, err := epollSize(epfd, events)
	if err != nil || n == 0 {
		return 0, err
	}
	for {
		r, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd),
			uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(n), 0, 0, 0)
		if errno == 0 {
			return int(r), nil
		}
		if errno != syscall.EINTR {
			return 0, failed(OpEpollWait, errno)
		}
	}
}

// EpollWait collects what is ready, and waits for it up to d; a negative d is
// for ever. It may return 0 before that: after a signal, which the Go runtime
// sends itself all the time. The wait is never shorter than d otherwise.
// Source: epoll_pwait2(2), Linux 5.11; where that is missing, epoll_pwait(2)
// with d rounded up to milliseconds.
func EpollWait(epfd int, events []unix.EpollEvent, d time.Duration) (int, error) {
	size, err := epollSize(epfd, events)
	if err != nil || size == 0 {
		return 0, err
	}
	n, errno := epollWait(epfd, events[:size], d)
	if errno == syscall.EINTR {
		return 0, nil
	}
	if errno != 0 {
		return 0, failed(OpEpollWait, errno)
	}
	return n, nil
}

// Yield lets a thread that waits for this one's core run, and returns at once
// where there is none. The scheduler does not know: told, it has another thread
// look for work with this one's P meanwhile, and two loops that gave way cost up
// to 1.3 times as much. So the collector may have to wait for as long as it
// lasts, as for any thread that is not let run. Source: sched_yield(2).
func Yield() {
	// It cannot fail, and an error of the hook means nothing to anyone.
	_ = retry(OpYield, -1, func() error {
		syscall.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		return nil
	})
}

// epollSize asks the hook how many events a wait may report.
func epollSize(epfd int, events []unix.EpollEvent) (int, error) {
	if hooked() {
		return ask(OpEpollWait, epfd, len(events))
	}
	return len(events), nil
}

// kernelTime is struct __kernel_timespec: 64 bits on every architecture.
type kernelTime struct{ sec, nsec int64 }

// noPwait2 is set once the kernel has said that it has no epoll_pwait2.
var noPwait2 atomic.Bool

func epollWait(epfd int, events []unix.EpollEvent, d time.Duration) (int, syscall.Errno) {
	p := unsafe.Pointer(unsafe.SliceData(events))
	if d >= 0 && !noPwait2.Load() {
		t := kernelTime{int64(d / time.Second), int64(d % time.Second)}
		r, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epfd), uintptr(p),
			uintptr(len(events)), uintptr(unsafe.Pointer(&t)), 0, 0)
		// EPERM is what sandboxes older than the call answer.
		if errno != syscall.ENOSYS && errno != syscall.EPERM {
			return int(r), errno
		}
		noPwait2.Store(true)
	}
	r, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(p),
		uintptr(len(events)), uintptr(milliseconds(d)), 0, 0)
	return int(r), errno
}

// milliseconds rounds up, -1 for ever. What is too long for the kernel's int
// becomes 24 days: the caller asks again.
func milliseconds(d time.Duration) int {
	if d < 0 {
		return -1
	}
	return int(min((d+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
}

// Eventfd makes a counter that is readable while it is not zero, non-blocking
// and close-on-exec. Source: eventfd(2).
func Eventfd() (int, error) {
	fd := -1
	err := retry(OpEventfd, -1, func() (err error) {
		fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		return err
	})
	if err != nil {
		return -1, err
	}
	return fd, nil
}

// EventfdAdd adds one to the counter, which makes an edge for whoever watches
// it. Safe from any goroutine.
func EventfdAdd(fd int) error {
	one := uint64(1)
	return retry(OpWake, fd, func() error {
		_, err := unix.Write(fd, (*[8]byte)(unsafe.Pointer(&one))[:])
		if err == unix.EAGAIN {
			err = nil // the counter is full: it is anything but asleep
		}
		return err
	})
}

package poll

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// runtimeWait parks the goroutine in Go's own poller: to that, the backend's
// descriptor is one more file that becomes readable.
//
// The runtime hears of events while the loop is awake, too. To shield it by a
// one-shot epoll in between, armed for each park, was tried and changed
// nothing that could be measured (within 4 % at 1, 64 and 1000 connections).
type runtimeWait struct {
	c    collector
	file *os.File // owns the backend's descriptor
	raw  syscall.RawConn
	ask  func(uintptr) bool // made once, so that parking allocates nothing

	// What ask found in this park.
	asked bool
	n     int
	err   error

	armed time.Time // the deadline that file has; zero: none
	fired bool      // armed has passed, and file refuses to wait until it is set anew
}

// newRuntimeWait takes ownership of fd, which is non-blocking: if the runtime
// refuses it, it is closed.
func newRuntimeWait(c collector, fd int) (*runtimeWait, error) {
	file := os.NewFile(uintptr(fd), "bev poller")
	w := &runtimeWait{c: c, file: file}
	w.ask = func(uintptr) bool {
		w.asked = true
		w.n, w.err = w.c.collect()
		return w.n != 0 || w.err != nil
	}
	// A file that the runtime does not poll has no deadlines: this is the only
	// way to ask.
	err := file.SetReadDeadline(time.Time{})
	if err == nil {
		w.raw, err = file.SyscallConn()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return w, nil
}

func (w *runtimeWait) name() string { return "parked in the runtime's poller" }

func (w *runtimeWait) close() error { return w.file.Close() }

func (w *runtimeWait) wait(deadline time.Time) (int, error) {
	for {
		if err := w.arm(deadline); err != nil {
			return 0, err
		}
		w.asked, w.n, w.err = false, 0, nil
		// Read asks first, and after each time that the descriptor became
		// readable. What becomes ready in between is not lost: Read forgets
		// older readiness before it asks.
		err := w.raw.Read(w.ask)
		if err == nil {
			return w.n, w.err
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, fmt.Errorf("poll: parking: %w", err)
		}
		w.fired = true
		if passed(deadline) {
			if !w.asked { // it had passed before Read began
				return w.c.collect()
			}
			return 0, nil
		}
		// It was an earlier deadline that arm had left standing.
	}
}

// arm sees to it that the wait ends at deadline or before. A deadline that is
// set and comes no later is left alone, since setting one costs as much as a
// kernel call: the loop's deadline moves forward all the time, and one early
// return in a while is cheaper.
func (w *runtimeWait) arm(deadline time.Time) error {
	if !w.fired {
		if w.armed.IsZero() && deadline.IsZero() {
			return nil
		}
		if !w.armed.IsZero() && (deadline.IsZero() || !deadline.Before(w.armed)) {
			return nil
		}
	}
	if err := w.file.SetReadDeadline(deadline); err != nil {
		return fmt.Errorf("poll: setting a deadline: %w", err)
	}
	w.armed, w.fired = deadline, false
	return nil
}

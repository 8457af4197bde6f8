//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package poll

import "time"

// A waiter is a WaitPolicy at work. It owns the backend's descriptor: the
// runtime's way of waiting hands that to an os.File, which would close it a
// second time if anyone else did.
type waiter interface {
	name() string
	// wait fills the backend's batch and returns the number of events. It
	// returns when there is one, when deadline (unless zero) has passed, or
	// for no reason.
	wait(deadline time.Time) (int, error)
	close() error
}

// A collector is what a waiter needs of the backend.
type collector interface {
	// collect fills the batch with what is ready, without waiting.
	collect() (int, error)
	// block is collect, but waits up to d, or for ever if d is negative. It
	// may return 0 early.
	block(d time.Duration) (int, error)
	// release closes the descriptor.
	release() error
}

// blockWait waits in the kernel.
type blockWait struct {
	c   collector
	why string // why not otherwise
}

func (w *blockWait) name() string { return "blocking" + w.why }

func (w *blockWait) close() error { return w.c.release() }

func (w *blockWait) wait(deadline time.Time) (int, error) {
	for {
		d := time.Duration(-1)
		if !deadline.IsZero() {
			d = max(time.Until(deadline), 0)
		}
		n, err := w.c.block(d)
		if n != 0 || err != nil || d == 0 {
			return n, err
		}
		// Interrupted, or the time is up; the clock says which.
		if passed(deadline) {
			return 0, nil
		}
	}
}

// passed reports whether deadline is one, and its time has come.
func passed(deadline time.Time) bool {
	return !deadline.IsZero() && !time.Now().Before(deadline)
}

package poll

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bevgo/bev/internal/sys"
)

// runtimeWait waits in the kernel as long as waits are short, and parks the
// goroutine in Go's own poller when they are not. Before the former it gives
// way, where that pays.
//
// Go's poller cannot watch the backend's descriptor all the time: it would wake
// a thread of its own for each event that the loop fetches itself. It watches
// another epoll, the gate, which lets the backend's events through only while
// the loop parks.
type runtimeWait struct {
	c    collector
	fd   int      // the backend's
	gate int      // owned by file
	open bool     // the gate lets events through
	file *os.File // of gate
	raw  syscall.RawConn
	ask  func(uintptr) bool // made once, so that parking allocates nothing

	short time.Duration // a wait is that ends sooner; shortWait but in tests
	brisk bool          // the last wait was short, and so the next may be
	calls uint32        // of crowded
	procs int32         // Go's processors, as crowded last saw them

	// A loop that others kept from its core for long is shy of giving way.
	shy   time.Duration // for how long, after the last time; 0: not at all
	until time.Time     // it does not give way before

	// What ask found in this park.
	asked bool
	n     int
	err   error

	armed time.Time // the deadline that file has; zero: none
	fired bool      // armed has passed, and file refuses to wait until it is set anew
}

const (
	// shortWait is from where on a wait was worth parking for.
	shortWait = 10 * time.Millisecond
	// glance is how long a wait in the kernel lasts at most: a loop that comes
	// to rest holds its thread for so long before it parks. Shorter ones have
	// the kernel set its clock anew each time; a millisecond cost a lone
	// connection as much as parking did.
	glance = 20 * time.Millisecond
	// yields is how often a crowded loop gives way before it sleeps. With one,
	// two and four of them two loops that echo 4 KiB cost 0.98, 0.96 and 0.97
	// of what they do in C, without any 1.4.
	yields = 2
	// tooLong is what giving way takes where whoever was let in does not sleep
	// soon, but uses up the time that the kernel gives it.
	tooLong = time.Millisecond
	// leastShy and mostShy are for how long a loop does not give way after
	// that: twice as long each time, an eighth less after each short one.
	leastShy, mostShy = 4 * time.Millisecond, 2 * time.Second
	// lookEvery is how many waits go by before Go's processors are counted
	// again: their number may change while the program runs.
	lookEvery = 256
)

// brisk is the number of loops of the program whose waits are short. One whose
// Run has returned counts until it is closed, or has another wait.
var brisk atomic.Int32

// newGate makes a descriptor for newRuntimeWait. The runtime takes one only if a
// read of it cannot block.
func newGate() (int, error) {
	gate, err := sys.EpollCreate()
	if err != nil {
		return -1, err
	}
	if err := sys.SetNonblock(gate, true); err != nil {
		return -1, errors.Join(err, sys.Close(gate))
	}
	return gate, nil
}

// newRuntimeWait makes one for the backend whose descriptor is fd, and takes
// ownership of gate: if the runtime refuses that, it is closed.
func newRuntimeWait(c collector, fd, gate int) (*runtimeWait, error) {
	file := os.NewFile(uintptr(gate), "bev poller")
	w := &runtimeWait{c: c, fd: fd, gate: gate, file: file, short: shortWait}
	w.ask = func(uintptr) bool {
		w.asked = true
		w.n, w.err = w.c.collect()
		return w.n != 0 || w.err != nil
	}
	// A file that the runtime does not poll has no deadlines: this is the only
	// way to ask.
	err := file.SetReadDeadline(time.Time{})
	if err == nil {
		// Once, so that opening the gate cannot fail for lack of memory or
		// watches later.
		err = sys.EpollCtl(gate, unix.EPOLL_CTL_ADD, fd, 0, 0)
	}
	if err == nil {
		w.raw, err = file.SyscallConn()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return w, nil
}

func (w *runtimeWait) name() string { return "parked in the runtime's poller when at rest" }

func (w *runtimeWait) close() error {
	w.setBrisk(false)
	return errors.Join(w.file.Close(), w.c.release())
}

func (w *runtimeWait) wait(deadline time.Time) (int, error) {
	if w.brisk {
		if w.crowded() && (deadline.IsZero() || time.Until(deadline) > tooLong) {
			if n, err := w.giveWay(); n != 0 || err != nil {
				return n, err
			}
		}
		n, err := w.c.block(untilOr(glance, deadline))
		if n != 0 || err != nil {
			return n, err
		}
		if w.setBrisk(false); passed(deadline) {
			return 0, nil
		}
	}
	if err := w.turn(true); err != nil {
		return 0, err
	}
	start := time.Now()
	n, err := w.park(deadline)
	if n > 0 && err == nil && time.Since(start) < w.short {
		w.setBrisk(true)
		err = w.turn(false)
	}
	return n, err
}

// setBrisk counts the loop among those whose waits are short, or no more.
func (w *runtimeWait) setBrisk(on bool) {
	switch {
	case on && !w.brisk:
		brisk.Add(1)
	case !on && w.brisk:
		brisk.Add(-1)
	}
	w.brisk = on
}

// crowded reports whether there are several brisk loops, no processor of Go's is
// left over beside them, and this one is not shy. Go's monitor then takes the
// processor of each that sleeps for more than 20 µs, and wakes a thread to look
// for other work with it.
func (w *runtimeWait) crowded() bool {
	if w.calls%lookEvery == 0 {
		w.procs = int32(runtime.GOMAXPROCS(0))
	}
	w.calls++
	n := brisk.Load()
	return n > 1 && n >= w.procs && (w.until.IsZero() || !time.Now().Before(w.until))
}

// giveWay lets the other threads that want this core have their turn, and asks
// again: as likely as not it is they who make the next event, and the loop finds
// several at once without having slept. But who computes and never sleeps would
// keep the core for milliseconds, and an event does not end that as it would end
// a sleep: a loop that has met such a one becomes shy.
func (w *runtimeWait) giveWay() (n int, err error) {
	start := time.Now()
	for i := 0; i < yields && n == 0 && err == nil; i++ {
		sys.Yield()
		n, err = w.c.collect()
	}
	w.gaveWay(start, time.Now())
	return n, err
}

// gaveWay learns from how long it took.
func (w *runtimeWait) gaveWay(start, end time.Time) {
	if end.Sub(start) > tooLong {
		w.shy = min(max(2*w.shy, leastShy), mostShy)
		w.until = end.Add(w.shy)
		return
	}
	w.until = time.Time{}
	w.shy -= w.shy / 8
}

// turn opens the gate or shuts it.
func (w *runtimeWait) turn(open bool) error {
	if w.open == open {
		return nil
	}
	events := uint32(0)
	if open {
		events = unix.EPOLLIN
	}
	w.open = open
	return sys.EpollTurn(w.gate, w.fd, events)
}

// untilOr is d, or the time until deadline where that is one and comes sooner.
func untilOr(d time.Duration, deadline time.Time) time.Duration {
	if deadline.IsZero() {
		return d
	}
	return min(d, max(time.Until(deadline), 0))
}

func (w *runtimeWait) park(deadline time.Time) (int, error) {
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

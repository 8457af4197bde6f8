package sys

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// poller makes an epoll descriptor that watches an eventfd.
func poller(t *testing.T, data uint64) (epfd, eventfd int) {
	t.Helper()
	epfd, err := EpollCreate()
	must(t, err)
	own(t, epfd)
	eventfd, err = Eventfd()
	must(t, err)
	own(t, eventfd)
	must(t, EpollCtl(epfd, unix.EPOLL_CTL_ADD, eventfd, unix.EPOLLIN|unix.EPOLLET, data))
	return epfd, eventfd
}

func TestEpollData(t *testing.T) {
	for _, data := range []uint64{0, 1, 1 << 31, 1 << 32, 1<<63 | 5, 1<<64 - 1, 0x0123456789abcdef} {
		epfd, eventfd := poller(t, data)
		events := make([]unix.EpollEvent, 2)
		if n, err := EpollPoll(epfd, events); n != 0 || err != nil {
			t.Fatalf("nothing is ready: %d, %v", n, err)
		}
		must(t, EventfdAdd(eventfd))
		n, err := EpollPoll(epfd, events)
		if n != 1 || err != nil || EventData(&events[0]) != data || events[0].Events != unix.EPOLLIN {
			t.Errorf("%#x: %d events, %v, data %#x, bits %#x", data, n, err, EventData(&events[0]), events[0].Events)
		}
		if n, err := EpollPoll(epfd, events); n != 0 || err != nil {
			t.Errorf("the edge was reported: %d, %v", n, err)
		}
	}
}

// A wait is never short, by either of the two calls.
func TestEpollWaitIsNotShort(t *testing.T) {
	old := noPwait2.Load()
	defer noPwait2.Store(old)
	for _, without := range []bool{old, true} {
		noPwait2.Store(without)
		epfd, eventfd := poller(t, 1)
		events := make([]unix.EpollEvent, 1)
		for _, d := range []time.Duration{0, 1, time.Microsecond, 1001 * time.Microsecond, 3 * time.Millisecond} {
			start := time.Now()
			left := d
			for { // until it was not a signal that ended it
				n, err := EpollWait(epfd, events, left)
				if n != 0 || err != nil {
					t.Fatalf("%v: %d, %v", d, n, err)
				}
				if left = d - time.Since(start); left <= 0 {
					break
				}
			}
		}
		must(t, EventfdAdd(eventfd))
		for _, d := range []time.Duration{-1, time.Hour} {
			if n, err := EpollWait(epfd, events, d); n != 1 || err != nil {
				t.Errorf("%v, something is ready: %d, %v", d, n, err)
			}
			must(t, EventfdAdd(eventfd))
		}
	}
}

func TestMilliseconds(t *testing.T) {
	for _, tc := range []struct {
		d    time.Duration
		want int
	}{
		{-1, -1}, {-time.Hour, -1}, {0, 0}, {1, 1}, {time.Millisecond, 1},
		{time.Millisecond + 1, 2}, {time.Hour, 3_600_000}, {1 << 62, 1<<31 - 1},
	} {
		if got := milliseconds(tc.d); got != tc.want {
			t.Errorf("%v is %d, want %d", tc.d, got, tc.want)
		}
	}
}

func TestEpollFaults(t *testing.T) {
	epfd, eventfd := poller(t, 1)
	events := make([]unix.EpollEvent, 4)
	var op Op
	limit, fault := -1, error(nil)
	defer SetHook(func(got Op, fd, size int) (int, error) {
		if got == op {
			return limit, fault
		}
		return -1, nil
	})()
	must(t, EventfdAdd(eventfd))
	op, limit = OpEpollWait, 0
	if n, err := EpollPoll(epfd, events); n != 0 || err != nil {
		t.Errorf("held back: %d, %v", n, err)
	}
	if n, err := EpollWait(epfd, events, -1); n != 0 || err != nil {
		t.Errorf("held back: %d, %v", n, err)
	}
	limit = 1
	if n, err := EpollWait(epfd, events, -1); n != 1 || err != nil {
		t.Errorf("late: %d, %v", n, err)
	}
	fault = syscall.EBADF
	if _, err := EpollPoll(epfd, events); !errors.Is(err, syscall.EBADF) {
		t.Errorf("got %v", err)
	}
	if _, err := EpollWait(epfd, events, 0); !errors.Is(err, syscall.EBADF) {
		t.Errorf("got %v", err)
	}
	for _, tc := range []struct {
		op Op
		f  func() error
	}{
		{OpEpollCreate, func() error { _, err := EpollCreate(); return err }},
		{OpEventfd, func() error { _, err := Eventfd(); return err }},
		{OpEpollCtl, func() error { return EpollCtl(epfd, unix.EPOLL_CTL_MOD, eventfd, 0, 0) }},
		{OpEpollTurn, func() error { return EpollTurn(epfd, eventfd, 0) }},
		{OpWake, func() error { return EventfdAdd(eventfd) }},
	} {
		op, fault = tc.op, syscall.ENOMEM
		if err := tc.f(); !errors.Is(err, syscall.ENOMEM) {
			t.Errorf("%v: got %v", tc.op, err)
		}
	}
	Yield() // has nothing to fail with
}

func TestEpollErrors(t *testing.T) {
	events := make([]unix.EpollEvent, 1)
	if _, err := EpollPoll(-1, events); !errors.Is(err, syscall.EBADF) || err.Error() != "epoll_wait: bad file descriptor" {
		t.Errorf("got %v", err)
	}
	if _, err := EpollWait(-1, events, 0); !errors.Is(err, syscall.EBADF) {
		t.Errorf("got %v", err)
	}
	if n, err := EpollPoll(-1, nil); n != 0 || err != nil {
		t.Errorf("no room for events: %d, %v", n, err)
	}
}

// A counter that is full says EAGAIN: then there is no need to wake anyone.
func TestEventfdFull(t *testing.T) {
	_, fd := poller(t, 1)
	if n, err := Polite.Write(fd, []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}); n != 8 || err != nil {
		// On a big-endian machine these bytes are another number.
		t.Skip(n, err)
	}
	if err := EventfdAdd(fd); err != nil {
		t.Errorf("got %v", err)
	}
}

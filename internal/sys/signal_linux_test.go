package sys

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// sleeper reads off the kernel what a thread is doing.
type sleeper struct{ tid int }

// sleeps is how often the thread went to sleep by itself, and whether it
// sleeps now.
func (s sleeper) sleeps(t *testing.T) (count int, now bool) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", s.tid))
	must(t, err)
	for line := range strings.Lines(string(status)) {
		now = now || strings.HasPrefix(line, "State:\tS")
		if n, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
			_, err := fmt.Sscan(n, &count)
			must(t, err)
		}
	}
	return count, now
}

// interrupt sends the thread a signal whenever it sleeps, until it has slept
// more than n times or ended is closed. The signal is one that the runtime
// sends itself, so nobody minds.
func (s sleeper) interrupt(t *testing.T, n int, ended <-chan struct{}) {
	t.Helper()
	first, last := 0, -1
	for {
		select {
		case <-ended:
			return
		default:
		}
		count, now := s.sleeps(t)
		if !now || count == last {
			runtime.Gosched()
			continue
		}
		if last < 0 {
			first = count
		}
		last = count
		if last-first >= n {
			return
		}
		must(t, unix.Tgkill(os.Getpid(), s.tid, unix.SIGURG))
	}
}

// A socket call with a timeout set is interrupted by any signal, SA_RESTART or
// not (signal(7)): the one way to have a true EINTR.
func TestTrueInterruptions(t *testing.T) {
	a, b := pair(t)
	must(t, SetNonblock(a, false))
	must(t, unix.SetsockoptTimeval(a, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1000}))
	tid := make(chan int)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		tid <- unix.Gettid()
		if n, err := Polite.Read(a, make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("read: %d, %v", n, err)
		}
	}()
	sleeper{<-tid}.interrupt(t, 5, ended)
	if _, err := Polite.Write(b, []byte("x")); err != nil && err != syscall.EPIPE {
		t.Fatal(err)
	}
	<-ended
}

func TestTrueInterruptionsOfWait(t *testing.T) {
	epfd, eventfd := poller(t, 1)
	tid := make(chan int)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		tid <- unix.Gettid()
		events := make([]unix.EpollEvent, 1)
		turns := 0
		for {
			n, err := EpollWait(epfd, events, -1)
			if err != nil {
				t.Errorf("wait: %v", err)
			}
			if n == 1 || err != nil {
				break
			}
			turns++
		}
		if turns == 0 {
			t.Error("no signal ended the wait: this test tests nothing")
		}
	}()
	sleeper{<-tid}.interrupt(t, 5, ended)
	must(t, EventfdAdd(eventfd))
	<-ended
}

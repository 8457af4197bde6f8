//go:build unix

package bev_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/leak"
	"github.com/bevgo/bev/internal/sys"
)

// What a listener does when accept fails. Most tests have it fail by the fault
// hook; those that are about descriptors use them up in earnest (useUp).

// host is a listener and what came of its callers.
type host struct {
	r     *rig
	ln    *bev.Listener
	mu    sync.Mutex
	conns []*bev.Conn
}

// host listens with nothing but echo. network is "tcp4" or "unix".
func (r *rig) host(network string, o *bev.ListenOptions) *host {
	r.t.Helper()
	h := &host{r: r}
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(r.t.TempDir(), "s")
	}
	h.ln = r.listen(network, addr, h.accept, o)
	return h
}

func (h *host) accept(c *bev.Conn) {
	h.mu.Lock()
	h.conns = append(h.conns, c)
	h.mu.Unlock()
	c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
	c.Enable(bev.Reading)
}

func (h *host) accepted() []*bev.Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.conns)
}

// want waits until n callers have been accepted, and brings the loop to rest to
// see that there are no more.
func (h *host) want(n int, why string) {
	h.r.t.Helper()
	eventually(h.r.t, why, func() bool { return len(h.accepted()) >= n })
	h.r.settle()
	if got := len(h.accepted()); got != n {
		h.r.t.Fatalf("%s: %d callers were accepted, want %d", why, got, n)
	}
}

// callHeld is call while the loop is held: a caller who is reset before Dial has
// returned would not get so far.
func (r *rig) callHeld(h *host) *peer {
	r.t.Helper()
	release := r.hold()
	defer release()
	return r.call(h.ln)
}

func (h *host) stats() bev.ListenerStats {
	h.r.t.Helper()
	return get(h.r, h.ln.Stats)
}

func (h *host) wantHeld(want bev.Hold, why string) {
	h.r.t.Helper()
	h.r.settle()
	if got := h.stats().Held; got != want {
		h.r.t.Fatalf("%s: the listener is held for %q, want %q", why, got, want)
	}
}

// wantEcho shows that p is served.
func (p *peer) wantEcho() {
	p.t.Helper()
	p.send("are you there?")
	p.want("are you there?")
}

var exhaustions = []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}

func TestExhaustedListenerWaitsAndServesAgain_Libevent71(t *testing.T) {
	for _, errno := range exhaustions {
		t.Run(errno.Error(), func(t *testing.T) {
			r := run(t, nil)
			h := r.host("tcp4", nil)
			f := inject(t)
			none := f.failTimes(-1, sys.OpAccept, anyFD, errno)
			p := r.call(h.ln)
			r.until(func() bool { return h.ln.Stats().Held == bev.HoldExhausted }, "the listener to pause")
			now := func() time.Time { return get(r, r.l.Now) }
			last := now()
			r.skip(time.Second)
			for range 20 {
				before, start := f.struck(none), now()
				r.skip(time.Second)
				n := f.struck(none) - before
				// While others have the processor, pauses of 10 ms and more end
				// without being skipped.
				passed := now().Sub(last) // which knows nothing of what was skipped
				if last = start; n < 1 || n > 1+int(passed/(10*time.Millisecond)) {
					t.Fatalf("%d tries after a second and %v, want 1", n, passed)
				}
			}
			f.lift(none)
			r.skip(time.Second) // of relief, not more
			h.want(1, "the caller who waited in the kernel's queue")
			p.wantEcho()
			h.wantHeld(0, "there is enough of everything")
			if lines := r.log.lines("listener"); len(lines) != 1 || !strings.Contains(lines[0], errno.Error()) {
				t.Errorf("logged %q, want one line with the reason", lines)
			}
			if s := h.stats(); s.Exhausted != 1 || s.Accepted != 1 || s.Refused != 0 || s.Conns != 1 {
				t.Errorf("Stats are %+v", s)
			}
		})
	}
}

// The times of the tries, on a clock that does not move while there is
// something to do.
func TestExhaustedListenerBacksOff(t *testing.T) {
	r := newRig(t, nil)
	h := r.host("tcp4", nil)
	r.l.Virtual()
	var tries []time.Duration
	start := r.l.Now()
	const failing = 10
	restore := sys.SetHook(func(op sys.Op, _, _ int) (int, error) {
		if op == sys.OpAccept && len(tries) < failing {
			tries = append(tries, r.l.Now().Sub(start))
			return 0, syscall.EMFILE
		}
		return -1, nil
	})
	defer restore()
	r.call(h.ln)
	r.start(t.Context())
	h.want(1, "the caller to be accepted in the end")
	r.l.Stop()
	r.wait()
	var pauses []time.Duration
	for i := range tries[1:] {
		pauses = append(pauses, tries[i+1]-tries[i])
	}
	const ms = time.Millisecond
	want := []time.Duration{10 * ms, 20 * ms, 40 * ms, 80 * ms, 160 * ms, 320 * ms, 500 * ms, 500 * ms, 500 * ms}
	if !slices.Equal(pauses, want) {
		t.Errorf("pauses of %v, want %v", pauses, want)
	}
}

// Between two tries nothing runs, however many callers come.
func TestExhaustedListenerDoesNotSpin_Libevent71(t *testing.T) {
	r := run(t, nil)
	h := r.host("tcp4", nil)
	f := inject(t)
	none := f.failTimes(-1, sys.OpAccept, anyFD, syscall.EMFILE)
	r.call(h.ln)
	r.until(func() bool { return h.ln.Stats().Held == bev.HoldExhausted }, "the listener to pause")
	for range 6 {
		r.skip(500 * time.Millisecond) // to the longest pause
	}
	// Half a second of pause has begun now; an edge for each caller comes and
	// is not a reason to try.
	before := f.struck(none)
	for range 10 {
		r.call(h.ln)
	}
	r.settle()
	// A machine that is stopped for half a second in between may see one try.
	if n := f.struck(none) - before; n > 1 {
		t.Errorf("%d tries for 10 callers while the listener paused", n)
	}
	f.lift(none)
	r.skip(time.Second)
	h.want(11, "all who waited")
}

// Closing a Conn of the Loop is relief, and need not wait for the timer.
func TestExhaustedListenerTriesWhenAConnIsClosed(t *testing.T) {
	r := run(t, nil)
	h := r.host("tcp4", nil)
	r.call(h.ln)
	h.want(1, "the first caller")
	f := inject(t)
	none := f.failTimes(-1, sys.OpAccept, anyFD, syscall.EMFILE)
	p := r.call(h.ln)
	r.until(func() bool { return h.ln.Stats().Held == bev.HoldExhausted }, "the listener to pause")
	f.lift(none)
	c := h.accepted()[0]
	r.on(func() {
		r.l.SkipTime(-time.Hour) // no timer is due for an hour
		c.Close()
	})
	h.want(2, "the caller who waited")
	p.wantEcho()
	r.on(func() { r.l.SkipTime(time.Hour) })
}

// A server at its limit runs out with every caller. That is one episode.
func TestExhaustionIsLoggedOncePerEpisode(t *testing.T) {
	r := run(t, nil)
	h := r.host("tcp4", nil)
	f := inject(t)
	once := func() {
		t.Helper()
		none := f.failTimes(1, sys.OpAccept, anyFD, syscall.ENFILE)
		n := len(h.accepted())
		r.call(h.ln)
		eventually(t, "the fault to strike", func() bool { return f.struck(none) == 1 })
		r.skip(time.Second)
		h.want(n+1, "the caller after a pause")
	}
	for range 30 {
		once() // a second apart, for half a minute
	}
	if lines := r.log.lines("listener"); len(lines) != 1 {
		t.Errorf("an episode logged %d lines: %q", len(lines), lines)
	}
	if n := h.stats().Exhausted; n != 1 {
		t.Errorf("Stats count %d episodes, want 1", n)
	}
	r.skip(time.Minute)
	once()
	if lines := r.log.lines("listener"); len(lines) != 2 {
		t.Errorf("two episodes logged %d lines: %q", len(lines), lines)
	}
}

func TestPauseHoldsThroughExhaustion(t *testing.T) {
	r := run(t, nil)
	h := r.host("tcp4", nil)
	f := inject(t)
	none := f.failTimes(-1, sys.OpAccept, anyFD, syscall.EMFILE)
	r.call(h.ln)
	r.until(func() bool { return h.ln.Stats().Held == bev.HoldExhausted }, "the listener to pause")
	h.ln.Pause()
	f.lift(none)
	r.skip(time.Hour)
	h.want(0, "the user's Pause holds")
	h.wantHeld(bev.HoldPaused, "the exhaustion is over")
	h.ln.Resume()
	h.want(1, "Resume")
}

// callersFault are errors that are the caller's: accept(2).
var callersFault = []syscall.Errno{
	syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPROTO, syscall.EPERM, syscall.ENETDOWN,
	syscall.ENOPROTOOPT, syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.EOPNOTSUPP, syscall.ENETUNREACH,
}

func TestACallerWhoIsGoneIsIgnored(t *testing.T) {
	for _, errno := range append(callersFault, syscall.EINTR) {
		t.Run(errno.Error(), func(t *testing.T) {
			r := run(t, nil)
			f := inject(t)
			f.failTimes(3, sys.OpAccept, anyFD, errno)
			h := r.host("tcp4", &bev.ListenOptions{OnError: func(err error) { t.Errorf("OnError: %v", err) }})
			p := r.call(h.ln)
			h.want(1, "the caller behind those who hung up")
			p.wantEcho()
			h.wantHeld(0, "nothing has happened")
			if lines := r.log.lines(""); len(lines) != 0 {
				t.Errorf("logged %q", lines)
			}
		})
	}
}

func TestAnErrorThatDoesNotPassEndsTheListener(t *testing.T) {
	for _, told := range []bool{true, false} {
		t.Run(fmt.Sprintf("OnError %v", told), func(t *testing.T) {
			r := run(t, nil)
			f := inject(t)
			f.fail(sys.OpAccept, anyFD, syscall.EINVAL)
			errs := make(chan error, 2)
			var o bev.ListenOptions
			if told {
				o.OnError = func(err error) { errs <- err }
			}
			h := r.host("tcp4", &o)
			r.callHeld(h)
			if told {
				err := await(t, errs, "OnError")
				var op *net.OpError
				if !errors.Is(err, syscall.EINVAL) || !errors.As(err, &op) || op.Op != "accept" || op.Addr.String() != h.ln.Addr().String() {
					t.Errorf("OnError got %v", err)
				}
			} else {
				eventually(t, "a line in the log", func() bool { return len(r.log.lines("invalid argument")) == 1 })
			}
			r.settle()
			if fd := get(r, h.ln.FD); fd != -1 {
				t.Errorf("the listener still has descriptor %d", fd)
			}
			if err := h.ln.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Close: %v, want net.ErrClosed", err)
			}
		})
	}
}

// The poller's own resources run out like others: the caller is lost, as it
// was accepted, and the next is accepted later.
func TestListenerPausesWhenConnsCannotBeWatched(t *testing.T) {
	r := run(t, nil)
	h := r.host("tcp4", nil)
	r.settle() // the listener itself is watched
	f := inject(t)
	f.fail(sys.OpEpollCtl, anyFD, syscall.ENOSPC)
	lost := r.callHeld(h)
	lost.wantReset("it cannot be watched")
	h.wantHeld(bev.HoldExhausted, "epoll_ctl says ENOSPC")
	p := r.call(h.ln)
	r.skip(time.Second)
	h.want(2, "the next caller")
	p.wantEcho()
	if n := h.stats().Conns; n != 1 {
		t.Errorf("Stats count %d Conns, want 1", n)
	}
}

// useUp opens descriptors until the process has left no more than n. release
// gives that many back.
func useUp(t *testing.T, n int) (release func(n int)) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	highest := 0
	for fd := range leak.Descriptors() {
		highest = max(highest, fd)
	}
	low := limit
	setLimit(&low.Cur, highest+16)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	var taken []int
	for {
		fd, err := syscall.Dup(int(null.Fd()))
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	release = func(n int) {
		for range min(n, len(taken)) {
			syscall.Close(taken[0])
			taken = taken[1:]
		}
	}
	t.Cleanup(func() {
		release(len(taken))
		null.Close()
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	})
	release(n)
	return release
}

// setLimit is an assignment: the type of p is not the same on all systems.
func setLimit[T int64 | uint64](p *T, n int) { *p = T(n) }

func TestListenerWithoutDescriptorsServesAgain(t *testing.T) {
	for _, network := range []string{"tcp4", "unix"} {
		t.Run(network, func(t *testing.T) {
			r := newRig(t, nil)
			h := r.host(network, nil)
			var callers []*peer
			for range 5 {
				callers = append(callers, r.call(h.ln))
			}
			release := useUp(t, 2)
			r.start(t.Context())
			h.want(2, "those for whom there are descriptors")
			h.wantHeld(bev.HoldExhausted, "there are no more")
			callers[0].wantEcho() // and they are served
			release(1)
			r.skip(time.Second)
			h.want(3, "one descriptor was released")
			r.on(func() { h.accepted()[0].Close() })
			h.want(4, "a Conn was closed")
			release(10)
			r.skip(time.Second)
			h.want(5, "there are enough descriptors")
			callers[4].wantEcho()
			if lines := r.log.lines("listener"); len(lines) != 1 {
				t.Errorf("logged %d lines: %q", len(lines), lines)
			}
			r.l.Stop()
			r.wait()
		})
	}
}

func TestListenerRefusesCallersWithASpareDescriptor(t *testing.T) {
	r := newRig(t, nil)
	h := r.host("tcp4", &bev.ListenOptions{OnExhausted: bev.Refuse})
	var callers []*peer
	for range 5 {
		callers = append(callers, r.call(h.ln))
	}
	release := useUp(t, 2)
	r.start(t.Context())
	h.want(2, "those for whom there are descriptors")
	for _, p := range callers[2:] {
		p.wantReset("turned away")
	}
	callers[1].wantEcho()
	if s := h.stats(); s.Refused != 3 || s.Accepted != 2 || s.Exhausted != 1 || s.Held != 0 {
		t.Errorf("Stats are %+v", s)
	}
	if lines := r.log.lines("listener"); len(lines) != 1 || !strings.Contains(lines[0], "turned away") {
		t.Errorf("logged %q", lines)
	}
	callers[0].close()
	r.wantClosed(h.accepted()[0], "its peer closed")
	release(3) // two for the Conn's and the peer's end of one more, one to spare
	p := r.call(h.ln)
	h.want(3, "there are descriptors again")
	p.wantEcho()
	r.l.Stop()
	r.wait()
}

// More callers than one turn takes, all of them turned away.
func TestListenerRefusesACrowd(t *testing.T) {
	const crowd = bev.AcceptsPerTurn + 10 // 128 is all that some kernels queue (listen(2))
	r := newRig(t, nil)
	h := r.host("tcp4", &bev.ListenOptions{OnExhausted: bev.Refuse})
	var callers []*peer
	for range crowd {
		callers = append(callers, r.call(h.ln))
	}
	useUp(t, 0)
	r.start(t.Context())
	for _, p := range callers {
		p.wantReset("turned away")
	}
	if s := h.stats(); s.Refused != crowd || s.Accepted != 0 {
		t.Errorf("Stats are %+v, want %d refused", s, crowd)
	}
	r.l.Stop()
	r.wait()
}

// Another part of the process is quicker to take the descriptor that was to be
// accepted with: the callers wait, and are turned away, or served, later.
func TestListenerThatLosesItsSpareDescriptorWaits(t *testing.T) {
	r := newRig(t, nil)
	h := r.host("tcp4", &bev.ListenOptions{OnExhausted: bev.Refuse})
	p := r.call(h.ln)
	useUp(t, 0)
	stolen, accepts := -1, 0
	restore := sys.SetHook(func(op sys.Op, _, _ int) (int, error) {
		if op == sys.OpAccept {
			if accepts++; accepts == 2 { // the first with the spare one closed
				stolen, _ = syscall.Dup(0)
			}
		}
		return -1, nil
	})
	defer restore()
	r.start(t.Context())
	r.until(func() bool { return h.ln.Stats().Held == bev.HoldExhausted }, "the listener to pause")
	if stolen < 0 {
		t.Fatal("there was no descriptor to steal")
	}
	if n := h.stats().Refused; n != 0 {
		t.Errorf("%d callers turned away, with what?", n)
	}
	syscall.Close(stolen)
	r.skip(time.Second)
	h.want(1, "the descriptor is back")
	p.wantEcho()
	r.settle()
	q := r.tryCall(h)
	if q == nil {
		// Neither end of another connection can be made now, which is as it
		// should be: the one descriptor is the caller's.
		r.l.Stop()
		r.wait()
		return
	}
	t.Error("a descriptor was left that nobody should have")
}

// tryCall connects to h, and returns nil where there is no descriptor for it.
func (r *rig) tryCall(h *host) net.Conn {
	nc, err := net.Dial(h.ln.Addr().Network(), h.ln.Addr().String())
	if err != nil {
		return nil
	}
	nc.Close()
	return nc
}

// Once there are descriptors again, the next one is kept in reserve.
func TestListenerReplacesItsSpareDescriptor(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	h := r.host("tcp4", &bev.ListenOptions{OnExhausted: bev.Refuse})
	f.failTimes(2, sys.OpAccept, anyFD, syscall.EMFILE) // the second with the spare one closed
	r.call(h.ln)
	r.until(func() bool { return h.ln.Stats().Held == bev.HoldExhausted }, "the listener to pause")
	f.reset()
	r.skip(time.Second)
	h.want(1, "there are descriptors again")
	if n := f.count(sys.OpSocket); n != 1 {
		t.Fatalf("%d sockets were made, want the spare one", n)
	}
	f.fail(sys.OpAccept, anyFD, syscall.EMFILE)
	r.callHeld(h).wantReset("turned away with the new spare descriptor")
}

// Memory is not what a spare descriptor has.
func TestListenerDoesNotRefuseForWantOfMemory(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	h := r.host("tcp4", &bev.ListenOptions{OnExhausted: bev.Refuse})
	f.fail(sys.OpAccept, anyFD, syscall.ENOMEM)
	p := r.call(h.ln)
	r.until(func() bool { return h.ln.Stats().Held == bev.HoldExhausted }, "the listener to pause")
	r.skip(time.Second)
	h.want(1, "the caller who waited")
	p.wantEcho()
	if n := h.stats().Refused; n != 0 {
		t.Errorf("%d callers were turned away", n)
	}
}

// While it turns callers away, accept may fail as ever.
func TestListenerRefusingMeetsOtherErrors(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	errs := make(chan error, 1)
	h := r.host("tcp4", &bev.ListenOptions{OnExhausted: bev.Refuse, OnError: func(err error) { errs <- err }})
	f.fail(sys.OpAccept, anyFD, syscall.EMFILE)
	f.fail(sys.OpAccept, anyFD, syscall.ECONNABORTED)
	r.callHeld(h).wantReset("turned away, after one who hung up")
	f.fail(sys.OpAccept, anyFD, syscall.EMFILE)
	f.fail(sys.OpAccept, anyFD, syscall.EINVAL)
	r.callHeld(h)
	if err := await(t, errs, "OnError"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("OnError got %v", err)
	}
	r.settle()
	if fd := get(r, h.ln.FD); fd != -1 {
		t.Errorf("the listener still has descriptor %d", fd)
	}
}

func TestListenFailsWithoutASpareDescriptor(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	f.add(&fault{op: sys.OpSocket, fd: anyFD, skip: 1, times: 1, limit: -1, err: syscall.EMFILE})
	ln, err := bev.Listen(r.l, "tcp", "127.0.0.1:0", func(*bev.Conn) {}, &bev.ListenOptions{OnExhausted: bev.Refuse})
	if ln != nil || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("Listen: %v, %v, want EMFILE", ln, err)
	}
}

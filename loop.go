package bev

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/goid"
	"github.com/bevgo/bev/internal/invariants"
	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/sys"
	"github.com/bevgo/bev/internal/timer"
)

// A Loop waits for descriptors, timers and calls from elsewhere, and runs what
// belongs to them, one thing after the other, on the goroutine of Run.
//
// That goroutine owns the Loop and all it holds: connections, their buffers,
// timers, watches. Nothing is locked, because nothing is shared. Until Run
// starts, the goroutine that sets the Loop up owns it. Methods marked "Loop
// only." belong to the owner; those marked "Safe from any goroutine." hand
// their work over by [Loop.Post].
//
// One tick does, in this order: wait; dispatch what is ready; expired timers;
// posted calls; deferred callbacks; the flush of what others wrote. The clock
// is read once, after the wait.
//
// Libevent: struct event_base.
type Loop struct {
	// Set at creation, then constant.
	poller poll.Poller
	mode   sys.Mode
	opts   LoopOptions
	base   time.Time // the loop's clock counts nanoseconds from here

	// Owned by the loop.
	sources poll.Table[source]
	events  []poll.Event
	now     int64 // the clock at the start of this tick
	timers  timer.Heap[expirer]
	scratch *buffer.Scratch // what every Conn reads into
	pool    *buffer.Pool
	work    workQueues
	step    step   // where in the tick we are, so that a panic resumes there
	current victim // what a panic in this moment would be charged to
	files   map[int]*fdWatches
	stats   LoopStats
	ticking bool // between the start and the end of a Run: now is fresh

	// Shared with other goroutines.
	asleep  atomic.Bool  // true while a Post has to wake the loop
	waiting atomic.Int32 // posted calls, and reasons to stop, not seen yet
	mu      sync.Mutex   // guards the fields below; never held while a callback runs
	posted  queue[call]  // mu guards waiting; pass and next are the loop's
	stop    bool
	cause   error // what Run returns for this stop, nil for Stop
	closed  bool
	running bool
	done    chan struct{} // closed when the current Run has ended
	gid     atomic.Uint64 // goroutine of the current Run, 0 when none
}

// A source is something that the Loop owns until it is closed. It holds a
// token in Loop.sources from birth to death; the kernel reports readiness by
// that token.
type source interface {
	ready(r poll.Ready)
	// shutdown closes the source and takes its token back.
	shutdown()
}

// An expirer is something with a deadline in the loop's heap.
type expirer interface {
	expire(now int64)
	timerNode() *timer.Node
}

// A call is work handed over from another goroutine.
type call interface {
	run()
	// drop is told that the Loop closed before the call ran.
	drop()
}

// A victim is what has to go when its callback panics.
type victim interface {
	panicked()
}

// NewLoop makes a Loop. It fails where the system has no poller that bev
// supports (errors.ErrUnsupported) or no descriptor is left for one.
//
// Libevent: event_base_new, event_base_new_with_config.
func NewLoop(o *LoopOptions) (*Loop, error) {
	l := &Loop{files: make(map[int]*fdWatches)}
	if o != nil {
		l.opts = *o
	}
	wait := poll.WaitRuntime
	if l.opts.BlockingWait {
		wait = poll.WaitBlock
	}
	if l.opts.OwnCore {
		l.mode = sys.Direct
	}
	p, err := poll.Open(poll.Options{Wait: wait})
	if err != nil {
		return nil, fmt.Errorf("bev: no loop on this system: %w", err)
	}
	size := l.opts.ReadBuffer
	if size == 0 {
		size = DefaultMaxSingleRead
	}
	l.poller = p
	l.timers = timer.New(expirer.timerNode)
	l.scratch = buffer.NewScratch(max(size, minReadBuffer))
	l.pool = buffer.NewPool(poolBytes)
	l.events = make([]poll.Event, eventBatch)
	l.base = time.Now()
	l.stats.Backend = p.Name()
	return l, nil
}

const (
	// eventBatch bounds the events of one tick. A batch of 256 makes the
	// wait's cost vanish without delaying timers.
	eventBatch = 256
	// poolBytes bounds the memory that a Loop keeps for the next burst.
	poolBytes = 1 << 20
)

// Run runs the Loop until Stop (it then returns nil), until ctx ends (it
// returns the context's cause), or until Close (net.ErrClosed). It does not
// end because nothing is left to wait for. A second Run at the same time
// returns ErrRunning; after Run has returned it may be called again and goes
// on where it was. A callback that calls runtime.Goexit ends Run with
// ErrGoexit and closes the Loop's connections.
//
// Run starts a goroutine and waits for it, so that Goexit in a callback does
// not unwind the caller.
//
// Libevent: event_base_dispatch, event_base_loop.
func (l *Loop) Run(ctx context.Context) error {
	if err := l.begin(); err != nil {
		return err
	}
	cancel := context.AfterFunc(ctx, func() { l.requestStop(context.Cause(ctx)) })
	err := error(ErrGoexit) // what is left when the goroutine never assigns
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		l.gid.Store(goid.Current())
		l.ticking = true
		err = l.ticks()
	}()
	<-finished
	cancel()
	return l.end(err)
}

// begin claims the Loop for one Run.
func (l *Loop) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return errLoopClosed
	case l.running:
		return ErrRunning
	}
	l.running = true
	l.done = make(chan struct{})
	return nil
}

// end gives the Loop back, and releases it where Close asked for that.
func (l *Loop) end(err error) error {
	l.gid.Store(0)
	l.ticking = false
	if err == ErrGoexit {
		l.closeSources()
	}
	l.mu.Lock()
	l.running = false
	closed := l.closed
	done := l.done
	l.mu.Unlock()
	if closed {
		l.release()
		if err == nil {
			err = errLoopClosed
		}
	}
	close(done)
	return err
}

// ticks runs the loop until something stops it.
func (l *Loop) ticks() error {
	yielded := int64(0)
	for {
		if l.waiting.Load() != 0 {
			if stopped, err := l.takeStop(); stopped {
				return err
			}
		}
		if err := l.wait(); err != nil {
			return fmt.Errorf("bev: the loop cannot wait: %w", err)
		}
		for !l.tick() { // false after a panic: go on behind it
		}
		if l.now-yielded > yieldEvery {
			runtime.Gosched()
			yielded = l.now
		}
	}
}

// yieldEvery is how long a busy loop keeps its processor from other
// goroutines. At ten milliseconds Go's sysmon would take it by force, in the
// middle of a system call, and then stay awake for a while to look for more to
// take: with one processor that cost a tenth of the loop's CPU time.
const yieldEvery = int64(4 * time.Millisecond)

// takeStop consumes a request to stop. It drops a hint that nothing is left
// of, and keeps it while posted calls wait.
func (l *Loop) takeStop() (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return true, nil
	}
	if !l.stop {
		return false, nil
	}
	err := l.cause
	l.stop, l.cause = false, nil
	l.waiting.Add(-1)
	return true, err
}

// wait asks for events, and sleeps for them when there is nothing to do.
//
// The order of asleep and waiting is what makes a Post from elsewhere safe:
// the poster adds its call, then looks at asleep; the loop sets asleep, then
// looks for calls. One of them sees the other (both are sequentially
// consistent), so no call is left lying and no wake-up is spent on a loop
// that is awake.
func (l *Loop) wait() (err error) {
	var n int
	if l.work.pending() {
		n, err = l.poller.Poll(l.events)
	} else {
		l.asleep.Store(true)
		if l.waiting.Load() != 0 {
			n, err = l.poller.Poll(l.events)
		} else {
			n, err = l.poller.Park(l.events, l.nextDeadline())
		}
		l.asleep.Store(false)
	}
	l.now = int64(time.Since(l.base))
	l.stats.Ticks++
	l.stats.Events += uint64(n)
	l.step = step{events: l.events[:n]}
	return err
}

// nextDeadline is the time of the next timer, the zero time for none.
func (l *Loop) nextDeadline() time.Time {
	when, ok := l.timers.Next()
	if !ok {
		return time.Time{}
	}
	return l.base.Add(time.Duration(when))
}

// Stop makes Run return nil after the current tick. When no Run is going on,
// the next one returns at once: a Stop is never lost. Safe from any goroutine.
//
// Libevent: event_base_loopexit, event_base_loopbreak.
func (l *Loop) Stop() { l.requestStop(nil) }

func (l *Loop) requestStop(cause error) {
	l.mu.Lock()
	if !l.stop {
		l.stop, l.cause = true, cause
		l.waiting.Add(1)
	}
	l.mu.Unlock()
	l.wake()
}

// Post runs f on the loop, after what is ready and the timers of that tick.
// Calls posted from one goroutine run in the order posted. However many are
// posted while the Loop sleeps, it is woken once. Calls that wait when Run
// returns are run by the next Run; those that wait at Close are dropped. It
// returns net.ErrClosed once the Loop is closed. Safe from any goroutine.
//
// Libevent: event_active, event_base_once.
func (l *Loop) Post(f func()) error {
	if f == nil {
		misuse("Post needs a function")
	}
	return l.post(postedFunc(f))
}

// postedFunc is the call behind Post.
type postedFunc func()

func (f postedFunc) run()  { f() }
func (f postedFunc) drop() {}

func (l *Loop) post(c call) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return errLoopClosed
	}
	l.posted.add(c)
	l.waiting.Add(1)
	l.mu.Unlock()
	l.wake()
	return nil
}

// wake ends the loop's sleep, once however many callers there are.
func (l *Loop) wake() {
	if l.asleep.CompareAndSwap(true, false) {
		// The only error is a poller that is closed, and then nobody sleeps.
		_ = l.poller.Wake()
	}
}

// Close stops the Loop, waits for Run to return (unless called from a
// callback: the Loop then closes when that callback's tick is over), and
// closes all that still belongs to the Loop: connections, listeners, watches,
// signals. Output that was not sent is dropped. Close is idempotent and
// returns nil. Safe from any goroutine.
//
// Libevent: event_base_free.
func (l *Loop) Close() error {
	l.mu.Lock()
	if l.closed {
		done := l.done
		l.mu.Unlock()
		l.awaitRun(done)
		return nil
	}
	l.closed = true
	l.waiting.Add(1)
	running, done := l.running, l.done
	l.mu.Unlock()
	l.wake()
	if running {
		l.awaitRun(done)
		return nil
	}
	l.release()
	return nil
}

// awaitRun waits for a Run to end, unless it is the one we are called from.
func (l *Loop) awaitRun(done chan struct{}) {
	if done != nil && l.gid.Load() != goid.Current() {
		<-done
	}
}

// release closes all that the Loop owns, then the poller.
func (l *Loop) release() {
	l.closeSources()
	// Twice, because a pass that Goexit cut short comes before what waits.
	for range 2 {
		l.mu.Lock()
		l.posted.begin()
		l.mu.Unlock()
		l.posted.run(call.drop)
	}
	if err := l.poller.Close(); err != nil {
		l.logger().Error("bev: closing the poller", "err", err)
	}
}

// closeSources closes everything that holds a token.
func (l *Loop) closeSources() {
	l.sources.Each(func(_ poll.Token, s source) { s.shutdown() })
}

// Now is the loop's idea of the current time: read once per tick, monotonic.
// Loop only.
//
// Libevent: event_base_gettimeofday_cached.
func (l *Loop) Now() time.Time { return l.base.Add(time.Duration(l.now)) }

func (l *Loop) logger() *slog.Logger {
	if l.opts.Logger != nil {
		return l.opts.Logger
	}
	return slog.Default()
}

// onLoop reports whether the caller is the goroutine of the current Run.
func (l *Loop) onLoop() bool { return l.gid.Load() == goid.Current() }

// assertOwner panics when a Loop-only method is used on another goroutine
// while the Loop runs. It costs microseconds, so only builds with the
// invariants tag or -race call it.
func (l *Loop) assertOwner(method string) {
	if !invariants.Enabled {
		return
	}
	if owner := l.gid.Load(); owner != 0 && owner != goid.Current() {
		misuse("%s is Loop only and was called on another goroutine: use Loop.Post, or Conn.Handle", method)
	}
}

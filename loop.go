package bev

import (
	"fmt"
	"log/slog"
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
// is read once, after the wait. With several priorities (LoopOptions.Priorities)
// a tick does that for what is most urgent, see [Conn.SetPriority].
//
// Libevent: struct event_base.
type Loop struct {
	// Set at creation, then constant.
	poller poll.Poller
	opts   LoopOptions
	base   time.Time // the loop's clock counts nanoseconds from here

	// group is what the Loop is part of, nil for nothing.
	group *LoopGroup

	// virtual, if not nil, is a clock to use instead of the real one.
	virtual func() int64

	// Owned by the loop.
	sources  poll.Table[source]
	events   []poll.Event
	mode     sys.Mode // of this tick, see callMode
	now      int64    // the clock at the start of this tick
	timers   timer.Heap[expirer]
	scratch  *buffer.Scratch // what every Conn reads into
	pool     *buffer.Pool
	rules    ruleBook // of its Conns
	work     workQueues
	agenda   agenda
	special  special // why ticks are not the plain ones, 0: they are
	prepares []*Hook
	checks   []*Hook
	breaking bool   // Break was called and not obeyed yet
	step     step   // where in the tick we are, so that a panic resumes there
	current  victim // what a panic in this moment would be charged to
	inner    victim // what it would be charged to besides
	depth    int    // of filters that read inside the callbacks of those under them
	files    map[int]*fdWatches
	watches  int                      // that are added
	pipes    []pipe                   // empty ones, for relays
	pacers   map[time.Duration]*pacer // those who wait for rate limits, by length of tick
	budget   memBudget
	starving []*acceptor // those who wait for a descriptor, or for a place below MaxConns
	drains   drains      // Shutdowns that wait for all Conns
	cutting  *cutCount   // counts Conns that are closed now, nil: nobody wants to know
	cut      cutCount    // what a Shutdown cut off when the Loop was closed
	stats    LoopStats
	ticking  bool // between the start and the end of a Run: now is fresh

	// Shared with other goroutines.
	sockets atomic.Int64             // Conns over descriptors, and places kept for those on their way here
	away    atomic.Bool              // Run has returned, and none goes on
	asleep  atomic.Bool              // true while a Post has to wake the loop
	parked  atomic.Bool              // true while the loop's goroutine is waiting, woken already or not
	waiting atomic.Int32             // posted calls, and reasons to stop, not seen yet
	mu      sync.Mutex               // guards the fields below; never held while a callback runs
	posted  queue[call]              // mu guards waiting; pass and next are the loop's
	stop    bool                     // asked for by Stop, not obeyed yet
	asked   struct{ stop, brk bool } // in the current Run or, between two, in the last
	cause   error                    // why the context of the current Run has ended, nil while it has not
	closed  bool
	running bool
	last    LoopStats      // when the last Run or release ended
	done    chan struct{}  // closed when the current Run has ended
	gid     atomic.Uint64  // goroutine of the current Run, 0 when none
	entry   atomic.Uintptr // goid.Entry of that goroutine

	draining atomic.Bool   // Shutdown was called
	released chan struct{} // closed when all that Close does is done
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

// NewLoop makes a Loop. It fails where the system has no poller that bev
// supports (errors.ErrUnsupported) or no descriptor is left for one.
//
// Libevent: event_base_new, event_base_new_with_config.
func NewLoop(o *LoopOptions) (*Loop, error) {
	l := &Loop{files: make(map[int]*fdWatches), released: make(chan struct{})}
	if o != nil {
		l.opts = *o
	}
	if l.opts.Priorities > MaxPriorities {
		return nil, fmt.Errorf("bev: NewLoop: %d priorities, at most %d", l.opts.Priorities, MaxPriorities)
	}
	wait := poll.WaitRuntime
	if l.opts.BlockingWait {
		wait = poll.WaitBlock
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
	l.timers = timer.New(expirer.timerNode, postponed)
	l.scratch = buffer.NewScratch(max(size, minReadBuffer))
	l.pool = buffer.NewPool(poolBytes)
	l.events = make([]poll.Event, eventBatch)
	l.base = time.Now()
	l.stats.Backend = p.Name()
	l.agenda = newAgenda(&l.opts)
	if l.agenda.always {
		l.special |= specialAgenda
	}
	l.budget = newMemBudget(l, l.opts.MemoryBudget)
	l.last = l.Stats()
	return l, nil
}

const (
	// eventBatch bounds the events of one tick. A batch of 256 makes the
	// wait's cost vanish without delaying timers.
	eventBatch = 256
	// poolBytes bounds the memory that a Loop keeps for the next burst.
	poolBytes = 1 << 20
)

// wait asks for events, and sleeps for them when there is nothing to do and
// block says so.
//
// The order of asleep and waiting is what makes a Post from elsewhere safe:
// the poster adds its call, then looks at asleep; the loop sets asleep, then
// looks for calls. One of them sees the other (both are sequentially
// consistent), so no call is left lying and no wake-up is spent on a loop
// that is awake.
func (l *Loop) wait(block bool) (err error) {
	n, queued := 0, l.work.len()
	if !block || queued > 0 {
		n, err = l.poller.Poll(l.events)
	} else {
		l.parked.Store(true)
		l.asleep.Store(true)
		if l.waiting.Load() != 0 {
			n, err = l.poller.Poll(l.events)
		} else {
			n, err = l.poller.Park(l.events, l.nextDeadline())
		}
		l.asleep.Store(false)
		l.parked.Store(false)
	}
	l.now = l.elapsed()
	l.mode = l.callMode(n)
	l.stats.Ticks++
	l.stats.Events += uint64(n)
	l.stats.MaxActive = max(l.stats.MaxActive, n+queued+l.agenda.n+int(l.waiting.Load()))
	l.step = step{events: l.events[:n], due: l.now, end: phaseDone}
	return err
}

// callMode says how a tick with n events reads and writes.
//
// Telling the scheduler of each call lets the collector stop the world in the
// middle of one. In a long tick that costs three percent. In a short one it
// costs much more: the first such call after a pause wakes the runtime's
// monitor thread, every time, only to find that the tick is over. Measured with
// 64 connections on one core: telling always 1.35 of a C loop's CPU time, in
// ticks of more than 16 events 1.15, never 1.07; the median pause of a
// collection under that load 16, 16 and 33 µs (a goroutine a connection: 23).
func (l *Loop) callMode(n int) sys.Mode {
	if l.opts.OwnCore || n <= fewEvents {
		return sys.Direct
	}
	return sys.Polite
}

// fewEvents is what a tick handles in a hundred microseconds or so.
const fewEvents = 16

// elapsed is the time since the Loop was made.
func (l *Loop) elapsed() int64 {
	if l.virtual != nil {
		return l.virtual()
	}
	return int64(time.Since(l.base))
}

// nextDeadline is the time of the next timer, the zero time for none.
func (l *Loop) nextDeadline() time.Time {
	when, ok := l.nextTimer()
	if !ok {
		return time.Time{}
	}
	return l.base.Add(time.Duration(when))
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
	l.awaitRun(l.close())
	return nil
}

// close has the Run that goes on close the Loop, and returns what is closed when
// it has ended. Where none goes on, it closes the Loop itself.
func (l *Loop) close() (done chan struct{}) {
	l.mu.Lock()
	running, done := l.running, l.done
	if l.closed {
		l.mu.Unlock()
		return done
	}
	l.closed = true
	l.away.Store(true)
	l.waiting.Add(1)
	l.mu.Unlock()
	l.wake()
	if !running {
		l.release()
	}
	return done
}

// awaitRun waits for a Run to end, unless it is the one we are called from.
func (l *Loop) awaitRun(done chan struct{}) {
	if done != nil && l.gid.Load() != goid.Current() {
		<-done
	}
}

// release closes all that the Loop owns, then the poller. What it calls may be
// the user's, and may end the goroutine: the steps are deferred, the last first,
// so that none is left out.
func (l *Loop) release() {
	defer close(l.released)
	defer l.closePoller()
	defer l.agenda.dropCalls()
	// Twice, because a pass that Goexit cut short comes before what waits.
	defer l.dropPosted()
	defer l.dropPosted()
	if l.draining.Load() {
		l.cutting = &l.cut
	}
	l.closeSources()
}

func (l *Loop) dropPosted() {
	l.mu.Lock()
	l.posted.begin()
	l.mu.Unlock()
	l.posted.run(call.drop)
}

func (l *Loop) closePoller() {
	l.closePipes()
	if err := l.poller.Close(); err != nil {
		l.logger().Error("bev: closing the poller", "err", err)
	}
	last := l.Stats()
	l.mu.Lock()
	l.last = last
	l.mu.Unlock()
}

// closeSources closes everything that holds a token. Where one of them ends the
// goroutine it goes on with the others; of that one only what came first is
// done.
func (l *Loop) closeSources() {
	all := false
	defer func() {
		if !all {
			l.closeSources()
		}
	}()
	l.sources.Each(func(_ poll.Token, s source) { l.guard(s.shutdown) })
	all = true
}

// Now is the loop's idea of the current time, monotonic: read once per tick, so
// that all that one tick does happens at one time. While no Run is going on it
// is read anew. Loop only.
//
// Libevent: event_base_gettimeofday_cached, event_gettime_monotonic.
func (l *Loop) Now() time.Time {
	l.assertOwner("Loop.Now")
	return l.base.Add(time.Duration(l.clock()))
}

// UpdateTime reads the clock anew in the middle of a tick, for a callback that
// has taken long: Now, and timers that are armed from here on, go by it. What
// has become due meanwhile waits for the next tick. Loop only.
//
// Libevent: event_base_update_cache_time.
func (l *Loop) UpdateTime() {
	l.assertOwner("Loop.UpdateTime")
	if l.ticking {
		l.now = max(l.now, l.elapsed())
	}
}

func (l *Loop) logger() *slog.Logger {
	if l.opts.Logger != nil {
		return l.opts.Logger
	}
	return slog.Default()
}

// onLoop reports whether the caller is the goroutine of the current Run. For
// most callers the cheap question is enough: theirs began otherwise.
func (l *Loop) onLoop() bool {
	id := l.gid.Load()
	return id != 0 && goid.Entry() == l.entry.Load() && id == goid.Current()
}

// mustNotWait reports whether a caller who waits for the Loop would wait for
// ever. A loop whose goroutine is waiting is not the caller, which is the usual
// case and costs nothing.
func (l *Loop) mustNotWait() bool { return !l.parked.Load() && l.onLoop() }

// await waits until ch is closed, by what the Loop still has to do; no longer
// than a Run goes on, and not on the loop's own goroutine.
func (l *Loop) await(ch <-chan struct{}) {
	l.mu.Lock()
	running, done := l.running, l.done
	l.mu.Unlock()
	if !running || l.onLoop() {
		return
	}
	select {
	case <-ch:
	case <-done:
	}
}

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

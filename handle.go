package bev

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bevgo/bev/buffer"
)

// A Handle is a Conn as other goroutines see it: a small value to keep and
// copy. What is done with it is done on the loop, in order. Nil from a method
// means queued, not done. A Handle outlives its Conn safely: then its methods
// return net.ErrClosed. All methods are Safe from any goroutine, and for the
// loop's own too.
//
// Libevent: BEV_OPT_THREADSAFE.
type Handle struct {
	h *handle
}

// handle is what the Handles of one Conn share.
type handle struct {
	loop *Loop
	conn *Conn // the loop's

	output atomic.Int64 // bytes in Output, as of the last flush
	queued atomic.Int64 // bytes written here that are not in Output yet
	limit  atomic.Int64 // OutputLimit, 0 for none

	mu     sync.Mutex // guards the fields below, of ops only what waits
	ops    queue[handleOp]
	posted bool
	closed bool
}

// handleOp is one thing to do on the loop: f, or else write b.
type handleOp struct {
	f func(*Conn)
	b *buffer.Buffer
	// cancel is called in place of f when the Conn is gone.
	cancel func()
}

// Handle returns the Conn's Handle. All Handles of a Conn are equal (==).
// The result is for whomever you like; to make it: Loop only.
func (c *Conn) Handle() Handle {
	c.loop.assertOwner("Conn.Handle")
	r := c.ensureRare()
	if r.handle == nil {
		r.handle = &handle{loop: c.loop, conn: c}
		if c.flags&flagClosed != 0 {
			c.closeHandle()
		}
		c.shareOutput()
	}
	return Handle{r.handle}
}

// shared returns what the Conn's Handles share, nil if there is none.
func (c *Conn) shared() *handle {
	if c.rare == nil {
		return nil
	}
	return c.rare.handle
}

// shareOutput publishes how full Output is.
func (c *Conn) shareOutput() {
	if h := c.shared(); h != nil {
		h.output.Store(int64(c.out.Len()))
		h.limit.Store(int64(c.rules.outputLimit))
	}
}

// onTheWay is how many bytes Handles have queued for Output.
func (c *Conn) onTheWay() int {
	if h := c.shared(); h != nil {
		return int(h.queued.Load())
	}
	return 0
}

// closeHandle has later calls fail. Those that are queued find it closed when
// their turn comes.
func (c *Conn) closeHandle() {
	if h := c.shared(); h != nil {
		h.conn = nil
		h.mu.Lock()
		h.closed = true
		h.mu.Unlock()
	}
}

// Write queues p for the peer, in order with everything else that is done with
// the Conn's Handles. It copies p, takes all of it or nothing, and never
// blocks. It returns ErrOutputFull where Output and what Handles have queued
// would pass OutputLimit. Safe from any goroutine.
//
// Libevent: bufferevent_write.
func (h Handle) Write(p []byte) (int, error) {
	err := h.write(len(p), func(b *buffer.Buffer) { b.Append(p) })
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteBuffer queues all of b for the peer without copying. It takes ownership
// of the bytes and empties b; on an error b is unchanged. b must not be the
// buffer of a Conn. Safe from any goroutine.
//
// Libevent: bufferevent_write_buffer.
func (h Handle) WriteBuffer(b *buffer.Buffer) error {
	return h.write(b.Len(), func(to *buffer.Buffer) { to.MoveAll(b) })
}

// write makes room for n bytes and has fill put them at the end of the queue.
func (h Handle) write(n int, fill func(*buffer.Buffer)) error {
	s := h.h
	if s == nil {
		return errConnClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errConnClosed
	}
	limit := s.limit.Load()
	if n > 0 && limit > 0 && s.output.Load()+s.queued.Load()+int64(n) > limit {
		return ErrOutputFull
	}
	// Writes in a row share one Buffer, so that a broadcast costs its bytes.
	if err := s.postLocked(); err != nil {
		return err
	}
	last := len(s.ops.waiting) - 1
	if last < 0 || s.ops.waiting[last].b == nil {
		s.ops.add(handleOp{b: new(buffer.Buffer)})
		last++
	}
	fill(s.ops.waiting[last].b)
	s.queued.Add(int64(n))
	return nil
}

// postLocked has the loop work the queue off.
func (s *handle) postLocked() error {
	if s.posted {
		return nil
	}
	if err := s.loop.post(s); err != nil {
		return err
	}
	s.posted = true
	return nil
}

// Do runs f on the loop with the Conn, unless it is closed by then. Safe from
// any goroutine.
func (h Handle) Do(f func(c *Conn)) error { return h.do(handleOp{f: f}) }

func (h Handle) do(op handleOp) error {
	s := h.h
	if s == nil {
		return errConnClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errConnClosed
	}
	if err := s.postLocked(); err != nil {
		return err
	}
	s.ops.add(op)
	return nil
}

// Call runs f on the loop with the Conn and returns what f returns. It waits
// for that; on the loop's own goroutine it runs f at once. Where ctx ends
// first, it returns the context's cause, and f still runs. It returns
// net.ErrClosed if the Conn or the Loop is closed before f had its turn. Safe
// from any goroutine.
func (h Handle) Call(ctx context.Context, f func(c *Conn) error) error {
	s := h.h
	if s == nil {
		return errConnClosed
	}
	if s.loop.onLoop() {
		if s.conn == nil {
			return errConnClosed
		}
		return f(s.conn)
	}
	result := make(chan error, 1)
	err := h.do(handleOp{
		f: func(c *Conn) {
			err := error(errCallPanicked)
			defer func() { result <- err }()
			err = f(c)
		},
		cancel: func() { result <- errConnClosed },
	})
	if err != nil {
		return err
	}
	select {
	case err = <-result:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Enable is Conn.Enable. Safe from any goroutine.
//
// Libevent: bufferevent_enable.
func (h Handle) Enable(dir Dir) error { return h.Do(func(c *Conn) { c.Enable(dir) }) }

// Disable is Conn.Disable. Safe from any goroutine.
//
// Libevent: bufferevent_disable.
func (h Handle) Disable(dir Dir) error { return h.Do(func(c *Conn) { c.Disable(dir) }) }

// Close is Conn.Close, after what was written with Handles before. Safe from
// any goroutine.
//
// Libevent: bufferevent_free.
func (h Handle) Close() error { return h.Do(func(c *Conn) { c.Close() }) }

// CloseAfterFlush is Conn.CloseAfterFlush. Safe from any goroutine.
func (h Handle) CloseAfterFlush(d time.Duration) error {
	return h.Do(func(c *Conn) { c.CloseAfterFlush(d) })
}

// run works the queue off on the loop. After a panic the rest keeps its turn.
func (s *handle) run() {
	s.mu.Lock()
	s.posted = false
	s.ops.begin()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		// Besides what a panic left of this pass, there may be what was
		// queued behind it: the post that stood for both is used up.
		if s.ops.next != 0 || len(s.ops.waiting) > 0 {
			_ = s.postLocked() // a Loop that is closed calls drop
		}
	}()
	s.ops.run(s.apply)
	s.loop.current = nil
}

// panicked is told that one of the calls did.
func (s *handle) panicked(p *PanicError) {
	if s.conn != nil {
		s.conn.panicked(p)
	}
}

func (s *handle) apply(op handleOp) {
	c := s.conn
	s.loop.current = s // c's buffers may call functions of the user, too
	switch {
	case op.b != nil:
		n := op.b.Len()
		if c != nil && c.noWrite&ReasonEnded == 0 && c.flags&(flagFinWanted|flagLinger) == 0 {
			c.out.MoveAll(op.b)
			c.shareOutput()
		}
		op.b.Reset()
		s.queued.Add(-int64(n))
	case c != nil:
		op.f(c)
	case op.cancel != nil:
		op.cancel()
	}
}

// drop is run for a Loop that closes: waiting Calls must hear of it.
func (s *handle) drop() {
	for more := true; more; {
		s.loop.guard(s.run)
		s.mu.Lock()
		more = s.ops.next != 0 || len(s.ops.waiting) > 0
		s.mu.Unlock()
	}
}

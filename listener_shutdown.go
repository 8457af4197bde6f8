package bev

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/bevgo/bev/internal/poll"
)

// A ShutdownError says that a Shutdown ran out of time, and what that cost.
type ShutdownError struct {
	Conns int   // connections that were cut off, as their peers can tell: by a reset
	Bytes int64 // what was still in their Outputs, and lost
	Err   error // why it could not wait longer: the context's cause, most often
}

// Error is like "bev: shutdown cut off 3 connections and 4096 bytes: context
// deadline exceeded".
func (e *ShutdownError) Error() string {
	return fmt.Sprintf("bev: shutdown cut off %d connections and %d bytes: %v", e.Conns, e.Bytes, e.Err)
}

// Unwrap returns Err.
func (e *ShutdownError) Unwrap() error { return e.Err }

// Shutdown closes the Listener and ends the conversations that it began, as
// Conn.CloseAfterFlush does: what is in their Outputs is sent, then the end of
// the stream, and what peers still send is discarded until they have ended,
// too. Their callbacks do not run any more. A [Relay] goes on until it is over
// by itself. Shutdown waits until all those Conns are closed, and returns nil
// then. When ctx ends first, it cuts off those that are left and returns a
// *ShutdownError, over the context's cause.
//
// It may be called on a Listener that is closed, and more than once. The Loop,
// or all those of its group, have to run meanwhile, and go on running. A
// callback that called it would wait for itself, and panics: start a goroutine
// for it there. Safe from any goroutine.
//
// Libevent: none; net/http has Server.Shutdown.
func (ln *Listener) Shutdown(ctx context.Context) error {
	for _, a := range ln.acceptors {
		a.loop.mustNotShutdown("Listener.Shutdown")
	}
	_ = ln.Close() // it may be closed already, and its Conns open
	d := newDrain(ctx)
	var parts atomic.Int32
	parts.Store(int32(len(ln.acceptors)))
	done := func() {
		if parts.Add(-1) == 0 {
			ln.await(d)
		}
	}
	for _, a := range ln.acceptors {
		if a.loop.post(drainCall{func() { a.drain(); done() }, done}) != nil {
			done() // the Loop is closed, and with it all that it had
		}
	}
	<-d.over.Done()
	if ctx.Err() == nil {
		return nil
	}
	return ln.cutOff(d)
}

// await adds a Shutdown to those that wait for the last Conn. No acceptor takes
// callers any more, and all Conns are ending.
func (ln *Listener) await(d *drain) {
	ln.mu.Lock()
	ln.drains = append(ln.drains, d)
	ln.mu.Unlock()
	if ln.conns.Load() == 0 {
		ln.drained()
	}
}

// drained ends the Shutdowns that wait.
func (ln *Listener) drained() {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.drains.check(0)
}

// cutOff closes what is left, on each Loop.
func (ln *Listener) cutOff(d *drain) error {
	counts := make([]cutCount, len(ln.acceptors))
	ends := make([]chan struct{}, len(ln.acceptors))
	for i, a := range ln.acceptors {
		end := make(chan struct{})
		ends[i] = end
		err := a.loop.post(drainCall{func() { defer close(end); a.cutOff(&counts[i]) }, func() { close(end) }})
		if err != nil {
			close(end) // the Loop is closed
		}
	}
	for i, a := range ln.acceptors {
		a.loop.await(ends[i])
		select {
		case <-ends[i]:
			d.cut.conns += counts[i].conns
			d.cut.bytes += counts[i].bytes
		default:
			return fmt.Errorf("bev: Listener.Shutdown: the loop does not run, so nothing was sent: %w", context.Cause(d.ctx))
		}
	}
	return d.result()
}

// Shutdown ends a Loop gracefully. It closes all Listeners, stops Redialers, ends
// the conversations of all Conns as Conn.CloseAfterFlush does, and closes the Loop
// when the last of them is closed: Run then returns net.ErrClosed. When ctx ends
// first, Shutdown cuts off what is left and returns a *ShutdownError, over the
// context's cause; the Loop is closed then, too. So it does where the Loop cannot
// wait for its Conns any more, over the error that Run returned. Relays go on
// until they are over by themselves. Meanwhile timers, posted calls
// and Watches run on, and Dial and Listen are refused with net.ErrClosed.
//
// Where no Run is going on, because its context has ended, perhaps, Shutdown
// runs the Loop itself until the end. It returns net.ErrClosed if the Loop was
// closed before. A callback that called it would wait for itself, and panics:
// start a goroutine for it there. Safe from any goroutine.
//
// Libevent: none; net/http has Server.Shutdown.
func (l *Loop) Shutdown(ctx context.Context) error {
	l.mustNotShutdown("Loop.Shutdown")
	l.draining.Store(true)
	d := newDrain(ctx)
	if err := l.post(drainCall{func() { l.drain(d) }, d.finish}); err != nil {
		return err
	}
	for d.over.Err() == nil {
		l.mu.Lock()
		running, done := l.running, l.done
		l.mu.Unlock()
		if running {
			select {
			case <-d.over.Done():
			case <-done:
			}
			continue
		}
		err := l.Run(d.over)
		if err != nil && err != ErrRunning && err != ErrGoexit && d.over.Err() == nil {
			d.failure = err // however often it is run, it would not come to its end
			break
		}
	}
	_ = l.Close()
	<-l.released
	d.cut = l.cut
	return d.result()
}

// Shutdown is Loop.Shutdown of all Loops at the same time, with what they cut
// off added up. Run returns net.ErrClosed when the last of them is closed. Safe
// from any goroutine.
func (g *LoopGroup) Shutdown(ctx context.Context) error {
	for _, l := range g.loops {
		l.mustNotShutdown("LoopGroup.Shutdown")
	}
	g.draining.Store(true)
	errs := make([]error, len(g.loops))
	var wg sync.WaitGroup
	for i, l := range g.loops {
		wg.Go(func() { errs[i] = l.Shutdown(ctx) })
	}
	wg.Wait()
	var sum *ShutdownError
	var others []error
	for _, err := range errs {
		e, ok := err.(*ShutdownError)
		switch {
		case !ok:
			others = append(others, err)
		case sum == nil:
			sum = e
		default:
			sum.Conns += e.Conns
			sum.Bytes += e.Bytes
		}
	}
	if sum != nil {
		return sum
	}
	return errors.Join(others...)
}

// mustNotShutdown panics on the loop's own goroutine, which would wait for
// itself.
func (l *Loop) mustNotShutdown(method string) {
	if l.onLoop() {
		misuse("%s waits for the loop and was called on it: start a goroutine for it", method)
	}
}

// A drain is one Shutdown that waits.
type drain struct {
	ctx     context.Context
	over    context.Context // ends when nothing is left, or ctx does
	finish  func()          // ends over
	cut     cutCount        // written by the loop before it tells
	failure error           // why the Loop cannot go on until then
}

func newDrain(ctx context.Context) *drain {
	d := &drain{ctx: ctx}
	d.over, d.finish = context.WithCancel(ctx)
	return d
}

func (d *drain) result() error {
	d.finish()
	if d.cut == (cutCount{}) {
		return nil
	}
	err := context.Cause(d.ctx)
	if err == nil {
		err = d.failure
	}
	if err == nil {
		err = errLoopClosed // by somebody else
	}
	return &ShutdownError{Conns: d.cut.conns, Bytes: d.cut.bytes, Err: err}
}

// drains are the Shutdowns that wait for the same Conns.
type drains []*drain

// check ends the wait when none of n Conns is left.
func (ds *drains) check(n int) {
	if n > 0 || *ds == nil {
		return
	}
	for _, d := range *ds {
		d.finish()
	}
	*ds = nil
}

// A drainCall is part of a Shutdown that has to hear when the Loop closes.
type drainCall struct{ do, dropped func() }

func (c drainCall) run()  { c.do() }
func (c drainCall) drop() { c.dropped() }

// drain begins to end the conversations on one Loop.
func (a *acceptor) drain() { shutDown(a.loop.conns(a.ln)) }

func (l *Loop) drain(d *drain) {
	l.drains = append(l.drains, d)
	l.sources.Each(func(_ poll.Token, s source) {
		switch s := s.(type) {
		case *acceptor:
			s.shutdown()
		case *Redialer:
			s.end()
		}
	})
	shutDown(l.conns(nil))
	l.drains.check(l.stats.Conns)
}

// shutDown ends conversations of ours. What two peers have to say to each other
// through a relay is theirs to end.
func shutDown(conns []*Conn) {
	for _, c := range conns {
		if !c.inRelay() {
			c.CloseAfterFlush(-1) // the Shutdown's context is the limit
		}
	}
}

// cutOff closes what is left of a Listener's Conns on one Loop, and counts it.
func (a *acceptor) cutOff(n *cutCount) {
	l := a.loop
	conns := l.conns(a.ln)
	l.cutting = n
	for _, c := range conns {
		c.close(true)
	}
	l.cutting = nil
}

// conns returns the Conns of ln, or all for nil: of a stack of filters, the one
// at the top, which closes those below in the right order.
func (l *Loop) conns(ln *Listener) []*Conn {
	var found []*Conn
	above := make(map[*Conn]*Conn)
	l.sources.Each(func(_ poll.Token, s source) {
		o, ok := s.(interface{ itself() *Conn })
		if !ok {
			return
		}
		c := o.itself()
		if under := c.tr.below(); under != nil {
			above[under] = c
			// The Shutdown is for all of it: nobody is left to get under back.
			c.flags &^= flagKeepOpen
		} else if sc, ok := c.tr.(*socketConn); ln == nil || ok && sc.rules.from == ln {
			found = append(found, c)
		}
	})
	for i := range found {
		for above[found[i]] != nil {
			found[i] = above[found[i]]
		}
	}
	return found
}

func (c *Conn) itself() *Conn { return c }

// cutCount is what a Shutdown has cut off. While Loop.cutting points to one,
// every Conn that is closed counts, and its peer gets a reset: what it has
// received must not look like all there was.
type cutCount struct {
	conns int
	bytes int64
}

func (n *cutCount) add(c *Conn) {
	n.bytes += int64(c.out.Len() + c.onTheWay())
	if c.tr.below() == nil {
		n.conns++
	}
}

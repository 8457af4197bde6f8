package bev

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/sys"
	"github.com/bevgo/bev/internal/timer"
)

// This file takes callers off a listener's queue. Whether it may is decided in
// listener_limit.go, on which Loop the caller belongs in listener_spread.go, and
// what to do when nothing is left to take them with in listener_exhausted.go.

// An acceptor is the part of a Listener that belongs to one Loop: its socket,
// if it has one, and the callers that become Conns of that Loop.
type acceptor struct {
	// Set at creation, then constant.
	ln      *Listener
	loop    *Loop
	offset  int64 // of the Loop's clock, to that of the Listener's first one
	listens bool  // it has a socket, or had

	// Shared with other goroutines.
	accepted  atomic.Uint64
	refused   atomic.Uint64
	over      atomic.Bool // released
	exhausted atomic.Bool // see listener_exhausted.go

	// Owned by the loop.
	fd        int // -1: none
	token     poll.Token
	accepting *socketConn // while accept runs
	to        *acceptor   // where the next caller belongs, as far as is known: see reserve
	turn      int         // of Listener.acceptors, for the next caller: see SpreadRoundRobin
	caller    int         // accepted, while the user decides where it belongs; else -1
	waiting   bool        // callers may be waiting
	queued    bool        // in Loop.work.again
	starving  bool        // in Loop.starving
	node      timer.Node  // for the end of a pause: the rate's, or the back-off
	backoff   time.Duration
	spare     spare

	begging bool // in LoopGroup.starving, whose mutex guards it
}

func newAcceptor(ln *Listener, l *Loop, o *ListenOptions) *acceptor {
	a := &acceptor{ln: ln, loop: l, fd: -1, caller: -1, spare: spare{fd: -1}}
	if len(ln.acceptors) > 0 {
		a.offset = int64(l.base.Sub(ln.acceptors[0].loop.base))
	}
	return a
}

// now is the time that limits which all acceptors share count by.
func (a *acceptor) now() int64 { return a.loop.clock() + a.offset }

// acceptorStart is the call that brings an acceptor to its Loop. Until then the
// Loop knows nothing of it, and could not close it.
type acceptorStart acceptor

func (s *acceptorStart) run()  { (*acceptor)(s).start() }
func (s *acceptorStart) drop() { (*acceptor)(s).shutdown() }

// acceptorTurn has it go on, where a reason not to may be gone.
type acceptorTurn acceptor

func (t *acceptorTurn) run() {
	a := (*acceptor)(t)
	a.exhausted.Store(false) // it will see
	a.queue()
}

// drop lets another have what was meant for one that is gone.
func (t *acceptorTurn) drop() {
	t.ln.offerPlace(nil)
	if g := t.loop.group; g != nil {
		g.relieve(nil)
	}
}

// acceptorEnd takes it from its Loop.
type acceptorEnd acceptor

func (e *acceptorEnd) run()  { (*acceptor)(e).shutdown() }
func (e *acceptorEnd) drop() { (*acceptor)(e).shutdown() }

// start has the poller watch the socket. It runs on the loop.
func (a *acceptor) start() {
	if a.ln.gone.Load() {
		a.shutdown()
		return
	}
	a.token = a.loop.sources.Insert(a)
	if a.fd < 0 {
		return
	}
	if err := a.loop.poller.Add(a.fd, a.token, poll.Read|poll.Edge); err != nil {
		a.fail(fmt.Errorf("bev: cannot watch the listener on %v: %w", a.ln.addr, err))
	}
}

// shutdown ends it, with its Loop or with its Listener.
func (a *acceptor) shutdown() {
	if a.over.Swap(true) {
		return
	}
	a.loop.sources.Remove(a.token)
	a.loop.disarm(a)
	a.spare.close()
	a.closeFD()
	a.ln.released(a)
}

// ready is told by the poller that a caller came.
func (a *acceptor) ready(poll.Ready) {
	a.waiting = true
	a.acceptTurn()
}

// acceptsPerTurn bounds how long a crowd of callers keeps the loop from the
// connections it has.
const acceptsPerTurn = 64

// acceptTurn takes callers off the queue, until it is empty, a limit is
// reached or others should have their turn.
func (a *acceptor) acceptTurn() {
	for range acceptsPerTurn {
		if !a.waiting || !a.mayAccept() {
			a.passOn()
			return
		}
		fd, addr, err := sys.Accept(a.fd)
		if err != nil {
			a.giveBack()
			if !a.acceptFailed(err) {
				return
			}
			continue
		}
		a.accepted.Add(1)
		a.backoff = 0
		a.bring(fd, addr)
		_ = a.spare.open() // if it was lost; without it callers wait
	}
	a.queue()
}

// welcome makes a Conn of an accepted socket. It has been counted already.
func (a *acceptor) welcome(fd int, addr sys.Addr) {
	c := newSocketConn(a.loop, fd, a.ln.settings)
	c.setPeer(addr.AddrPort())
	// Until accept has returned, nothing of the Conn may run or be sent.
	c.noRead |= ReasonConnecting
	c.noWrite |= ReasonConnecting
	c.flags |= flagBusy // what it does to the Conn takes effect below
	a.accepting, a.loop.current = c, a
	a.ln.accept(&c.Conn)
	c.flags &^= flagBusy
	a.accepting, a.loop.current = nil, nil
	if c.flags&flagClosed != 0 {
		return
	}
	if err := c.register(); err != nil {
		c.close(true)
		a.couldNotWatch(err) // epoll_ctl(2): ENOMEM, or ENOSPC for max_user_watches
		return
	}
	c.resume(Both, ReasonConnecting)
}

// panicked closes the Conn whose accept function did. The others who wait are
// not to suffer for it, and no edge will speak for them.
func (a *acceptor) panicked(*PanicError) {
	if c := a.accepting; c != nil {
		a.accepting = nil
		c.flags &^= flagBusy
		c.close(true)
	}
	if fd := a.caller; fd >= 0 {
		a.caller = -1
		a.unreserve()
		a.ln.turnOut(a.loop, fd)
	}
	a.queue()
}

// acceptFailed sorts the errors of accept(2): none left, a caller who hung up,
// something that will be there again later, and what will not get better. It
// reports whether to try again now.
func (a *acceptor) acceptFailed(err error) (goOn bool) {
	switch {
	case err == sys.ErrAgain:
		a.waiting = false
	case isAny(err, callerErrors):
	case isAny(err, exhaustion):
		a.exhaustedBy(err)
		return false
	default:
		addr := a.ln.addr
		a.fail(&net.OpError{Op: "accept", Net: addr.Network(), Addr: addr, Err: err})
		return false
	}
	return true
}

// callerErrors concern the one caller: accept(2), "Error handling".
var callerErrors = []syscall.Errno{
	syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPROTO, syscall.EPERM,
	syscall.ENETDOWN, syscall.ENOPROTOOPT, syscall.EHOSTDOWN, syscall.EHOSTUNREACH,
	syscall.EOPNOTSUPP, syscall.ENETUNREACH,
}

func isAny(err error, errnos []syscall.Errno) bool {
	for _, e := range errnos {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// queue gives the acceptor another turn in the next tick.
func (a *acceptor) queue() {
	if !a.queued {
		a.queued = true
		a.loop.work.again.add(a)
	}
}

func (a *acceptor) resumeWork() {
	a.queued = false
	a.acceptTurn()
}

// fail ends a Listener that cannot go on, with all its sockets.
func (a *acceptor) fail(err error) {
	ln := a.ln
	if ln.gone.Swap(true) {
		a.shutdown() // it ends already, and whoever cares has been told
		return
	}
	ln.mu.Lock()
	ln.failure = err
	ln.mu.Unlock()
	a.shutdown()
	ln.endAll()
	if ln.onError != nil {
		ln.onError(err)
		return
	}
	a.loop.logger().Error("bev: listener closed", "addr", ln.addr, "err", err)
}

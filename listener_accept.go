package bev

import (
	"errors"
	"net"
	"syscall"

	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/sys"
)

// This file takes callers off a listener's queue. Whether it may is decided in
// listener_limit.go, and what to do when nothing is left to take them with in
// listener_exhausted.go.

// ready is told by the poller that a caller came.
func (ln *Listener) ready(poll.Ready) {
	ln.waiting = true
	ln.acceptTurn()
}

// acceptsPerTurn bounds how long a crowd of callers keeps the loop from the
// connections it has.
const acceptsPerTurn = 64

// acceptTurn takes callers off the queue, until it is empty, a limit is
// reached or others should have their turn.
func (ln *Listener) acceptTurn() {
	for range acceptsPerTurn {
		if !ln.waiting || !ln.mayAccept() {
			ln.passOn()
			return
		}
		fd, addr, err := sys.Accept(ln.fd)
		if err != nil {
			if !ln.acceptFailed(err) {
				return
			}
			continue
		}
		ln.accepted++
		ln.backoff = 0
		ln.rate.take(ln.loop.clock())
		ln.welcome(fd, addr)
		_ = ln.spare.open() // if it was lost; without it callers wait
	}
	ln.queue()
}

// welcome makes a Conn of an accepted socket.
func (ln *Listener) welcome(fd int, addr sys.Addr) {
	c := newSocketConn(ln.loop, fd, ln.settings)
	c.joined(ln)
	c.setPeer(addr.AddrPort())
	// Until accept has returned, nothing of the Conn may run or be sent.
	c.noRead |= ReasonConnecting
	c.noWrite |= ReasonConnecting
	c.flags |= flagBusy // what it does to the Conn takes effect below
	ln.accepting, ln.loop.current = c, ln
	ln.accept(&c.Conn)
	c.flags &^= flagBusy
	ln.accepting, ln.loop.current = nil, nil
	if c.flags&flagClosed != 0 {
		return
	}
	if err := c.register(); err != nil {
		c.close(true)
		ln.exhaustedBy(err) // epoll_ctl(2): ENOMEM, or ENOSPC for max_user_watches
		return
	}
	c.resume(Both, ReasonConnecting)
}

// panicked closes the Conn whose accept function did. The others who wait are
// not to suffer for it, and no edge will speak for them.
func (ln *Listener) panicked(*PanicError) {
	if c := ln.accepting; c != nil {
		ln.accepting = nil
		c.flags &^= flagBusy
		c.close(true)
	}
	ln.queue()
}

// acceptFailed sorts the errors of accept(2): none left, a caller who hung up,
// something that will be there again later, and what will not get better. It
// reports whether to try again now.
func (ln *Listener) acceptFailed(err error) (goOn bool) {
	switch {
	case err == sys.ErrAgain:
		ln.waiting = false
	case isAny(err, callerErrors):
	case isAny(err, exhaustion):
		ln.exhaustedBy(err)
		return false
	default:
		ln.fail(&net.OpError{Op: "accept", Net: ln.addr.Network(), Addr: ln.addr, Err: err})
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

// queue gives the Listener another turn in the next tick.
func (ln *Listener) queue() {
	if !ln.queued {
		ln.queued = true
		ln.loop.work.again.add(ln)
	}
}

func (ln *Listener) resumeWork() {
	ln.queued = false
	ln.acceptTurn()
}

// fail ends a Listener that cannot go on.
func (ln *Listener) fail(err error) {
	ln.failure = err
	ln.shutdown()
	if ln.onError != nil {
		ln.onError(err)
		return
	}
	ln.loop.logger().Error("bev: listener closed", "addr", ln.addr, "err", err)
}

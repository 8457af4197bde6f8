package bev

import (
	"slices"

	"github.com/bevgo/bev/internal/sys"
)

// Spread says how a [Listener] on a [LoopGroup] spreads its callers over the
// Loops. A connection stays with its Loop for life, so this is all the balance
// that there is.
type Spread uint8

const (
	// SpreadKernel gives each Loop a socket of its own on the same address
	// (SO_REUSEPORT, socket(7)), and the kernel picks one for each caller by a
	// hash of the addresses. Nothing is handed from one Loop to another, so
	// accepting is as fast as it gets. Over many connections the shares are
	// even; of ten, eight may be on one Loop. While a Loop is not run, and not
	// closed, the callers that it is given wait for it. Only TCP on Linux and
	// freebsd has it; elsewhere this is SpreadLeastConns.
	SpreadKernel Spread = iota

	// SpreadLeastConns has one Loop accept, and hand each caller to the Loop
	// that has the fewest connections over descriptors, dialled ones included.
	// Use it for few connections, or long ones.
	SpreadLeastConns

	// SpreadRoundRobin is the same, but each Loop has its turn.
	SpreadRoundRobin
)

// String is "kernel", "least conns" or "round robin".
func (s Spread) String() string {
	switch s {
	case SpreadLeastConns:
		return "least conns"
	case SpreadRoundRobin:
		return "round robin"
	default:
		return "kernel"
	}
}

// hasRoom reports whether a caller could be served, as far as
// LoopOptions.MaxConns goes. Safe from any goroutine.
func (a *acceptor) hasRoom() bool {
	if !a.loop.full() && (len(a.ln.acceptors) == 1 || a.ln.spread == SpreadKernel) {
		return true
	}
	for _, other := range a.ln.acceptors {
		if other.takes() && !other.loop.full() {
			return true
		}
	}
	return false
}

// takes reports whether callers may be handed to a. Safe from any goroutine.
func (a *acceptor) takes() bool { return !a.over.Load() && a.loop.serves() }

// reserve takes room for one caller on a Loop: the one that the Spread says, or
// where that is full or does not run, on another. It reports false where there
// is none. unreserve gives it back.
func (a *acceptor) reserve() bool {
	ln := a.ln
	if len(ln.acceptors) == 1 {
		a.to = a
		return a.loop.takeRoom()
	}
	to := a
	switch ln.spread {
	case SpreadLeastConns:
		to = ln.emptiest()
	case SpreadRoundRobin:
		to = a.next()
	}
	for to != nil {
		if to.takes() && to.loop.takeRoom() {
			a.to = to
			return true
		}
		// Somebody else was quicker, or it is full.
		if to = ln.emptiest(); to != nil && to.loop.full() {
			break
		}
	}
	return false
}

func (a *acceptor) unreserve() { a.to.loop.sockets.Add(-1) }

// takeRoom counts one more Conn over a descriptor, if LoopOptions.MaxConns
// allows one. Safe from any goroutine.
func (l *Loop) takeRoom() bool {
	most := int64(l.opts.MaxConns)
	for {
		n := l.sockets.Load()
		if most > 0 && n >= most {
			return false
		}
		if l.sockets.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// bring takes an accepted socket to the Loop that it belongs to.
func (a *acceptor) bring(fd int, peer sys.Addr) {
	if a.ln.pick != nil {
		a.caller = fd
		a.choose(peer)
		a.caller = -1
	}
	to := a.to
	a.turn = slices.Index(a.ln.acceptors, to) + 1
	if to == a {
		a.welcome(fd, peer)
		return
	}
	h := &handover{to: to, fd: fd, peer: peer}
	if to.loop.post(h) != nil {
		h.drop()
	}
}

// choose moves the reservation to where the user's function wants it, if it
// can. Its panic is the acceptor's, and the caller is reset.
func (a *acceptor) choose(peer sys.Addr) {
	a.loop.current = a
	l := a.ln.pick(peer.AddrPort())
	a.loop.current = nil
	if to := a.ln.acceptorOf(l); to != nil && to.takes() && to.loop.takeRoom() {
		a.unreserve()
		a.to = to
	}
}

// next is the acceptor whose turn it is, of those that can take a caller. Its
// turn is over when it has one.
func (a *acceptor) next() (to *acceptor) {
	all := a.ln.acceptors
	for i := range all {
		to = all[(a.turn+i)%len(all)]
		if to.takes() && !to.loop.full() {
			break
		}
	}
	return to
}

// acceptorOf is the one on l, nil if there is none.
func (ln *Listener) acceptorOf(l *Loop) *acceptor {
	for _, a := range ln.acceptors {
		if a.loop == l {
			return a
		}
	}
	return nil
}

// emptiest is the acceptor whose Loop has the fewest connections, nil where
// none takes callers. Of equals, each has its turn.
func (ln *Listener) emptiest() *acceptor {
	var best *acceptor
	k := ln.turn.next(len(ln.acceptors))
	for i := range ln.acceptors {
		a := ln.acceptors[(k+i)%len(ln.acceptors)]
		if a.takes() && (best == nil || a.loop.emptier(best.loop)) {
			best = a
		}
	}
	return best
}

// A handover is a caller on the way from the Loop that accepted to the one
// that serves. It is counted in both Listener.conns and Loop.sockets.
type handover struct {
	to   *acceptor
	fd   int
	peer sys.Addr
}

// run arrives.
func (h *handover) run() {
	to := h.to
	if to.over.Load() || to.ln.gone.Load() {
		to.loop.sockets.Add(-1)
		to.ln.turnOut(to.loop, h.fd)
		to.loop.relieve()
		return
	}
	to.welcome(h.fd, h.peer)
}

// drop finds another Loop, where that one closed meanwhile.
func (h *handover) drop() {
	ln := h.to.ln
	for {
		h.to.loop.sockets.Add(-1)
		to := ln.emptiest()
		if to == nil || ln.gone.Load() {
			ln.turnOut(nil, h.fd)
			return
		}
		h.to = to
		to.loop.sockets.Add(1)
		if to.loop.post(h) == nil {
			return
		}
	}
}

// turnOut resets a caller who was accepted and will not be served. It runs on
// l, nil for none that may be touched.
func (ln *Listener) turnOut(l *Loop, fd int) {
	_ = sys.SetLinger(fd, 0) // unix sockets have none, and no reset
	_ = sys.Close(fd)        // whatever it says, the caller is not served
	ln.leave(l)
}

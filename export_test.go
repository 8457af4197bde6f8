package bev

import "reflect"

// What the tests, which are written from outside, need from inside.

// SizeofConn is the size in bytes of a connection over a socket: the Conn and
// its transport, which are one allocation.
var SizeofConn = int(reflect.TypeFor[socketConn]().Size())

// Pending reports whether the Loop has work queued that needs no kernel. Loop
// only.
func (l *Loop) Pending() bool { return l.work.pending() || l.agenda.n > 0 }

// Plain reports whether the next tick is a plain one. Loop only.
func (l *Loop) Plain() bool { return l.special == 0 }

// Jobs is how many things wait in the Loop's agenda. Loop only.
func (l *Loop) Jobs() int { return l.agenda.n }

// Asleep reports whether a Post would have to wake the Loop. Safe from any
// goroutine, and out of date at once unless nobody else posts.
func (l *Loop) Asleep() bool { return l.asleep.Load() }

// AcceptsPerTurn is how many callers a Listener takes before others have
// their turn.
const AcceptsPerTurn = acceptsPerTurn

// QueuedOps is how many things wait for the loop to do with h's Conn. Safe
// from any goroutine.
func QueuedOps(h Handle) int {
	h.h.mu.Lock()
	defer h.h.mu.Unlock()
	return len(h.h.ops.waiting)
}

// Waiting is how many calls wait for the loop, reasons to stop included. Safe
// from any goroutine.
func (l *Loop) Waiting() int { return int(l.waiting.Load()) }

// WakeForNothing ends a wait without any work. Safe from any goroutine.
func (l *Loop) WakeForNothing() { l.wake() }

// InPipes is how many bytes a relay holds in the kernel. Loop only.
func (r *Relaying) InPipes() (n int) {
	for _, h := range []*relayHalf{&r.ab, &r.ba} {
		if h.splicer != nil {
			n += h.splicer.held
		}
	}
	return n
}

// ForgetRoom has a Conn over a socket ask the poller anew when it is full.
func ForgetRoom(c *Conn) { c.flags &^= flagRoom }

// SkipTurns has n turns dealt out of all that take turns: the Loops of g, and of
// ln's acceptors.
func SkipTurns(g *LoopGroup, ln *Listener, n uint64) {
	for _, t := range []*turns{&g.turn, &g.first, &ln.turn} {
		t.dealt.Add(n)
	}
}

// Running reports whether a Run goes on. Safe from any goroutine.
func (l *Loop) Running() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running
}

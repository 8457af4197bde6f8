package bev

import "context"

// A Runner is what Conns live on: a [*Loop], or a [*LoopGroup]. [Listen],
// [Dial], [Redial] and [NetListen] take either, so that a program can be written
// for one and run on as many cores as there are. There are no others.
type Runner interface {
	// Run runs it, see Loop.Run and LoopGroup.Run.
	Run(ctx context.Context) error
	// Stop makes Run return nil.
	Stop()
	// Close closes it, and all that it holds.
	Close() error
	// Shutdown ends it gracefully.
	Shutdown(ctx context.Context) error

	// members are its Loops, the one whose turn it is first.
	members() []*Loop
	// place is the Loop for one more Conn over a descriptor, which is counted
	// in Loop.sockets.
	place() *Loop
}

func (l *Loop) members() []*Loop { return []*Loop{l} }

func (l *Loop) place() *Loop {
	l.sockets.Add(1)
	return l
}

// members begins with another Loop each time, so that not all Listeners which
// have one socket have it on the same.
func (g *LoopGroup) members() []*Loop {
	k := g.first.next(len(g.loops))
	return append(append(make([]*Loop, 0, len(g.loops)), g.loops[k:]...), g.loops[:k]...)
}

func (g *LoopGroup) place() *Loop {
	var best *Loop
	k := g.first.next(len(g.loops))
	for i := range g.loops {
		if l := g.loops[(k+i)%len(g.loops)]; l.emptier(best) {
			best = l
		}
	}
	best.sockets.Add(1)
	return best
}

// emptier reports whether l is to be preferred to other for one more Conn:
// because it serves and other does not, has room below MaxConns and other has
// none, or has fewer. Safe from any goroutine.
func (l *Loop) emptier(other *Loop) bool {
	if other == nil {
		return true
	}
	if a, b := l.serves(), other.serves(); a != b {
		return a
	}
	if a, b := l.full(), other.full(); a != b {
		return b
	}
	return l.sockets.Load() < other.sockets.Load()
}

// serves reports whether l takes new Conns. A Loop that has not been run yet
// does: they wait for it.
func (l *Loop) serves() bool { return !l.away.Load() && !l.draining.Load() }

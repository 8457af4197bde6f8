package bev

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// A LoopGroup is several Loops, each on a goroutine of its own, that serve
// together: one a processor core, by default. [Listen] on it spreads callers
// over them ([Spread]), [Dial] on it picks one. A connection stays with its Loop
// for life, and a [Handle] reaches it from the others.
//
// Libevent: none; one event_base a thread, by hand.
type LoopGroup struct {
	loops []*Loop
	turn  turns // of Next
	first turns // of what bev spreads by itself

	hungry atomic.Bool // len(starving) > 0

	draining atomic.Bool // Shutdown was called

	mu       sync.Mutex  // guards the fields below; taken before any Loop.mu
	starving []*acceptor // those who wait for a descriptor, or for any Loop's place below MaxConns
	run      *groupRun   // the one that goes on, nil: none does
}

// NewLoopGroup makes n Loops with the same options; 0 or less means as many as
// Go runs goroutines at once (runtime.GOMAXPROCS). More Loops than that make
// no sense: they would wait for each other. The limits of the options hold for
// each Loop, but for MemoryBudget, which is all Loops' together.
func NewLoopGroup(n int, o *LoopOptions) (*LoopGroup, error) {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	g := &LoopGroup{}
	for range n {
		l, err := NewLoop(o)
		if err != nil {
			return nil, errors.Join(err, g.Close())
		}
		l.group = g
		g.loops = append(g.loops, l)
	}
	shareBudget(g.loops)
	return g, nil
}

// Close closes all Loops, each as [Loop.Close] does, and waits until they are
// closed. From a callback on one of them it waits for none. Safe from any
// goroutine.
func (g *LoopGroup) Close() error {
	inside := slices.ContainsFunc(g.loops, (*Loop).onLoop)
	var runs []chan struct{}
	for _, l := range g.loops {
		runs = append(runs, l.close())
	}
	for i, l := range g.loops {
		if !inside {
			l.awaitRun(runs[i])
		}
	}
	return nil
}

// Loops returns the Loops. The slice is a copy. Safe from any goroutine.
func (g *LoopGroup) Loops() []*Loop { return append([]*Loop(nil), g.loops...) }

// Next returns the Loops in turn, for work that is spread by hand. Safe from
// any goroutine.
func (g *LoopGroup) Next() *Loop {
	return g.loops[g.turn.next(len(g.loops))]
}

// turns deals out turns to all of n, one after the other. It counts in 64 bits
// on every system: with fewer, the day would come on which it began anew, or
// went below zero, in the middle of a round.
type turns struct{ dealt atomic.Uint64 }

// next is whose turn it is, of n. Safe from any goroutine.
func (t *turns) next(n int) int { return int((t.dealt.Add(1) - 1) % uint64(n)) }

// Stats adds up the statistics of the Loops; the sum of their high-water marks
// is a bound, since they need not have been at the same time. It waits until
// each has answered in its turn, so two callbacks on different Loops of the group must not call
// it: they could wait for each other. While no Run goes on, it tells what there
// was when the last one ended. Safe from any goroutine.
func (g *LoopGroup) Stats() LoopStats {
	var sum LoopStats
	for _, l := range g.loops {
		sum.add(l.snapshot())
	}
	return sum
}

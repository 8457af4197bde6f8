package bev

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// Run runs all Loops, each on a goroutine of its own, until one of them returns
// from its Run: the others must not go on to serve half of what was asked for,
// and are stopped. So Stop of the group ends it (it then returns nil), the end
// of ctx (its cause), and what happens to a single Loop: its Stop, StopAfter or
// Break (nil), its Close or Shutdown (net.ErrClosed), a callback that calls
// runtime.Goexit (ErrGoexit). Of several failures the errors are joined. Only a
// Shutdown of the group lets those that have more to do go on until the last
// has ended.
//
// It may be called again after it returned, and runs all Loops again. While one
// Run goes on, or the Run of a single Loop, another returns ErrRunning; where a
// Loop has been closed, it returns net.ErrClosed, and runs none. Safe from any
// goroutine.
func (g *LoopGroup) Run(ctx context.Context) error {
	r, err := g.begin()
	if err != nil {
		for i := range r.of {
			g.loops[i].giveBack()
		}
		return err
	}
	cancel := context.AfterFunc(ctx, func() { g.endRun(r, context.Cause(ctx)) })
	errs := make([]error, len(g.loops))
	var wg sync.WaitGroup
	for i, l := range g.loops {
		wg.Go(func() {
			errs[i] = l.runBegun(runOn)
			if !g.draining.Load() {
				g.endRun(r, nil)
			}
		})
	}
	wg.Wait()
	cancel()
	return g.end(r, errs)
}

// Stop makes Run return nil after the current tick of each Loop. When no Run is
// going on, it stops each Loop, as [Loop.Stop] does: the next Run returns at
// once, and so does that of a Loop which is run by itself. Safe from any
// goroutine.
func (g *LoopGroup) Stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, l := range g.loops {
		if g.run == nil {
			l.Stop()
		} else {
			l.noteStop(g.run.of[i])
		}
	}
	if g.run != nil {
		g.endLocked(g.run, nil)
	}
}

// A groupRun is one Run of a LoopGroup: a Run of each Loop, all begun together,
// and ended when one of them has. Ending it concerns these Runs and no others:
// a plain Stop would be kept by a Loop that has returned already, which would
// then miss the next one.
//
// Invariant: when one has ended, no Loop has a Stop left from it.
type groupRun struct {
	of   []chan struct{} // what Loop.begin returned, for each Loop
	over bool            // LoopGroup.mu guards over and why
	why  error           // the cause of the context that ended it, else nil
}

// errGroupOver is why a Loop's part of a groupRun ends that has not failed
// itself. Nobody outside gets to see it.
var errGroupOver = errors.New("bev: the Run of the LoopGroup is over")

// begin claims all Loops. Only then do they run, so that none can have ended
// before another has begun. Where one cannot be had, those that it has claimed
// have to be given back, without holding mu: a Loop that is being closed calls
// the user's functions.
func (g *LoopGroup) begin() (*groupRun, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &groupRun{}
	if g.run != nil {
		return r, ErrRunning
	}
	for _, l := range g.loops {
		run, err := l.begin()
		if err != nil {
			return r, err
		}
		r.of = append(r.of, run)
	}
	g.run = r
	return r, nil
}

// endRun ends r, unless something else has. It may come late, when r has ended
// and another goes on.
func (g *LoopGroup) endRun(r *groupRun, why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.endLocked(r, why)
}

func (g *LoopGroup) endLocked(r *groupRun, why error) {
	if r.over {
		return
	}
	r.over, r.why = true, why
	for i, l := range g.loops {
		l.cancel(r.of[i], errGroupOver)
	}
}

// end is what Run returns: why it ended, and what went wrong in its Loops.
func (g *LoopGroup) end(r *groupRun, errs []error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, l := range g.loops {
		l.settleStop(r.of[i])
	}
	g.run, r.over = nil, true
	var all []error
	for _, err := range errs {
		// Several that were closed have one thing to say.
		if err != nil && err != errGroupOver && !slices.Contains(all, err) {
			all = append(all, err)
		}
	}
	if r.why != nil {
		all = append(all, r.why)
	}
	if len(all) == 1 {
		return all[0]
	}
	return errors.Join(all...)
}

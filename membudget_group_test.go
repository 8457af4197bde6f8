//go:build unix

package bev_test

import (
	"context"
	"testing"

	"github.com/bevgo/bev"
)

// groupBudget is a rig for each Loop of a group that has a budget.
func groupBudget(t *testing.T, loops, bytes int) (*bev.LoopGroup, []*rig) {
	t.Helper()
	checkLeaks(t)
	book := new(logBook)
	g, err := bev.NewLoopGroup(loops, &bev.LoopOptions{MemoryBudget: bytes, Logger: book.logger()})
	if err != nil {
		t.Fatal(err)
	}
	var rs []*rig
	for _, l := range g.Loops() {
		r := &rig{t: t, l: l, log: book, result: make(chan error, 1)}
		r.start(context.Background())
		rs = append(rs, r)
	}
	t.Cleanup(func() {
		for _, r := range rs {
			r.wantBooks()
		}
		wantSharedBooks(t, g, rs)
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		for _, r := range rs {
			r.wait()
		}
		if lines := book.lines(""); len(lines) != 0 {
			t.Errorf("logged %q", lines)
		}
	})
	return g, rs
}

// wantSharedBooks looks at the books while all Loops are held, each at rest.
func wantSharedBooks(t *testing.T, g *bev.LoopGroup, rs []*rig) {
	t.Helper()
	for _, r := range rs {
		r.settle()
		defer r.hold()()
	}
	if err := g.CheckSharedBudget(); err != nil {
		t.Errorf("the books of the group: %v", err)
	}
}

// buffered is what all Loops of the group hold at one moment: none of them does
// anything while it is added up.
func buffered(rs []*rig) (n int) {
	for _, r := range rs {
		defer r.hold()()
	}
	for _, r := range rs {
		n += r.l.BudgetHeld()
	}
	return n
}

// One Loop may have what the others do not need, and no more than all together
// may.
func TestGroupMemoryBudgetIsShared(t *testing.T) {
	const most = 4 << 20
	g, rs := groupBudget(t, 3, most)
	a, ap := rs[0].hoard()
	ap.offerAll(rs[0], 8<<20)
	rs[0].wantSuspended(a, bev.Reading, bev.ReasonBudget, "it has taken what one may")
	alone := buffered(rs)
	if alone < most*3/4 || alone > most {
		t.Errorf("one Conn alone in a group holds %d bytes of a budget of %d, want most of it", alone, most)
	}
	b, bp := rs[1].hoard()
	c, cp := rs[2].hoard()
	bp.offerAll(rs[1], 8<<20)
	cp.offerAll(rs[2], 8<<20)
	rs[1].wantSuspended(b, bev.Reading, bev.ReasonBudget, "the first has left little")
	rs[2].wantSuspended(c, bev.Reading, bev.ReasonBudget, "the others have left little")
	if n := buffered(rs); n > most {
		t.Errorf("the group holds %d bytes, its budget is %d", n, most)
	}
	s := g.Stats()
	if s.Buffered != buffered(rs) || s.BudgetWaiting != 3 || s.BudgetStops < 3 {
		t.Errorf("the group's Stats are %+v, want the sum of its Loops'", s)
	}
	wantSharedBooks(t, g, rs)
	for _, r := range rs {
		r.wantIdle("everybody waits for memory")
	}
}

// What one Loop gives up is there for those who wait on another, without
// anything happening there.
func TestGroupMemoryBudgetGoesOnWithOtherLoops(t *testing.T) {
	const most, holds = 2 << 20, 1_200_000
	_, rs := groupBudget(t, 2, most)
	for name, giveUp := range map[string]func(c *bev.Conn){
		"taking what was read": func(c *bev.Conn) { c.Input().Reset() },
		"closing":              func(c *bev.Conn) { c.Close() },
	} {
		a, ap := rs[0].hoard()
		ap.sendN(holds)
		rs[0].until(func() bool { return a.Input().Len() == holds }, "all to be read")
		b, bp := rs[1].hoard()
		bp.offerAll(rs[1], 4<<20)
		rs[1].wantSuspended(b, bev.Reading, bev.ReasonBudget, "the other Loop has left little")
		if n := buffered(rs); n > most {
			t.Errorf("the group holds %d bytes, its budget is %d", n, most)
		}
		before := get(rs[1], func() int { return b.Input().Len() })
		rs[0].on(func() { giveUp(a) })
		rs[1].until(func() bool { return b.Input().Len() > before }, "it to read on after "+name)
		rs[1].on(func() { b.Close() })
		rs[0].on(func() { a.Close() })
	}
}

// All at once, on all Loops: the bound holds at every moment that anybody looks,
// and in the end all of it is given back.
func TestGroupMemoryBudgetIsABound(t *testing.T) {
	const most, loops, peers, each = 4 << 20, 3, 12, 1 << 20
	g, rs := groupBudget(t, loops, most)
	done := make(chan struct{}, loops*peers)
	var conns [loops][]*bev.Conn
	for i, r := range rs {
		for range peers {
			c, p := r.echo()
			conns[i] = append(conns[i], c)
			go func() {
				p.Conn.Write(make([]byte, each)) // nobody reads what comes back
				done <- struct{}{}
			}()
		}
	}
	// Three Loops may each do a read at the same time, and none knows of it.
	const reads = (loops - 1) * (bev.DefaultMaxSingleRead + bev.DefaultMaxSingleRead/8 + 1024)
	worst := 0
	eventually(t, "the peers to use up most of the budget", func() bool {
		worst = max(worst, buffered(rs))
		return worst > most*3/4
	})
	for range 100 {
		worst = max(worst, buffered(rs))
	}
	for _, r := range rs {
		r.settle()
	}
	s := g.Stats()
	t.Logf("at rest %d bytes are held of %d, at worst %d; %d wait, %d stops", s.Buffered, most, max(worst, s.Buffered), s.BudgetWaiting, s.BudgetStops)
	if worst := max(worst, s.Buffered); worst > most+reads {
		t.Errorf("%d bytes were held, the budget is %d and one read for all Loops but one", worst, most)
	}
	for i, r := range rs {
		r.on(func() {
			for _, c := range conns[i] {
				c.Close()
			}
		})
	}
	for range loops * peers {
		await(t, done, "the peers to be told")
	}
	if n := buffered(rs); n != 0 {
		t.Errorf("%d bytes are held when all are closed", n)
	}
	wantSharedBooks(t, g, rs)
}

// A group of one Loop has nothing to share: its budget is as without a group.
func TestGroupMemoryBudgetOfOneLoop(t *testing.T) {
	const most = 1 << 20
	checkLeaks(t)
	g, err := bev.NewLoopGroup(1, &bev.LoopOptions{MemoryBudget: most})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	r := &rig{t: t, l: g.Loops()[0], log: new(logBook), result: make(chan error, 1)}
	r.start(context.Background())
	c, p := r.hoard()
	p.offerAll(r, 2<<20)
	r.wantSuspended(c, bev.Reading, bev.ReasonBudget, "it has taken what one may")
	if n := r.stats().Buffered; n < most*3/4 || n > most {
		t.Errorf("%d bytes are held of a budget of %d", n, most)
	}
	r.wantBooks()
	g.Stop()
	r.wait()
}

package bev

import (
	"math"
	"sync/atomic"
)

// A sharedBudget is one MemoryBudget for all Loops of a LoopGroup.
//
// Each Loop keeps its own books as if it were alone, and publishes its sum only
// when that has changed by a quantum, so that an echo touches no memory that
// processor cores share. What a Loop believes to be free is therefore wrong by
// at most a quantum for each of the others, and by the one read that each may
// be doing at the same time; the quanta are kept back from the budget.
//
// Invariant: held is the sum of the members' published, and each of these is
// less than a quantum away from what the member's Loop holds.
type sharedBudget struct {
	members []*budgetMember // set at creation, then constant
	quantum int64
	held    atomic.Int64
}

// A budgetMember is a Loop's part in a sharedBudget.
type budgetMember struct {
	shared    *sharedBudget
	loop      *Loop
	published int64 // of memBudget.held, the loop's own
	// enough is memBudget.enough for the others to see; MaxInt64: nobody here
	// waits for them.
	enough atomic.Int64
}

// budgetQuanta is the number of quanta in a budget for each Loop of a group.
const budgetQuanta = 64

// shareBudget has the Loops of a group, which have not run yet and have the
// same options, share one budget.
func shareBudget(loops []*Loop) {
	if len(loops) < 2 || loops[0].budget.max == 0 {
		return
	}
	s := &sharedBudget{quantum: max(loops[0].budget.max/int64(budgetQuanta*len(loops)), 1)}
	for _, l := range loops {
		m := &budgetMember{shared: s, loop: l}
		m.enough.Store(math.MaxInt64)
		s.members = append(s.members, m)
		l.budget.member = m
		l.budget.max -= s.quantum * int64(len(loops))
	}
}

// others is what the other Loops of the group hold, as far as they have said.
func (m *budgetMember) others() int64 {
	if m == nil {
		return 0
	}
	return m.shared.held.Load() - m.published
}

// loops is how many share the budget.
func (m *budgetMember) loops() int64 {
	if m == nil {
		return 1
	}
	return int64(len(m.shared.members))
}

// publish tells the others how much this Loop holds. Where that is less than
// before, those of them who wait for as much as is free now look again.
func (m *budgetMember) publish(held, most int64) {
	if m == nil {
		return
	}
	d := held - m.published
	if d == 0 || held != 0 && d < m.shared.quantum && d > -m.shared.quantum {
		return
	}
	m.published = held
	free := most - m.shared.held.Add(d)
	if d > 0 {
		return
	}
	for _, o := range m.shared.members {
		if want := o.enough.Load(); o != m && free >= want && o.enough.CompareAndSwap(want, math.MaxInt64) {
			// A Loop that is closed has nobody who waits.
			_ = o.loop.post((*budgetNews)(o))
		}
	}
}

// budgetNews is the call that tells a Loop that others hold less.
type budgetNews budgetMember

func (n *budgetNews) run()  { n.loop.budget.look() }
func (n *budgetNews) drop() {}

// await says for how much to be free this Loop waits. One of two sees the
// other: the waiter, who says so first and looks then (see waits), or whoever
// publishes, who does it the other way round.
func (m *budgetMember) await(enough int64) {
	if m != nil {
		m.enough.Store(enough)
	}
}

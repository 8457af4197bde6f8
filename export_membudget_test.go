package bev

import (
	"fmt"

	"github.com/bevgo/bev/internal/poll"
)

// CheckBudget verifies what a memory budget believes against the buffers
// themselves. Loop only.
func (l *Loop) CheckBudget() error {
	m := &l.budget
	held, stopped := int64(0), 0
	var wrong error
	l.eachConn(func(c *Conn) {
		want := 0
		for _, n := range []int{c.in.Len(), c.out.Len()} {
			if n > 0 {
				want += n + n/8 + bufferBase
			}
		}
		if c.flags&flagFiles != 0 {
			want = c.in.Cap() + c.out.Cap()
		}
		if m.heldBy(c) != int64(want) {
			wrong = fmt.Errorf("a Conn with %d and %d bytes counts for %d, want %d", c.in.Len(), c.out.Len(), m.heldBy(c), want)
		}
		held += m.heldBy(c)
		if c.noRead&ReasonBudget != 0 {
			stopped++
			if c.flags&flagBudget == 0 {
				wrong = fmt.Errorf("a Conn is stopped and nobody will let it go on")
			}
		}
	})
	if held != m.held || stopped != m.stopped {
		wrong = fmt.Errorf("held %d and stopped %d, want %d and %d", m.held, m.stopped, held, stopped)
	}
	for _, c := range m.waiting {
		if c.flags&flagBudget == 0 {
			wrong = fmt.Errorf("a Conn in the list does not know that it is")
		}
	}
	return wrong
}

// BudgetWaiting is how long the list of those who wait is, closed ones
// included. Loop only.
func (l *Loop) BudgetWaiting() int { return len(l.budget.waiting) }

func (l *Loop) eachConn(f func(c *Conn)) {
	l.sources.Each(func(_ poll.Token, s source) {
		switch s := s.(type) {
		case *socketConn:
			f(&s.Conn)
		case *pairConn:
			f(&s.Conn)
		case *filterConn:
			f(&s.Conn)
		}
	})
}

// CheckSharedBudget verifies what the Loops of a group believe to be held by
// all of them against what each holds. They must be at rest.
func (g *LoopGroup) CheckSharedBudget() error {
	sum := int64(0)
	for _, l := range g.loops {
		m := l.budget.member
		sum += m.published
		if d := l.budget.held - m.published; d >= m.shared.quantum || d <= -m.shared.quantum || l.budget.held == 0 && d != 0 {
			return fmt.Errorf("a Loop holds %d and has published %d, the quantum is %d", l.budget.held, m.published, m.shared.quantum)
		}
	}
	if held := g.loops[0].budget.member.shared.held.Load(); held != sum {
		return fmt.Errorf("the group believes that %d are held, its Loops have published %d", held, sum)
	}
	return nil
}

// BudgetHeld is LoopStats.Buffered for a test that holds the loop.
func (l *Loop) BudgetHeld() int { return int(l.budget.held) }

// Package timer keeps deadlines in order.
//
// It knows int64 ticks and nothing else: what a tick is, and what time it is,
// the caller knows. Nothing here is safe for use by more than one goroutine.
package timer

import (
	"math"

	"github.com/bevgo/bev/internal/invariants"
)

// A Node is a deadline's place in a Heap. It is embedded in what owns the
// deadline, so that the owner finds its place without a search and arming
// allocates nothing. The zero Node is not armed. A Node belongs to one Heap at
// a time and must not be copied while it is armed.
type Node struct {
	pos int32  // index in Heap.owners plus one; 0 while not armed, or taken
	seq uint32 // when it was armed or postponed, counted by the Heap: breaks ties
}

// taken is the pos of a node that [Heap.Take] took out and nobody claimed yet.
const taken = -1

// Armed reports whether the node's deadline is in a Heap, or was taken from it
// and not claimed yet.
func (n *Node) Armed() bool { return n.pos != 0 }

// Taken reports whether the node's deadline was taken and not claimed yet.
func (n *Node) Taken() bool { return n.pos == taken }

// A Heap holds armed deadlines and gives them back in order: the earliest
// first, and of equal ones the one that was armed (or reset) first. The order
// of equal deadlines holds while fewer than 2^31 armings and postponements lie
// between them.
//
// It is an 8-ary heap of two arrays. The times are by themselves, so that the
// eight children of an entry are one cache line, and finding the first of them
// looks at no owner, ties apart. It has a third of the levels of a binary heap,
// and what a heap of a million costs is a cache miss for each level. Arming a
// deadline later than all others, which is what timeouts of one length do,
// compares once and moves nothing.
//
// A deadline that moves to a later time may leave its entry where it is, see
// [Heap.Postpone]. Such an entry is early: when it comes to the front, before
// anybody sees it, it is put where it belongs, once for all the times that its
// deadline has moved.
//
// Invariant: whens[i] >= whens[parent(i)], node(owners[i]).pos == i+1, and
// whens is never behind the times of owners, for arity or more.
type Heap[T any] struct {
	whens  []int64 // the deadlines
	owners []T     // whose they are
	seq    uint32  // of the next arming
	peak   int     // the most entries since ResetPeak

	// Set at creation, then constant.
	node func(T) *Node
	late func(T) (when int64, seq uint32)
}

const (
	arity = 8 // as firstChild knows
	// never is no deadline, and not before any.
	never = math.MaxInt64
	// minShrink is the capacity below which memory is not given back.
	minShrink = 256
)

// New makes a Heap of owners; node finds the Node in an owner. It must give
// the same Node for the same owner each time. late is asked for a deadline that
// may have been postponed, see [Heap.Postpone]; nil where none ever is.
func New[T any](node func(T) *Node, late func(T) (when int64, seq uint32)) Heap[T] {
	return Heap[T]{node: node, late: late}
}

// Len is the number of armed deadlines, without those that were taken.
func (h *Heap[T]) Len() int { return len(h.owners) }

// Each calls f for every owner whose deadline is in the heap, in no order that
// means anything. f must not arm or disarm any.
func (h *Heap[T]) Each(f func(T)) {
	for _, o := range h.owners {
		f(o)
	}
}

// Peak is the highest Len since ResetPeak.
func (h *Heap[T]) Peak() int { return h.peak }

// ResetPeak begins anew with what there is now.
func (h *Heap[T]) ResetPeak() { h.peak = len(h.owners) }

// Armed reports whether owner's deadline is armed.
func (h *Heap[T]) Armed(owner T) bool { return h.node(owner).pos != 0 }

// When is owner's deadline, 0 for one that was taken; ok is false when it is
// not armed. What has been postponed its owner knows better.
func (h *Heap[T]) When(owner T) (when int64, ok bool) {
	pos := h.node(owner).pos
	if pos <= 0 {
		return 0, pos == taken
	}
	return h.whens[pos-1], true
}

// Add arms owner's deadline. Precondition: it is not armed.
func (h *Heap[T]) Add(owner T, when int64) {
	n := h.node(owner)
	if n.pos != 0 {
		panic("timer: Add of a deadline that is armed: use Reset")
	}
	if len(h.owners) == 1<<31-1 {
		panic("timer: more than 2^31 deadlines")
	}
	n.seq = h.seq
	h.seq++
	h.owners = append(h.owners, owner)
	if len(h.whens) < cap(h.owners)+arity {
		h.whens = sized(h.whens, cap(h.owners))
	}
	h.peak = max(h.peak, len(h.owners))
	h.up(len(h.owners)-1, when, owner)
	h.check()
}

// Reset moves owner's deadline to when, and arms it if it is not armed. Among
// equal deadlines it is now the last.
func (h *Heap[T]) Reset(owner T, when int64) {
	n := h.node(owner)
	if n.pos <= 0 {
		n.pos = 0 // one that was taken is not due any more
		h.Add(owner, when)
		return
	}
	n.seq = h.seq
	h.seq++
	i := int(n.pos) - 1
	h.fix(i, when, owner)
	h.check()
}

// Postpone moves the deadline of n to when without touching the heap, and
// reports whether that is possible: n is armed, for a time before when. The
// entry stays where it is. The owner has to keep when and seq, its new place
// among equal deadlines, and to return both from the late function until the
// next Reset or Remove.
func (h *Heap[T]) Postpone(n *Node, when int64) (seq uint32, ok bool) {
	if n.pos <= 0 || h.whens[n.pos-1] >= when {
		return 0, false
	}
	seq = h.seq
	h.seq++
	return seq, true
}

// Remove disarms owner's deadline and reports whether it was armed.
func (h *Heap[T]) Remove(owner T) bool {
	n := h.node(owner)
	if n.pos == 0 {
		return false
	}
	if n.pos != taken {
		h.cut(int(n.pos) - 1)
	}
	n.pos = 0
	h.check()
	return true
}

// Next is the earliest deadline; ok is false when none is armed. One that is
// after exact may be that of an entry whose own deadline has been postponed:
// then nothing is due before it.
func (h *Heap[T]) Next(exact int64) (when int64, ok bool) {
	h.settle(exact)
	if len(h.owners) == 0 {
		return 0, false
	}
	return h.whens[0], true
}

// settle puts entries at the front that come up by until, and are early, where
// they belong.
func (h *Heap[T]) settle(until int64) {
	for h.late != nil && len(h.owners) > 0 && h.whens[0] <= until {
		owner := h.owners[0]
		when, seq := h.late(owner)
		if when <= h.whens[0] {
			return
		}
		h.node(owner).seq = seq
		h.down(0, when, owner)
		h.check()
	}
}

// PopExpired disarms the earliest deadline and returns its owner if it is due:
// at or before now. Call it until ok is false. A deadline armed in between
// that is due at once comes out as well.
func (h *Heap[T]) PopExpired(now int64) (owner T, ok bool) {
	h.settle(now)
	if len(h.owners) == 0 || h.whens[0] > now {
		return owner, false
	}
	owner = h.owners[0]
	h.cut(0)
	h.node(owner).pos = 0
	h.check()
	return owner, true
}

// Take is PopExpired for a caller who deals with the owner later: the deadline
// stays armed as far as Armed tells, until Claim, Reset or Remove.
func (h *Heap[T]) Take(now int64) (owner T, ok bool) {
	if owner, ok = h.PopExpired(now); ok {
		h.node(owner).pos = taken
	}
	return owner, ok
}

// Claim disarms a deadline that was taken. It reports false for one that was
// removed or set anew since.
func (h *Heap[T]) Claim(owner T) bool {
	n := h.node(owner)
	if n.pos != taken {
		return false
	}
	n.pos = 0
	return true
}

// sized is whens in room for n, and for a whole group of children behind them.
// It begins one short of a group, so that groups begin where cache lines do.
func sized(whens []int64, n int) []int64 {
	all := make([]int64, arity-1+n+arity)[arity-1:]
	for i := copy(all[:n], whens); i < len(all); i++ {
		all[i] = never
	}
	return all
}

// cut takes entry i out and fills the gap with the last entry. The node of
// what was there is the caller's business.
func (h *Heap[T]) cut(i int) {
	last := len(h.owners) - 1
	when, owner := h.whens[last], h.owners[last]
	h.whens[last] = never
	var none T
	h.owners[last] = none // let the owner go
	h.owners = h.owners[:last]
	if i < last {
		h.fix(i, when, owner)
	}
	h.shrink()
}

// shrink gives memory back after a burst. It halves at a quarter, so that it
// costs O(1) for each removal and never alternates with append's growth.
func (h *Heap[T]) shrink() {
	if c := cap(h.owners); c > minShrink && len(h.owners) < c/4 {
		h.owners = append(make([]T, 0, c/2), h.owners...)
		h.whens = sized(h.whens[:len(h.owners)], cap(h.owners))
	}
}

func parent(i int) int { return int(uint(i-1) / arity) }

// fix puts owner where the gap i and the order of the heap want it.
func (h *Heap[T]) fix(i int, when int64, owner T) {
	if i > 0 && h.before(when, owner, parent(i)) {
		h.up(i, when, owner)
		return
	}
	h.down(i, when, owner)
}

// up moves the gap at i towards the root until owner fits, and puts it there.
func (h *Heap[T]) up(i int, when int64, owner T) {
	for i > 0 {
		p := parent(i)
		if !h.before(when, owner, p) {
			break
		}
		h.place(i, h.whens[p], h.owners[p])
		i = p
	}
	h.place(i, when, owner)
}

// down moves the gap at i towards the leaves until owner fits, and puts it
// there.
func (h *Heap[T]) down(i int, when int64, owner T) {
	for i*arity+1 < len(h.owners) {
		c := h.firstChild(i*arity + 1)
		if h.before(when, owner, c) {
			break
		}
		h.place(i, h.whens[c], h.owners[c])
		i = c
	}
	h.place(i, when, owner)
}

// firstChild is which of the children from entry i on comes out first. Nobody
// can predict which one it is, so there is not a branch that depends on it: a
// processor that guesses wrong loses what four children cost here.
func (h *Heap[T]) firstChild(i int) int {
	w := (*[arity]int64)(h.whens[i:])
	first := min(min(min(w[0], w[1]), min(w[2], w[3])), min(min(w[4], w[5]), min(w[6], w[7])))
	is0, is1, is2, is3 := is(w[0] == first), is(w[1] == first), is(w[2] == first), is(w[3] == first)
	is4, is5, is6, is7 := is(w[4] == first), is(w[5] == first), is(w[6] == first), is(w[7] == first)
	if (is0+is1)+(is2+is3)+(is4+is5)+(is6+is7) > 1 {
		return h.firstArmed(i, first)
	}
	return i + (is1 + 2*is2) + (3*is3 + 4*is4) + (5*is5 + 6*is6 + 7*is7)
}

// is is 1 for true. The compiler makes one instruction of it.
func is(b bool) (n int) {
	if b {
		n = 1
	}
	return n
}

// firstArmed is which of the children from entry i on, of those that are due at
// when, was armed first.
func (h *Heap[T]) firstArmed(i int, when int64) int {
	first, seq := -1, uint32(0)
	for c := i; c < min(i+arity, len(h.owners)); c++ {
		if h.whens[c] != when {
			continue
		}
		if s := h.node(h.owners[c]).seq; first < 0 || earlier(s, seq) {
			first, seq = c, s
		}
	}
	return first
}

func (h *Heap[T]) place(i int, when int64, owner T) {
	h.whens[i] = when
	h.owners[i] = owner
	h.node(owner).pos = int32(i) + 1
}

// before reports whether owner, at when, comes out before entry i. Only a tie
// has to ask the owners.
func (h *Heap[T]) before(when int64, owner T, i int) bool {
	return when < h.whens[i] || when == h.whens[i] && h.armedBefore(owner, h.owners[i])
}

func (h *Heap[T]) armedBefore(a, b T) bool { return earlier(h.node(a).seq, h.node(b).seq) }

// earlier looks at the difference, not the order, of the two: seq wraps around.
func earlier(a, b uint32) bool { return int32(a-b) < 0 }

// check verifies the invariant around the root in builds with checks on. The
// whole heap is checked by the tests: here that would make a loop with a
// million deadlines unusable.
func (h *Heap[T]) check() {
	if !invariants.Enabled {
		return
	}
	for i := range min(len(h.owners), 1+arity) {
		h.checkEntry(i)
	}
	n := len(h.owners)
	if n > 0 {
		h.checkEntry(n - 1)
	}
	for i := n; i < min(n+arity, len(h.whens)); i++ {
		if h.whens[i] != never {
			panic("timer: BUG: a deadline stands behind the last")
		}
	}
}

func (h *Heap[T]) checkEntry(i int) {
	if int(h.node(h.owners[i]).pos) != i+1 {
		panic("timer: BUG: a node does not know its place: was it copied while armed?")
	}
	if i > 0 && h.whens[i] < h.whens[parent(i)] {
		panic("timer: BUG: a deadline stands before an earlier one")
	}
}

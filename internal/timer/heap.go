// Package timer keeps deadlines in order.
//
// It knows int64 ticks and nothing else: what a tick is, and what time it is,
// the caller knows. Nothing here is safe for use by more than one goroutine.
package timer

import "github.com/bevgo/bev/internal/invariants"

// A Node is a deadline's place in a Heap. It is embedded in what owns the
// deadline, so that the owner finds its place without a search and arming
// allocates nothing. The zero Node is not armed. A Node belongs to one Heap at
// a time and must not be copied while it is armed.
type Node struct {
	pos int32  // index in Heap.entries plus one; 0 while not armed, or taken
	seq uint32 // when it was armed, in armings of the Heap: breaks ties
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
// of equal deadlines holds while fewer than 2^31 armings lie between them.
//
// It is a 4-ary heap. The deadline is kept in the entry, so a comparison
// touches the owner only for a tie: a node has four children, which are side
// by side in memory, and half as many levels as a binary heap has. Arming a
// deadline later than all others, which is what timeouts of one length do,
// compares once and moves nothing.
//
// A deadline that moves to a later time may leave its entry where it is, see
// [Heap.Postpone]. Such an entry is early: when it comes to the front, before
// anybody sees it, it is put where it belongs, once for all the times that its
// deadline has moved.
//
// Invariant: entries[i].when >= entries[(i-1)/4].when, and
// node(entries[i].owner).pos == i+1.
type Heap[T any] struct {
	entries []entry[T]
	seq     uint32 // of the next arming
	peak    int    // the most entries since ResetPeak

	// Set at creation, then constant.
	node func(T) *Node
	late func(T) (when int64, seq uint32)
}

// entry is 24 bytes for an owner that is an interface, 16 for a pointer.
type entry[T any] struct {
	when  int64
	owner T
}

const (
	arity = 4
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
func (h *Heap[T]) Len() int { return len(h.entries) }

// Each calls f for every owner whose deadline is in the heap, in no order that
// means anything. f must not arm or disarm any.
func (h *Heap[T]) Each(f func(T)) {
	for i := range h.entries {
		f(h.entries[i].owner)
	}
}

// Peak is the highest Len since ResetPeak.
func (h *Heap[T]) Peak() int { return h.peak }

// ResetPeak begins anew with what there is now.
func (h *Heap[T]) ResetPeak() { h.peak = len(h.entries) }

// Armed reports whether owner's deadline is armed.
func (h *Heap[T]) Armed(owner T) bool { return h.node(owner).pos != 0 }

// When is owner's deadline, 0 for one that was taken; ok is false when it is
// not armed. What has been postponed its owner knows better.
func (h *Heap[T]) When(owner T) (when int64, ok bool) {
	pos := h.node(owner).pos
	if pos <= 0 {
		return 0, pos == taken
	}
	return h.entries[pos-1].when, true
}

// Add arms owner's deadline. Precondition: it is not armed.
func (h *Heap[T]) Add(owner T, when int64) {
	n := h.node(owner)
	if n.pos != 0 {
		panic("timer: Add of a deadline that is armed: use Reset")
	}
	if len(h.entries) == 1<<31-1 {
		panic("timer: more than 2^31 deadlines")
	}
	n.seq = h.seq
	h.seq++
	h.entries = append(h.entries, entry[T]{})
	h.peak = max(h.peak, len(h.entries))
	h.up(len(h.entries)-1, entry[T]{when, owner})
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
	h.fix(i, entry[T]{when, owner})
	h.check()
}

// Postpone moves the deadline of n to when without touching the heap, and
// reports whether that is possible: n is armed, for a time before when. The
// entry stays where it is. The owner has to keep when and seq, its new place
// among equal deadlines, and to return both from the late function until the
// next Reset or Remove.
func (h *Heap[T]) Postpone(n *Node, when int64) (seq uint32, ok bool) {
	if n.pos <= 0 || h.entries[n.pos-1].when >= when {
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
	if len(h.entries) == 0 {
		return 0, false
	}
	return h.entries[0].when, true
}

// settle puts entries at the front that come up by until, and are early, where
// they belong.
func (h *Heap[T]) settle(until int64) {
	for h.late != nil && len(h.entries) > 0 && h.entries[0].when <= until {
		e := h.entries[0]
		when, seq := h.late(e.owner)
		if when <= e.when {
			return
		}
		h.node(e.owner).seq = seq
		h.down(0, entry[T]{when, e.owner})
		h.check()
	}
}

// PopExpired disarms the earliest deadline and returns its owner if it is due:
// at or before now. Call it until ok is false. A deadline armed in between
// that is due at once comes out as well.
func (h *Heap[T]) PopExpired(now int64) (owner T, ok bool) {
	h.settle(now)
	if len(h.entries) == 0 || h.entries[0].when > now {
		return owner, false
	}
	owner = h.entries[0].owner
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

// cut takes entry i out and fills the gap with the last entry. The node of
// what was there is the caller's business.
func (h *Heap[T]) cut(i int) {
	last := len(h.entries) - 1
	moved := h.entries[last]
	h.entries[last] = entry[T]{} // let the owner go
	h.entries = h.entries[:last]
	if i < last {
		h.fix(i, moved)
	}
	h.shrink()
}

// shrink gives memory back after a burst. It halves at a quarter, so that it
// costs O(1) for each removal and never alternates with append's growth.
func (h *Heap[T]) shrink() {
	if c := cap(h.entries); c > minShrink && len(h.entries) < c/4 {
		h.entries = append(make([]entry[T], 0, c/2), h.entries...)
	}
}

// fix puts e where the gap i and the order of the heap want it.
func (h *Heap[T]) fix(i int, e entry[T]) {
	if i > 0 && h.before(&e, &h.entries[(i-1)/arity]) {
		h.up(i, e)
		return
	}
	h.down(i, e)
}

// up moves the gap at i towards the root until e fits, and puts e there.
func (h *Heap[T]) up(i int, e entry[T]) {
	for i > 0 {
		parent := (i - 1) / arity
		if !h.before(&e, &h.entries[parent]) {
			break
		}
		h.place(i, h.entries[parent])
		i = parent
	}
	h.place(i, e)
}

// down moves the gap at i towards the leaves until e fits, and puts e there.
func (h *Heap[T]) down(i int, e entry[T]) {
	for {
		child := i*arity + 1
		if child >= len(h.entries) {
			break
		}
		least := child
		for c := child + 1; c < min(child+arity, len(h.entries)); c++ {
			if h.before(&h.entries[c], &h.entries[least]) {
				least = c
			}
		}
		if !h.before(&h.entries[least], &e) {
			break
		}
		h.place(i, h.entries[least])
		i = least
	}
	h.place(i, e)
}

func (h *Heap[T]) place(i int, e entry[T]) {
	h.entries[i] = e
	h.node(e.owner).pos = int32(i) + 1
}

// before reports whether a comes out before b. It is small enough to be put
// in line; ties, which have to ask the owners, are apart.
func (h *Heap[T]) before(a, b *entry[T]) bool {
	return a.when < b.when || a.when == b.when && h.armedBefore(a, b)
}

func (h *Heap[T]) armedBefore(a, b *entry[T]) bool {
	// The difference, not the order, of the two: seq wraps around.
	return int32(h.node(a.owner).seq-h.node(b.owner).seq) < 0
}

// check verifies the invariant around the root in builds with checks on. The
// whole heap is checked by the tests: here that would make a loop with a
// million deadlines unusable.
func (h *Heap[T]) check() {
	if !invariants.Enabled {
		return
	}
	for i := range min(len(h.entries), 1+arity) {
		h.checkEntry(i)
	}
	if n := len(h.entries); n > 0 {
		h.checkEntry(n - 1)
	}
}

func (h *Heap[T]) checkEntry(i int) {
	if int(h.node(h.entries[i].owner).pos) != i+1 {
		panic("timer: BUG: a node does not know its place: was it copied while armed?")
	}
	if i > 0 && h.entries[i].when < h.entries[(i-1)/arity].when {
		panic("timer: BUG: a deadline stands before an earlier one")
	}
}

package buffer

import (
	"fmt"
	"math"

	"github.com/bevgo/bev/internal/invariants"
)

// A Buffer is a queue of bytes: added at the back, taken from the front. It is a list of segments, so that it grows
// without moving what it holds and moves into another Buffer without copying.
//
// The zero value is an empty Buffer ready to use. A Buffer holds no memory while it is empty. It must not be copied.
//
// A Buffer belongs to one goroutine at a time; no method may be called from two at once. Handing a Buffer over (by a
// channel, say) is fine once its Owner, if it has one, was taken off with SetOwner(nil).
//
// Counts are int bytes; a negative count panics unless the method says that it means "all".
//
// Invariant, with s any segment from head to tail:
//
//	0 <= s.r < s.w <= len(s.buf)    no segment is empty; of a file range only 0 <= r < w
//	Σ (s.w - s.r) = n               and n = 0 exactly when head and tail are nil
//	tail.next = nil
//	s of kindLent only in a Buffer with an Owner
//	pooled s between head and tail      at least an eighth of its memory is in use, unless that is the smallest size
//	pooled head or tail from 8 KiB up   n is at least an eighth of its memory, unless Grow got it and it is last
//	what is reserved lies in tail's room and in the spare segments, which hold no bytes and hang in ext
//
// Libevent: struct evbuffer, evbuffer_new.
type Buffer struct {
	_          noCopy
	head, tail *segment
	n          int
	owner      *Owner // set by SetOwner; nil: the package's pools, nobody told
	ext        *extra // rare state; nil in nearly every Buffer
}

// An Owner is what Buffers that belong together have in common, the two of a connection, say: it provides memory and
// hears of changes. Its fields stay as they are while a Buffer has it. Buffers with the same Owner may exchange
// borrowed memory, see [Scratch].
//
// It is a struct, and a Buffer points to it, so that ten thousand idle connections pay for it once each and no Buffer
// has to ask where its memory comes from.
type Owner struct {
	// Pool is where the Buffers take memory from and give it back to; nil means the pools of the package.
	Pool *Pool

	// Notify hears of changes; nil: nobody does.
	Notify Notifier
}

// A Notifier is told of each change of the Buffers that have it in their [Owner].
type Notifier interface {
	// BufferChanged is called once after each method that changed Len, when the change is complete, with the
	// numbers of bytes that came and went: never (0, 0), and not for the quiet methods ([Buffer.DrainQuiet],
	// [Buffer.AppendScratch]). It runs inside that method and must be cheap. It runs before callbacks of
	// [Buffer.AddCallback].
	BufferChanged(b *Buffer, added, removed int)
}

// noCopy lets go vet complain about copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// SetOwner makes o the Owner of b from now on; nil takes the Owner off. Nobody is told of what b holds already. A loan
// in b ends first, as by [Buffer.Settle].
//
// Before a Buffer goes to another goroutine its Owner must be taken off: the Owner's Pool has no locks.
func (b *Buffer) SetOwner(o *Owner) {
	b.Settle()
	b.owner = o
}

// Owner returns what [Buffer.SetOwner] set, or nil.
func (b *Buffer) Owner() *Owner { return b.owner }

// Len returns the number of bytes in b.
//
// Libevent: evbuffer_get_length.
func (b *Buffer) Len() int { return b.n }

// Cap returns how many bytes of memory b keeps from being used otherwise: whole segments, drained and unused parts
// included, and reserved room. Owned bytes count as many as b shows of them, file ranges and the memory of a [Scratch]
// nothing. Of a Buffer that was filled by appending, Cap is at most Len + Len/8 + 512. It is zero when b is empty and
// nothing is reserved. Cost: one step per segment.
//
// Memory that [Buffer.Share] or [Buffer.Move] made several Buffers show counts in each as many bytes as are shown
// there, and at least its size divided by the number of places where it is shown: all together count for no less than
// there is, and who is left alone with it counts for all of it. Others may let go at any time, on their goroutines; who
// is then alone and shows less than an eighth gets memory of the right size with the next Drain or Move.
func (b *Buffer) Cap() int {
	n := 0
	for s := b.head; s != nil; s = s.next {
		n += s.retained()
	}
	if b.ext != nil {
		for s := b.ext.spare; s != nil; s = s.next {
			n += s.retained()
		}
	}
	return n
}

// Drain removes up to n bytes from the front and returns how many it removed: n, or Len if that is less.
//
// Libevent: evbuffer_drain. Unlike libevent it says how much was there, and a frozen front panics.
func (b *Buffer) Drain(n int) int {
	if b.ext != nil {
		b.ext.use(frozenFront)
	}
	if s := b.head; s != nil && uint(n) < uint(s.w-s.r) && !b.sparse(s, n) {
		s.r += n
		b.n -= n
	} else {
		n = b.discard(n)
	}
	b.changed(0, n)
	return n
}

// DrainQuiet is Drain without a word to the Owner, who is expected to be the caller: it removes what the Owner has
// sent. It works on a frozen front. Callbacks of [Buffer.AddCallback] do run.
func (b *Buffer) DrainQuiet(n int) int {
	if b.ext != nil {
		b.ext.touch()
	}
	if s := b.head; s != nil && uint(n) < uint(s.w-s.r) && !b.sparse(s, n) {
		s.r += n
		b.n -= n
	} else {
		n = b.discard(n)
	}
	if b.ext != nil {
		b.ext.changed(b, 0, n)
	}
	return n
}

// Reset removes all bytes, gives up what was reserved, and releases all memory. Callbacks, the Owner and frozen ends
// stay; a frozen front panics.
//
// Libevent: evbuffer_drain with the length.
func (b *Buffer) Reset() {
	b.useFront()
	n := b.discard(b.n)
	b.dropSpare()
	b.disown()
	b.changed(0, n)
}

// discard removes up to n bytes without telling anybody. The bytes are gone and the list is in order before the first
// segment is dropped, because a release function may come back to this Buffer.
func (b *Buffer) discard(n int) int {
	if n < 0 {
		panic(panicNegative)
	}
	first := b.head
	if n >= b.n {
		if n = b.n; n > 0 {
			b.head, b.tail, b.n = nil, nil, 0
			if b.ext != nil {
				b.dropSpare() // nothing is held when empty
			}
			switch {
			case first.next != nil:
				dropList(first, nil, b)
			case first.kind == kindPooled && b.owner != nil:
				b.owner.Pool.put(first) // what drop does, with a call less
			default:
				first.drop(b)
			}
		}
		return n
	}
	rest, s := n, first
	for rest >= s.len() {
		rest -= s.len()
		s = s.next
	}
	b.head = s
	b.n -= n
	s.r += rest
	b.shrink() // s may not be in the list any more; it still marks the end of what is dropped
	b.verify()
	dropList(first, s, b)
	return n
}

// A large first segment gives way to one of the right size when the Buffer holds less than an eighth of its size, or
// the segment itself less than a 64th: a few bytes that nobody reads would otherwise keep 64 KiB from those who could
// use it. What has more behind it is likely to be gone soon and is left alone longer: a long queue that is drained in
// small steps would otherwise copy the end of each segment. All copies together are less than a seventh of what is
// drained. The last segment, whose room was made for a Buffer that was longer, gives way by the first of these rules.
const (
	shrinkShift = 3
	tinyShift   = 6
	shrinkMin   = 8 << 10
)

// sparse says whether that may be so after n more bytes of s, the first segment, are gone. Of a view the capacity
// counts, which is that of the memory under it.
func (b *Buffer) sparse(s *segment, n int) bool {
	m := max(cap(s.buf), cap(b.tail.buf))
	return m >= shrinkMin && (b.n-n < m>>shrinkShift || s.w-s.r-n < cap(s.buf)>>tinyShift)
}

// shrink has the first and the last segment give way if it is time.
func (b *Buffer) shrink() {
	h, t := b.head, b.tail
	if !b.sparse(h, 0) {
		return
	}
	if m := h.pinned(); m >= shrinkMin && (b.n < m>>shrinkShift || h.w-h.r < m>>tinyShift) {
		h.fit(b)
	}
	if m := t.pinned(); m >= shrinkMin && b.n < m>>shrinkShift {
		t.fit(b)
	}
}

// pool is where b takes memory from and gives it back to; nil means the package's pools.
func (b *Buffer) pool() *Pool {
	if b.owner == nil {
		return nil
	}
	return b.owner.Pool
}

// changed tells those who want to know that bytes came or went. It is the last thing that a method does. It is just
// small enough to be inlined, which is worth more than a tenth of a short append.
func (b *Buffer) changed(added, removed int) {
	if b.ext != nil || b.owner != nil && b.owner.Notify != nil {
		b.notify(added, removed)
	}
}

func (b *Buffer) notify(added, removed int) {
	if added|removed == 0 {
		return
	}
	if o := b.owner; o != nil && o.Notify != nil {
		o.Notify.BufferChanged(b, added, removed)
	}
	if b.ext != nil {
		b.ext.changed(b, added, removed)
	}
}

// verify runs check in invariants builds, on the first segments only: a check that makes long lists slow to build would
// be turned off.
func (b *Buffer) verify() {
	if invariants.Enabled {
		b.checkFirst(32)
	}
}

// check panics unless b's invariant holds.
func (b *Buffer) check() { b.checkFirst(math.MaxInt) }

func (b *Buffer) checkFirst(segments int) {
	n, last := 0, (*segment)(nil)
	for s := b.head; s != nil; last, s = s, s.next {
		if segments--; segments < 0 {
			return
		}
		n += s.len()
		switch {
		case s.r < 0 || s.r >= s.w:
			b.bug("segment with offsets %d..%d", s.r, s.w)
		case s.w > len(s.buf) && s.kind != kindFile:
			b.bug("segment ends at %d of %d", s.w, len(s.buf))
		case s.room() > 0 && s.kind != kindPooled && s.kind != kindLent:
			b.bug("room of %d in a segment of kind %d", s.room(), s.kind)
		case s.kind == kindLent && b.owner == nil:
			b.bug("lent segment in a Buffer without an Owner")
		case s.kind == kindPooled && s != b.head && s != b.tail && s.thin():
			b.bug("%d bytes keep %d in the middle", s.len(), len(s.buf))
		case s.kind == kindPooled && (s == b.head || s == b.tail) && len(s.buf) >= shrinkMin &&
			b.n < len(s.buf)>>shrinkShift && !(s.grown && s == b.tail):
			b.bug("%d of %d bytes keep %d at an end", s.len(), b.n, len(s.buf))
		}
	}
	if n != b.n || last != b.tail || (b.n == 0) != (b.head == nil) {
		b.bug("segments hold %d bytes, Len is %d", n, b.n)
	}
	if b.ext != nil {
		b.ext.check(b)
	}
}

func (b *Buffer) bug(format string, args ...any) {
	panic("buffer: BUG: " + fmt.Sprintf(format, args...))
}

package buffer

import "unsafe"

// What the tests see of the inside.
const (
	MinSegment  = minSegment
	MaxSegment  = maxSegment
	HeaderSize  = headerSize
	BufferSize  = unsafe.Sizeof(Buffer{})
	SegmentSize = unsafe.Sizeof(segment{})
	JoinMax     = joinMax
	MaxLen      = maxLen
	Poison      = poison
)

// Check panics unless b's invariant holds.
func (b *Buffer) Check() { b.check() }

// Segments returns the length of each segment.
func (b *Buffer) Segments() (lens []int) {
	for s := b.head; s != nil; s = s.next {
		lens = append(lens, s.len())
	}
	return lens
}

// HasExtra says whether b has rare state of its own.
func (b *Buffer) HasExtra() bool { return b.ext != nil && !b.ext.static }

// ClassFor is how large a segment is for want more bytes behind have.
func ClassFor(have, want int) int { return classSize(classFor(have, want)) }

// ScratchStart is the address of s's memory, lent or not.
func ScratchStart(s *Scratch) *byte { return &s.mem[0] }

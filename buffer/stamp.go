package buffer

import (
	"bytes"

	"github.com/bevgo/bev/internal/invariants"
)

// A stamp tells whether a Buffer was changed after it was taken: by a method that is said to modify it, whether or not
// Len and the bytes are the same afterwards. What would use segments that it found before must look first.
//
// A Buffer has no counter of its changes, which each of two in every connection would pay for. It counts in its extra,
// which every verb looks at anyway, and has one from the first stamp until the next change. Of an empty Buffer a stamp
// needs none: nothing was found in it, and it holds as long as there is nothing.
//
// A count is never the same again in the life of an extra, whichever Buffer has it, so the two together are unique.
type stamp struct {
	e     *extra // nil: b was empty
	count uint64
}

// stamp returns what tells whether b changed since.
func (b *Buffer) stamp() stamp {
	if b.n == 0 {
		return stamp{}
	}
	e := b.ext
	if e == nil || e.static {
		e = b.own()
	}
	e.stamped = true
	return stamp{e, e.changes}
}

// holds says whether b is as it was.
func (s stamp) holds(b *Buffer) bool {
	if s.e == nil {
		return b != nil && b.n == 0
	}
	return b.ext == s.e && s.e.changes == s.count // the order matters: after disown s.e may be another goroutine's
}

const panicLoop = "buffer: b was modified in the body of a loop over it; there it may only lose what was yielded, and more"

// mustHaveLost panics unless b, which held n bytes and was changed in the body of a loop, has lost the given bytes that
// were yielded. If it is shorter by that many, it has lost them, whatever was added besides: bytes leave at the front.
func (b *Buffer) mustHaveLost(given, n int) {
	if b.n > n-given {
		panic(panicLoop)
	}
}

// A start is a copy of the first few bytes of a Buffer, for a guess whether it still has those that it had.
type start struct {
	p [16]byte
	n int
}

func startOf(p []byte) (s start) {
	s.n = copy(s.p[:], p)
	return s
}

func (s *start) begins(b *Buffer) bool {
	var p [len(s.p)]byte
	return b.CopyOut(p[:s.n], 0) == s.n && p == s.p
}

// snapshot copies the first n bytes in invariants builds.
func (b *Buffer) snapshot(n int) []byte {
	if !invariants.Enabled {
		return nil
	}
	p := make([]byte, n)
	return p[:b.CopyOut(p, 0)]
}

// mustStartWith panics in invariants builds if b does not begin with what snapshot returned.
func (b *Buffer) mustStartWith(p []byte) {
	if invariants.Enabled && !bytes.Equal(p, b.snapshot(len(p))) {
		panic(panicLoop)
	}
}

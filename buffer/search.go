package buffer

import (
	"bytes"
	"sync"

	"github.com/bevgo/bev/internal/scan"
)

// shortNeedle is the length up to which bytes.Index is used where the search by a rare byte gives up: for these it is
// a vector loop that is linear in the bytes searched (their product with a constant at worst). Longer needles go
// through an automaton, because bytes.Index looks at hashes then, which somebody who chooses the bytes can defeat.
const shortNeedle = 63

// Index returns the position of the first what in b, in bytes from the front, or -1 if there is none. An empty what is
// at 0. It costs time in proportion to the bytes searched, whatever they are and however they are cut into segments.
//
// File ranges are loaded as the search comes to them; if that fails nothing is found ([Buffer.Load] tells why).
//
// Libevent: evbuffer_search.
func (b *Buffer) Index(what []byte) int { return b.IndexRange(what, 0, -1) }

// IndexFrom is [Buffer.Index] from position from on, at which it may begin. from beyond Len finds nothing.
//
// It looks for from at the front: to find one after the other, use [View.Index].
//
// Libevent: evbuffer_search with a start.
func (b *Buffer) IndexFrom(what []byte, from int) int { return b.IndexRange(what, from, -1) }

// IndexRange is [Buffer.Index] between two positions: what must begin at from or later and end at to or before. A
// negative to, or one beyond Len, means Len. An empty what is at from.
//
// Libevent: evbuffer_search_range.
func (b *Buffer) IndexRange(what []byte, from, to int) int {
	if from < 0 {
		panic(panicNegative)
	}
	if to < 0 || to > b.n {
		to = b.n
	}
	if from > to || len(what) > to-from {
		return -1
	}
	if len(what) == 0 {
		return from
	}
	return b.index(what, b.place(place{}, from), from, to)
}

// index is IndexRange, with the place of from already found and counts in order.
func (b *Buffer) index(what []byte, at place, from, to int) int {
	if len(what) == 1 {
		return b.indexByte(what[0], at, from, to)
	}
	return b.indexRare(what, at, from, to)
}

// IndexByte returns the position of the first c at from or later, or -1.
func (b *Buffer) IndexByte(c byte, from int) int {
	if from < 0 {
		panic(panicNegative)
	}
	return b.indexByte(c, b.place(place{}, from), from, b.n)
}

// A place is a segment and the position of its first byte.
type place struct {
	s     *segment
	start int
}

// at returns the segment that holds position pos; none if pos is Len or more.
func (b *Buffer) at(pos int) place { return place{b.head, 0}.forward(pos) }

// forward is at for a pos that is not before the segment at hand.
func (at place) forward(pos int) place {
	for at.s != nil && pos-at.start >= at.s.w-at.s.r {
		at.start += at.s.w - at.s.r
		at.s = at.s.next
	}
	return at
}

// loaded returns the segment that holds pos when that, the segment at hand, is a file range: it loads a piece of it.
// There is none if that fails.
func (b *Buffer) loaded(pos int) place {
	end := b.n
	if end-pos > maxSegment {
		end = pos + maxSegment
	}
	_ = b.Load(end) // what was read before an error is in memory, and may be enough
	if at := b.at(pos); at.s != nil && at.s.kind != kindFile {
		return at
	}
	return place{}
}

// place is at, going on from begin if that is before pos, and loads what it finds if it is a file range. There is none
// if that fails. What it returns stays in the list whatever a search loads.
func (b *Buffer) place(begin place, pos int) place {
	if begin.s == nil || begin.start > pos {
		begin = place{b.head, 0}
	}
	at := begin.forward(pos)
	if at.s != nil && at.s.kind == kindFile {
		return b.loaded(pos)
	}
	return at
}

// next is the place of the segment behind.
func (at place) next() place { return place{at.s.next, at.start + at.s.len()} }

// piece is what of the segment lies between the positions from and to.
func (at place) piece(from, to int) []byte {
	p := at.s.buf[at.s.r:at.s.w]
	if to-at.start < len(p) {
		p = p[:to-at.start]
	}
	if from > at.start {
		p = p[from-at.start:]
	}
	return p
}

func (b *Buffer) indexByte(c byte, at place, from, to int) int {
	for at.s != nil && at.start < to {
		if at.s.kind == kindFile {
			if at = b.loaded(max(at.start, from)); at.s == nil {
				break
			}
		}
		if i := scan.Byte(at.piece(from, to), c); i >= 0 {
			return max(at.start, from) + i
		}
		at = at.next()
	}
	return -1
}

// indexShort looks into each segment, and at a border only if its last bytes hold a first byte of what.
func (b *Buffer) indexShort(what []byte, at place, from, to int) int {
	var border [2 * shortNeedle]byte // the last bytes before the segment, at most len(what)-1, then its first ones
	held, keep := 0, len(what)-1
	for ; at.s != nil && at.start < to; at = at.next() {
		if at.s.kind == kindFile {
			if at = b.loaded(max(at.start, from)); at.s == nil {
				break
			}
		}
		p, pos := at.piece(from, to), max(at.start, from)
		if held > 0 {
			k := copy(border[held:held+keep], p)
			if i := bytes.Index(border[:held+k], what); i >= 0 {
				return pos - held + i
			}
		}
		if i := bytes.Index(p, what); i >= 0 {
			return pos + i
		}
		if len(p) >= keep {
			held = 0
			if i := bytes.IndexByte(p[len(p)-keep:], what[0]); i >= 0 {
				held = copy(border[:], p[len(p)-keep+i:])
			}
			continue
		}
		held += copy(border[held:], p) // short segments: what is kept may span several
		if held > keep {
			held = copy(border[:], border[held-keep:held])
		}
	}
	return -1
}

// tables holds the failure tables of long needles.
var tables = sync.Pool{New: func() any { return new([]int32) }}

// indexLong is the algorithm of Knuth, Morris and Pratt (SIAM J. Comput. 6, 1977), which never looks back and so does
// not care about borders; between matches that have begun it leaps with IndexByte.
func (b *Buffer) indexLong(what []byte, at place, from, to int) int {
	table := tables.Get().(*[]int32)
	defer tables.Put(table)
	*table = failures((*table)[:0], what)
	fail, state := *table, int32(0)
	for ; at.s != nil && at.start < to; at = at.next() {
		if at.s.kind == kindFile {
			if at = b.loaded(max(at.start, from)); at.s == nil {
				break
			}
		}
		p, pos := at.piece(from, to), max(at.start, from)
		for i := 0; i < len(p); i++ {
			if state == 0 {
				k := bytes.IndexByte(p[i:], what[0])
				if k < 0 {
					break
				}
				i += k
				state = 1
				continue
			}
			for state > 0 && p[i] != what[state] {
				state = fail[state-1]
			}
			if p[i] != what[state] {
				continue
			}
			if state++; int(state) == len(what) {
				return pos + i + 1 - len(what)
			}
		}
	}
	return -1
}

// failures appends, for each prefix of what, the length of its longest border: how much of a match that breaks after
// that prefix is still the beginning of one.
func failures(table []int32, what []byte) []int32 {
	table = append(table, 0)
	state := int32(0)
	for _, c := range what[1:] {
		for state > 0 && c != what[state] {
			state = table[state-1]
		}
		if c == what[state] {
			state++
		}
		table = append(table, state)
	}
	return table
}

package buffer

import (
	"bytes"
	"sync"
)

// shortNeedle is the length up to which bytes.Index is used: for these it is a vector loop that is linear in the bytes
// searched (their product with a constant at worst). Longer needles go through an automaton, because bytes.Index looks
// at hashes then, which somebody who chooses the bytes can defeat.
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
	switch {
	case len(what) == 1:
		return b.indexByte(what[0], from, to)
	case len(what) <= shortNeedle:
		return b.indexShort(what, from, to)
	}
	return b.indexLong(what, from, to)
}

// IndexByte returns the position of the first c at from or later, or -1.
func (b *Buffer) IndexByte(c byte, from int) int {
	if from < 0 {
		panic(panicNegative)
	}
	return b.indexByte(c, from, b.n)
}

// at returns the segment that holds position pos, and where that segment begins; nil if pos is Len or more.
func (b *Buffer) at(pos int) (s *segment, start int) {
	for s = b.head; s != nil && pos-start >= s.w-s.r; s = s.next {
		start += s.w - s.r
	}
	return s, start
}

// loadAt is at for a pos in a file range: it loads a piece of it first. nil if that fails.
func (b *Buffer) loadAt(pos int) (s *segment, start int) {
	end := b.n
	if end-pos > maxSegment {
		end = pos + maxSegment
	}
	_ = b.Load(end) // what was read before an error is in memory, and may be enough
	if s, start = b.at(pos); s.kind == kindFile {
		return nil, 0
	}
	return s, start
}

// piece is the part of s, whose first byte is at position start, that lies between from and to.
func (s *segment) piece(start, from, to int) []byte {
	p := s.buf[s.r:s.w]
	if to-start < len(p) {
		p = p[:to-start]
	}
	if from > start {
		p = p[from-start:]
	}
	return p
}

func (b *Buffer) indexByte(c byte, from, to int) int {
	for s, start := b.at(from); s != nil && start < to; s = s.next {
		if s.kind == kindFile {
			if s, start = b.loadAt(max(start, from)); s == nil {
				break
			}
		}
		if i := bytes.IndexByte(s.piece(start, from, to), c); i >= 0 {
			return max(start, from) + i
		}
		start += s.len()
	}
	return -1
}

// indexShort looks into each segment, and at a border only if its last bytes hold a first byte of what.
func (b *Buffer) indexShort(what []byte, from, to int) int {
	var border [2 * shortNeedle]byte // the last bytes before the segment, at most len(what)-1, then its first ones
	held, keep := 0, len(what)-1
	for s, start := b.at(from); s != nil && start < to; s = s.next {
		if s.kind == kindFile {
			if s, start = b.loadAt(max(start, from)); s == nil {
				break
			}
		}
		p, pos := s.piece(start, from, to), max(start, from)
		start += s.len()
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
func (b *Buffer) indexLong(what []byte, from, to int) int {
	table := tables.Get().(*[]int32)
	defer tables.Put(table)
	*table = failures((*table)[:0], what)
	fail, state := *table, int32(0)
	for s, start := b.at(from); s != nil && start < to; s = s.next {
		if s.kind == kindFile {
			if s, start = b.loadAt(max(start, from)); s == nil {
				break
			}
		}
		p, pos := s.piece(start, from, to), max(start, from)
		start += s.len()
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

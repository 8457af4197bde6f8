package buffer

import (
	"bytes"

	"github.com/bevgo/bev/internal/scan"
)

// The search by a rare byte: look for the byte of the needle that is least likely in what Buffers hold, and a neighbour
// of it, with the fastest loop that there is, and compare around them. Most bytes are never looked at a second time.
//
// What is likely depends on the text. A pair that turns up more often than each 512 bytes, from where on the hits cost
// more than the bytes between them, is replaced by the next one of the needle, and after three the best stays.
//
// Who chooses the bytes can make every one a false hit. Each is charged for, and when they have cost more than a
// sixteenth of the bytes behind them, searching goes on with a method whose time does not depend on the bytes.
const (
	probes     = 3  // bytes of the needle that are tried
	probeFree  = 16 // false hits before a byte is judged
	probeShift = 9  // one more is free for each 512 bytes
	lastFree   = 32 // the same for the byte that stays
	lastShift  = 4
	hitChunk   = 32 // a comparison is charged once more for each 32 bytes that it may look at
)

// A hunt is a search by a rare byte under way. The needle is not in it, so that a needle may stay on its owner's stack.
type hunt struct {
	b    *Buffer
	back place // a segment in memory that no match to come begins before: borders are crossed from here

	// Of the byte that is looked for now:
	rare  int // its index in the needle
	from  int // no match begins before this position
	hits  int // what false hits have cost
	free  int // what they may cost, and
	shift int // one more for each 1<<shift bytes
}

// indexRare is index for needles of two bytes or more.
func (b *Buffer) indexRare(what []byte, at place, from, to int) int {
	h := hunt{b: b, back: at, free: probeFree, shift: probeShift, rare: rarest(what, 0)}
	best, fewest := h.rare, 0.0
	for try := 1; ; try++ {
		h.from, h.hits = from, 0
		pos, found := h.run(what, to)
		if found || pos < 0 {
			return pos
		}
		if try > probes { // the best of them was not good enough
			at = b.place(h.back, pos)
			if len(what) <= shortNeedle {
				return b.indexShort(what, at, pos, to)
			}
			return b.indexLong(what, at, pos, to)
		}
		if often := float64(h.hits) / float64(pos-from); try == 1 || often < fewest {
			best, fewest = h.rare, often
		}
		from = pos
		if try < probes {
			h.rare = rarest(what, int(frequency[what[h.rare]])+1)
		}
		if try == probes || h.rare < 0 {
			h.rare, h.free, h.shift, try = best, lastFree, lastShift, probes
		}
	}
}

// run looks for what from h.from on by its byte h.rare. It returns the position of a match and true; or -1 if there is
// none; or, when there are too many false hits, the position to go on from.
//
// Most segments hold no hit: the loop is short, and all that has to do with hits is elsewhere.
func (h *hunt) run(what []byte, to int) (pos int, found bool) {
	pair := pairAt(what, h.rare)
	first, last := h.from+h.rare, to-(len(what)-1-h.rare) // the rare byte lies between
	for at := h.b.place(h.back, first); at.s != nil && at.start < last; at = at.next() {
		if at.s.kind == kindFile {
			if at = h.b.loaded(max(at.start, first)); at.s == nil {
				break
			}
		}
		p := at.s.buf[at.s.r:at.s.w]
		end := min(len(p), last-at.start) // where the rare byte may be: before it; p is where its neighbours are
		for i := pair.next(p, max(first-at.start, 0), end); i >= 0; i = pair.next(p, i+1, end) {
			if pos, found = h.hit(what, p, at.start, i-h.rare); pos >= 0 {
				return pos, found
			}
		}
	}
	return -1, false
}

// hit is run for a hit with which what would begin at index i of the segment p, whose position is start. It returns -1
// when that was a false one and the search may go on.
func (h *hunt) hit(what, p []byte, start, i int) (pos int, found bool) {
	h.hits++
	switch stop := i + len(what); {
	case i < 0 || stop > len(p):
		if h.crosses(what, start+i) {
			return start + i, true
		}
	case string(p[i:stop]) == string(what):
		return start + i, true
	}
	h.hits += len(what) / hitChunk
	if h.hits > h.free && h.hits > h.free+(start+i-h.from)>>h.shift {
		return start + i + 1, false
	}
	return -1, false
}

// A pair is a byte to look for and one that must be beside it: gap is 1 if that is behind, -1 if it is before.
type pair struct {
	gap        int
	rare, with byte
}

// pairAt returns the pair of the byte at index i of what, which has two bytes or more.
func pairAt(what []byte, i int) pair {
	if i+1 < len(what) {
		return pair{1, what[i], what[i+1]}
	}
	return pair{-1, what[i], what[i-1]}
}

// next returns where in p, from i on and before end, the rare byte is next to come with the right byte beside it, or -1.
// At a border of p, where that one is not to be seen, it may be anything.
func (q pair) next(p []byte, i, end int) int {
	if i >= end {
		return -1
	}
	if q.gap > 0 {
		if k := scan.Followed(p[i:min(end+1, len(p))], q.rare, q.with); k >= 0 {
			return i + k
		}
		if end == len(p) && p[end-1] == q.rare {
			return end - 1
		}
		return -1
	}
	if i == 0 && p[0] == q.rare {
		return 0
	}
	from := max(i-1, 0)
	if k := scan.Preceded(p[from:end], q.rare, q.with); k >= 0 {
		return from + k
	}
	return -1
}

// crosses reports whether what begins at pos and goes on over one border or more. Positions only grow from one call to
// the next.
func (h *hunt) crosses(what []byte, pos int) bool {
	at := h.b.place(h.back, pos)
	if at.s == nil {
		return false // a file range that cannot be read
	}
	h.back = at
	for end := pos + len(what); ; at = at.next() {
		if at.s.kind == kindFile {
			if at = h.b.loaded(max(at.start, pos)); at.s == nil {
				return false
			}
		}
		p := at.piece(pos, end)
		if !bytes.Equal(p, what[:len(p)]) {
			return false
		}
		if what = what[len(p):]; len(what) == 0 {
			return true
		}
	}
}

// rarest returns the index of the byte of what that is the least frequent by [frequency], of those with a rank of at
// least least; -1 if there are none. Of equal ones it is the last, because a hit there has its match behind it, in the
// same segment more often than not.
func rarest(what []byte, least int) int {
	at, lowest := -1, 256
	for i, c := range what {
		if rank := int(frequency[c]); rank <= lowest && rank >= least {
			at, lowest = i, rank
		}
	}
	return at
}

// frequency ranks bytes by how often they are seen in what Buffers hold: protocols with words in them, JSON, HTML,
// English, program text, and binary data, in which zero leads by far. Only the order counts, and a wrong one costs
// time, never correctness.
var frequency = ranks()

// ranks gives the listed bytes ranks from the most frequent downwards and all others, which are seen in binary data
// only, the lowest.
func ranks() (rank [256]uint8) {
	const seen = " etarinosl\ncdu,\x00pmfh=g.-()\"\t0:/yb1\rw2_v;k3SITCPRNOD4568F79{}LM<>x*H" +
		"BUAEGW[]'Kj\xffV|&z+Y!qX\x01JZ\\#@%?\x02$`Q\x03\x04^~"
	for i := range len(seen) {
		rank[seen[i]] = uint8(len(seen) - i)
	}
	return rank
}

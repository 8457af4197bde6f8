package poll

import "strconv"

// A Token names a registration: generation<<32 | index into a [Table]. It is
// never 0, and no two registrations of a Table's life have the same one, as
// long as an index is used fewer than 2^31 times.
type Token uint64

func makeToken(gen, index uint32) Token { return Token(gen)<<32 | Token(index) }

// Index is the token's place in its Table. Places are used again.
func (t Token) Index() uint32 { return uint32(t) }

// Generation is how often that place was filled and emptied, odd while it is
// filled.
func (t Token) Generation() uint32 { return uint32(t >> 32) }

// String is "index.generation".
func (t Token) String() string {
	return strconv.FormatUint(uint64(t.Index()), 10) + "." + strconv.FormatUint(uint64(t.Generation()), 10)
}

const (
	pageBits = 8
	pageSize = 1 << pageBits
)

// A Table leads from tokens to values. A place that is emptied is used again
// by the next Insert, under a new generation, so an old token finds nothing:
// this is what keeps an event that was collected before a descriptor was
// closed from reaching what came after it.
//
// The table grows by pages, so that one with a million entries is never
// copied, and it does not shrink. It costs the value and 8 bytes a place. The
// zero Table is empty and ready. Not safe for use by more than one goroutine.
//
// Invariant: a place's generation is odd if and only if it is filled.
type Table[T any] struct {
	pages []*[pageSize]place[T]
	size  uint32 // places that were ever filled
	live  int
	peak  int    // the highest live since ResetPeak
	free  uint32 // index plus one of the first empty place, 0: none
}

type place[T any] struct {
	value T
	gen   uint32
	next  uint32 // while empty: index plus one of the next empty place
}

// Len is the number of values.
func (t *Table[T]) Len() int { return t.live }

// Peak is the highest Len since ResetPeak.
func (t *Table[T]) Peak() int { return t.peak }

// ResetPeak begins anew with what there is now.
func (t *Table[T]) ResetPeak() { t.peak = t.live }

// Insert puts v in and returns the token that finds it.
func (t *Table[T]) Insert(v T) Token {
	var index uint32
	if t.free != 0 {
		index = t.free - 1
		t.free = t.at(index).next
	} else {
		if t.size == 1<<32-1 {
			panic("poll: more than 2^32 registrations")
		}
		index = t.size
		if index%pageSize == 0 {
			t.pages = append(t.pages, new([pageSize]place[T]))
		}
		t.size++
	}
	p := t.at(index)
	p.value = v
	p.gen++
	t.live++
	t.peak = max(t.peak, t.live)
	return makeToken(p.gen, index)
}

// Token is the token that now finds what is at index, for those who keep the
// index alone.
func (t *Table[T]) Token(index uint32) Token { return makeToken(t.at(index).gen, index) }

func (t *Table[T]) at(index uint32) *place[T] { return &t.pages[index>>pageBits][index&(pageSize-1)] }

// Lookup is the value that k was given for; ok is false when it was removed.
func (t *Table[T]) Lookup(k Token) (v T, ok bool) {
	if i := uint32(k) >> pageBits; int(i) < len(t.pages) {
		if p := &t.pages[i][k&(pageSize-1)]; p.gen == uint32(k>>32) {
			return p.value, p.gen&1 != 0
		}
	}
	return v, false
}

// Remove takes the value out and reports whether it was there.
func (t *Table[T]) Remove(k Token) bool {
	if _, ok := t.Lookup(k); !ok {
		return false
	}
	p := t.at(k.Index())
	var none T
	p.value = none // let it go
	p.gen++
	p.next = t.free
	t.free = k.Index() + 1
	t.live--
	return true
}

// Each calls f for every value, in no order that means anything. f may insert
// and remove: a value that is removed before its turn is passed over, one that
// is inserted may or may not have a turn.
func (t *Table[T]) Each(f func(Token, T)) {
	for i := uint32(0); i < t.size; i++ {
		if p := t.at(i); p.gen&1 != 0 {
			f(makeToken(p.gen, i), p.value)
		}
	}
}

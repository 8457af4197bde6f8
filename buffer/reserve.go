package buffer

// Reserve lends n bytes of contiguous memory at the back, to be written to before [Buffer.Commit] makes the first of
// them part of b. They are not zeroed. They are valid, and can be committed, until the next call that modifies b; that
// call need not be Commit, in which case nothing was added. Reserve again without Commit lends the same memory if it
// is large enough. Reserve(0) returns nil.
//
// Memory that is not committed stays with b until the next Commit, or until b is emptied or Reset.
//
// Libevent: evbuffer_reserve_space with one extent.
func (b *Buffer) Reserve(n int) []byte {
	if n < 0 {
		panic(panicNegative)
	}
	b.useBack()
	if n == 0 {
		return nil
	}
	if s := b.tail; s != nil && s.room() >= n {
		e := b.own()
		e.reserved, e.inRoom = n, n
		return s.buf[s.w : s.w+n : s.w+n]
	}
	b.mustHold(n)
	size := n
	if n < b.n>>3 { // as large as appending would take, so that many small pieces share a segment
		size = max(n, classSize(classFor(b.n, n)))
	}
	b.expand(n, size)
	e := b.ext
	e.reserved, e.inRoom = n, 0
	return e.spare.buf[:n:n]
}

// ReserveInto is Reserve with several extents: it fills dst with up to len(dst) of them, n bytes together, and returns
// how many it filled. They begin in the room that b has already, so that nothing is wasted between what is there and
// what comes. With one extent it is Reserve. Commit counts through them in order.
//
// Libevent: evbuffer_reserve_space.
func (b *Buffer) ReserveInto(dst [][]byte, n int) int {
	if len(dst) < 2 || n <= 0 {
		if p := b.Reserve(n); len(dst) > 0 && n > 0 {
			dst[0] = p
			return 1
		}
		return 0
	}
	b.useBack()
	b.mustHold(n)
	b.dropSpare()
	e, filled, rest := b.own(), 0, n
	e.reserved, e.inRoom = n, 0
	if s := b.tail; s != nil && s.room() > 0 {
		k := min(s.room(), rest)
		e.inRoom = k
		dst[0] = s.buf[s.w : s.w+k : s.w+k]
		filled, rest = 1, rest-k
	}
	for last := &e.spare; rest > 0; filled++ {
		var s *segment
		if filled == len(dst)-1 || rest <= maxSegment {
			s = b.pool().sized(rest)
		} else {
			s = b.pool().segment(classes - 1)
		}
		*last, last = s, &s.next
		k := min(len(s.buf), rest)
		dst[filled] = s.buf[:k:k]
		rest -= k
	}
	b.verify()
	return filled
}

// Commit makes the first n of the reserved bytes part of b and gives back what was reserved beyond them. More than was
// reserved, or after b changed in between, panics. Commit(0) only gives back.
//
// A piece of reserved memory of more than 4 KiB that is filled by less than a quarter is not kept: its bytes are copied
// to memory of the right size. So are up to 1 KiB where there is room left before them.
//
// Libevent: evbuffer_commit_space.
func (b *Buffer) Commit(n int) {
	e := b.ext
	switch {
	case n < 0:
		panic(panicNegative)
	case n > 0 && (e == nil || n > e.reserved):
		panic("buffer: Commit of more than Reserve lent, or after the Buffer changed")
	case e == nil:
		return
	case n > 0 && e.frozen&frozenBack != 0:
		panic(ErrFrozen)
	}
	if n > 0 {
		e.touch()
	}
	rest := n
	if k := min(n, e.inRoom); k > 0 {
		b.tail.w += k
		b.n += k
		rest -= k
	}
	var small *segment
	for rest > 0 {
		s := e.takeSpare()
		s.w = min(rest, len(s.buf))
		rest -= s.w
		if rest == 0 && !s.grown && (b.tail != nil || len(s.buf) > 4096) && b.tooSmall(s) {
			small = s
			break
		}
		b.seal()
		b.link(s)
	}
	b.dropSpare()
	if small != nil {
		grow(b, small.buf[:small.w])
		small.drop(b)
	}
	b.verify()
	b.changed(n, 0)
}

// smallCommit is the most that is copied to make use of the room before it.
const smallCommit = 1 << 10

// tooSmall says whether what s holds is better copied than linked.
func (b *Buffer) tooSmall(s *segment) bool {
	if t := b.tail; t != nil && t.room() > 0 && (s.w <= smallCommit || s.w < len(s.buf)>>2 && s.w <= t.room()) {
		return true
	}
	return len(s.buf) > 4096 && s.w < len(s.buf)>>2 && len(s.buf) > classSize(classFor(b.n, s.w))
}

// Grow makes sure that the next n bytes to be added find memory in one piece. It is a hint for speed: the memory stays
// with b until it is used, or until the next Commit, or until b is emptied or Reset. Once some of it is used, the rest
// is room like any other, and goes when bytes are drained or linked behind it that make it too much. Nobody is told.
//
// Libevent: evbuffer_expand.
func (b *Buffer) Grow(n int) {
	if n < 0 {
		panic(panicNegative)
	}
	b.useBack()
	if s := b.tail; n == 0 || s != nil && s.room() >= n {
		return
	}
	b.mustHold(n)
	if b.ext != nil && !b.ext.grown {
		b.dropSpare() // what Reserve got may be much larger
	}
	b.expand(n, n)
	b.ext.grown = true
}

// expand makes the first spare segment one of at least n bytes, of size if there is none yet.
func (b *Buffer) expand(n, size int) {
	if e := b.ext; e == nil || e.spare == nil || len(e.spare.buf) < n {
		b.dropSpare()
		b.own().spare = b.pool().sized(size)
	}
}

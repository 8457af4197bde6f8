package buffer

import "math"

// Append copies p to the back.
//
// Libevent: evbuffer_add.
func (b *Buffer) Append(p []byte) {
	if b.ext != nil {
		b.ext.use(frozenBack)
	}
	if s := b.tail; s != nil && len(p) <= len(s.buf)-s.w {
		room := s.buf[s.w:]
		s.w += len(p) // before the copy, so that s need not be kept over it
		b.n += len(p)
		copy(room, p)
	} else {
		grow(b, p)
	}
	b.changed(len(p), 0)
}

// AppendString copies s to the back.
//
// Libevent: evbuffer_add.
func (b *Buffer) AppendString(s string) {
	b.useBack()
	if t := b.tail; t != nil && len(s) <= len(t.buf)-t.w {
		room := t.buf[t.w:]
		t.w += len(s)
		b.n += len(s)
		copy(room, s)
	} else {
		grow(b, s)
	}
	b.changed(len(s), 0)
}

// AppendAll copies all of v to the back, in order, as one change, and returns the number of bytes.
//
// Libevent: evbuffer_add_iovec.
func (b *Buffer) AppendAll(v [][]byte) int {
	b.useBack()
	n := 0
	for _, p := range v {
		n += len(p)
	}
	b.mustHold(n)
	for _, p := range v {
		grow(b, p)
	}
	b.changed(n, 0)
	return n
}

// AppendOwned adds p to the back without copying it and takes ownership of p: nobody may write to p any more. release,
// unless nil, is called exactly once, when the last byte of p is gone from all Buffers that came to hold it, by
// whatever removed it and on its goroutine; at once if p is empty. It may use the Buffer.
//
// A Buffer that is dropped without being emptied or Reset never calls release.
//
// Libevent: evbuffer_add_reference, evbuffer_add_reference_with_offset.
func (b *Buffer) AppendOwned(p []byte, release func()) {
	b.useBack()
	if len(p) == 0 {
		if release != nil {
			release()
		}
		return
	}
	b.mustHold(len(p))
	s := b.pool().header()
	s.kind, s.class, s.release = kindOwned, classNone, release
	s.buf, s.w = p[:len(p):len(p)], len(p)
	b.seal()
	b.link(s)
	b.verify()
	b.changed(len(p), 0)
}

// Prepend copies p to the front. Like all that adds to a Buffer it panics where Len would pass what an int can count,
// which only file ranges and sharing can bring about; nothing was added then.
//
// Libevent: evbuffer_prepend.
func (b *Buffer) Prepend(p []byte) {
	b.useFront()
	b.mustHold(len(p))
	b.prepend(p)
	b.changed(len(p), 0)
}

func (b *Buffer) prepend(p []byte) {
	if s := b.head; s != nil && s.kind == kindPooled {
		n := len(p)
		if s.r < n && s.len() <= realignMax && len(s.buf)-s.len() >= n {
			s.realign(n)
		}
		k := min(n, s.r) // the free part before the first byte
		copy(s.buf[s.r-k:s.r], p[n-k:])
		s.r -= k
		b.n += k
		p = p[:n-k]
	}
	if h := b.head; len(p) > 0 && h != b.tail {
		h.fitThin(b) // only at an end may so little keep so much
	}
	for len(p) > 0 { // from the last piece to the first
		s := b.pool().segment(classFor(b.n, len(p)))
		k := min(len(p), len(s.buf))
		s.w = len(s.buf) // bytes at the end, so that the next Prepend finds its room before them
		s.r = s.w - k
		if b.head == nil {
			s.r, s.w = 0, k // nothing follows: the room is of more use behind
		}
		copy(s.buf[s.r:], p[len(p)-k:])
		p = p[:len(p)-k]
		s.next = b.head
		b.head = s
		if b.tail == nil {
			b.tail = s
		}
		b.n += k
	}
	b.verify()
}

// realignMax is the most bytes that are moved within their segment to make room before them.
const realignMax = 1 << 10

// realign makes room for n bytes before those of s, whose memory has that much, and halves what is free beyond it
// between both ends, so that neither the next Prepend nor the next Append needs a new segment.
func (s *segment) realign(n int) {
	at := n + (len(s.buf)-s.len()-n)/2
	s.r, s.w = at, at+copy(s.buf[at:], s.buf[s.r:s.w])
}

// link appends s, which holds at least one byte, and counts its bytes, which mustHold has let in. Where the last segment
// may have room, seal comes first.
func (b *Buffer) link(s *segment) {
	b.n += s.len()
	if b.tail == nil {
		b.head = s
	} else {
		b.tail.next = s
	}
	b.tail = s
}

// seal gets the last segment ready for one behind it: its room will be of no use then.
func (b *Buffer) seal() {
	if t := b.tail; t != nil && t.w < len(t.buf) {
		b.sealThin()
	}
}

func (b *Buffer) sealThin() {
	if b.tail.thin() {
		b.tail.fit(b)
	}
}

// maxLen bounds Len, which file ranges and sharing can make larger than any memory. The distance to the largest int is
// more than the room of a segment, so that appending into room need not ask.
const maxLen = math.MaxInt - 2*1<<hugeShift

// mustHold panics if b cannot hold n bytes more.
func (b *Buffer) mustHold(n int) {
	if n > maxLen-b.n {
		panic(panicTooLarge)
	}
}

// grow copies p to the back: first into the room of the last segment, then into new ones.
func grow[T string | []byte](b *Buffer, p T) {
	if b.head == nil && b.ext == nil && uint(len(p)-1) < minSegment { // a short message in an empty Buffer
		var s *segment
		if b.owner == nil {
			s, _ = shared[0].Get().(*segment) // with a call less
		}
		if s == nil {
			s = b.pool().segment(0)
		}
		s.w = copy(s.buf, p)
		b.head, b.tail, b.n = s, s, s.w
		return
	}
	b.mustHold(len(p))
	if s := b.tail; s != nil && s.w < len(s.buf) {
		k := copy(s.buf[s.w:], p)
		s.w += k
		b.n += k
		p = p[k:]
	}
	for len(p) > 0 {
		s := b.fresh(len(p))
		s.w = copy(s.buf, p)
		p = p[s.w:]
		b.link(s)
	}
	b.verify()
}

// fresh returns an empty segment for the first of n more bytes.
func (b *Buffer) fresh(n int) *segment {
	if e := b.ext; e != nil && e.spare != nil && (e.grown || n >= len(e.spare.buf)>>2) {
		return e.takeSpare() // a large piece that was reserved and not committed must not end up with ten bytes
	}
	return b.pool().segment(classFor(b.n, n))
}

// classFor chooses the size of a new last segment in a Buffer that holds have bytes, for want more.
//
// Large enough for all of want, and for an eighth of what is there, so that a Buffer that grows in small steps needs
// few segments; but never so large that more than an eighth of all bytes, or one smallest segment, stays unused. Where
// both cannot be had, the segment is smaller than want and the rest goes to the next. This is the bound that Cap
// promises.
func classFor(have, want int) int {
	most := minSegment + want + (have+want)>>3
	if c := classUp(max(want, have>>3)); c < classes && classSize(c) <= most {
		return c
	}
	return classDown(most)
}

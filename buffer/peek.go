package buffer

import "iter"

// Head lends the first extent: the bytes of the first segment, at least one unless b is empty. Read only; valid until
// the next call that modifies b. It is nil when b is empty, or when a file range comes first and cannot be read
// ([Buffer.Load] tells why).
//
// Libevent: evbuffer_get_contiguous_space, EVBUFFER_DATA.
func (b *Buffer) Head() []byte {
	s := b.head
	if s == nil {
		return nil
	}
	if s.kind == kindFile {
		p, _ := b.loadHead()
		return p
	}
	return s.buf[s.r:s.w:s.w]
}

// PeekInto fills dst with the extents of the first n bytes (n < 0: all), in order, the last one cut off at n, and
// returns how many it filled. It fills fewer when dst is full, and stops before a file range: see [Buffer.HeadFile]
// and [Buffer.Load]. The extents are read only and valid until the next call that modifies b. It never allocates and
// never modifies b: it is what writev is given.
//
// Libevent: evbuffer_peek. Unlike libevent the last extent is cut off, and what does not fit is not counted:
// [Buffer.NumExtents] does that.
func (b *Buffer) PeekInto(dst [][]byte, n int) int {
	if n < 0 || n > b.n {
		n = b.n
	}
	return b.head.extents(dst, n)
}

// PeekFrom is PeekInto for the n bytes that start from bytes behind the front. from beyond Len gives nothing.
//
// Libevent: evbuffer_peek with a start.
func (b *Buffer) PeekFrom(dst [][]byte, from, n int) int {
	if from < 0 {
		panic(panicNegative)
	}
	if from >= b.n {
		return 0
	}
	if n < 0 || n > b.n-from {
		n = b.n - from
	}
	s := b.head
	for ; from >= s.w-s.r; s = s.next {
		from -= s.w - s.r
	}
	if n == 0 {
		return 0
	}
	i := s.extents(dst, n+from)
	if from > 0 && i > 0 {
		dst[0] = dst[0][from:]
	}
	return i
}

// extents is PeekInto for the segments from s on, which hold n bytes or more.
//
// What it takes is the way along the list, if the processor has room to prepare the next steps meanwhile: each
// instruction counts. The comparisons are those that spare the compiler's own, for bounds and for an empty slice.
func (s *segment) extents(dst [][]byte, n int) int {
	if n == 0 {
		return 0
	}
	for i := range dst {
		r, w := s.r, s.w
		k := w - r
		if k <= 0 || uint(r) > uint(w) || uint(w) > uint(cap(s.buf)) { // a file range, which has no buf
			return i
		}
		dst[i] = s.buf[r:w:w]
		if n -= k; n <= 0 {
			if n < 0 {
				dst[i] = dst[i][: k+n : k+n]
			}
			return i + 1
		}
		s = s.next
	}
	return len(dst)
}

// NumExtents returns how many extents the first n bytes (n < 0: all) lie in, file ranges included.
//
// Libevent: evbuffer_peek with no vector.
func (b *Buffer) NumExtents(n int) int {
	if n < 0 || n > b.n {
		n = b.n
	}
	count := 0
	for s := b.head; s != nil && n > 0; s = s.next {
		n -= s.len()
		count++
	}
	return count
}

// Extents returns an iterator over the extents of b, each read only and valid until the next call that modifies b. File
// ranges are loaded first; it yields nothing if that fails (see [Buffer.Load]).
//
// The body may remove all that was yielded so far, and more: the loop goes on with what comes first then. It may also
// have b keep its bytes elsewhere, as PullUp does. Modified otherwise, b makes the loop panic, unless the body breaks
// it. It looks at Len and at the first few bytes: only builds with -race or with the tag invariants find each body that
// removes bytes and adds as many others.
//
// Libevent: evbuffer_peek.
func (b *Buffer) Extents() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for b.n > 0 && b.Load(-1) == nil && b.head != nil { // Load calls clean-up functions, which may empty b
			n, before, given := b.n, b.stamp(), 0
			start, was := startOf(b.head.bytes()), b.snapshot(b.n)
			for s, from := b.head, 0; s != nil; {
				p := s.bytes()[from:]
				given += len(p)
				if !yield(p) {
					return
				}
				s, from = s.next, 0
				if before.holds(b) {
					continue
				}
				if b.n != n || !start.begins(b) {
					break
				}
				b.mustStartWith(was)
				at := b.at(given) // the same bytes, but perhaps elsewhere
				before, s, from = b.stamp(), at.s, given-at.start
			}
			if before.holds(b) {
				return
			}
			b.mustHaveLost(given, n)
		}
	}
}

// AppendExtents appends all extents to dst and returns it, for net.Buffers:
//
//	v := net.Buffers(b.AppendExtents(nil))
//	n, err := v.WriteTo(conn) // one writev
//	b.Drain(int(n))
//
// The extents are read only and valid until the next call that modifies b. File ranges end the list as they end
// [Buffer.PeekInto]; call [Buffer.Load] first where there are any.
func (b *Buffer) AppendExtents(dst [][]byte) [][]byte {
	for s := b.head; s != nil && s.kind != kindFile; s = s.next {
		dst = append(dst, s.bytes())
	}
	return dst
}

// PullUp makes the first n bytes contiguous (n < 0: all) and lends them: read only, valid until the next call that
// modifies b. It copies only if they are not contiguous yet. It returns nil when b holds fewer than n, when n is 0, or
// when they lie in a file range that cannot be read ([Buffer.Load] tells why).
//
// Libevent: evbuffer_pullup.
func (b *Buffer) PullUp(n int) []byte {
	if n < 0 {
		n = b.n
	}
	if n == 0 || n > b.n {
		return nil
	}
	s := b.head
	if s.kind != kindFile && n <= s.w-s.r {
		return s.buf[s.r : s.r+n : s.r+n]
	}
	if b.Load(n) != nil || n > b.n { // a clean-up function may have taken some
		return nil
	}
	if b.ext != nil {
		b.ext.touch() // the room that was reserved may move
	}
	if n > b.head.len() {
		return b.pullUp(n)
	}
	return b.head.bytes()[:n:n]
}

// pullUp gathers the first n bytes, which span more than one segment, in one: the first, if all of its memory is
// enough, else a new one. What is dropped is dropped last, because a release function may come back to b.
func (b *Buffer) pullUp(n int) []byte {
	p, s := b.pool(), b.head
	gone := s
	if s.kind == kindPooled && len(s.buf) >= n {
		if gone = s.next; len(s.buf)-s.r < n {
			s.r, s.w = 0, copy(s.buf, s.buf[s.r:s.w])
		}
	} else {
		s = p.sized(n)
		b.head = s
	}
	next := gone
	for end := s.r + n; s.w < end; {
		k := copy(s.buf[s.w:end], next.buf[next.r:next.w])
		s.w += k
		if next.r += k; next.r < next.w {
			break
		}
		next = next.next
	}
	if s.next = next; next == nil {
		b.tail = s
	} else {
		next.fitThin(b) // what is left of it is not at the front any more
	}
	b.verify()
	whole := s.buf[s.r : s.r+n : s.r+n]
	dropList(gone, next, b)
	return whole
}

// CopyOut copies into p what lies from bytes behind the front, and returns how many it copied: fewer than len(p) at the
// end, or where a file range cannot be read ([Buffer.Load] tells why). b stays as it is.
//
// Libevent: evbuffer_copyout, evbuffer_copyout_from. Unlike libevent a frozen front does not matter.
func (b *Buffer) CopyOut(p []byte, from int) int {
	if s := b.head; s != nil && s.kind != kindFile && uint(from) < uint(s.w-s.r) && len(p) <= s.w-s.r-from {
		return copy(p, s.buf[s.r+from:])
	}
	n, _ := b.copyOut(p, from)
	return n
}

func (b *Buffer) copyOut(p []byte, from int) (n int, err error) {
	if from < 0 {
		panic(panicNegative)
	}
	for s := b.head; s != nil && n < len(p); s = s.next {
		if from >= s.w-s.r {
			from -= s.w - s.r
			continue
		}
		k := 0
		if s.kind == kindFile {
			k, err = b.copyFile(p[n:min(len(p), n+s.len()-from)], s.from.(*File), s.r+from)
		} else {
			k = copy(p[n:], s.buf[s.r+from:s.w])
		}
		from = 0
		if n += k; err != nil {
			break
		}
	}
	return n, err
}

// copyFile fills p from byte from of f's range on. The bytes come by way of memory of ours: p must not be handed to a
// reader, or every caller's array would have to be allocated, file ranges or not.
func (b *Buffer) copyFile(p []byte, f *File, from int) (n int, err error) {
	pool := b.pool()
	g := pool.segment(min(classUp(len(p)), classes-1))
	for n < len(p) && err == nil {
		var k int
		k, err = f.readAt(g.buf[:min(len(g.buf), len(p)-n)], from+n)
		n += copy(p[n:], g.buf[:k])
	}
	pool.put(g)
	return n, err
}

// Peek2 returns the two bytes that lie from bytes behind the front, if they are there, for encoding/binary:
//
//	if p, ok := b.Peek4(0); ok && b.Len() >= 4+int(binary.BigEndian.Uint32(p[:])) { …
//
// b stays as it is. ok is false where [Buffer.CopyOut] finds fewer bytes.
func (b *Buffer) Peek2(from int) (p [2]byte, ok bool) {
	return p, b.CopyOut(p[:], from) == len(p)
}

// Peek4 is Peek2 for four bytes.
func (b *Buffer) Peek4(from int) (p [4]byte, ok bool) {
	return p, b.CopyOut(p[:], from) == len(p)
}

// Peek8 is Peek2 for eight bytes.
func (b *Buffer) Peek8(from int) (p [8]byte, ok bool) {
	return p, b.CopyOut(p[:], from) == len(p)
}

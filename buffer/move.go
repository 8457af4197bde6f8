package buffer

// MoveAll empties src into the back of b and returns the number of bytes. Segments change hands, nothing is copied,
// except a first segment of at most 256 bytes that fits behind b's last one, and segments at the seam that have less
// than an eighth of their memory in use. b == src is a no-op that returns 0.
//
// src's Owner and callbacks are told first, then b's; by then both Buffers are as they will be.
//
// Libevent: evbuffer_add_buffer.
func (b *Buffer) MoveAll(src *Buffer) int {
	n := src.n
	if n == 0 || b == src {
		return 0
	}
	b.useBack()
	src.useFront()
	src.settleFor(b)
	b.mustHold(n)
	if b.tail != nil && b.joins(src.head) {
		b.join(src.unlinkHead())
	}
	if src.head != nil {
		if b.tail == nil {
			b.head = src.head
		} else {
			b.seal()
			b.tail.next = src.head
		}
		b.tail = src.tail
		b.n += src.n
		src.head, src.tail, src.n = nil, nil, 0
	}
	if src.ext != nil {
		src.dropSpare()
	}
	b.verify()
	src.changed(0, n)
	b.changed(n, 0)
	return n
}

// settleFor ends a loan in b, which is not empty, if its segments are about to go to dst and the loan may not.
func (b *Buffer) settleFor(dst *Buffer) {
	if b.owner == nil || b.head.next == nil && b.head.kind != kindLent {
		return // the first has none ever, the second has none now
	}
	if b.owner != dst.owner {
		b.Settle()
	}
}

// joinMax is the most that is copied to save a segment at a seam: a proxy that collects short messages from many
// Buffers would otherwise keep 512 bytes and an iovec for each.
const joinMax = 256

// joins says whether s is to be copied to b's back rather than linked: because it is short and there is room for it, or
// because it would bring along much more memory than it uses and than its own room is good for.
func (b *Buffer) joins(s *segment) bool {
	if s.kind == kindPooled {
		if b.tail != nil && s.w-s.r <= min(joinMax, b.tail.room()) {
			return true
		}
		if m := len(s.buf); m-s.r < m>>shrinkShift { // of the smallest size too
			return true
		}
	}
	return s.thin()
}

// join copies s, which is unlinked, to b's back and drops it.
func (b *Buffer) join(s *segment) {
	grow(b, s.buf[s.r:s.w])
	s.drop(b)
}

// Move moves up to n bytes from src's front to b's back and returns how many: n, or src's Len if that is less. Whole
// segments change hands, but for those of at most 256 bytes that fit behind b's last one, and those that have less than
// an eighth of their memory in use; of the one that n ends in, the shorter side is copied, or neither where its bytes
// can be shared. b == src is a no-op that returns 0. Who is told, and in which order, is as for [Buffer.MoveAll].
//
// Libevent: evbuffer_remove_buffer.
func (b *Buffer) Move(src *Buffer, n int) int {
	if n < 0 {
		panic(panicNegative)
	}
	if n >= src.n || b == src {
		return b.MoveAll(src)
	}
	if n == 0 {
		return 0
	}
	b.useBack()
	src.useFront()
	src.settleFor(b)
	b.mustHold(n)
	rest := n
	for s := src.head; rest >= s.len(); s = src.head {
		rest -= s.len()
		src.unlinkHead()
		if b.joins(s) {
			b.join(s)
		} else {
			b.seal()
			b.link(s)
		}
	}
	if rest > 0 {
		src.cut(b, rest)
	}
	src.shrink()
	src.verify()
	b.verify()
	src.changed(0, n)
	b.changed(n, 0)
	return n
}

// unlinkHead takes the first segment out of the list and its bytes out of the count.
func (b *Buffer) unlinkHead() *segment {
	s := b.head
	if b.head = s.next; b.head == nil {
		b.tail = nil
	}
	b.n -= s.len()
	s.next = nil
	return s
}

// shareMin is the size from which the parts of a segment that cannot be taken over are shared rather than copied.
const shareMin = 512

// cut moves the first k bytes of b's first segment, which holds more, to the back of dst.
func (b *Buffer) cut(dst *Buffer, k int) {
	s := b.head
	s.fitThin(b)
	if s.kind == kindFile || k >= shareMin && s.kind != kindPooled && s.kind != kindLent {
		dst.seal()
		dst.link(s.view(s.r, s.r+k, dst.pool()))
		s.r += k
		b.n -= k
		return
	}
	if left := s.len() - k; left < k && k > joinMax && (s.kind == kindLent || s.kind == kindPooled && k >= len(s.buf)>>shrinkShift) {
		// The shorter side stays: copy it to a segment of its own, which takes the place of s. Where both sides are
		// few for its memory, that is no gain to dst.
		b.unlinkHead()
		var list Buffer
		list.fill(b.pool(), s.buf[s.r+k:s.w])
		b.n += left
		b.splice(nil, &list, b.head)
		s.w -= left
		dst.seal()
		dst.link(s)
		return
	}
	grow(dst, s.buf[s.r:s.r+k])
	b.discard(k)
}

// PrependBuffer empties src into the front of b and returns the number of bytes. What is copied, and who is told, is as
// for [Buffer.MoveAll].
//
// Libevent: evbuffer_prepend_buffer.
func (b *Buffer) PrependBuffer(src *Buffer) int {
	n := src.n
	if n == 0 || b == src {
		return 0
	}
	b.useFront()
	src.useFront()
	src.settleFor(b)
	b.mustHold(n)
	if s := src.head; b.tail != nil && s.kind == kindPooled && n == s.len() && n <= joinMax {
		b.prepend(src.unlinkHead().bytes())
		s.drop(b)
	} else {
		if b.tail == nil {
			b.tail = src.tail
		} else {
			// In the middle, or at the end with so little room that it is full soon.
			if h := b.head; h != b.tail || len(h.buf)-h.r < len(h.buf)>>shrinkShift {
				h.fitThin(b)
			}
			src.seal()
		}
		src.tail.next = b.head
		b.head = src.head
		b.n += n
		src.head, src.tail, src.n = nil, nil, 0
	}
	if src.ext != nil {
		src.dropSpare()
	}
	b.verify()
	src.changed(0, n)
	b.changed(n, 0)
	return n
}

// Share adds src's bytes to the back of b without copying them and without taking them from src: both show the same
// memory, which nobody may write any more and which is released when the last of them lets go, by that one. Sharing
// what is shared already is fine, so one message can be in a thousand Buffers. The counts are atomic: the Buffers may
// belong to different goroutines afterwards; the call itself is made by the one that both belong to. A loan in src
// ends first. It returns the number of bytes; b == src doubles them.
//
// Bytes that were written to src before are immutable from here on; src appends what comes next to other memory.
//
// Libevent: evbuffer_add_buffer_reference. Unlike libevent, src may hold shared bytes and file ranges.
func (b *Buffer) Share(src *Buffer) int {
	n := src.n
	if n == 0 {
		return 0
	}
	b.useBack()
	src.Settle()
	if src.ext != nil {
		src.ext.touch() // what was reserved was the room of a segment that may not be written any more
	}
	b.mustHold(n)
	p, last := b.pool(), src.tail
	for s := src.head; ; s = s.next {
		if s.thin() {
			s.fit(src) // once it is shared nobody can
		}
		b.seal()
		b.link(s.view(s.r, s.w, p))
		if s == last {
			break
		}
	}
	b.verify()
	b.changed(n, 0)
	return n
}

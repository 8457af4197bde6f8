package buffer

// MoveAll empties src into the back of b and returns the number of bytes. Segments change hands, nothing is copied,
// except a first segment of at most 256 bytes that fits behind b's last one. b == src is a no-op that returns 0.
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
	if b.joins(src.head) {
		b.join(src.unlinkHead())
	}
	if src.head != nil {
		if b.tail == nil {
			b.head = src.head
		} else {
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

// joins says whether s is to be copied behind b's last segment rather than linked.
func (b *Buffer) joins(s *segment) bool {
	return s.kind == kindPooled && b.tail != nil && s.len() <= min(joinMax, b.tail.room())
}

// join copies s, which is unlinked, behind b's last segment and drops it.
func (b *Buffer) join(s *segment) {
	t := b.tail
	k := copy(t.buf[t.w:], s.buf[s.r:s.w])
	t.w += k
	b.n += k
	b.pool().put(s)
}

// Move moves up to n bytes from src's front to b's back and returns how many: n, or src's Len if that is less. Whole
// segments change hands, but for those of at most 256 bytes that fit behind b's last one; of the one that n ends in,
// the shorter side is copied, or neither where its bytes can be shared. b == src is a no-op that returns 0. Who is told, and in which order, is as for [Buffer.MoveAll].
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
			b.link(s)
		}
	}
	if rest > 0 {
		src.cut(b, rest)
	}
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
	if s.kind == kindFile || k >= shareMin && s.kind != kindPooled && s.kind != kindLent {
		dst.link(s.view(s.r, s.r+k, dst.pool()))
		s.r += k
		b.n -= k
		return
	}
	if left := s.len() - k; left < k && (s.kind == kindPooled || s.kind == kindLent) {
		// The shorter side stays: copy it to a segment of its own, which takes the place of s.
		b.unlinkHead()
		var list Buffer
		for rest := s.buf[s.r+k : s.w]; len(rest) > 0; {
			g := b.pool().segment(classFor(list.n, len(rest)))
			g.w = copy(g.buf, rest)
			rest = rest[g.w:]
			list.link(g)
		}
		b.n += left
		b.splice(nil, &list, b.head)
		s.w -= left
		dst.link(s)
		return
	}
	grow(dst, s.buf[s.r:s.r+k])
	b.discard(k)
}

// PrependBuffer empties src into the front of b and returns the number of bytes; see [Buffer.MoveAll].
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
	src.tail.next = b.head
	if b.tail == nil {
		b.tail = src.tail
	}
	b.head = src.head
	b.n += n
	src.head, src.tail, src.n = nil, nil, 0
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
		b.link(s.view(s.r, s.w, p))
		if s == last {
			break
		}
	}
	b.verify()
	b.changed(n, 0)
	return n
}

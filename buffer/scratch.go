package buffer

// A Scratch is one piece of memory that an event loop reads into again and again, for whichever Buffer the bytes are:
//
//	n := read(fd, s.Bytes())
//	in.AppendScratch(s, n)   // the bytes are in the Buffer, not copied
//	...                      // most are consumed, or moved to an output and sent, here
//	in.Settle()              // whatever is left is copied to memory of its own
//	out.Settle()
//
// While its bytes are in a Buffer the memory is lent and must not be read into. The loan ends when the last of them is
// gone, or with [Buffer.Settle]. A Scratch belongs to the goroutine of the Buffers that it is lent to.
type Scratch struct {
	seg  segment // the one that is linked while lent; there is never another
	mem  []byte
	lent bool
}

// NewScratch returns a Scratch of at least size bytes, rounded up to a power of two from 512 up; 0 or less means
// 64 KiB.
func NewScratch(size int) *Scratch {
	if size <= 0 {
		size = maxSegment
	}
	s := &Scratch{mem: make([]byte, classSize(classUp(size)))}
	s.seg.kind, s.seg.class, s.seg.from = kindLent, classNone, s
	return s
}

// Bytes lends the memory to read into, until the next AppendScratch. It panics while s is lent.
func (s *Scratch) Bytes() []byte {
	if s.lent {
		panic("buffer: Scratch.Bytes while a Buffer still holds bytes of it; Settle that Buffer first")
	}
	return s.mem
}

// Lent says whether a Buffer holds bytes of s.
func (s *Scratch) Lent() bool { return s.lent }

// Size returns the number of bytes of memory.
func (s *Scratch) Size() int { return len(s.mem) }

// end takes the memory back: its segment was dropped.
func (s *Scratch) end() {
	poisonBytes(s.mem[:s.seg.w])
	s.seg.buf, s.seg.next = nil, nil
	s.lent = false
}

// AppendScratch adds the first n bytes of s's memory to the back without copying them; 0 does nothing. s is lent until
// they are gone or [Buffer.Settle] is called. n beyond the memory, or a Scratch that is lent already, panics.
//
// What is appended next may come to lie in the memory of s as well, behind them. Move and MoveAll hand the loan on to
// a Buffer with the same Owner; all else that would need the segment elsewhere copies its bytes. A Buffer without an
// Owner gets a copy.
//
// The Owner is not told: it is expected to be the caller, who has just read. A frozen back is no hindrance either.
// Callbacks of [Buffer.AddCallback] do run.
func (b *Buffer) AppendScratch(s *Scratch, n int) {
	if uint(n) > uint(len(s.mem)) || s.lent {
		s.misuse(n)
	}
	if b.ext != nil {
		b.ext.touch()
	}
	if b.owner == nil {
		grow(b, s.mem[:n])
	} else if n > 0 {
		b.mustHold(n)
		g := &s.seg
		g.buf, g.r, g.w = s.mem, 0, n
		s.lent = true
		b.seal()
		b.link(g)
		b.verify()
	}
	if b.ext != nil {
		b.ext.changed(b, n, 0)
	}
}

func (s *Scratch) misuse(n int) {
	if s.lent {
		panic("buffer: AppendScratch of a Scratch that is lent; Settle the Buffer that holds it first")
	}
	if n < 0 {
		panic(panicNegative)
	}
	panic("buffer: AppendScratch of more bytes than the Scratch has")
}

// Settle ends the loan of a [Scratch] in b, so that its owner may read into it again: bytes of it that are still here
// are copied to memory of the right size. If they are three quarters of the memory or more, the memory itself stays
// here and the Scratch takes other. Neither Len nor the bytes change, and nobody is told; slices that b lent are
// invalid. Without a loan it does nothing, at the cost of a step per segment; but when b is empty UnreadByte has nothing
// to put back any more, so that nothing at all is kept for it.
func (b *Buffer) Settle() {
	var prev *segment
	for s := b.head; s != nil; s = s.next {
		if s.kind == kindLent {
			if b.ext != nil {
				b.ext.touch() // room of s may have been reserved
			}
			s = b.settle(prev, s)
		}
		prev = s
	}
	if b.n == 0 && b.ext != nil && b.ext.unread {
		b.ext.unread = false
		b.disown()
	}
	b.verify()
}

// settle replaces the lent segment s, which follows prev (nil: none), and returns the last of its replacements.
func (b *Buffer) settle(prev, s *segment) *segment {
	loan, p, next := s.from.(*Scratch), b.pool(), s.next
	var list Buffer // its replacement, possibly nothing
	if 4*s.len() >= 3*len(loan.mem) {
		g := p.sized(len(loan.mem)) // the same size: both are a size class, or made to measure
		g.buf, loan.mem = loan.mem, g.buf
		g.r, g.w = s.r, s.w
		list.link(g)
	} else {
		rest := s.buf[s.r:s.w]
		if prev != nil && prev.room() > 0 {
			k := copy(prev.buf[prev.w:], rest)
			prev.w += k
			rest = rest[k:]
		}
		list.fill(p, rest)
	}
	loan.end()
	return b.splice(prev, &list, next)
}

// fill makes b, a list that is to be spliced into another, hold a copy of rest in memory of p. No memory is for more
// than that, because there is no use for room before what follows.
func (b *Buffer) fill(p *Pool, rest []byte) {
	for len(rest) > 0 {
		g := p.segment(classFor(0, len(rest)))
		g.w = copy(g.buf, rest)
		rest = rest[g.w:]
		b.link(g)
	}
}

// splice puts the segments of list between prev and next and returns the last segment before next. Len stays.
func (b *Buffer) splice(prev *segment, list *Buffer, next *segment) *segment {
	last := prev
	if list.head != nil {
		if prev == nil {
			b.head = list.head
		} else {
			prev.next = list.head
		}
		last = list.tail
	} else if prev == nil {
		b.head = next
	}
	if last != nil {
		last.next = next
	}
	if next == nil {
		b.tail = last
	}
	return last
}

package buffer

import (
	"sync/atomic"

	"github.com/bevgo/bev/internal/invariants"
)

// kind says whose bytes a segment shows, and so what may be done with them and what happens when it is dropped.
type kind uint8

const (
	kindPooled kind = iota // memory of ours, seen by this segment alone: may be written before r and after w
	kindOwned              // the user's memory, from AppendOwned: read only, release runs at the end
	kindShared             // a view of a root segment that other Buffers see too: read only
	kindLent               // the memory of a Scratch: may be written after w, must be gone before the next read
	kindFile               // a range of a File: no bytes in memory
)

// A segment is one run of bytes in the list of a [Buffer].
//
//	buf: |....free....|XXXXX bytes XXXXX|....room....|
//	     0            r                 w            len(buf)
//
// The room after w may be appended to. Only memory that this segment sees alone has any: the buf of every other kind
// ends at w (and that of a file range is empty), so that the append path needs one comparison and no look at kind.
//
// A header and its memory are pooled together, and neither remembers a pool: memory goes to the pool of the Buffer
// that lets go of it. That is what makes it safe to hand a Buffer to another goroutine.
type segment struct {
	next *segment
	buf  []byte
	r, w int // of a file range: offsets from the File's first byte

	kind  kind
	class int8         // size class of buf, classNone when the memory is not pooled
	grown bool         // Grow got it: as the last segment it may be as empty as it likes
	refs  atomic.Int32 // of the root of a share: how many views are alive

	release func() // kindOwned: called once, when the last byte is gone; nil is allowed
	from    any    // kindShared: *segment, the root; kindLent: *Scratch; kindFile: *File
}

// len is the number of bytes that s holds: at least one while s is linked in a Buffer.
func (s *segment) len() int { return s.w - s.r }

// room is the number of bytes that may be written after w. It is negative for a file range.
func (s *segment) room() int { return len(s.buf) - s.w }

// bytes lends what s holds. The capacity ends with the bytes, so that an append by the user cannot write into room.
func (s *segment) bytes() []byte { return s.buf[s.r:s.w:s.w] }

// bytesIfLoaded is bytes, or nil for a file range.
func (s *segment) bytesIfLoaded() []byte {
	if s.kind == kindFile {
		return nil
	}
	return s.bytes()
}

// drop lets go of s, which is no longer linked anywhere. Memory and headers go where b gets them from. The cases that
// every small message ends in are written out: calls are most of what they cost.
func (s *segment) drop(b *Buffer) {
	switch s.kind {
	case kindPooled:
		if b.owner == nil && s.class >= 0 {
			poisonBytes(s.buf)
			s.next, s.r, s.w, s.grown = nil, 0, 0, false
			shared[s.class].Put(s)
			return
		}
		b.pool().put(s)
	case kindLent:
		s.from.(*Scratch).end()
	case kindOwned:
		f := s.release
		s.next, s.buf, s.release = nil, nil, nil
		s.r, s.w, s.kind = 0, 0, kindPooled
		b.pool().putCleared(s)
		if f != nil {
			f() // last: it may call into any Buffer
		}
	case kindShared:
		s.dropShared(b.pool())
	case kindFile:
		f := s.from.(*File)
		b.pool().putHeader(s)
		f.unref()
	}
}

func (s *segment) dropShared(p *Pool) {
	root := s.from.(*segment)
	p.putHeader(s)
	switch {
	case root.refs.Add(-1) != 0:
	case root.kind == kindPooled:
		p.put(root)
	default:
		f := root.release
		root.release = nil
		p.putHeader(root)
		if f != nil {
			f()
		}
	}
}

// dropList drops the segments from s up to, not including, end. A release function that panics keeps none of the others
// from being called: what they release would be lost for good.
func dropList(s, end *segment, b *Buffer) {
	if s != end && s.next == end { // the usual case, without the cost of a defer
		s.drop(b)
		return
	}
	defer func() {
		if s != end {
			dropList(s, end, b)
		}
	}()
	for s != end {
		first := s
		s = s.next
		first.drop(b)
	}
}

// view makes another segment that shows s's bytes from r to w and turns s into a view itself where it is not one yet:
// afterwards neither may be written. Both take their headers from p.
//
// The memory then belongs to a root segment that no Buffer links: s's header stays in its list, because others point
// at it, and what it owned moves to a fresh header. A file range has its File as root.
func (s *segment) view(r, w int, p *Pool) *segment {
	v := p.header()
	switch s.kind {
	case kindFile:
		f := s.from.(*File)
		f.refs.Add(1)
		v.kind, v.from, v.r, v.w = kindFile, f, r, w
		return v
	case kindPooled, kindOwned:
		root := p.header()
		root.kind, root.class, root.buf, root.release = s.kind, s.class, s.buf, s.release
		root.refs.Store(1)
		s.kind, s.class, s.release, s.from = kindShared, classNone, nil, root
		s.buf = s.buf[:s.w]
	case kindLent:
		panic("buffer: BUG: view of a lent segment")
	}
	root := s.from.(*segment)
	root.refs.Add(1)
	v.kind, v.from, v.buf, v.r, v.w = kindShared, root, root.buf[:w], r, w // with the capacity of what it keeps
	return v
}

// retained is what s counts for in Cap. All views of one root together count for no less than its memory, whoever
// else has let go, and one for no less than it shows.
func (s *segment) retained() int {
	switch s.kind {
	case kindPooled:
		return len(s.buf)
	case kindOwned:
		return s.len()
	case kindShared:
		root := s.from.(*segment)
		if root.kind != kindPooled {
			return s.len()
		}
		views := int(root.refs.Load())
		return max(s.len(), (len(root.buf)+views-1)/views)
	}
	return 0 // the Scratch is its loop's; a file range has no memory
}

// pinned is how much memory of ours would be free if the bytes of s were copied elsewhere.
func (s *segment) pinned() int {
	switch s.kind {
	case kindPooled:
		return len(s.buf)
	case kindShared:
		if root := s.from.(*segment); root.kind == kindPooled && root.refs.Load() == 1 {
			return len(root.buf) // s is the last view, and only who has a view can make another
		}
	}
	return 0
}

// thin says whether s keeps so much more memory than it needs that its bytes are better copied to a piece of the right
// size: it uses less than an eighth of it, and there is a smaller one.
func (s *segment) thin() bool {
	m := cap(s.buf) // of a view too, see view
	return s.w-s.r < m>>shrinkShift && m > minSegment && s.pinned() > 0
}

// fitThin is fit for an s that is thin.
func (s *segment) fitThin(b *Buffer) {
	if s.thin() {
		s.fit(b)
	}
}

// fit moves the bytes of s, which pins memory, to memory of the right size from b's pool, where the old goes. s stays
// in its list.
func (s *segment) fit(b *Buffer) {
	p := b.pool()
	g := p.sized(s.len())
	w := copy(g.buf, s.buf[s.r:s.w])
	if s.kind == kindPooled {
		s.buf, g.buf = g.buf, s.buf
		s.class, g.class = g.class, s.class
		p.put(g)
	} else {
		root := s.from.(*segment)
		s.kind, s.from, s.buf, s.class = kindPooled, nil, g.buf, g.class
		p.putHeader(g)
		root.refs.Store(0)
		p.put(root)
	}
	s.r, s.w, s.grown = 0, w, false
}

// poison is what released memory is filled with in invariants builds, so that a view that is used after its Buffer
// changed shows nonsense at once instead of another connection's bytes now and then.
const poison = 0xdb

func poisonBytes(p []byte) {
	if !invariants.Enabled || len(p) == 0 {
		return
	}
	p[0] = poison
	for n := 1; n < len(p); n *= 2 {
		copy(p[n:], p[:n])
	}
}

package buffer

import (
	"math/bits"
	"sync"
)

// Memory comes in powers of two. Appending uses the classes up to maxSegment; larger ones exist only for those who
// ask for more in one piece (PullUp, Reserve, Grow), and only in the package's pools.
const (
	minShift   = 9                       // 512 B: the smallest segment
	maxShift   = 16                      // 64 KiB: the largest one that appending uses
	hugeShift  = 20                      // 1 MiB: beyond it memory is made to measure and left to the collector
	minSegment = 1 << minShift           //
	maxSegment = 1 << maxShift           //
	classes    = maxShift - minShift + 1 // those that a Pool keeps
	allClasses = hugeShift - minShift + 1
	classNone  = -1 // memory that is not pooled, or a header without any

	headerSize = 80 // what a segment header takes; a test holds it to the truth
)

// shared are the pools of Buffers without an Owner and the overflow of every Pool. The collector empties them.
var (
	shared  [allClasses]sync.Pool // of *segment with memory of that class
	headers sync.Pool             // of *segment without memory
)

// classUp is the smallest class that holds n bytes, n > 0. It may be beyond the last.
func classUp(n int) int {
	if n <= minSegment {
		return 0
	}
	return bits.Len(uint(n-1)) - minShift
}

// classDown is the largest class not above n bytes, n >= minSegment, at most the largest that appending uses.
func classDown(n int) int {
	return min(bits.Len(uint(n))-1-minShift, classes-1)
}

func classSize(c int) int { return minSegment << c }

// A Pool keeps the memory that Buffers of one goroutine gave back for the Buffers that ask next, without locks. An
// event loop has one and hands it to its Buffers as their [Owner]'s pool.
//
// A Pool and the Buffers that use it belong to one goroutine at a time. A Buffer that travels to another goroutine
// takes its memory with it; see [Buffer.SetOwner].
//
// b.SetOwner(pool.Owner()) is enough to use it.
type Pool struct {
	free     [classes]*segment // linked by next
	headers  *segment
	extras   *extra // one, cleared: Reserve needs it for a moment each time
	retained int
	max      int
	owner    Owner
}

// NewPool returns an empty Pool that keeps at most maxBytes bytes. What is given back beyond that goes to the pools
// of the package, which the garbage collector empties. Zero or less keeps nothing.
func NewPool(maxBytes int) *Pool {
	p := &Pool{max: maxBytes}
	p.owner.Pool = p
	return p
}

// Retained returns how many bytes p keeps, headers included.
func (p *Pool) Retained() int { return p.retained }

// Trim gives memory back to the package's pools until p keeps at most n bytes, largest pieces first; n <= 0 gives
// back all. A loop that has nothing to do calls it to return to its idle size after a burst.
func (p *Pool) Trim(n int) {
	for c := classes - 1; c >= 0 && p.retained > n; c-- {
		for s := p.free[c]; s != nil && p.retained > n; s = p.free[c] {
			p.free[c] = s.next
			p.retained -= classSize(c) + headerSize
			s.next = nil
			shared[c].Put(s)
		}
	}
	for s := p.headers; s != nil && p.retained > n; s = p.headers {
		p.headers = s.next
		p.retained -= headerSize
		s.next = nil
		headers.Put(s)
	}
}

// Owner returns an [Owner] with this Pool that wants to know nothing, the same each time.
func (p *Pool) Owner() *Owner { return &p.owner }

// segment returns an empty segment with memory of class c (classSize(c) bytes, not zeroed). p may be nil.
func (p *Pool) segment(c int) *segment {
	if p != nil && c < classes {
		if s := p.free[c]; s != nil {
			p.free[c] = s.next
			p.retained -= classSize(c) + headerSize
			s.next = nil
			return s
		}
	}
	// Fresh memory is dear, the runtime zeroes it (286 ns for 4 KiB, 25 times what a pooled piece costs): hence the
	// package's pools.
	if s, _ := shared[c].Get().(*segment); s != nil {
		return s
	}
	return &segment{buf: make([]byte, classSize(c)), class: int8(c)}
}

// sized returns an empty segment with at least n bytes in one piece.
func (p *Pool) sized(n int) *segment {
	if c := classUp(n); c < allClasses {
		return p.segment(c)
	}
	s := p.header()
	s.kind, s.buf = kindPooled, make([]byte, n)
	return s
}

// put takes back a segment of kindPooled that is linked nowhere.
func (p *Pool) put(s *segment) {
	poisonBytes(s.buf)
	s.next, s.r, s.w, s.grown = nil, 0, 0, false
	c := int(s.class)
	if c < 0 {
		p.putHeader(s)
		return
	}
	if p != nil && c < classes {
		if size := classSize(c) + headerSize; p.retained+size <= p.max {
			s.next = p.free[c]
			p.free[c] = s
			p.retained += size
			return
		}
	}
	shared[c].Put(s)
}

// header returns a segment without memory, all fields zero but class, which is classNone.
func (p *Pool) header() *segment {
	if p != nil {
		if s := p.headers; s != nil {
			p.headers = s.next
			p.retained -= headerSize
			s.next = nil
			return s
		}
	}
	if s, _ := headers.Get().(*segment); s != nil {
		return s
	}
	return &segment{class: classNone}
}

// putHeader takes back a header whose memory is not ours, or is somebody else's by now.
func (p *Pool) putHeader(s *segment) {
	s.next, s.buf, s.from = nil, nil, nil
	s.r, s.w, s.kind, s.class, s.grown = 0, 0, kindPooled, classNone, false
	p.putCleared(s)
}

// putCleared is putHeader for one that is as header returns it.
func (p *Pool) putCleared(s *segment) {
	if p != nil && p.retained+headerSize <= p.max {
		s.next = p.headers
		p.headers = s
		p.retained += headerSize
		return
	}
	headers.Put(s)
}

// extra returns a cleared extra.
func (p *Pool) extra() *extra {
	if p != nil && p.extras != nil {
		e := p.extras
		p.extras = nil
		return e
	}
	return new(extra)
}

// putExtra takes back what extra returned. p is not nil.
func (p *Pool) putExtra(e *extra) {
	*e = extra{changes: e.changes + 1}
	p.extras = e
}

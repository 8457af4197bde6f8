package buffer

// extra is the state that few Buffers have. A Buffer without any has a nil pointer: the hot paths test it once.
//
// A Buffer that has nothing but frozen ends points at one of frozenOnly, which are shared by all and never written:
// two frozen Buffers in each of a million connections cost nothing.
type extra struct {
	frozen frozen
	static bool // one of frozenOnly: copy before writing

	// What the last call left behind, forgotten by the next one that changes the Buffer.
	unread   bool // UnreadByte may put last back
	last     byte
	reserved int  // bytes that Commit may commit
	inRoom   int  // of these, the first in the room of the last segment; the others in spare
	stamped  bool // a stamp was taken, which holds until then

	changes uint64 // counts them, from stamp to stamp; never starts anew

	spare   *segment // empty segments that the next bytes go to, in order: Reserve, Grow
	grown   bool     // spare, one segment then, was asked for by Grow: use it for however few bytes
	maxRead int      // SetMaxRead; 0: the default

	callbacks *Callback // newest first
	added     int       // since the callbacks ran last
	removed   int
	schedule  func(run func()) // DeferCallbacks; nil: at once
	pending   bool             // schedule was called, its function has not run
}

type frozen uint8

const (
	frozenFront frozen = 1 << iota
	frozenBack
)

var frozenOnly = [4]extra{{static: true}, {static: true, frozen: 1}, {static: true, frozen: 2}, {static: true, frozen: 3}}

// own returns an extra that b may write to.
func (b *Buffer) own() *extra {
	e := b.ext
	if e != nil && !e.static {
		return e
	}
	own := b.pool().extra()
	if e != nil {
		own.frozen = e.frozen
	}
	b.ext = own
	return own
}

// disown gives the extra back when nothing is in it that frozenOnly cannot say. A Buffer that uses the package's pools
// keeps it: getting and giving would cost more than all else that a Reserve does.
func (b *Buffer) disown() {
	e := b.ext
	if e == nil || e.static || e.unread || e.reserved != 0 || e.stamped || e.spare != nil || e.maxRead != 0 ||
		e.callbacks != nil || e.schedule != nil || e.pending {
		return
	}
	p := b.pool()
	if p == nil {
		return
	}
	b.ext = nil
	if e.frozen != 0 {
		b.ext = &frozenOnly[e.frozen]
	}
	p.putExtra(e)
}

// useFront begins a verb that takes from, or puts at, the front.
func (b *Buffer) useFront() {
	if b.ext != nil {
		b.ext.use(frozenFront)
	}
}

// useBack begins a verb that puts at the back.
func (b *Buffer) useBack() {
	if b.ext != nil {
		b.ext.use(frozenBack)
	}
}

func (e *extra) use(end frozen) {
	if e.frozen&end != 0 {
		panic(ErrFrozen)
	}
	e.touch()
}

// touch forgets what only the next call could have used.
func (e *extra) touch() {
	if !e.static {
		e.unread, e.reserved, e.stamped = false, 0, false
		e.changes++
	}
}

// isFrozen is for the io faces, which return ErrFrozen instead.
func (b *Buffer) isFrozen(end frozen) bool { return b.ext != nil && b.ext.frozen&end != 0 }

// takeSpare unlinks the next spare segment, nil if there is none.
func (e *extra) takeSpare() *segment {
	s := e.spare
	if s != nil {
		e.spare, s.next = s.next, nil
		s.grown, e.grown = e.grown, false // what Grow was asked for is used by this
	}
	return s
}

// dropSpare gives back the memory that was reserved and not committed, and the extra if that was all.
func (b *Buffer) dropSpare() {
	e := b.ext
	if e == nil || e.static {
		return
	}
	s := e.spare
	e.spare, e.reserved, e.grown = nil, 0, false
	if s != nil {
		dropList(s, nil, b)
	}
	b.disown()
}

func (e *extra) check(b *Buffer) {
	room := e.inRoom
	if e.reserved > 0 && room > 0 && (b.tail == nil || b.tail.room() < room) {
		b.bug("%d bytes reserved in the last segment, which has no room for them", room)
	}
	for s := e.spare; s != nil; s = s.next {
		if s.kind != kindPooled || s.r != 0 || s.w != 0 {
			b.bug("spare segment of kind %d with offsets %d..%d", s.kind, s.r, s.w)
		}
		room += len(s.buf)
	}
	if e.reserved > room {
		b.bug("%d bytes reserved, room for %d", e.reserved, room)
	}
	if e.static && (e != &frozenOnly[e.frozen] || e.unread || e.reserved != 0 || e.stamped || e.spare != nil ||
		e.callbacks != nil) {
		b.bug("shared state was written to")
	}
}

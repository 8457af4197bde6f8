package buffer_test

import (
	"io"
	"testing"

	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/invariants"
	"github.com/bevgo/bev/internal/seed"
)

// An idle connection holds two Buffers and nothing else of this package.
func TestSizes(t *testing.T) {
	if buffer.BufferSize > 48 {
		t.Errorf("a Buffer takes %d bytes, at most 48", buffer.BufferSize)
	}
	if ^uint(0)>>63 == 1 && buffer.SegmentSize != buffer.HeaderSize {
		t.Errorf("a segment header takes %d bytes, headerSize says %d", buffer.SegmentSize, buffer.HeaderSize)
	}
}

// The bound that Cap promises, after each of many small appends, for several sizes of them.
func TestWasteBound(t *testing.T) {
	r := seed.New(t)
	for _, most := range []int{1, 10, 100, 700, 3000, 100_000} {
		var b buffer.Buffer
		for b.Len() < 600_000 {
			b.Append(make([]byte, 1+r.IntN(most)))
			if waste := b.Cap() - b.Len(); waste > b.Len()/8+buffer.MinSegment {
				t.Fatalf("appends of at most %d: Cap %d with Len %d", most, b.Cap(), b.Len())
			}
		}
		// Few segments all the same: what grows in small steps must not become a list of the smallest.
		if n := b.NumExtents(-1); most < 10_000 && n > 100 {
			t.Errorf("appends of at most %d: %d bytes in %d segments", most, b.Len(), n)
		}
		b.Reset()
		wantInt(t, b.Cap(), 0)
	}
}

// The choice behind it, for every pair of lengths that can make a difference.
func TestClassFor(t *testing.T) {
	for have := 0; have < 1<<20; have = have*9/8 + 1 {
		for want := 1; want < 200_000; want = want*17/16 + 1 {
			size := buffer.ClassFor(have, want)
			if size < buffer.MinSegment || size > buffer.MaxSegment {
				t.Fatalf("ClassFor(%d, %d) = %d", have, want, size)
			}
			if size > want && size-want > buffer.MinSegment+(have+want)/8 {
				t.Fatalf("ClassFor(%d, %d) = %d wastes %d", have, want, size, size-want)
			}
		}
	}
}

// A few bytes at the front must not keep a large segment, however they came to be alone there.
func TestDrainGivesUpLargeSegments(t *testing.T) {
	var b buffer.Buffer
	b.Append(pattern(buffer.MaxSegment))
	for b.Len() > 1 {
		b.Drain(min(100, b.Len()-1))
		if c := b.Cap(); c > max(8*b.Len(), 8<<10) {
			t.Fatalf("%d bytes keep %d", b.Len(), c)
		}
		b.Check()
	}
	wantBytes(t, b.ToBytes(), pattern(buffer.MaxSegment)[buffer.MaxSegment-1:])
	b.Reset()

	b.Append(pattern(3 * buffer.MaxSegment)) // the same across segments
	b.AppendString("end")
	b.Drain(b.Len() - 10)
	wantBytes(t, b.ToBytes()[7:], []byte("end"))
	if c := b.Cap(); c > 1024 {
		t.Errorf("10 bytes keep %d", c)
	}
	b.Reset()

	b.Append(pattern(3 * buffer.MaxSegment)) // with more behind it
	for whole := b.Cap(); b.Cap() == whole; b.Drain(100) {
		if n := len(b.Head()); n < buffer.MaxSegment/64 {
			t.Fatalf("%d bytes at the front keep %d", n, b.Cap()-b.Len())
		}
	}
	wantInt(t, len(b.Head()), buffer.MaxSegment-64_600) // the first step to less than a 64th
	b.Check()
}

// Short messages collected from many Buffers share segments, as if they had been appended.
func TestMoveJoinsShortMessages(t *testing.T) {
	var in, out buffer.Buffer
	for range 1000 {
		in.AppendString("0123456789")
		out.MoveAll(&in)
		out.Check()
	}
	if waste := out.Cap() - out.Len(); waste > out.Len()/8+1024 {
		t.Errorf("%d bytes of short messages keep %d", out.Len(), out.Cap())
	}
	for i := range 1000 {
		if out.String()[10*i:10*i+10] != "0123456789" {
			t.Fatalf("message %d is damaged", i)
		}
	}
}

func TestMoveDoesNotJoinLongOnes(t *testing.T) {
	var in, out buffer.Buffer
	out.AppendString("x")
	in.Append(pattern(buffer.JoinMax + 1))
	out.MoveAll(&in)
	wantInt(t, out.NumExtents(-1), 2)
}

// Of a segment that Move cuts, the shorter side is copied; of the user's memory neither, unless it is short.
func TestMoveCut(t *testing.T) {
	cases := []struct {
		name      string
		take, cap int // cap: of what is moved
	}{
		{"short side moves", 100, 512},
		{"short side stays", 4000, 4096},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var src, dst buffer.Buffer
			src.Append(pattern(4096))
			wantInt(t, dst.Move(&src, c.take), c.take)
			wantInt(t, dst.Cap(), c.cap)
			wantBytes(t, dst.ToBytes(), pattern(4096)[:c.take])
			wantBytes(t, src.ToBytes(), pattern(4096)[c.take:])
		})
	}
	p := pattern(1 << 20)
	var src, dst buffer.Buffer
	released := 0
	src.AppendOwned(p, func() { released++ })
	wantInt(t, dst.Move(&src, 1<<19), 1<<19)
	if &dst.Head()[0] != &p[0] || &src.Head()[0] != &p[1<<19] {
		t.Error("half a megabyte was copied")
	}
	dst.AppendString("x") // must not land in the other half
	wantBytes(t, src.ToBytes(), pattern(1 << 20)[1<<19:])
	src.Reset()
	wantInt(t, released, 0)
	dst.Reset()
	wantInt(t, released, 1)
}

// What Cap counts of each kind of segment.
func TestCap(t *testing.T) {
	c, s := newConn(nil), buffer.NewScratch(4096)
	var src buffer.Buffer
	src.Append(pattern(5000))
	for _, step := range []struct {
		name string
		do   func()
		more int
	}{
		{"memory", func() { c.in.Append(pattern(100)) }, 512},
		{"its room", func() { c.in.Append(pattern(400)) }, 0},
		{"the user's", func() { c.in.AppendOwned(make([]byte, 700, 5000), nil) }, 700},
		{"shared", func() { c.in.Share(&src) }, 5000},
		{"a file", func() { appendFile(&c.in, pattern(9000)) }, 0},
		{"lent", func() { lend(s, &c.in, pattern(200)) }, 0},
		{"reserved", func() { c.in.Reserve(8192) }, 8192},
		{"not committed", func() { c.in.Commit(0) }, -8192},
	} {
		before := c.in.Cap()
		step.do()
		if more := c.in.Cap() - before; more != step.more {
			t.Errorf("%s: %d more, want %d", step.name, more, step.more)
		}
	}
}

func TestPool(t *testing.T) {
	p := buffer.NewPool(10_000)
	var b buffer.Buffer
	b.SetOwner(p.Owner())
	b.Append(make([]byte, 3000))
	b.AppendOwned([]byte("x"), nil)
	wantInt(t, p.Retained(), 0)
	b.Reset()
	kept := p.Retained()
	if kept < 3000 || kept > 10_000 {
		t.Fatalf("a pool of 10000 keeps %d of 3000", kept)
	}
	b.Append(make([]byte, 100_000))
	b.Reset()
	if kept = p.Retained(); kept > 10_000 {
		t.Errorf("a pool of 10000 keeps %d", kept)
	}
	p.Trim(2000)
	if kept = p.Retained(); kept > 2000 || kept == 0 {
		t.Errorf("after Trim(2000) it keeps %d", kept)
	}
	p.Trim(0)
	wantInt(t, p.Retained(), 0)

	none := buffer.NewPool(0)
	b.SetOwner(none.Owner())
	b.Append(make([]byte, 3000))
	b.Reset()
	wantInt(t, none.Retained(), 0)
}

// Memory goes to the pool of the Buffer that lets go of it, so nothing points from one loop's memory to another's pool.
func TestMemoryFollowsTheBytes(t *testing.T) {
	one, two := buffer.NewPool(1<<20), buffer.NewPool(1<<20)
	var a, b buffer.Buffer
	a.SetOwner(one.Owner())
	b.SetOwner(two.Owner())
	a.Append(make([]byte, 5000))
	b.MoveAll(&a)
	b.Reset()
	wantInt(t, one.Retained(), 0)
	if two.Retained() < 5000 {
		t.Errorf("the second pool keeps %d", two.Retained())
	}
}

// Pieces that no pool is for, and those that only the package's pools are for.
func TestHugePieces(t *testing.T) {
	p := buffer.NewPool(16 << 20)
	var b buffer.Buffer
	b.SetOwner(p.Owner())
	for _, n := range []int{100_000, 1 << 20, 3 << 20} {
		b.Append(pattern(n))
		wantBytes(t, b.PullUp(-1), pattern(n))
		wantInt(t, b.NumExtents(-1), 1)
		if c := b.Cap(); c < n || c >= 2*n {
			t.Errorf("%d bytes in one piece keep %d", n, c)
		}
		p.Trim(0)
		b.Reset()
		if kept := p.Retained(); kept > buffer.HeaderSize {
			t.Errorf("the pool keeps %d of a piece of %d", kept, n)
		}
	}
	s := buffer.NewScratch(3 << 20) // the memory of such a Scratch may be given away too
	b.AppendScratch(s, s.Size())
	b.Settle()
	wantInt(t, b.Len(), 4<<20)
	wantInt(t, len(s.Bytes()), 4<<20)
}

// Allocations in steady state: none, with the package's pools and with a loop's.
func TestNoAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("the race detector makes sync.Pool forget on purpose")
	}
	var b, dst buffer.Buffer
	p, line := pattern(4096), make([]byte, 0, 100)
	release, scratch := func() {}, buffer.NewScratch(0)
	v := make([][]byte, 16)
	paths := map[string]func(){
		"append, drain": func() { b.Append(p[:64]); b.Drain(64) },
		"append 4k":     func() { b.Append(p); b.Append(p); b.Drain(8192) },
		"string":        func() { b.AppendString("hello"); b.Drain(5) },
		"read":          func() { b.Append(p[:600]); b.Read(p[:600]) },
		"move all":      func() { b.Append(p); dst.MoveAll(&b); dst.Reset() },
		"move":          func() { b.Append(p); dst.Move(&b, 1000); dst.Reset(); b.Reset() },
		"owned":         func() { b.AppendOwned(p, release); b.Drain(4096) },
		"owned, cut":    func() { b.AppendOwned(p, release); dst.Move(&b, 2000); dst.Reset(); b.Reset() },
		"prepend":       func() { b.Append(p[:100]); b.Prepend(p[:10]); b.Prepend(p[:600]); b.Reset() },
		"share":         func() { b.Append(p); dst.Share(&b); b.Reset(); dst.Reset() },
		"reserve":       func() { b.Reserve(4096); b.Commit(100); b.Drain(100) },
		"reserve into":  func() { b.Append(p[:10]); b.ReserveInto(v, 9000); b.Commit(9000); b.Reset() },
		"grow":          func() { b.Grow(3000); b.Append(p[:3000]); b.Reset() },
		"pull up":       func() { b.Append(p); b.AppendOwned(p, nil); b.PullUp(5000); b.Reset() },
		"peek":          func() { b.Append(p); b.PeekInto(v, -1); b.Peek4(3); b.Reset() },
		"read line":     func() { b.AppendString("a line\r\n"); line, _ = b.ReadLine(line[:0], buffer.CRLF, -1) },
		"lines":         func() { b.AppendString("a\nb\n"); each(&b) },
		"line of pieces": func() {
			b.AppendOwned(p[:5], nil)
			b.AppendString("\n")
			_, n, _ := b.AsLine(buffer.LF, -1)
			b.Drain(n)
		},
		"index":      func() { b.Append(p); b.Index(p[5:30]); b.Index(p[:200]); b.Reset() },
		"write byte": func() { b.WriteByte('x'); b.Drain(1) },
		"read byte":  func() { b.Append(p[:2]); b.ReadByte(); b.UnreadByte(); b.Drain(2) },
		"scratch": func() {
			b.AppendScratch(scratch, 1000)
			dst.MoveAll(&b)
			dst.DrainQuiet(900)
			dst.Settle()
			b.Settle()
			dst.DrainQuiet(100)
		},
		"full scratch": func() { b.AppendScratch(scratch, scratch.Size()); b.Settle(); b.Reset() },
	}
	for _, pool := range []*buffer.Pool{nil, buffer.NewPool(1 << 20)} {
		if pool != nil {
			b.SetOwner(pool.Owner())
			dst.SetOwner(pool.Owner())
		}
		for name, f := range paths {
			f()
			if n := testing.AllocsPerRun(200, f); n != 0 {
				t.Errorf("%s: %v allocations (own pool: %v)", name, n, pool != nil)
			}
			if b.Len()+dst.Len() != 0 {
				t.Fatalf("%s leaves %d bytes", name, b.Len()+dst.Len())
			}
		}
	}
}

func each(b *buffer.Buffer) {
	for range b.Lines(buffer.LF) {
	}
}

// An Owner without a Pool is an Owner like any other.
func TestOwnerWithoutPool(t *testing.T) {
	c := newConn(nil)
	b := &c.in
	for range 3 {
		b.Grow(1000)
		copy(b.Reserve(5000), "hello") // what Grow got is too small
		b.Commit(5)
		b.AppendOwned([]byte("owned"), nil)
		b.Prepend([]byte("x"))
		b.SetMaxRead(10)
		b.SetMaxRead(0)
		b.Freeze(buffer.Front)
		wantString(t, b, "xhelloowned")
		b.Unfreeze(buffer.Front)
		b.Reset()
	}
}

// A Buffer that only has frozen ends has no state of its own for them, one that was read into gives it back.
func TestRareStateIsRare(t *testing.T) {
	var b buffer.Buffer
	b.SetOwner(buffer.NewPool(1 << 20).Owner())
	b.Freeze(buffer.Front)
	b.Freeze(buffer.Back)
	b.Unfreeze(buffer.Front)
	if b.HasExtra() || !b.Frozen(buffer.Back) || b.Frozen(buffer.Front) {
		t.Error("frozen ends took memory, or went wrong")
	}
	b.Unfreeze(buffer.Back)
	for name, f := range map[string]func(){
		"reserve":  func() { b.Reserve(100); b.Commit(10) },
		"grow":     func() { b.Grow(10_000); b.Reset() },
		"callback": func() { b.AddCallback(func(buffer.Change) {}).Remove() },
		"max read": func() { b.SetMaxRead(100); b.SetMaxRead(0) },
		"byte":     func() { b.AppendString("x"); b.ReadByte(); b.Reset() },
		"defer":    func() { b.DeferCallbacks(func(func()) {}); b.DeferCallbacks(nil) },
	} {
		f()
		if b.HasExtra() {
			t.Errorf("%s left state behind", name)
		}
		b.Freeze(buffer.Front)
		b.Reserve(10)
		b.Freeze(buffer.Back)
		b.Unfreeze(buffer.Back)
		b.Commit(1)
		if !b.Frozen(buffer.Front) || b.HasExtra() {
			t.Error("freezing beside other state went wrong")
		}
		b.Unfreeze(buffer.Front)
		b.Reset()
	}
}

// What was lent shows nonsense at once when its memory was let go of, in the builds that check.
func TestStaleViewsArePoisoned(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("only with -race or -tags invariants")
	}
	stale := func(name string, view []byte) {
		t.Helper()
		for _, c := range view {
			if c != buffer.Poison {
				t.Fatalf("%s: %q can still be read", name, view)
			}
		}
	}
	var b buffer.Buffer
	b.AppendString("hello")
	view := b.Head()
	b.Drain(5)
	stale("Drain", view)

	b.AppendString("hello")
	view = b.Head()
	b.AppendOwned([]byte("x"), nil)
	b.Append(make([]byte, 600))
	b.PullUp(-1)
	stale("PullUp", view)
	b.Reset()

	b.SetOwner(buffer.NewPool(1000).Owner())
	s := buffer.NewScratch(0)
	b.AppendScratch(s, copy(s.Bytes(), "hello"))
	view = b.Head()
	b.Settle()
	stale("Settle", view)
}

var _ io.Reader = (*buffer.View)(nil)

package buffer_test

import (
	"testing"

	"github.com/bevgo/bev/buffer"
)

// Wrong counts panic with a text that says so, and change nothing.
func TestNegativeCounts(t *testing.T) {
	var b, dst buffer.Buffer
	b.AppendString("hello")
	for name, f := range map[string]func(){
		"Drain":       func() { b.Drain(-1) },
		"DrainQuiet":  func() { b.DrainQuiet(-1) },
		"Move":        func() { dst.Move(&b, -1) },
		"CopyOut":     func() { b.CopyOut(make([]byte, 1), -1) },
		"Peek4":       func() { b.Peek4(-1) },
		"PeekFrom":    func() { b.PeekFrom(make([][]byte, 1), -1, 1) },
		"Reserve":     func() { b.Reserve(-1) },
		"ReserveInto": func() { b.ReserveInto(make([][]byte, 2), -1) },
		"Commit":      func() { b.Commit(-1) },
		"Grow":        func() { b.Grow(-1) },
		"IndexByte":   func() { b.IndexByte('l', -1) },
		"IndexRange":  func() { b.IndexRange([]byte("l"), -1, 3) },
		"IndexEOL":    func() { b.IndexEOL(buffer.LF, -1) },
	} {
		t.Run(name, func(t *testing.T) {
			wantPanic(t, "buffer: negative count", f)
			wantString(t, &b, "hello")
		})
	}
}

// Commit of what was not reserved, and of what was reserved before the Buffer changed.
func TestCommitMisuse(t *testing.T) {
	var b, other buffer.Buffer
	other.AppendString("other")
	wantPanic(t, "Commit", func() { b.Commit(1) })
	b.Commit(0)
	b.Reserve(10)
	wantPanic(t, "Commit", func() { b.Commit(11) })
	b.Commit(10)
	wantPanic(t, "Commit", func() { b.Commit(1) }) // twice
	b.Reserve(0)
	wantPanic(t, "Commit", func() { b.Commit(1) })
	for name, change := range map[string]func(){
		"Append":        func() { b.AppendString("x") },
		"Append none":   func() { b.Append(nil) },
		"Drain":         func() { b.Drain(1) },
		"DrainQuiet":    func() { b.DrainQuiet(1) },
		"Prepend":       func() { b.Prepend([]byte("x")) },
		"Move in":       func() { b.Move(&other, 1) },
		"Move out":      func() { other.Move(&b, 1) },
		"PrependBuffer": func() { b.PrependBuffer(&other); other.AppendString("other") },
		"Share":         func() { b.Share(&other) },
		"Share out":     func() { other.Share(&b) },
		"PullUp":        func() { b.AppendOwned([]byte("xyz"), nil); b.Reserve(10); b.PullUp(-1) },
		"Grow":          func() { b.Grow(10) },
		"Reset":         func() { b.Reset(); b.Append(pattern(100)) },
		"UnreadByte":    func() { b.ReadByte(); b.Reserve(10); b.UnreadByte(); b.Prepend(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			b.Reserve(10)
			change()
			b.Check()
			n := b.Len()
			wantPanic(t, "Commit", func() { b.Commit(1) })
			wantInt(t, b.Len(), n)
		})
	}
	b.Reserve(10)
	b.Freeze(buffer.Back)
	wantPanic(t, "frozen", func() { b.Commit(1) })
	b.Commit(0)
}

// What only looks does not end a reservation.
func TestLookingKeepsReservation(t *testing.T) {
	var b buffer.Buffer
	b.AppendString("hello ")
	copy(b.Reserve(100), "world")
	b.Len()
	b.Cap()
	b.Head()
	b.CopyOut(make([]byte, 3), 1)
	b.PeekInto(make([][]byte, 1), -1)
	b.Index([]byte("o"))
	b.PullUp(3)
	b.Load(-1)
	_ = b.String()
	b.Commit(5)
	wantString(t, &b, "hello world")
}

// Reserve again lends the same memory, if it is large enough.
func TestReserveAgain(t *testing.T) {
	var b buffer.Buffer
	p := b.Reserve(1000)
	if q := b.Reserve(900); &q[0] != &p[0] || len(q) != 900 {
		t.Error("other memory")
	}
	q := b.Reserve(100_000)
	wantInt(t, len(q), 100_000)
	b.Commit(0)
	wantInt(t, b.Cap(), 0)
}

// Memory that was reserved and not committed must not end up with a few appended bytes.
func TestReservedMemoryIsNotForFewBytes(t *testing.T) {
	var b buffer.Buffer
	b.Reserve(64 << 10)
	b.AppendString("ten bytes.")
	b.Commit(0)
	wantInt(t, b.Cap(), 512)
	b.Reset()
	for range 100 { // each read brings ten bytes
		copy(b.Reserve(64<<10), "ten bytes.")
		b.Commit(10)
		b.Check()
	}
	if c := b.Cap(); c > 2048 {
		t.Errorf("1000 bytes keep %d", c)
	}
	b.Reset()
	b.Grow(64 << 10) // but this is what was asked for
	b.AppendString("ten bytes.")
	wantInt(t, b.Cap(), 64<<10)
}

// A Buffer moved into itself stays as it is; Share doubles it.
func TestSelf(t *testing.T) {
	var b buffer.Buffer
	for _, f := range fills {
		p := pattern(2000)
		f.fill(&b, p)
		wantInt(t, b.MoveAll(&b), 0)
		wantInt(t, b.Move(&b, 100), 0)
		wantInt(t, b.Move(&b, 1<<20), 0)
		wantInt(t, b.PrependBuffer(&b), 0)
		wantString(t, &b, string(p))
		wantInt(t, b.Share(&b), 2000)
		wantInt(t, b.Share(&b), 4000)
		wantString(t, &b, string(p)+string(p)+string(p)+string(p))
		b.Append(b.Head()) // its own bytes
		b.Check()
		b.Reset()
		b.SetOwner(nil)
	}
}

// What the user may not write to cannot be written to by way of capacity.
func TestLentSlicesHaveNoCapacity(t *testing.T) {
	var b buffer.Buffer
	b.AppendString("hello")
	v := make([][]byte, 1)
	b.PeekInto(v, -1)
	line, _, _ := b.AsLine(buffer.LF, -1)
	b.AppendString(" world\n")
	for name, p := range map[string][]byte{
		"Head": b.Head(), "PullUp": b.PullUp(3), "PeekInto": v[0], "AsLine": line, "Reserve": b.Reserve(10),
	} {
		if cap(p) != len(p) {
			t.Errorf("%s: length %d, capacity %d", name, len(p), cap(p))
		}
	}
}

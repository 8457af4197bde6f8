package buffer_test

import (
	"bytes"
	"testing"

	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/invariants"
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

// Memory that Grow asked for is used up: what is reserved later is not Grow's.
func TestReserveAfterGrowWasUsed(t *testing.T) {
	var b buffer.Buffer
	b.Grow(1000)
	b.AppendString("these bytes use it")
	b.Drain(b.Len())
	b.Reserve(64 << 10)
	b.Commit(copy(b.Reserve(64<<10), "ten bytes."))
	wantInt(t, b.Cap(), 512)
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

// pieces returns a Buffer of five extents, or lines, with numbers from 0 to 4.
func pieces(owner *buffer.Owner) *buffer.Buffer {
	var b buffer.Buffer
	b.SetOwner(owner)
	for i := range 5 {
		b.AppendOwned([]byte{'l', 'i', 'n', 'e', byte('0' + i), '\n'}, nil)
	}
	return &b
}

// A body of Extents may remove what it was given, at once or by and by, and what follows it.
func TestExtentsGoOnBehindWhatTheBodyRemoved(t *testing.T) {
	for name, c := range map[string]struct {
		body func(b *buffer.Buffer, p []byte) bool
		saw  string
		left string
	}{
		"nothing": {func(b *buffer.Buffer, p []byte) bool { return true }, "01234", "line0\nline1\nline2\nline3\nline4\n"},
		"each":    {func(b *buffer.Buffer, p []byte) bool { b.Drain(len(p)); return true }, "01234", ""},
		"two at once": {func(b *buffer.Buffer, p []byte) bool {
			if p[4]%2 == 1 {
				b.Drain(2 * len(p))
			}
			return true
		}, "01234", "line4\n"},
		"none, in one piece":   {func(b *buffer.Buffer, p []byte) bool { b.PullUp(-1); return true }, "04", "line0\nline1\nline2\nline3\nline4\n"},
		"none, shared":         {func(b *buffer.Buffer, p []byte) bool { new(buffer.Buffer).Share(b); b.Drain(0); return true }, "01234", "line0\nline1\nline2\nline3\nline4\n"},
		"none, room":           {func(b *buffer.Buffer, p []byte) bool { b.Reserve(100_000); b.Commit(0); return true }, "01234", "line0\nline1\nline2\nline3\nline4\n"},
		"two, seeing one":      {func(b *buffer.Buffer, p []byte) bool { b.Drain(12); return true }, "024", ""},
		"and half of the next": {func(b *buffer.Buffer, p []byte) bool { b.Drain(len(p) + 1); return true }, "01234", ""},
		"all":                  {func(b *buffer.Buffer, p []byte) bool { b.Reset(); return true }, "0", ""},
		"and break":            {func(b *buffer.Buffer, p []byte) bool { b.Drain(len(p)); return false }, "0", "line1\nline2\nline3\nline4\n"},
		"a bit and break":      {func(b *buffer.Buffer, p []byte) bool { b.Drain(3); return false }, "0", "e0\nline1\nline2\nline3\nline4\n"},
		"more than came": {func(b *buffer.Buffer, p []byte) bool {
			b.Drain(len(p))
			if p[4] == '0' {
				b.Drain(6)
				appendFile(b, []byte("file5\n"))
			}
			return true
		}, "02345", ""},
	} {
		for _, owner := range []*buffer.Owner{nil, buffer.NewPool(1 << 20).Owner()} {
			t.Run(name, func(t *testing.T) {
				b, saw := pieces(owner), ""
				for p := range b.Extents() {
					saw += string(p[len(p)-2])
					if !c.body(b, p) {
						break
					}
				}
				if saw != c.saw {
					t.Errorf("saw %s, want %s", saw, c.saw)
				}
				wantString(t, b, c.left)
			})
		}
	}
}

// The same for Lines, which removes what the body has not.
func TestLinesGoOnBehindWhatTheBodyRemoved(t *testing.T) {
	for name, c := range map[string]struct {
		body func(b *buffer.Buffer, line []byte) bool
		saw  string
		left string
	}{
		"nothing":           {func(b *buffer.Buffer, line []byte) bool { return true }, "01234", "half"},
		"it":                {func(b *buffer.Buffer, line []byte) bool { b.Drain(6); return true }, "01234", "half"},
		"it and break":      {func(b *buffer.Buffer, line []byte) bool { b.Drain(6); return false }, "0", "line1\nline2\nline3\nline4\nhalf"},
		"by ReadLine":       {func(b *buffer.Buffer, line []byte) bool { b.ReadLine(nil, buffer.LF, -1); return true }, "01234", "half"},
		"and the next":      {func(b *buffer.Buffer, line []byte) bool { b.Drain(12); return true }, "024", ""},
		"all":               {func(b *buffer.Buffer, line []byte) bool { b.Reset(); return true }, "0", ""},
		"all and break":     {func(b *buffer.Buffer, line []byte) bool { new(buffer.Buffer).MoveAll(b); return false }, "0", ""},
		"it and half of it": {func(b *buffer.Buffer, line []byte) bool { b.Drain(9); return true }, "0134", ""},
		"nothing, looking":  {func(b *buffer.Buffer, line []byte) bool { b.View(-1); b.Drain(0); b.PullUp(-1); return true }, "01234", "half"},
		"nothing, sharing":  {func(b *buffer.Buffer, line []byte) bool { new(buffer.Buffer).Share(b); return true }, "01234", "half"},
	} {
		for _, owner := range []*buffer.Owner{nil, buffer.NewPool(1 << 20).Owner()} {
			t.Run(name, func(t *testing.T) {
				b, saw := pieces(owner), ""
				b.AppendString("half")
				for line := range b.Lines(buffer.LF) {
					saw += string(line[len(line)-1:])
					if !c.body(b, line) {
						break
					}
				}
				if saw != c.saw {
					t.Errorf("saw %s, want %s", saw, c.saw)
				}
				wantString(t, b, c.left)
			})
		}
	}
}

// Any other change in the body of a loop would have it skip bytes, or lose them.
func TestModifyingInALoop(t *testing.T) {
	const text = "buffer: b was modified in the body of a loop over it; there it may only lose what was yielded"
	for name, change := range map[string]func(b *buffer.Buffer){
		"Append":         func(b *buffer.Buffer) { b.AppendString("x") },
		"Drain a bit":    func(b *buffer.Buffer) { b.Drain(1) },
		"Prepend":        func(b *buffer.Buffer) { b.Prepend([]byte("x")) },
		"Drain, Append":  func(b *buffer.Buffer) { b.Drain(6); b.AppendString("again\n") },
		"Drain, Prepend": func(b *buffer.Buffer) { b.Drain(6); b.Prepend([]byte("again\n")) },
		"Reset, Append":  func(b *buffer.Buffer) { b.Reset(); b.Append(bytes.Repeat([]byte("again\n"), 5)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := pieces(nil)
			wantPanic(t, text, func() {
				for range b.Extents() {
					change(b)
				}
			})
			b = pieces(nil)
			wantPanic(t, text, func() {
				for range b.Lines(buffer.LF) {
					change(b)
				}
			})
		})
	}
}

// What Lines cannot see from without it finds in builds that look at the bytes.
func TestExchangingBytesInLines(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("only with -race or -tags invariants")
	}
	for name, change := range map[string]func(b *buffer.Buffer){
		"Drain, Prepend": func(b *buffer.Buffer) { b.Drain(6); b.Prepend([]byte("again\n")) },
		"Reset, Append":  func(b *buffer.Buffer) { b.Reset(); b.AppendString("again\nagain\n") },
	} {
		t.Run(name, func(t *testing.T) {
			var b buffer.Buffer
			b.SetOwner(buffer.NewPool(1 << 20).Owner())
			b.AppendString("line0\nline1\n")
			wantPanic(t, "buffer: b was modified in the body of a loop", func() {
				for range b.Lines(buffer.LF) {
					change(&b)
				}
			})
		})
	}
}

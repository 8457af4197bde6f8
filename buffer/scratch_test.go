package buffer_test

import (
	"testing"

	"github.com/bevgo/bev/buffer"
)

// conn has two Buffers with one Owner, as a connection has.
type conn struct {
	owner   buffer.Owner
	in, out buffer.Buffer
	notices int
}

func newConn(pool *buffer.Pool) *conn {
	c := new(conn)
	c.owner = buffer.Owner{Pool: pool, Notify: c}
	c.in.SetOwner(&c.owner)
	c.out.SetOwner(&c.owner)
	return c
}

func (c *conn) BufferChanged(*buffer.Buffer, int, int) { c.notices++ }

// lend puts p into b by way of s.
func lend(s *buffer.Scratch, b *buffer.Buffer, p []byte) {
	b.AppendScratch(s, copy(s.Bytes(), p))
}

func TestScratchEcho(t *testing.T) {
	c, s := newConn(buffer.NewPool(1<<20)), buffer.NewScratch(0)
	wantInt(t, s.Size(), 64<<10)
	lend(s, &c.in, pattern(5000))
	if &c.in.Head()[0] != buffer.ScratchStart(s) || !s.Lent() {
		t.Error("the bytes were copied, or the loan is not known")
	}
	c.out.MoveAll(&c.in)
	if &c.out.Head()[0] != buffer.ScratchStart(s) {
		t.Error("the loan was not handed on to a Buffer of the same Owner")
	}
	wantInt(t, c.notices, 2) // one for each Buffer by MoveAll; none for AppendScratch
	wantInt(t, c.out.Cap(), 0)
	wantInt(t, c.out.DrainQuiet(5000), 5000)
	wantInt(t, c.notices, 2)
	if s.Lent() {
		t.Error("still lent although all is gone")
	}
}

// What ends a loan: everything that drops the last byte of it.
func TestScratchLoanEnds(t *testing.T) {
	for name, end := range map[string]func(b *buffer.Buffer){
		"Drain":      func(b *buffer.Buffer) { b.Drain(10) },
		"DrainQuiet": func(b *buffer.Buffer) { b.DrainQuiet(10) },
		"Read":       func(b *buffer.Buffer) { b.Read(make([]byte, 10)) },
		"ReadLine":   func(b *buffer.Buffer) { b.ReadLine(nil, buffer.LF, -1) },
		"Reset":      func(b *buffer.Buffer) { b.Reset() },
		"Settle":     func(b *buffer.Buffer) { b.Settle() },
		"SetOwner":   func(b *buffer.Buffer) { b.SetOwner(nil) },
		"Share":      func(b *buffer.Buffer) { var dst buffer.Buffer; dst.Share(b) },
		"elsewhere":  func(b *buffer.Buffer) { var dst buffer.Buffer; dst.MoveAll(b) },
		"in parts":   func(b *buffer.Buffer) { var dst buffer.Buffer; dst.Move(b, 4); dst.Move(b, 6) },
		"PullUp": func(b *buffer.Buffer) {
			b.Prepend([]byte("x"))
			b.PullUp(-1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, s := newConn(nil), buffer.NewScratch(4096)
			lend(s, &c.in, []byte("123456789\n"))
			end(&c.in)
			c.in.Check()
			if s.Lent() {
				t.Error("still lent")
			}
			lend(s, &c.out, []byte("again")) // must not touch what is in c.in
			if got := c.in.String(); got != "" && got != "123456789\n" && got != "x123456789\n" {
				t.Errorf("the Buffer holds %q", got)
			}
			wantString(t, &c.out, "again")
		})
	}
}

// Which moves keep the loan, by Owner.
func TestScratchAndOwners(t *testing.T) {
	pool := buffer.NewPool(1 << 20)
	one, two, s := newConn(pool), newConn(pool), buffer.NewScratch(4096)
	var nobodys buffer.Buffer
	for name, c := range map[string]struct {
		dst  *buffer.Buffer
		lent bool
	}{"same": {&one.out, true}, "another": {&two.in, false}, "none": {&nobodys, false}} {
		for op, move := range map[string]func(src *buffer.Buffer){
			"MoveAll":       func(src *buffer.Buffer) { c.dst.MoveAll(src) },
			"PrependBuffer": func(src *buffer.Buffer) { c.dst.PrependBuffer(src) },
			"Move":          func(src *buffer.Buffer) { c.dst.Move(src, 700); src.Drain(100) },
		} {
			lend(s, &one.in, pattern(800))
			move(&one.in)
			if s.Lent() != c.lent {
				t.Errorf("%s, Owner %s: lent = %v", op, name, s.Lent())
			}
			want := pattern(800)
			wantString(t, c.dst, string(want[:c.dst.Len()]))
			c.dst.Reset()
			one.in.Reset()
		}
	}

	lend(s, &nobodys, pattern(10)) // without an Owner there is no loan at all
	if s.Lent() {
		t.Error("a Buffer without an Owner borrowed")
	}
	wantBytes(t, nobodys.ToBytes(), pattern(10))
}

// What Settle leaves has the right size: few bytes are copied, many take the memory over.
func TestSettleSizes(t *testing.T) {
	for _, c := range []struct{ n, cap int }{
		{1, 512}, {10, 512}, {512, 512}, {513, 1024}, {3000, 3072}, {40_000, 40_960},
		{49_151, 49_152}, {49_152, 65_536}, {65_536, 65_536},
	} {
		own, s := newConn(buffer.NewPool(1<<20)), buffer.NewScratch(0)
		lend(s, &own.in, pattern(c.n))
		memory := &own.in.Head()[0]
		own.in.Settle()
		own.in.Check()
		wantInt(t, own.in.Cap(), c.cap)
		wantBytes(t, own.in.ToBytes(), pattern(c.n))
		if given := &own.in.Head()[0] == memory; given != (4*c.n >= 3*s.Size()) {
			t.Errorf("%d bytes: memory taken over: %v", c.n, given)
		}
		if &s.Bytes()[0] == &own.in.Head()[0] || len(s.Bytes()) != s.Size() {
			t.Errorf("%d bytes: the Scratch reads where the Buffer's bytes are", c.n)
		}
		fill(s.Bytes(), 0xff)
		wantBytes(t, own.in.ToBytes(), pattern(c.n))
	}
}

// What Settle copies goes behind what was there before, if there is room; what was appended behind the loan follows.
func TestSettleInTheMiddle(t *testing.T) {
	c, s := newConn(nil), buffer.NewScratch(4096)
	c.in.AppendString("before ")
	lend(s, &c.in, []byte("lent "))
	c.in.AppendString("behind it in its room ")
	c.in.AppendOwned([]byte("owned "), nil)
	wantInt(t, c.in.NumExtents(-1), 3)
	c.in.Drain(3)
	c.in.Settle()
	wantString(t, &c.in, "ore lent behind it in its room owned ")
	wantInt(t, c.in.NumExtents(-1), 2)
	c.in.AppendString("end")
	wantString(t, &c.in, "ore lent behind it in its room owned end")

	// More than one loan, full to the brim and next to each other.
	var two [2]*buffer.Scratch
	c.in.Reset()
	for i := range two {
		two[i] = buffer.NewScratch(1024)
		lend(two[i], &c.in, pattern(1024))
	}
	c.in.AppendString("end")
	c.in.Drain(1000)
	c.in.Settle()
	wantString(t, &c.in, string(pattern(1024)[1000:])+string(pattern(1024))+"end")
	if two[0].Lent() || two[1].Lent() {
		t.Error("still lent")
	}
}

// A reservation in the room of a loan ends with it.
func TestSettleEndsReservation(t *testing.T) {
	c, s := newConn(nil), buffer.NewScratch(4096)
	lend(s, &c.in, []byte("lent"))
	c.in.Reserve(10)
	c.in.Settle()
	wantPanic(t, "Commit", func() { c.in.Commit(1) })
	wantString(t, &c.in, "lent")
}

// A loan cut by Move within the same Owner has one segment still, wherever the larger part is.
func TestScratchCut(t *testing.T) {
	for _, n := range []int{1, 100, 2047, 2048, 2049, 4000, 4095} {
		c, s := newConn(nil), buffer.NewScratch(4096)
		lend(s, &c.in, pattern(4096))
		wantInt(t, c.out.Move(&c.in, n), n)
		c.in.Check()
		c.out.Check()
		wantBytes(t, c.out.ToBytes(), pattern(4096)[:n])
		wantBytes(t, c.in.ToBytes(), pattern(4096)[n:])
		c.out.AppendString("more") // room behind a cut loan is its own again, or another's
		wantBytes(t, c.in.ToBytes(), pattern(4096)[n:])
		c.in.Settle()
		c.out.Settle()
		if s.Lent() {
			t.Fatalf("cut at %d: still lent", n)
		}
		wantBytes(t, c.in.ToBytes(), pattern(4096)[n:])
	}
}

func TestScratchMisuse(t *testing.T) {
	c, s := newConn(nil), buffer.NewScratch(600)
	wantInt(t, s.Size(), 1024) // rounded up
	wantPanic(t, "more bytes than the Scratch has", func() { c.in.AppendScratch(s, 1025) })
	wantPanic(t, "negative", func() { c.in.AppendScratch(s, -1) })
	c.in.AppendScratch(s, 0)
	if s.Lent() {
		t.Error("lent for nothing")
	}
	lend(s, &c.in, []byte("x"))
	wantPanic(t, "Settle", func() { s.Bytes() })
	wantPanic(t, "Settle", func() { c.out.AppendScratch(s, 1) })
	wantString(t, &c.in, "x")
}

// The loop's own steps work on frozen ends, and callbacks of the user hear of them though the Owner does not.
func TestQuietMethods(t *testing.T) {
	c, s := newConn(nil), buffer.NewScratch(512)
	heard := 0
	c.in.AddCallback(func(ch buffer.Change) { heard += ch.Added - ch.Removed })
	c.in.Freeze(buffer.Front | buffer.Back)
	lend(s, &c.in, []byte("hello"))
	wantInt(t, heard, 5)
	wantInt(t, c.in.DrainQuiet(2), 2)
	wantInt(t, heard, 3)
	c.in.Settle()
	wantInt(t, c.in.DrainQuiet(10), 3)
	wantInt(t, heard, 0)
	wantInt(t, c.notices, 0)
}

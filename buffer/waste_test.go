package buffer_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/seed"
)

// A few bytes must not keep much memory, by whatever way they came. Check asserts that no segment between others has
// less than an eighth in use; these are the ways that once led there, and the sums.

// thin appends n bytes that are what is left of a segment of size.
func thin(b *buffer.Buffer, size, n int) {
	b.Append(pattern(size))
	b.Append(pattern(size))
	b.Drain(2*size - n)
}

// Segments that were drained to a few bytes give up their memory when they change Buffer.
func TestMovedSegmentsKeepNoUnusedMemory(t *testing.T) {
	for _, size := range []int{512, 1024, 4096, 8192, 65536} {
		for name, add := range map[string]func(out, in *buffer.Buffer, n int){
			"Move": func(out, in *buffer.Buffer, n int) {
				in.AppendOwned(make([]byte, 70_000), nil) // so that it is not MoveAll
				out.Move(in, n)
				in.Reset()
			},
			"Move, cut": func(out, in *buffer.Buffer, n int) {
				out.Move(in, n-1)
				in.Reset()
			},
			"MoveAll":       func(out, in *buffer.Buffer, _ int) { out.MoveAll(in) },
			"PrependBuffer": func(out, in *buffer.Buffer, _ int) { out.PrependBuffer(in) },
			"Share":         func(out, in *buffer.Buffer, _ int) { out.Share(in); in.Reset() },
		} {
			for _, n := range []int{2, 10, size / 60, size / 9} {
				var in, out buffer.Buffer
				for range 100 {
					thin(&in, size, n)
					add(&out, &in, n)
					out.Check()
				}
				if c := out.Cap(); c > 8*out.Len()+size && (name != "Share" || c > 100*512) {
					t.Errorf("%s of %d bytes of %d: %d bytes keep %d", name, n, size, out.Len(), c)
				}
			}
		}
	}
}

// The case that was found: 1100 bytes of 64 KiB are more than a 64th, and so stayed where they were.
func TestMoveOfWhatDrainLeaves(t *testing.T) {
	var in, out buffer.Buffer
	for range 100 {
		in.Append(pattern(64 << 10))
		in.Append(pattern(64 << 10))
		in.Drain(64<<10 - 1100)
		wantInt(t, in.Cap(), 128<<10)
		wantInt(t, out.Move(&in, 1100), 1100)
		in.Reset()
	}
	wantInt(t, out.Len(), 110_000)
	if c := out.Cap(); c > out.Len()+out.Len()/8+512 {
		t.Errorf("110000 bytes keep %d", c)
	}
}

// Of a segment that is cut in two, neither side keeps it where both are few.
func TestMoveCutsWhatIsFewOff(t *testing.T) {
	for size := 512; size <= 64<<10; size *= 2 {
		var in, out buffer.Buffer
		thin(&in, size, 3*size/16)
		n := size/8 - 1 // the longer side
		wantInt(t, out.Move(&in, n), n)
		in.Check()
		out.Check()
		if c := out.Cap(); c > n+n/8+512 {
			t.Errorf("%d bytes of a segment of %d keep %d", n, size, c)
		}
		out.MoveAll(&in)
		got := make([]byte, out.Len())
		out.CopyOut(got, 0)
		if want := pattern(size)[size-3*size/16:]; !bytes.Equal(got, want) {
			t.Errorf("cut from a segment of %d: other bytes", size)
		}
	}
}

// Sizes from one byte to the largest segments, in every order: Check holds each step to the rules of waste, and the
// bytes are those of plain slices.
func TestAnySizesKeepLittle(t *testing.T) {
	rnd := seed.New(t)
	size := func() int { return 1 + rnd.IntN(1<<rnd.IntN(18)) }
	for round := range 400 {
		c := buffer.NewPool(1 << 20)
		var b [3]buffer.Buffer
		var want [3][]byte
		if round%2 == 0 {
			for i := range b {
				b[i].SetOwner(c.Owner())
			}
		}
		for range 150 {
			i, j := rnd.IntN(3), rnd.IntN(3)
			x, n := &b[i], size()
			p := pattern(n)
			if len(want[i]) > 1<<20 || rnd.IntN(8) == 0 { // what is few in all is held to more
				x.Reset()
				want[i] = nil
			}
			switch rnd.IntN(14) {
			case 0, 1:
				x.Append(p)
				want[i] = append(want[i], p...)
			case 2:
				x.AppendOwned(p, nil)
				want[i] = append(want[i], p...)
			case 3:
				x.Prepend(p)
				want[i] = append(p, want[i]...)
			case 4, 5, 6:
				want[i] = want[i][x.Drain(n):]
			case 7, 8:
				if n = x.Move(&b[j], n); i != j {
					want[i] = append(want[i], want[j][:n]...)
					want[j] = want[j][n:]
				}
			case 9:
				if x.MoveAll(&b[j]); i != j {
					want[i], want[j] = append(want[i], want[j]...), nil
				}
			case 10:
				if x.PrependBuffer(&b[j]); i != j {
					want[i], want[j] = slices.Concat(want[j], want[i]), nil
				}
			case 11:
				x.Share(&b[j])
				want[i] = append(want[i], want[j]...)
			case 12:
				n = min(n, copy(x.Reserve(n), p))
				k := rnd.IntN(n + 1)
				x.Commit(k)
				want[i] = append(want[i], p[:k]...)
			case 13:
				if x.Grow(n); rnd.IntN(4) == 0 {
					x.PullUp(min(n, x.Len()))
				}
			}
			b[i].Check()
			b[j].Check()
			wantInt(t, b[i].Len(), len(want[i]))
		}
		for i := range b {
			if got := b[i].AppendTo(nil); !bytes.Equal(got, want[i]) {
				t.Fatalf("round %d: Buffer %d holds other bytes", round, i)
			}
			b[i].Reset()
		}
	}
}

// What is left of a segment has little room behind it, and becomes the last one.
func TestPrependedToWhatDrainLeft(t *testing.T) {
	var b, src buffer.Buffer
	b.Append(pattern(4061))
	b.Drain(4055)
	src.Append(pattern(300))
	b.PrependBuffer(&src)
	b.Check()
	b.Append(pattern(2000)) // first into the room, then behind it
	b.Check()
	wantString(t, &b, string(pattern(300))+string(pattern(4061)[4055:])+string(pattern(2000)))
}

// The last segment of a long Buffer has much room, which nobody needs once the rest has moved on.
func TestMoveLeavesLittle(t *testing.T) {
	var in, out buffer.Buffer
	last := 0
	for in.Len() < 1<<20 || last > 300 { // until one is needed that is as large as ever
		in.Append(pattern(300))
		lens := in.Segments()
		last = lens[len(lens)-1]
	}
	if free := in.Cap() - in.Len(); free < 32<<10 {
		t.Fatalf("the last segment has room for %d", free)
	}
	out.Move(&in, in.Len()-last)
	wantInt(t, in.Len(), last)
	wantInt(t, in.Cap(), 512)
}

// The last segment may be emptier than others, until something follows it.
func TestRoomThatIsOfNoUseAnyMore(t *testing.T) {
	for name, follow := range map[string]func(b *buffer.Buffer){
		"AppendOwned": func(b *buffer.Buffer) { b.AppendOwned(pattern(1000), nil) },
		"AppendFile":  func(b *buffer.Buffer) { appendFile(b, pattern(1000)) },
		"MoveAll": func(b *buffer.Buffer) {
			var in buffer.Buffer
			in.Append(pattern(1000))
			b.MoveAll(&in)
		},
		"Share": func(b *buffer.Buffer) {
			var in buffer.Buffer
			in.Append(pattern(1000))
			b.Share(&in)
		},
		"Reserve": func(b *buffer.Buffer) { b.Reserve(100_000); b.Commit(100_000) },
	} {
		var b buffer.Buffer
		b.Grow(64 << 10)
		b.AppendString("0123456789")
		wantInt(t, b.Cap(), 64<<10) // as was asked for
		follow(&b)
		b.Check()
		if c := b.Cap(); c > 4096 && name != "Reserve" || c >= 3<<16 {
			t.Errorf("%s behind ten bytes: %d bytes keep %d", name, b.Len(), c)
		}
	}
}

// PullUp takes from a segment in the middle and leaves the rest there.
func TestPullUpLeavesLittle(t *testing.T) {
	var b buffer.Buffer
	b.AppendOwned(pattern(10), nil)
	b.Append(pattern(64 << 10))
	b.AppendOwned(pattern(10), nil)
	b.PullUp(64 << 10)
	b.Check()
	wantInt(t, b.Cap(), 64<<10+512+10)
}

// What Grow was asked for is used by the first bytes; what comes later has not been asked for.
func TestGrowIsUsedOnce(t *testing.T) {
	var b buffer.Buffer
	b.Grow(64 << 10)
	b.Append(pattern(64 << 10))
	b.Drain(64 << 10)
	b.Reserve(64 << 10)
	b.Commit(10)
	wantInt(t, b.Cap(), 512)
	b.Reset()

	b.Grow(64 << 10)
	b.Append(pattern(10))
	wantInt(t, b.Cap(), 64<<10)
	b.Drain(1) // gives way like any other
	wantInt(t, b.Cap(), 512)
}

// Grow does not make a promise of what Reserve got.
func TestGrowAfterReserve(t *testing.T) {
	var b buffer.Buffer
	b.Reserve(64 << 10)
	b.Grow(600)
	wantInt(t, b.Cap(), 1024)
	b.Append(pattern(10))
	wantInt(t, b.Cap(), 1024)
	b.Reset()

	b.Grow(64 << 10)
	b.Grow(600) // what Grow got before stays
	b.Append(pattern(10))
	wantInt(t, b.Cap(), 64<<10)
}

// Many small pieces, some by Append and some by Reserve, keep the bound of what is appended.
func TestWasteBoundOfSmallCommits(t *testing.T) {
	r := seed.New(t)
	for _, most := range []int{1, 10, 300, 512, 700, 1024} {
		for _, appends := range []int{0, 1, 10} {
			var b buffer.Buffer
			for b.Len() < 300_000 {
				n := 1 + r.IntN(most)
				if r.IntN(11) < appends {
					b.Append(pattern(n))
				} else {
					b.Reserve(n)
					b.Commit(1 + r.IntN(n))
				}
				if waste := b.Cap() - b.Len(); waste > b.Len()/8+1024 {
					t.Fatalf("pieces of at most %d: Cap %d with Len %d", most, b.Cap(), b.Len())
				}
				b.Check()
			}
		}
	}
}

// Who is left alone with ten of 64 KiB that many shared gets memory of their size, and the pool the rest.
func TestLastViewGivesUpLargeSegments(t *testing.T) {
	for name, shrink := range map[string]func(b, other *buffer.Buffer){
		"drained alone":  func(b, other *buffer.Buffer) { other.Reset(); b.Drain(64<<10 - 10) },
		"in small steps": func(b, other *buffer.Buffer) { other.Reset(); drainTo(b, 10, 1000) },
		"left alone":     func(b, other *buffer.Buffer) { b.Drain(64<<10 - 11); other.Reset(); b.Drain(1) },
		"the front": func(b, other *buffer.Buffer) {
			var front buffer.Buffer
			front.SetOwner(b.Owner())
			front.Move(b, 600) // the views end long before the memory does
			b.Reset()
			b.MoveAll(&front)
			other.Reset()
			b.Drain(590)
		},
		"moved": func(b, other *buffer.Buffer) {
			b.Drain(64<<10 - 10)
			other.Reset()
			var in buffer.Buffer
			in.SetOwner(b.Owner())
			in.MoveAll(b)
			b.AppendOwned([]byte("x"), nil)
			b.MoveAll(&in)
			b.Drain(1)
		},
		"shared anew": func(b, other *buffer.Buffer) {
			b.Drain(64<<10 - 10)
			other.Reset()
			other.Share(b)
			b.Reset()
			b.MoveAll(other)
		},
	} {
		t.Run(name, func(t *testing.T) {
			pool := buffer.NewPool(1 << 20)
			var b, other buffer.Buffer
			b.SetOwner(pool.Owner())
			other.SetOwner(pool.Owner())
			other.Append(pattern(64 << 10))
			b.Share(&other)
			shrink(&b, &other)
			wantInt(t, b.Len(), 10)
			if c := b.Cap(); c > 1024 {
				t.Errorf("ten bytes keep %d", c)
			}
			b.Check()
			if kept := pool.Retained(); kept < 64<<10 {
				t.Errorf("the pool got %d back of 64 KiB", kept)
			}
			b.Reset()
		})
	}
}

func drainTo(b *buffer.Buffer, left, step int) {
	for b.Len() > left {
		b.Drain(min(step, b.Len()-left))
	}
}

// All who show the same memory count for all of it together, and so does the last of them.
func TestCapOfSharedMemory(t *testing.T) {
	var src buffer.Buffer
	src.Append(pattern(64 << 10))
	many := make([]buffer.Buffer, 7)
	for i := range many {
		many[i].Share(&src)
	}
	src.Reset()
	sum := func() (n int) {
		for i := range many {
			n += many[i].Cap()
		}
		return n
	}
	wantInt(t, sum(), 7*64<<10) // each shows all of it
	for i := range many {
		many[i].Drain(64<<10 - 10)
	}
	if n := sum(); n < 64<<10 || n > 64<<10+7 {
		t.Errorf("seven times ten bytes of 64 KiB keep %d", n)
	}
	for i := range many[1:] {
		many[1+i].Reset()
	}
	wantInt(t, sum(), 64<<10)
	many[0].Drain(1)
	wantInt(t, sum(), 512)

	var user, b buffer.Buffer // the memory of a user counts as before
	user.AppendOwned(make([]byte, 64<<10), nil)
	b.Share(&user)
	user.Reset()
	b.Drain(64<<10 - 10)
	wantInt(t, b.Cap(), 10)
}

// No way in leads past what an int can count, and one that panics for that changes nothing.
func TestLenNeverOverflows(t *testing.T) {
	c, scratch := newConn(nil), buffer.NewScratch(0)
	b, three := &c.in, make([]byte, 3<<20)
	if err := b.AppendFile(neverRead{}, 0, math.MaxInt-2<<20-1000, nil); err != nil {
		t.Fatal(err)
	}
	var small buffer.Buffer
	small.Append(three)
	n, notices := b.Len(), c.notices
	for name, add := range map[string]func(){
		"Append":        func() { b.Append(three) },
		"AppendString":  func() { b.AppendString(string(three)) },
		"AppendAll":     func() { b.AppendAll([][]byte{three[:10], three}) },
		"AppendOwned":   func() { b.AppendOwned(three, nil) },
		"AppendScratch": func() { b.AppendScratch(scratch, 2000) },
		"Prepend":       func() { b.Prepend(three) },
		"Write":         func() { b.Write(three) },
		"Move":          func() { b.Move(&small, small.Len()-1) },
		"MoveAll":       func() { b.MoveAll(&small) },
		"PrependBuffer": func() { b.PrependBuffer(&small) },
		"Share":         func() { b.Share(&small) },
		"Share itself":  func() { b.Share(b) },
		"Reserve":       func() { b.Reserve(3 << 20) },
		"ReserveInto":   func() { b.ReserveInto(make([][]byte, 3), 3<<20) },
		"Grow":          func() { b.Grow(3 << 20) },
	} {
		t.Run(name, func(t *testing.T) {
			wantPanic(t, "what an int can count", add)
			b.Check()
			wantInt(t, b.Len(), n)
			wantInt(t, c.notices, notices)
			wantInt(t, small.Len(), 3<<20)
			if scratch.Lent() || b.Cap() != 0 {
				t.Errorf("something was left behind: Cap %d", b.Cap())
			}
		})
	}
	if err := b.AppendFile(neverRead{}, 0, 3<<20, nil); err == nil {
		t.Error("AppendFile went past it")
	}
	b.Append(three[:10]) // there is room for that much
	b.Prepend(three[:10])
	wantInt(t, b.Len(), n+20)
	b.Check()
}

type neverRead struct{}

func (neverRead) ReadAt([]byte, int64) (int, error) { return 0, errors.New("not to be read") }

// readsThenPanics panics in its n-th call.
type readsThenPanics struct {
	left int
}

func (r *readsThenPanics) ReadAt(p []byte, off int64) (int, error) {
	if r.left--; r.left == 0 {
		panic("the reader's own")
	}
	for i := range p {
		p[i] = byte(off + int64(i))
	}
	return len(p), nil
}

// A reader that panics leaves the Buffer as it was, and lets go of the files that were read before.
func TestLoadAndAReaderThatPanics(t *testing.T) {
	var b buffer.Buffer
	released := 0
	r, first := &readsThenPanics{left: 4}, &readsThenPanics{}
	want := make([]byte, 300_000)
	for i := range want {
		want[i] = byte(i)
	}
	b.AppendString("before")
	if err := errors.Join(
		b.AppendFile(first, 0, 100, func() { released++ }),
		b.AppendFile(r, 0, 300_000, func() { released++ })); err != nil {
		t.Fatal(err)
	}
	b.AppendString("behind")
	all := "before" + string(want[:100]) + string(want) + "behind"
	wantPanic(t, "the reader's own", func() { b.Load(-1) })
	b.Check()
	wantInt(t, b.Len(), len(all))
	wantInt(t, released, 1)
	wantString(t, &b, all)

	r.left = 2
	for range 2 { // a clean-up function that panics while the Buffer is loaded is another case of it
		wantPanic(t, "the reader's own", func() { b.PullUp(-1) })
		r.left = 3
	}
	r.left = 0
	if err := b.Load(-1); err != nil {
		t.Fatal(err)
	}
	wantInt(t, released, 2)
	wantString(t, &b, all)
}

// A file that ends early leaves a short piece, which must not lie in a large one.
func TestLoadOfAShortFile(t *testing.T) {
	var b buffer.Buffer
	if err := b.AppendFile(endsAt(10), 0, 100_000, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Load(-1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Load: %v", err)
	}
	b.Check()
	wantInt(t, b.Cap(), 512)
	wantBytes(t, b.Head(), make([]byte, 10))
}

type endsAt int64

func (end endsAt) ReadAt(p []byte, off int64) (int, error) {
	n := min(len(p), max(0, int(int64(end)-off)))
	clear(p[:n])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// ReadByte keeps a byte for UnreadByte until the next call, or until Settle finds nothing else to keep.
func TestReadByteLeavesNothing(t *testing.T) {
	var b buffer.Buffer
	b.SetOwner(buffer.NewPool(1 << 20).Owner())
	b.AppendString("xy")
	b.ReadByte()
	b.Settle()
	if err := b.UnreadByte(); err != nil {
		t.Errorf("UnreadByte after a Settle of a Buffer that is not empty: %v", err)
	}
	b.ReadByte()
	b.ReadByte()
	b.Settle()
	if b.HasExtra() {
		t.Error("an empty Buffer keeps something after Settle")
	}
	if err := b.UnreadByte(); err == nil {
		t.Error("UnreadByte of what Settle has forgotten")
	}

	b.Grow(10_000)
	b.Append(pattern(10_000))
	b.Drain(10_000)
	if b.HasExtra() {
		t.Error("an empty Buffer keeps something after Grow")
	}
}

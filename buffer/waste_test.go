package buffer_test

import (
	"errors"
	"math"
	"testing"

	"github.com/bevgo/bev/buffer"
)

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

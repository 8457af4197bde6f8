package buffer_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/invariants"
)

// Fill × operation: the same bytes, cut into segments of each kind in many ways, under each operation with counts on
// and beside each border. It is where a wrong comparison shows.

// pattern returns n bytes with a period of 251, so that no two segments of a power of two look alike.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i % 251)
	}
	return p
}

var fills = []struct {
	name string
	fill func(b *buffer.Buffer, p []byte)
}{
	{"append", func(b *buffer.Buffer, p []byte) { b.Append(p) }},
	{"append by 7", func(b *buffer.Buffer, p []byte) { eachPiece(p, 7, b.Append) }},
	{"append by 1000", func(b *buffer.Buffer, p []byte) { eachPiece(p, 1000, b.Append) }},
	{"owned", func(b *buffer.Buffer, p []byte) { b.AppendOwned(p, nil) }},
	{"owned by 100", func(b *buffer.Buffer, p []byte) { eachPiece(p, 100, func(q []byte) { b.AppendOwned(q, nil) }) }},
	{"prepend by 300", func(b *buffer.Buffer, p []byte) {
		for end := len(p); end > 0; end -= min(end, 300) {
			b.Prepend(p[max(end-300, 0):end])
		}
	}},
	{"file", func(b *buffer.Buffer, p []byte) { appendFile(b, p) }},
	{"file and memory", func(b *buffer.Buffer, p []byte) {
		k := len(p) / 3
		b.Append(p[:k])
		appendFile(b, p[k:2*k])
		b.AppendOwned(p[2*k:], nil)
	}},
	{"shared", func(b *buffer.Buffer, p []byte) {
		var src buffer.Buffer
		eachPiece(p, 3000, func(q []byte) {
			src.Reset()
			src.Append(q)
			b.Share(&src)
		})
		src.Reset()
	}},
	{"shared twice", func(b *buffer.Buffer, p []byte) {
		var first, second buffer.Buffer
		first.Append(p)
		second.Share(&first)
		first.Reset()
		b.Share(&second)
		second.Drain(len(p) / 2)
	}},
	{"moved by 5", func(b *buffer.Buffer, p []byte) {
		var src buffer.Buffer
		eachPiece(p, 700, src.Append)
		for src.Len() > 0 {
			b.Move(&src, 5+src.Len()/7)
		}
	}},
	{"lent", func(b *buffer.Buffer, p []byte) {
		b.SetOwner(buffer.NewPool(1 << 20).Owner())
		s := buffer.NewScratch(len(p))
		b.AppendScratch(s, copy(s.Bytes(), p))
	}},
	{"lent, then appended", func(b *buffer.Buffer, p []byte) {
		b.SetOwner(buffer.NewPool(1 << 20).Owner())
		s := buffer.NewScratch(len(p) + 100)
		b.AppendScratch(s, copy(s.Bytes(), p[:len(p)/2]))
		b.Append(p[len(p)/2:])
	}},
	{"reserved", func(b *buffer.Buffer, p []byte) {
		var v [3][]byte
		eachPiece(p, 9000, func(q []byte) {
			n := len(q)
			for _, r := range v[:b.ReserveInto(v[:], n+50)] {
				q = q[copy(r, q):]
			}
			b.Commit(n)
		})
	}},
	{"drained before", func(b *buffer.Buffer, p []byte) {
		b.Append(make([]byte, 70_000))
		b.Append(p)
		b.Drain(70_000)
	}},
}

func eachPiece(p []byte, n int, f func(q []byte)) {
	for q := range slices.Chunk(p, n) {
		f(q)
	}
}

func appendFile(b *buffer.Buffer, p []byte) {
	if err := b.AppendFile(bytes.NewReader(p), 0, -1, nil); err != nil {
		panic(err)
	}
}

// fillOps are given a Buffer that holds p and leave it as they say; the result is what b must hold afterwards.
var fillOps = []struct {
	name string
	do   func(t *testing.T, b *buffer.Buffer, p []byte, n int) (left []byte)
}{
	{"Drain", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		wantInt(t, b.Drain(n), n)
		return p[n:]
	}},
	{"Drain beyond", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		wantInt(t, b.Drain(len(p)+n+1), len(p))
		return nil
	}},
	{"Read", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		q := make([]byte, n)
		k, err := b.Read(q)
		if err != nil {
			t.Fatal(err)
		}
		wantInt(t, k, n)
		wantBytes(t, q, p[:n])
		return p[n:]
	}},
	{"CopyOut", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		q := make([]byte, 700)
		k := b.CopyOut(q, n)
		wantBytes(t, q[:k], p[n:min(n+700, len(p))])
		return p
	}},
	{"PullUp", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		wantBytes(t, b.PullUp(n), p[:n])
		return p
	}},
	{"Move out", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		var dst buffer.Buffer
		dst.AppendString("before")
		wantInt(t, dst.Move(b, n), n)
		dst.Check()
		wantString(t, &dst, "before"+string(p[:n]))
		return p[n:]
	}},
	{"Move out, same Owner", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		var dst buffer.Buffer
		dst.SetOwner(b.Owner())
		wantInt(t, dst.Move(b, n), n)
		dst.Check()
		wantString(t, &dst, string(p[:n]))
		return p[n:]
	}},
	{"MoveAll in and out", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		var dst buffer.Buffer
		dst.Append(p[:n])
		wantInt(t, dst.MoveAll(b), len(p))
		wantInt(t, b.MoveAll(&dst), len(p)+n)
		dst.Check()
		return slices.Concat(p[:n], p)
	}},
	{"Prepend", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		b.Prepend(p[:n])
		return slices.Concat(p[:n], p)
	}},
	{"Append", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		b.Append(p[:n])
		return slices.Concat(p, p[:n])
	}},
	{"PrependBuffer", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		var src buffer.Buffer
		src.Append(p[:n])
		wantInt(t, b.PrependBuffer(&src), n)
		return slices.Concat(p[:n], p)
	}},
	{"Share", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		var dst buffer.Buffer
		wantInt(t, dst.Share(b), len(p))
		b.AppendString("more")
		dst.Drain(n)
		dst.Append(p[:n])
		dst.Check()
		wantString(t, &dst, string(p[n:])+string(p[:n]))
		dst.Reset()
		return append(slices.Clone(p), "more"...)
	}},
	{"Reserve, Commit", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		copy(b.Reserve(n+10), p[:n])
		b.Commit(n)
		return slices.Concat(p, p[:n])
	}},
	{"Index", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		what := p[n:min(n+251, len(p))] // long enough to tell where in the period it is
		wantInt(t, b.IndexFrom(what, n), n)
		wantInt(t, b.Index(what), bytes.Index(p, what))
		if n < len(p) {
			wantInt(t, b.IndexByte(p[n], n), n)
		}
		return p
	}},
	{"PeekFrom", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		if err := b.Load(-1); err != nil {
			t.Fatal(err)
		}
		v := make([][]byte, len(b.Segments()))
		wantBytes(t, bytes.Join(v[:b.PeekFrom(v, n, -1)], nil), p[n:])
		wantBytes(t, bytes.Join(v[:b.PeekInto(v, n)], nil), p[:n])
		return p
	}},
	{"WriteAtMost", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		var w bytes.Buffer
		if k, err := b.WriteAtMost(&w, n); k != n || err != nil {
			t.Fatalf("WriteAtMost = %d, %v", k, err)
		}
		wantBytes(t, w.Bytes(), p[:n])
		return p[n:]
	}},
	{"View", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		v := b.View(n)
		q, err := io.ReadAll(&v)
		if err != nil {
			t.Fatal(err)
		}
		wantBytes(t, q, p[:n])
		return p
	}},
	{"Settle", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		b.Drain(n)
		b.Settle()
		return p[n:]
	}},
	{"Load", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		if err := b.Load(n); err != nil {
			t.Fatal(err)
		}
		return p
	}},
	{"AppendTo", func(t *testing.T, b *buffer.Buffer, p []byte, n int) []byte {
		wantBytes(t, b.AppendTo(slices.Clone(p[:n])), slices.Concat(p[:n], p))
		return p
	}},
}

func TestFillByOperation(t *testing.T) {
	sizes := []int{1, 2, 513, 5000, 70_001}
	if invariants.Enabled {
		sizes = []int{1, 513, 5000}
	}
	for _, f := range fills {
		for _, op := range fillOps {
			t.Run(f.name+"/"+op.name, func(t *testing.T) {
				for _, size := range sizes {
					p := pattern(size)
					for _, n := range borders(f.fill, p) {
						var b buffer.Buffer
						f.fill(&b, p)
						left := op.do(t, &b, p, n)
						b.Check()
						if !bytes.Equal(b.ToBytes(), left) {
							t.Fatalf("%d bytes, n = %d: %d bytes left, want %d", size, n, b.Len(), len(left))
						}
						b.Reset()
						wantInt(t, b.Cap(), 0)
					}
				}
			})
		}
	}
}

// borders returns 0, the length, and what lies on and beside the first and last borders of segments.
func borders(fill func(*buffer.Buffer, []byte), p []byte) []int {
	var b buffer.Buffer
	fill(&b, p)
	defer b.Reset()
	at, n := []int{0, 1, len(p) / 2, len(p) - 1, len(p)}, 0
	lens := b.Segments()
	for i, l := range lens {
		if n += l; i < 2 || i >= len(lens)-3 {
			at = append(at, n-1, n, n+1)
		}
	}
	slices.Sort(at)
	at = slices.Compact(at)
	return slices.DeleteFunc(at, func(n int) bool { return n < 0 || n > len(p) })
}

func wantInt(t *testing.T, got, want int) {
	t.Helper()
	if got != want {
		t.Fatalf("got %d, want %d", got, want)
	}
}

func wantBytes(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes %.40q, want %d bytes %.40q", len(got), got, len(want), want)
	}
}

func wantString(t *testing.T, b *buffer.Buffer, want string) {
	t.Helper()
	b.Check()
	if got := b.String(); got != want || b.Len() != len(want) {
		t.Fatalf("got %d bytes %.40q, want %d bytes %.40q", b.Len(), got, len(want), want)
	}
}

// wantPanic runs f and returns what it panics with, which must contain text.
func wantPanic(t *testing.T, text string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if p := recover(); p == nil || !bytes.Contains([]byte(fmt.Sprint(p)), []byte(text)) {
			t.Errorf("panic %v, want one with %q", p, text)
		}
	}()
	f()
}

package buffer_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bevgo/bev/buffer"
)

// The second half of libevent's test/regress_buffer.c.

func TestRegressCallbacks(t *testing.T) {
	var b buffer.Buffer
	var log []string
	write := func(name string) func(buffer.Change) {
		return func(ch buffer.Change) {
			log = append(log, fmt.Sprintf("%s%d->%d", name, ch.OrigLen, ch.OrigLen+ch.Added-ch.Removed))
		}
	}
	said := func(want ...string) {
		t.Helper()
		if !slices.Equal(log, want) {
			t.Fatalf("callbacks said %q, want %q", log, want)
		}
		log = nil
	}
	one := b.AddCallback(write("a"))
	two := b.AddCallback(write("b"))
	fmt.Fprintf(&b, "This will not wrap around.")
	said("b0->26", "a0->26") // newest first, as libevent's
	b.Drain(3)
	said("b26->23", "a26->23")
	two.Disable()
	b.AppendString("x")
	said("a23->24")
	two.Enable()
	one.Remove()
	b.Drain(0)
	said()
	b.Drain(1000)
	said("b24->0")
	b.Drain(1) // nothing there: nobody told
	said()

	// A callback that drains what was added: it is told of its own change, nested.
	two.Remove()
	b.AddCallback(func(ch buffer.Change) {
		write("c")(ch)
		b.Drain(ch.Added)
	})
	b.AppendString("abcd")
	said("c0->4", "c4->0")
	wantInt(t, b.Len(), 0)
}

func TestRegressAddReference(t *testing.T) {
	var one, two buffer.Buffer
	var log []string
	add := func(b *buffer.Buffer, s string) {
		b.AppendOwned([]byte(s), func() { log = append(log, s) })
	}
	add(&one, "first")
	add(&one, "second")
	add(&one, "third")
	one.Drain(5)
	wantInt(t, len(log), 1)
	two.Move(&one, 9) // all of the second and part of the third
	wantString(t, &two, "secondthi")
	wantString(t, &one, "rd")
	one.Reset()
	two.Drain(6)
	if two.Reset(); !slices.Equal(log, []string{"first", "third", "second"}) { // a part of the third was copied
		t.Errorf("released in the order %q", log)
	}
}

func TestRegressAddReferenceWithOffset(t *testing.T) { // an offset is a slice expression here
	var b buffer.Buffer
	p, released := []byte("hello, world"), 0
	b.AppendOwned(p[7:], func() { released++ })
	wantString(t, &b, "world")
	b.Drain(5)
	wantInt(t, released, 1)
	wantBytes(t, p, []byte("hello, world"))
}

func TestRegressMulticast(t *testing.T) {
	var src, one, two, nested buffer.Buffer
	src.AppendString("first ")
	released := 0
	src.AppendOwned([]byte("second"), func() { released++ })
	wantInt(t, one.Share(&src), 12)
	wantInt(t, two.Share(&src), 12)
	wantInt(t, nested.Share(&one), 12) // libevent refuses this
	one.Drain(3)
	two.Drain(10)
	src.Reset()
	wantString(t, &one, "st second")
	wantString(t, &two, "nd")
	wantString(t, &nested, "first second")
	one.Reset()
	nested.Reset()
	wantInt(t, released, 0)
	two.Reset()
	wantInt(t, released, 1)
}

func TestRegressMulticastDrain(t *testing.T) {
	var src, dst buffer.Buffer
	src.AppendString("first second ")
	dst.AppendString("third ")
	dst.Share(&src)
	dst.Drain(dst.Len() - 1)
	dst.Drain(1)
	wantInt(t, dst.Len(), 0)
	wantString(t, &src, "first second ")
	src.Drain(6)
	wantString(t, &src, "second ")
}

func TestRegressPrepend(t *testing.T) {
	var b, tmp buffer.Buffer
	var last buffer.Change
	b.AddCallback(func(ch buffer.Change) { last = ch })
	b.AppendString("Hello")
	b.Prepend([]byte("...")) // before the first byte
	wantString(t, &b, "...Hello")
	b.Drain(4)
	b.Prepend([]byte("It is a J")) // more than what was drained
	wantString(t, &b, "It is a Jello")
	b.Drain(b.Len())
	b.Prepend([]byte("abc")) // into nothing
	wantString(t, &b, "abc")
	b.Prepend(pattern(8096)) // more than a segment
	if last != (buffer.Change{OrigLen: 3, Added: 8096}) {
		t.Errorf("callback heard %+v", last)
	}
	wantString(t, &b, string(pattern(8096))+"abc")
	b.Prepend(nil)
	tmp.AppendString("buffer ")
	wantInt(t, b.PrependBuffer(&tmp), 7)
	wantInt(t, tmp.Len(), 0)
	wantInt(t, b.PrependBuffer(&tmp), 0)
	wantString(t, &b, "buffer "+string(pattern(8096))+"abc")
}

func TestRegressEmptyReferencePrepend(t *testing.T) {
	var b, src buffer.Buffer
	b.AppendOwned([]byte{}, nil)
	b.Prepend([]byte("foo"))
	src.AppendOwned([]byte{}, nil)
	b.PrependBuffer(&src)
	wantString(t, &b, "foo")
	b.Reset()
	src.AppendString("foo")
	b.AppendOwned([]byte{}, nil)
	b.PrependBuffer(&src) // empty_reference_prepend_buffer
	wantString(t, &b, "foo")
}

func TestRegressPeek(t *testing.T) {
	var b, tmp buffer.Buffer
	var v [20][]byte
	wantInt(t, b.PeekInto(v[:], -1), 0)
	b.AppendString("Contents of chunk [0]\n")
	for i := 1; i < 16; i++ {
		fmt.Fprintf(&tmp, "Contents of chunk [%d]\n", i)
		b.AppendOwned(tmp.ToBytes(), nil)
		tmp.Reset()
	}
	all := b.String()
	wantInt(t, b.NumExtents(-1), 16)
	wantInt(t, b.PeekInto(v[:], -1), 16)
	wantBytes(t, bytes.Join(v[:16], nil), []byte(all))
	wantInt(t, b.PeekInto(v[:3], -1), 3)    // no more than fit
	wantInt(t, b.NumExtents(4000), 16)      // more than there is
	wantInt(t, b.PeekInto(v[:], 22), 1)     // exactly one
	wantInt(t, b.PeekInto(v[:], 23), 2)     // a byte of the second
	wantInt(t, len(v[1]), 1)                //
	wantInt(t, b.PeekFrom(v[:], 30, 50), 3) // from a position, over borders
	wantBytes(t, bytes.Join(v[:3], nil), []byte(all[30:80]))
	wantInt(t, b.PeekFrom(v[:], len(all)-4, -1), 1)
	wantBytes(t, v[0], []byte(all[len(all)-4:]))
	wantInt(t, b.PeekFrom(v[:], len(all), -1), 0) // at the end
	wantInt(t, b.PeekInto(nil, -1), 0)
	wantString(t, &b, all)
}

func TestRegressPeekFirstGt(t *testing.T) { // a start within a first segment that is longer than what is asked for
	var b buffer.Buffer
	b.AppendString("Contents of chunk 1 in a first segment")
	b.AppendOwned([]byte("and a second"), nil)
	var v [2][]byte
	wantInt(t, b.PeekFrom(v[:], 9, 2), 1)
	wantBytes(t, v[0], []byte("of"))
	wantInt(t, b.PeekFrom(v[:], 33, 10), 2)
	wantBytes(t, slices.Concat(v[0], v[1]), []byte("gmentand a"))
}

func TestRegressFreezeStart(t *testing.T) {
	b, other, owned := frozen(buffer.Front)
	mustPanicFrozen(t, map[string]func(){
		"Drain":         func() { b.Drain(1) },
		"Drain none":    func() { b.Drain(0) },
		"Move":          func() { other.Move(b, 1) },
		"MoveAll":       func() { other.MoveAll(b) },
		"Prepend":       func() { b.Prepend([]byte("x")) },
		"PrependBuffer": func() { b.PrependBuffer(other) },
		"prepended":     func() { other.PrependBuffer(b) },
		"Reset":         func() { b.Reset() },
	})
	mustReturnFrozen(t, map[string]func() error{
		"Read":        func() error { _, err := b.Read(make([]byte, 1)); return err },
		"ReadByte":    func() error { _, err := b.ReadByte(); return err },
		"ReadLine":    func() error { _, err := b.ReadLine(nil, buffer.LF, -1); return err },
		"WriteTo":     func() error { _, err := b.WriteTo(&bytes.Buffer{}); return err },
		"WriteAtMost": func() error { _, err := b.WriteAtMost(&bytes.Buffer{}, 1); return err },
		"Parse":       func() error { return b.Parse(nil) },
	})
	wantString(t, b, "frozen\n")
	wantString(t, other, "other")
	b.AppendString("back") // the other end is free
	b.CopyOut(make([]byte, 4), 0)
	b.PullUp(4)
	b.Reserve(10)
	b.Commit(0)
	b.Grow(10)
	b.MoveAll(owned)
	wantString(t, b, "frozen\nbackowned")
	wantInt(t, b.DrainQuiet(7), 7)
	b.Unfreeze(buffer.Front)
	wantInt(t, b.Drain(4), 4)
}

func TestRegressFreezeEnd(t *testing.T) {
	b, other, _ := frozen(buffer.Back)
	mustPanicFrozen(t, map[string]func(){
		"Append":       func() { b.Append([]byte("x")) },
		"Append none":  func() { b.Append(nil) },
		"AppendString": func() { b.AppendString("x") },
		"AppendAll":    func() { b.AppendAll([][]byte{{1}}) },
		"AppendOwned":  func() { b.AppendOwned([]byte("x"), nil) },
		"Move":         func() { b.Move(other, 1) },
		"MoveAll":      func() { b.MoveAll(other) },
		"Share":        func() { b.Share(other) },
		"Reserve":      func() { b.Reserve(1) },
		"ReserveInto":  func() { b.ReserveInto(make([][]byte, 2), 1) },
		"Grow":         func() { b.Grow(1) },
	})
	mustReturnFrozen(t, map[string]func() error{
		"Write":       func() error { _, err := b.Write([]byte("x")); return err },
		"WriteString": func() error { _, err := b.WriteString("x"); return err },
		"WriteByte":   func() error { return b.WriteByte('x') },
		"ReadFrom":    func() error { _, err := b.ReadFrom(strings.NewReader("x")); return err },
		"ReadOnce":    func() error { _, err := b.ReadOnce(strings.NewReader("x"), 1); return err },
		"AppendFile":  func() error { return b.AppendFile(strings.NewReader("x"), 0, 1, nil) },
	})
	wantString(t, b, "frozen\n")
	wantString(t, other, "other")
	b.Prepend([]byte("front ")) // the other end is free
	wantInt(t, other.Share(b), 13)
	if line, err := b.ReadLine(nil, buffer.LF, -1); string(line) != "front frozen" || err != nil {
		t.Errorf("ReadLine = %q, %v", line, err)
	}
	b.Unfreeze(buffer.Back)
	b.AppendString("x")
	wantString(t, b, "x")
}

// frozen returns a Buffer with one end frozen and two to try things with.
func frozen(end buffer.End) (b, other, owned *buffer.Buffer) {
	b, other, owned = new(buffer.Buffer), new(buffer.Buffer), new(buffer.Buffer)
	b.AppendString("frozen\n")
	other.AppendString("other")
	owned.AppendOwned([]byte("owned"), nil)
	b.Freeze(end)
	return b, other, owned
}

func mustPanicFrozen(t *testing.T, calls map[string]func()) {
	t.Helper()
	for name, f := range calls {
		func() {
			defer func() {
				if err, _ := recover().(error); !errors.Is(err, buffer.ErrFrozen) {
					t.Errorf("%s: panic %v, want ErrFrozen", name, err)
				}
			}()
			f()
		}()
	}
}

func mustReturnFrozen(t *testing.T, calls map[string]func() error) {
	t.Helper()
	for name, f := range calls {
		if err := f(); !errors.Is(err, buffer.ErrFrozen) {
			t.Errorf("%s: error %v, want ErrFrozen", name, err)
		}
	}
}

func TestRegressAddIovec(t *testing.T) {
	var b buffer.Buffer
	v := [][]byte{[]byte("Guilt resembles a sword with two edges."), nil, []byte("On the one hand, it cuts for Justice"), pattern(4096)}
	want := bytes.Join(v, nil)
	wantInt(t, b.AppendAll(v), len(want))
	wantString(t, &b, string(want))
	wantInt(t, b.AppendAll(nil), 0)
}

func TestRegressCopyout(t *testing.T) {
	const text = "This is the string to copy out, in more pieces than one."
	var b buffer.Buffer
	for i := 0; i < len(text); i += 10 {
		b.AppendOwned([]byte(text[i:min(i+10, len(text))]), nil)
	}
	p := make([]byte, 100)
	for _, c := range []struct{ n, from int }{{4, 0}, {15, 0}, {100, 0}, {7, 9}, {100, 33}, {1, 55}, {1, 56}, {0, 3}} {
		k := b.CopyOut(p[:c.n], c.from)
		wantBytes(t, p[:k], []byte(text[c.from:min(c.from+c.n, len(text))]))
	}
	wantString(t, &b, text)
}

func TestRegressFileSegmentAddCleanupCb(t *testing.T) {
	f, err := buffer.NewFile(strings.NewReader("0123456789"), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	var b buffer.Buffer
	cleaned := 0
	f.AddCleanup(func() { cleaned++ })
	if err := b.AppendFileRange(f, 2, 5); err != nil {
		t.Fatal(err)
	}
	f.Release()
	wantString(t, &b, "23456")
	wantInt(t, cleaned, 0)
	b.Reset()
	wantInt(t, cleaned, 1)
}

func TestRegressPullupWithEmpty(t *testing.T) {
	var b buffer.Buffer
	if b.PullUp(-1) != nil || b.PullUp(0) != nil || b.PullUp(1) != nil {
		t.Error("PullUp of nothing gave something")
	}
	b.AppendOwned(nil, nil)
	b.AppendString("foo")
	b.AppendOwned(nil, nil)
	b.AppendOwned([]byte("foo"), nil)
	wantBytes(t, b.PullUp(2), []byte("fo"))
	wantBytes(t, b.PullUp(4), []byte("foof"))
	wantBytes(t, b.PullUp(-1), []byte("foofoo"))
	if b.PullUp(7) != nil {
		t.Error("PullUp gave more than there is")
	}
}

func TestRegressAddFileLeak1(t *testing.T) { // a file of length 0: nothing is added, nothing leaks
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	var b buffer.Buffer
	if err := b.AppendFile(file, 0, 0, func() { file.Close() }); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file was not closed: %v", err)
	}
}

// add_file_*, add_big_file_*, add_file_offset_*, _offset2_*, _offset3_*: contents through a socketpair there, through
// each way of reading here.
func TestRegressAddFile(t *testing.T) {
	for _, size := range []int{20, 3000, 512 << 10} {
		data := pattern(size)
		name := filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, r := range [][2]int64{{0, -1}, {4, -1}, {4, 10}, {int64(size) - 5, 5}} {
			want := data[r[0]:]
			if r[1] >= 0 {
				want = want[:r[1]]
			}
			for way, read := range fileReaders {
				file, err := os.Open(name)
				if err != nil {
					t.Fatal(err)
				}
				var b buffer.Buffer
				b.AppendString("head")
				if err := b.AppendFile(file, r[0], r[1], func() { file.Close() }); err != nil {
					t.Fatal(err)
				}
				b.AppendString("tail")
				got, err := read(&b)
				if err != nil || string(got) != "head"+string(want)+"tail" {
					t.Errorf("%s of %d bytes from %d: %d bytes, %v", way, r[1], r[0], len(got), err)
				}
				b.Reset()
				if err := file.Close(); !errors.Is(err, os.ErrClosed) {
					t.Errorf("%s: the file was not closed: %v", way, err)
				}
			}
		}
	}
}

var fileReaders = map[string]func(b *buffer.Buffer) ([]byte, error){
	"WriteTo": func(b *buffer.Buffer) ([]byte, error) {
		var w bytes.Buffer
		_, err := b.WriteTo(&w)
		return w.Bytes(), err
	},
	"PullUp": func(b *buffer.Buffer) ([]byte, error) { return b.PullUp(-1), nil },
	"Read": func(b *buffer.Buffer) ([]byte, error) {
		p := make([]byte, b.Len())
		n, err := b.Read(p)
		return p[:n], err
	},
	"moved in parts": func(b *buffer.Buffer) ([]byte, error) {
		var dst buffer.Buffer
		for b.Len() > 0 {
			dst.Move(b, 1+b.Len()/3)
		}
		defer dst.Reset()
		return dst.ToBytes(), nil
	},
	"by hand, as sendfile": func(b *buffer.Buffer) (out []byte, err error) {
		for b.Len() > 0 {
			if r, off, n, ok := b.HeadFile(); ok {
				p := make([]byte, min(n, 1000))
				k, err := r.ReadAt(p, off)
				if k == 0 {
					return out, err
				}
				out = append(out, p[:k]...)
				b.DrainQuiet(k)
				continue
			}
			var v [3][]byte
			for _, p := range v[:b.PeekInto(v[:], -1)] {
				out = append(out, p...)
				b.DrainQuiet(len(p))
			}
		}
		return out, nil
	},
}

package buffer_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/bevgo/bev/buffer"
)

func TestIotest(t *testing.T) {
	for _, f := range fills {
		for _, size := range []int{1, 2000, 70_001} {
			p := pattern(size)
			var b buffer.Buffer
			f.fill(&b, p)
			if err := iotest.TestReader(&b, p); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
			f.fill(&b, p)
			v := b.View(size)
			if err := iotest.TestReader(&v, p); err != nil {
				t.Errorf("%s, View: %v", f.name, err)
			}
			b.Reset()
		}
	}
}

func TestReadFrom(t *testing.T) {
	p := pattern(300_000)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"plain":          func(r io.Reader) io.Reader { return r },
		"one byte":       iotest.OneByteReader,
		"half":           iotest.HalfReader,
		"data and error": iotest.DataErrReader,
	} {
		var b buffer.Buffer
		q := p
		if name == "one byte" {
			q = p[:5000]
		}
		n, err := b.ReadFrom(wrap(struct{ io.Reader }{bytes.NewReader(q)}))
		if n != int64(len(q)) || err != nil {
			t.Fatalf("%s: ReadFrom = %d, %v", name, n, err)
		}
		wantBytes(t, b.ToBytes(), q)
		if c := b.Cap(); c > 4*len(q)+buffer.MinSegment {
			t.Errorf("%s: %d bytes keep %d", name, len(q), c)
		}
	}
	broken := errors.New("broken")
	var b buffer.Buffer
	n, err := b.ReadFrom(io.MultiReader(strings.NewReader("before"), iotest.ErrReader(broken)))
	if n != 6 || err != broken {
		t.Errorf("ReadFrom = %d, %v", n, err)
	}
	wantString(t, &b, "before")
	if n, err := b.ReadFrom(lazyReader{}); n != 0 || err != io.ErrNoProgress {
		t.Errorf("ReadFrom a reader that reads nothing = %d, %v", n, err)
	}
	wantPanic(t, "impossible count", func() { b.ReadFrom(countReader(-1)) })
	wantPanic(t, "impossible count", func() { b.ReadFrom(countReader(1 << 20)) })
	wantString(t, &b, "before")
}

// lazyReader reads nothing, without an error.
type lazyReader struct{}

func (lazyReader) Read([]byte) (int, error) { return 0, nil }

// countReader and countWriter claim to have moved that many bytes.
type countReader int

func (n countReader) Read([]byte) (int, error) { return int(n), nil }

type countWriter int

func (n countWriter) Write([]byte) (int, error) { return int(n), nil }

func TestReadOnce(t *testing.T) {
	var b buffer.Buffer
	r := bytes.NewReader(pattern(200_000))
	wantInt(t, b.MaxRead(), 64<<10)
	for _, c := range []struct{ limit, n, want int }{
		{0, 10, 10}, {0, 0, 0}, {0, -1, 64 << 10}, {0, 1 << 20, 64 << 10}, {100, -1, 100}, {100, 50, 50},
		{1 << 20, -1, 200_000 - 2*(64<<10) - 160},
	} {
		b.SetMaxRead(c.limit)
		if n, err := b.ReadOnce(r, c.n); n != c.want || err != nil {
			t.Errorf("ReadOnce(%d) with MaxRead %d = %d, %v; want %d", c.n, b.MaxRead(), n, err, c.want)
		}
	}
	wantBytes(t, b.ToBytes(), pattern(200_000))
	if n, err := b.ReadOnce(r, -1); n != 0 || err != io.EOF {
		t.Errorf("ReadOnce at the end = %d, %v", n, err)
	}
	b.SetMaxRead(-5)
	wantInt(t, b.MaxRead(), 64<<10)
}

func TestWriteTo(t *testing.T) {
	broken := errors.New("broken")
	fill := func() *buffer.Buffer {
		b := new(buffer.Buffer)
		for range 3 {
			b.AppendOwned([]byte("0123456789"), nil)
		}
		return b
	}
	b := fill()
	var w bytes.Buffer
	if n, err := b.WriteTo(&w); n != 30 || err != nil || b.Len() != 0 || w.Len() != 30 {
		t.Errorf("WriteTo = %d, %v; %d left", n, err, b.Len())
	}
	if n, err := b.WriteTo(&w); n != 0 || err != nil {
		t.Errorf("WriteTo of nothing = %d, %v", n, err)
	}
	b = fill()
	if n, err := b.WriteTo(failWriter{15, broken}.writer()); n != 15 || err != broken {
		t.Errorf("WriteTo = %d, %v", n, err)
	}
	wantString(t, b, "567890123456789")
	if n, err := b.WriteTo(failWriter{3, nil}.writer()); n != 3 || err != io.ErrShortWrite {
		t.Errorf("WriteTo = %d, %v", n, err)
	}
	wantPanic(t, "impossible count", func() { b.WriteTo(countWriter(-1)) })
	wantPanic(t, "impossible count", func() { b.WriteTo(countWriter(11)) })
	wantString(t, b, "890123456789")
	w.Reset()
	if n, err := b.WriteAtMost(&w, 5); n != 5 || err != nil || w.String() != "89012" {
		t.Errorf("WriteAtMost(5) = %d, %v: %q", n, err, w.String())
	}
	if n, err := b.WriteAtMost(&w, -1); n != 7 || err != nil {
		t.Errorf("WriteAtMost(-1) = %d, %v", n, err)
	}
}

// failWriter takes n bytes in all, then returns err.
type failWriter struct {
	n   int
	err error
}

func (f failWriter) writer() io.Writer { return &f }

func (f *failWriter) Write(p []byte) (int, error) {
	k := min(len(p), f.n)
	f.n -= k
	if k < len(p) {
		return k, f.err
	}
	return k, nil
}

func TestCopyBetweenBuffers(t *testing.T) {
	var a, b buffer.Buffer
	a.Append(pattern(100_000))
	if n, err := io.Copy(&b, &a); n != 100_000 || err != nil {
		t.Fatalf("io.Copy = %d, %v", n, err)
	}
	wantBytes(t, b.ToBytes(), pattern(100_000))
	wantInt(t, a.Cap(), 0)
}

func TestByteFaces(t *testing.T) {
	var b buffer.Buffer
	if _, err := b.ReadByte(); err != io.EOF {
		t.Errorf("ReadByte of nothing: %v", err)
	}
	if b.UnreadByte() == nil {
		t.Error("UnreadByte before any ReadByte")
	}
	b.WriteByte('a')
	b.WriteString("bc")
	for _, after := range []func(){func() { b.AppendString("d") }, func() { b.Prepend([]byte("x")) }, func() { b.Drain(0) },
		func() { b.Commit(len(b.Reserve(1))) }, func() { b.UnreadByte() }, func() { b.PullUp(2); b.AppendAll(nil) }} {
		if _, err := b.ReadByte(); err != nil {
			t.Fatal(err)
		}
		after()
		if b.UnreadByte() == nil {
			t.Error("UnreadByte although b has changed")
		}
		b.AppendString("abc")
	}
	b.Reset()
	b.AppendString("last")
	for _, want := range "last" {
		c, err := b.ReadByte()
		if c != byte(want) || err != nil {
			t.Fatalf("ReadByte = %q, %v", c, err)
		}
	}
	if err := b.UnreadByte(); err != nil { // the Buffer is empty, its memory gone: it works all the same
		t.Fatal(err)
	}
	wantString(t, &b, "t")
	b.ReadByte()
	b.Freeze(buffer.Front)
	if err := b.UnreadByte(); !errors.Is(err, buffer.ErrFrozen) {
		t.Errorf("UnreadByte on a frozen front: %v", err)
	}
	wantInt(t, b.Len(), 0)
}

// A callback that changes the Buffer makes UnreadByte impossible, as any other change does.
func TestUnreadByteAfterCallback(t *testing.T) {
	var b buffer.Buffer
	b.AppendString("abc")
	b.AddCallback(func(ch buffer.Change) {
		if ch.Removed == 1 {
			b.Drain(2)
		}
	})
	if _, err := b.ReadByte(); err != nil {
		t.Fatal(err)
	}
	if b.UnreadByte() == nil {
		t.Error("UnreadByte put a byte in front of others")
	}
	wantInt(t, b.Len(), 0)
}

func TestViewReadAt(t *testing.T) {
	var b buffer.Buffer
	b.AppendString("0123456789")
	b.AppendOwned([]byte("abc"), nil)
	p := make([]byte, 4)
	for _, c := range []struct {
		limit int
		off   int64
		want  string
		err   error
	}{
		{10, 0, "0123", nil}, {10, 6, "6789", nil}, {10, 7, "789", io.EOF}, {10, 10, "", io.EOF},
		{10, math.MaxInt64, "", io.EOF}, {-1, 8, "89ab", nil}, {-1, 10, "abc", buffer.ErrNeedMore},
		{-1, 13, "", buffer.ErrNeedMore}, {13, 11, "bc", io.EOF}, {14, 11, "bc", buffer.ErrNeedMore},
	} {
		v := b.View(c.limit)
		n, err := v.ReadAt(p, c.off)
		if string(p[:n]) != c.want || err != c.err {
			t.Errorf("View(%d).ReadAt(%d) = %q, %v", c.limit, c.off, p[:n], err)
		}
		if _, err := v.ReadAt(p, -1); err == nil || err == io.EOF {
			t.Errorf("ReadAt(-1): %v", err)
		}
	}
}

func TestFixedPeeks(t *testing.T) {
	for _, f := range fills {
		var b buffer.Buffer
		p := pattern(1000)
		f.fill(&b, p)
		for _, at := range []int{0, 5, 99, 299, 510, 992, 996, 998, 999, 1000, 5000} {
			p2, ok2 := b.Peek2(at)
			p4, ok4 := b.Peek4(at)
			p8, ok8 := b.Peek8(at)
			for _, c := range []struct {
				got []byte
				ok  bool
			}{{p2[:], ok2}, {p4[:], ok4}, {p8[:], ok8}} {
				if want := at+len(c.got) <= len(p); c.ok != want || want && !bytes.Equal(c.got, p[at:at+len(c.got)]) {
					t.Errorf("%s: %d bytes at %d: %v, %v", f.name, len(c.got), at, c.got, c.ok)
				}
			}
		}
		wantBytes(t, b.ToBytes(), p)
		b.Reset()
	}
}

func TestExtents(t *testing.T) {
	for _, f := range fills {
		var b buffer.Buffer
		p := pattern(5000)
		f.fill(&b, p)
		var got []byte
		for e := range b.Extents() {
			if len(e) == 0 || cap(e) != len(e) {
				t.Errorf("%s: an extent of %d with capacity %d", f.name, len(e), cap(e))
			}
			got = append(got, e...)
		}
		wantBytes(t, got, p)
		for e := range b.Extents() {
			b.Drain(len(e)) // allowed with the break
			break
		}
		v := net.Buffers(b.AppendExtents(nil))
		var w bytes.Buffer
		if n, err := v.WriteTo(&w); int(n) != b.Len() || err != nil {
			t.Errorf("%s: net.Buffers wrote %d of %d, %v", f.name, n, b.Len(), err)
		}
		b.Reset()
	}
	var b buffer.Buffer
	appendFile(&b, []byte("file"))
	wantInt(t, len(b.AppendExtents(nil)), 0) // not loaded
	wantInt(t, b.PeekInto(make([][]byte, 1), -1), 0)
}

package buffer_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bevgo/bev/buffer"
)

// One test for each case of libevent's test/regress_buffer.c, under its name. Where libevent's case is about chains of
// length zero, which cannot exist here, the test does the steps that made them there.

func TestRegressEvbuffer(t *testing.T) {
	var b, tmp buffer.Buffer
	fmt.Fprintf(&b, "%s/%d", "hello", 1)
	wantString(t, &b, "hello/1")
	tmp.AppendString("hello")
	tmp.MoveAll(&b)
	wantString(t, &b, "")
	wantString(t, &tmp, "hellohello/1")
	wantInt(t, tmp.Drain(5), 5)
	wantInt(t, tmp.Move(&b, 2), 0)
	wantInt(t, b.Move(&tmp, 2), 2)
	wantString(t, &b, "he")
	b.Prepend([]byte("t"))
	wantString(t, &b, "the")
	b.Reset()
	tmp.Reset()

	for i := range 100 { // reserve and commit of 10000 bytes with drains in between
		p := b.Reserve(10_000)
		for j := range p {
			p[j] = byte(i)
		}
		b.Commit(10_000)
		wantInt(t, b.Drain(100+i), 100+i)
		if c := b.PullUp(1)[0]; i > 0 && c > byte(i) {
			t.Fatalf("step %d: first byte is %d", i, c)
		}
	}
	wantInt(t, b.Len(), 100*10_000-100*100-99*100/2)
}

func TestRegressRemoveBufferWithEmpty(t *testing.T) {
	var src, dst buffer.Buffer
	src.AppendString("foo")
	src.AppendOwned(nil, nil)
	wantInt(t, dst.Move(&src, 3), 3)
	wantString(t, &dst, "foo")
	wantString(t, &src, "")
}

func TestRegressRemoveBufferWithEmpty2(t *testing.T) {
	var src, dst buffer.Buffer
	src.AppendString("foofoofoo")
	src.AppendOwned(nil, nil)
	dst.AppendOwned(nil, nil)
	for i := 1; i <= 3; i++ {
		wantInt(t, dst.Move(&src, 3), 3)
		wantString(t, &dst, strings.Repeat("foo", i))
	}
}

func TestRegressRemoveBufferWithEmpty3(t *testing.T) {
	var src, dst buffer.Buffer
	src.AppendString("foo")
	src.AppendOwned(nil, nil)
	src.AppendString("foo")
	dst.AppendString("foo")
	dst.AppendOwned(nil, nil)
	wantInt(t, dst.Move(&src, 3), 3)
	wantString(t, &dst, "foofoo")
	wantInt(t, dst.Move(&src, 3), 3)
	wantString(t, &dst, "foofoofoo")
}

func TestRegressRemoveBufferWithEmptyFront(t *testing.T) {
	var b, one buffer.Buffer
	b.AppendString("foo")
	b.PrependBuffer(&one)
	wantInt(t, one.Move(&b, 1), 1)
	one.AppendString("bar")
	one.Move(&b, 2)
	wantString(t, &one, "fbaroo")
	wantInt(t, b.MoveAll(&one), 6)
	b.Drain(4)
	b.AppendString("bar")
	wantString(t, &b, "oobar")
}

func TestRegressRemoveBufferAdjustLastWithDatapWithEmpty(t *testing.T) {
	var b, first, last, dst buffer.Buffer
	b.AppendString("aaaaaa")
	var v [2][]byte
	if b.ReserveInto(v[:], 4096) < 1 {
		t.Fatal("nothing reserved")
	}
	first.AppendString("aaaaaabbbbbb")
	b.PrependBuffer(&first)
	last.AppendString("aaaaabbbbb")
	b.MoveAll(&last)
	wantString(t, &b, "aaaaaabbbbbbaaaaaaaaaaabbbbb")
	wantInt(t, dst.Move(&b, 12), 12)
	wantString(t, &dst, "aaaaaabbbbbb")
	wantString(t, &b, "aaaaaaaaaaabbbbb")
}

func TestRegressAddBufferWithEmpty(t *testing.T) {
	var src, dst buffer.Buffer
	src.AppendOwned(nil, nil)
	src.AppendString("foo")
	dst.AppendOwned(nil, nil)
	dst.MoveAll(&src)
	wantString(t, &dst, "foo")
}

func TestRegressAddBufferWithEmpty2(t *testing.T) {
	var src, dst buffer.Buffer
	src.AppendString("foo")
	src.AppendOwned(nil, nil)
	dst.AppendString("foo")
	dst.AppendOwned(nil, nil)
	dst.MoveAll(&src)
	dst.AppendString("foo")
	wantString(t, &dst, "foofoofoo")
}

func TestRegressReserve2(t *testing.T) {
	var b buffer.Buffer
	var v, peek [2][]byte
	n := b.ReserveInto(v[:], 1024)
	wantInt(t, n, 1)
	wantInt(t, len(v[0]), 1024)
	first := &v[0][0]
	fill(v[0], 'X')
	b.Commit(1024 - 103)
	wantInt(t, b.Len(), 921)
	wantInt(t, b.ReserveInto(v[:], 103+60), 2) // what is left of the first, and a second
	if &v[0][0] == first || len(v[0]) != 103 || len(v[1]) != 60 {
		t.Fatalf("reserved %d and %d bytes", len(v[0]), len(v[1]))
	}
	fill(v[0], 'Y')
	fill(v[1], 'Z')
	b.Commit(103 + 60)
	wantInt(t, b.PeekInto(peek[:], -1), 2)
	wantInt(t, len(peek[0]), 1024)
	wantInt(t, len(peek[1]), 60)
	wantString(t, &b, strings.Repeat("X", 921)+strings.Repeat("Y", 103)+strings.Repeat("Z", 60))
}

func fill(p []byte, c byte) {
	for i := range p {
		p[i] = c
	}
}

func TestRegressReserveMany(t *testing.T) {
	for _, before := range []string{"", "add", strings.Repeat("f", 512)} { // reserve_many, _many2 (add), _many3 (fill)
		for limit := 1; limit <= 8; limit++ {
			var b buffer.Buffer
			b.AppendString(before)
			v := make([][]byte, limit)
			for _, n := range []int{100, 4096, 60_000, 70_000, 200_000, 1_000_000} {
				k, total := b.ReserveInto(v, n), 0
				for _, p := range v[:k] {
					total += len(p)
				}
				if k > limit || total != n {
					t.Fatalf("%d bytes in %d extents: %d bytes in %d", n, limit, total, k)
				}
			}
			b.Commit(1)
			wantInt(t, b.Len(), len(before)+1)
			if c := b.Cap(); c > 64<<10 {
				t.Fatalf("1 byte of a million was committed, %d are kept", c)
			}
		}
	}
}

func TestRegressReserveWithEmpty(t *testing.T) {
	var b buffer.Buffer
	b.AppendString("a")
	b.AppendOwned(nil, nil)
	b.Reserve(4096)[0] = 'b'
	b.Commit(1)
	b.AppendString("c")
	wantString(t, &b, "abc")
}

func TestRegressReserveInvalidLastWithDatap(t *testing.T) {
	var b buffer.Buffer
	var v [2][]byte
	b.AppendOwned(nil, nil)
	b.Prepend([]byte("a"))
	b.ReserveInto(v[:], 1)
	b.Commit(0)
	b.Drain(1)
	b.ReserveInto(v[:], 1)
	b.Commit(0)
	wantInt(t, b.ReserveInto(v[:], 4096), 1)
	wantString(t, &b, "")
}

func TestRegressExpand(t *testing.T) {
	var b buffer.Buffer
	b.Grow(20_000)
	wantInt(t, b.Len(), 0)
	if b.Cap() < 20_000 {
		t.Fatalf("Cap = %d after Grow(20000)", b.Cap())
	}
	b.Append(pattern(20_000))
	wantInt(t, b.NumExtents(-1), 1)

	before := b.Cap() // room for one is there
	b.Grow(1)
	wantInt(t, b.Cap(), before)

	b.Reset()
	b.Append(pattern(400)) // what was drained is used again rather than memory added
	b.Drain(300)
	b.Prepend(pattern(300))
	wantInt(t, b.Cap(), 512)

	b.Reset()
	b.Append(pattern(1000)) // and anything after that
	b.Grow(5000)
	b.PullUp(-1)
	b.Append(pattern(5000))
	wantBytes(t, b.ToBytes(), slices.Concat(pattern(1000), pattern(5000)))
}

func TestRegressExpandOverflow(t *testing.T) {
	var b buffer.Buffer
	b.AppendString("hello")
	for _, n := range []int{math.MaxInt, math.MaxInt - 4} {
		wantPanic(t, "what an int can count", func() { b.Grow(n) })
		wantPanic(t, "what an int can count", func() { b.Reserve(n) })
		wantPanic(t, "what an int can count", func() { b.ReserveInto(make([][]byte, 2), n) })
		wantString(t, &b, "hello")
	}
	b.AppendString(" again")
	wantString(t, &b, "hello again")
}

func TestRegressAdd1(t *testing.T) {
	var b buffer.Buffer
	b.AppendString("1")
	b.Grow(2048)
	b.AppendString("2")
	fmt.Fprintf(&b, "%d", 3)
	wantString(t, &b, "123")
}

func TestRegressAdd2(t *testing.T) {
	var b buffer.Buffer
	data := strings.Repeat("P", buffer.MinSegment)
	b.AppendString(data[1:])
	wantInt(t, b.NumExtents(-1), 1)
	b.AppendString("P")
	wantInt(t, b.NumExtents(-1), 1) // exactly full
	b.AppendString("2")
	fmt.Fprintf(&b, "3")
	wantInt(t, b.NumExtents(-1), 2)
	wantString(t, &b, data+"23")
}

func TestRegressReference(t *testing.T) {
	const lorem = "If you take off your clothes, you might get sick, said the old man to the duck."
	var b, dst buffer.Buffer
	released := 0
	b.AppendOwned([]byte(lorem), func() { released++ })
	dst.Move(&b, 16)
	wantString(t, &dst, lorem[:16])
	b.Drain(4)
	b.Prepend([]byte("xyz")) // must not write into the reference
	wantInt(t, released, 0)
	wantString(t, &b, "xyz"+lorem[20:])
	b.Drain(b.Len() - 1)
	wantInt(t, released, 0)
	b.Drain(1)
	wantInt(t, released, 1)
	b.Reset()
	wantInt(t, released, 1)
}

func TestRegressReference2(t *testing.T) {
	var b buffer.Buffer
	b.AppendOwned([]byte("data0"), nil)
	fmt.Fprintf(&b, "data%d", 1)
	wantString(t, &b, "data0data1")
}

func TestRegressIterative(t *testing.T) {
	const text = "If you take off your clothes, you might get sick, said the old man to the duck. Quack, quack, quack. Boo"
	var b buffer.Buffer
	sum := 0
	for range 1000 {
		n, err := fmt.Fprintf(&b, "%s", text[:104])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
		wantInt(t, b.Len(), sum)
		b.Check()
	}
	if waste := b.Cap() - b.Len(); 8*waste >= b.Cap() {
		t.Errorf("%d of %d bytes are not used", waste, b.Cap())
	}
}

func TestRegressReadln(t *testing.T) {
	step := func(b *buffer.Buffer, eol buffer.EOL, want ...string) {
		t.Helper()
		for _, w := range want {
			line, err := b.ReadLine(nil, eol, -1)
			if err != nil || string(line) != w {
				t.Fatalf("ReadLine = %q, %v; want %q", line, err, w)
			}
			b.Check()
		}
	}
	var b buffer.Buffer
	b.AppendString("complex silly newline\r\n\n\r\n\n\rmore\n\r\n\nsilly")
	step(&b, buffer.AnyEOL, "complex silly newline", "more")
	wantString(t, &b, "silly")
	if _, err := b.ReadLine(nil, buffer.AnyEOL, -1); !errors.Is(err, buffer.ErrNeedMore) {
		t.Fatalf("a line without an ending: %v", err)
	}
	b.Reset()
	b.AppendString("\nbuffer\n\r\n\r\n")
	b.AppendString("more\r\r")
	step(&b, buffer.CRLFStrict, "\nbuffer\n", "")
	wantString(t, &b, "more\r\r")
	b.AppendString("\n and then some\r\n")
	step(&b, buffer.CRLFStrict, "more\r", " and then some")
	b.AppendString("l\r\nm\no\r\rp\n")
	step(&b, buffer.CRLF, "l", "m", "o\r\rp")
	b.AppendOwned([]byte("across "), nil)
	b.AppendOwned([]byte("segments\r"), nil)
	b.AppendOwned([]byte("\n"), nil)
	step(&b, buffer.CRLF, "across segments")
	b.AppendString("a\r\nb\n")
	step(&b, buffer.LF, "a\r", "b")
	b.AppendString("zero\x00and\nmore\x00")
	step(&b, buffer.NUL, "zero", "and\nmore")
	wantInt(t, b.Len(), 0)
}

func TestRegressSearchEOL(t *testing.T) {
	var b buffer.Buffer
	b.AppendString("dry\rdays\r\n")
	b.AppendOwned([]byte("\r\n\r\n"), nil)
	b.AppendString("lf\nnul\x00")
	cases := []struct {
		eol            buffer.EOL
		from, at, size int
	}{
		{buffer.AnyEOL, 0, 3, 1}, {buffer.AnyEOL, 4, 8, 6}, {buffer.AnyEOL, 9, 9, 5}, {buffer.AnyEOL, 17, -1, 0},
		{buffer.CRLF, 0, 8, 2}, {buffer.CRLF, 9, 9, 1}, {buffer.CRLF, 10, 10, 2}, {buffer.CRLF, 14, 16, 1},
		{buffer.CRLFStrict, 0, 8, 2}, {buffer.CRLFStrict, 9, 10, 2}, {buffer.CRLFStrict, 13, -1, 0},
		{buffer.LF, 0, 9, 1}, {buffer.LF, 10, 11, 1}, {buffer.LF, 17, -1, 0},
		{buffer.NUL, 0, 20, 1}, {buffer.NUL, 21, -1, 0},
	}
	for _, c := range cases {
		if at, size := b.IndexEOL(c.eol, c.from); at != c.at || size != c.size {
			t.Errorf("IndexEOL(%d, %d) = %d, %d; want %d, %d", c.eol, c.from, at, size, c.at, c.size)
		}
	}
	for eol := buffer.AnyEOL; eol <= buffer.NUL; eol++ {
		if at, size := b.IndexEOL(eol, b.Len()); at != -1 || size != 0 {
			t.Errorf("IndexEOL(%d) at the end = %d, %d", eol, at, size)
		}
		var empty buffer.Buffer
		if at, size := empty.IndexEOL(eol, 0); at != -1 || size != 0 {
			t.Errorf("IndexEOL(%d) of nothing = %d, %d", eol, at, size)
		}
	}
}

func TestRegressFind(t *testing.T) {
	var b buffer.Buffer
	b.AppendString("1\r\n")
	b.Drain(3)
	b.AppendString(strings.Repeat("x", 200) + "\r\n")
	b.Drain(202) // "\r\n" is in the memory still, but not in the Buffer
	wantInt(t, b.Index([]byte("\r\n")), -1)
	b.AppendString("xxx")
	wantInt(t, b.Index([]byte("xy")), -1)
	wantInt(t, b.Index([]byte("xxx")), 0)
	wantInt(t, b.Index([]byte("xxxx")), -1)
}

func TestRegressPtrSet(t *testing.T) { // positions are ints: what a position beyond the end finds is what is left to test
	var b buffer.Buffer
	for _, n := range []int{0, 5, 1000} {
		b.Reset()
		b.Append(pattern(n))
		for _, at := range []int{n, n + 1, math.MaxInt} {
			var v [1][]byte
			if b.PeekFrom(v[:], at, -1) != 0 || b.CopyOut(make([]byte, 1), at) != 0 || b.IndexByte(0, at) != -1 {
				t.Errorf("something was found at %d of %d", at, n)
			}
			want := -1
			if at == n {
				want = n // nothing is found at the end too
			}
			wantInt(t, b.IndexFrom(nil, at), want)
		}
	}
}

func TestRegressSearch(t *testing.T) {
	var b, tmp buffer.Buffer
	b.AppendString("hello, test string ")
	tmp.AppendString("foo bar")
	b.MoveAll(&tmp)
	tmp.AppendString("baz")
	for range 2 {
		b.Share(&tmp)
	}
	text := b.String()
	for _, w := range []string{"h", "foo", "test", "string foo", "bar", "barbaz", "bazbaz", "z", "zz", text, text + "x"} {
		wantInt(t, b.Index([]byte(w)), strings.Index(text, w))
	}
	first := b.Index([]byte("baz"))
	wantInt(t, b.IndexFrom([]byte("baz"), first+1), first+3) // continued
	wantInt(t, b.IndexFrom([]byte("baz"), first+4), -1)
	end := strings.Index(text, "foo")
	wantInt(t, b.IndexRange([]byte("foo"), 0, end+3), end) // ends exactly there
	wantInt(t, b.IndexRange([]byte("foo"), 0, end+2), -1)
	wantInt(t, b.IndexRange([]byte("foo"), end, end+3), end)
	wantInt(t, b.IndexRange([]byte("foo"), end+3, end), -1)
	wantInt(t, b.IndexRange(nil, 4, 4), 4)
	wantInt(t, b.IndexRange([]byte("h"), len(text), -1), -1)
}

package buffer_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bevgo/bev/buffer"
)

// What libevent's evbuffer_readln makes of this text, by experiment, and what is left over; here for every way of
// cutting it in two and into single bytes.
func TestLineEndings(t *testing.T) {
	const text = "a\r\nb\n\nc\rd\r\r\n"
	for eol, want := range map[buffer.EOL][]string{
		buffer.AnyEOL:     {"a", "b", "c", "d"},
		buffer.CRLF:       {"a", "b", "", "c\rd\r"},
		buffer.CRLFStrict: {"a", "b\n\nc\rd\r"},
		buffer.LF:         {"a\r", "b", "", "c\rd\r\r"},
		buffer.NUL:        nil,
	} {
		for at := range len(text) + 1 {
			var b buffer.Buffer
			b.AppendOwned([]byte(text[:at]), nil)
			if at < len(text) {
				cut(&b, []byte(text[at:]), 1+at%3)
			}
			var got, lent []string
			var copied buffer.Buffer
			copied.Share(&b)
			for line := range copied.Lines(eol) {
				lent = append(lent, string(line))
			}
			for {
				line, err := b.ReadLine(nil, eol, -1)
				if err != nil {
					break
				}
				got = append(got, string(line))
			}
			if !slices.Equal(got, want) || !slices.Equal(lent, want) {
				t.Errorf("EOL %d, cut at %d: %q and %q, want %q", eol, at, got, lent, want)
			}
			if left := b.String(); left != copied.String() || eol != buffer.NUL && left != "" {
				t.Errorf("EOL %d, cut at %d: %q is left", eol, at, left)
			}
		}
	}
}

// The limit counts the line without its ending; an ending that is only half there may still come.
func TestLineLimit(t *testing.T) {
	long, more := buffer.ErrLineTooLong, buffer.ErrNeedMore
	for _, c := range []struct {
		text  string
		eol   buffer.EOL
		limit int
		err   error
	}{
		{"", buffer.LF, 0, more}, {"\n", buffer.LF, 0, nil}, {"x", buffer.LF, 0, long}, {"x\n", buffer.LF, 0, long},
		{"abc", buffer.LF, 3, more}, {"abc\n", buffer.LF, 3, nil}, {"abcd", buffer.LF, 3, long}, {"abcd\n", buffer.LF, 3, long},
		{"abc\r", buffer.CRLF, 3, more}, {"abc\r\n", buffer.CRLF, 3, nil}, {"abc\rd", buffer.CRLF, 3, long},
		{"abc\n", buffer.CRLF, 3, nil}, {"abc\r\r", buffer.CRLF, 3, long}, {"abcd\r", buffer.CRLF, 3, long},
		{"abc\r", buffer.CRLFStrict, 3, more}, {"abc\r\n", buffer.CRLFStrict, 3, nil}, {"abc\n", buffer.CRLFStrict, 3, long},
		{"a\n\r\n", buffer.CRLFStrict, 3, nil}, {"a\nb\r\n", buffer.CRLFStrict, 2, long},
		{"abc\r", buffer.AnyEOL, 3, nil}, {"abc", buffer.AnyEOL, 3, more}, {"abcd", buffer.AnyEOL, 3, long},
		{"abc\x00", buffer.NUL, 3, nil}, {"abcd\x00", buffer.NUL, 3, long}, {"abc\r", buffer.NUL, 3, long},
		{strings.Repeat("x", 5000), buffer.LF, 4999, long}, {strings.Repeat("x", 5000), buffer.LF, 5000, more},
		{strings.Repeat("x", 5000), buffer.LF, -1, more}, {"abc\n", buffer.LF, math.MaxInt, nil},
	} {
		for _, size := range []int{1, 3, 10_000} {
			var b buffer.Buffer
			cut(&b, []byte(c.text), size)
			line, err := b.ReadLine([]byte("kept "), c.eol, c.limit)
			if !errors.Is(err, c.err) {
				t.Errorf("%.10q, EOL %d, limit %d, segments of %d: %v, want %v", c.text, c.eol, c.limit, size, err, c.err)
			}
			if err != nil && (string(line) != "kept " || b.Len() != len(c.text)) {
				t.Errorf("%.10q: an error, and yet %q was taken", c.text, line)
			}
			b.Reset()
		}
	}
}

func TestAsLine(t *testing.T) {
	var b buffer.Buffer
	b.AppendOwned([]byte("in one piece\r\nin "), nil)
	b.AppendOwned([]byte("two\r"), nil)
	b.AppendOwned([]byte("\n\nrest"), nil)
	for _, want := range []string{"in one piece", "in two", ""} {
		line, size, err := b.AsLine(buffer.CRLF, -1)
		if string(line) != want || err != nil || line == nil {
			t.Fatalf("AsLine = %q, %v; want %q", line, err, want)
		}
		b.Drain(size)
	}
	if line, size, err := b.AsLine(buffer.CRLF, -1); line != nil || size != 0 || !errors.Is(err, buffer.ErrNeedMore) {
		t.Errorf("AsLine = %q, %d, %v", line, size, err)
	}
	if _, _, err := b.AsLine(buffer.CRLF, 3); !errors.Is(err, buffer.ErrLineTooLong) {
		t.Errorf("AsLine of a long line: %v", err)
	}
}

// A loop over Lines that breaks has taken what it saw, no more.
func TestLinesBreak(t *testing.T) {
	var b buffer.Buffer
	b.AppendString("one\ntwo\nthree\nfour")
	for line := range b.Lines(buffer.LF) {
		if string(line) == "two" {
			break
		}
	}
	wantString(t, &b, "three\nfour")
	for line := range b.Lines(buffer.LF) {
		if string(line) != "three" {
			t.Errorf("line %q", line)
		}
	}
	wantString(t, &b, "four")
}

// A text with only CRs, or only LFs, is read in one pass by AnyEOL too: a search for the other byte to the end of the
// Buffer at each line would take minutes here.
func TestAnyEOLIsLinear(t *testing.T) {
	for _, ending := range []string{"\r", "\n"} {
		var b buffer.Buffer
		b.AppendOwned([]byte(strings.Repeat("line"+ending, 400_000)), nil)
		n := 0
		for range b.Lines(buffer.AnyEOL) {
			n++
		}
		wantInt(t, n, 400_000)
		wantInt(t, b.Len(), 0)
	}
}

func TestUnknownEOL(t *testing.T) {
	var b buffer.Buffer
	b.AppendString("x")
	wantPanic(t, "unknown EOL", func() { b.IndexEOL(9, 0) })
	wantPanic(t, "unknown EOL", func() { b.ReadLine(nil, 9, -1) })
}

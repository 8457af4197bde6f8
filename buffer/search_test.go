package buffer_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/invariants"
	"github.com/bevgo/bev/internal/seed"
)

// cut fills b with p in segments of the given length.
func cut(b *buffer.Buffer, p []byte, n int) {
	eachPiece(p, n, func(q []byte) { b.AppendOwned(q, nil) })
}

// Every needle of a text, of lengths around those where the method changes, in segments of every kind of length:
// an alphabet of two letters makes almost-matches at every border.
func TestIndexAgainstBytes(t *testing.T) {
	r := seed.New(t)
	text := make([]byte, 700)
	for i := range text {
		text[i] = "ab"[r.IntN(2)]
	}
	for _, size := range []int{1, 2, 3, 7, 62, 63, 64, 65, 200, 1000} {
		var b buffer.Buffer
		cut(&b, text, size)
		for _, n := range []int{1, 2, 3, 8, 31, 62, 63, 64, 65, 100, 300, 700} {
			for at := 0; at+n <= len(text); at += 1 + n/3 {
				what := text[at : at+n]
				if got, want := b.Index(what), bytes.Index(text, what); got != want {
					t.Fatalf("segments of %d: Index(%d bytes from %d) = %d, want %d", size, n, at, got, want)
				}
				from := at + r.IntN(2)
				want := bytes.Index(text[from:], what)
				if want >= 0 {
					want += from
				}
				if got := b.IndexFrom(what, from); got != want {
					t.Fatalf("segments of %d: IndexFrom(%d bytes, %d) = %d, want %d", size, n, from, got, want)
				}
				missing := append(bytes.Clone(what), 'c')
				wantInt(t, b.Index(missing), -1)
			}
		}
		b.Reset()
	}
}

// Inputs on which a search that starts over after each failure takes the product of both lengths: seconds here become
// days there, which is how this test would fail.
func TestIndexIsLinear(t *testing.T) {
	log := 20
	if invariants.Enabled { // the race detector looks at each byte
		log = 16
	}
	hay := bytes.Repeat([]byte("a"), 1<<log)
	for name, what := range map[string][]byte{
		"last byte differs":  append(bytes.Repeat([]byte("a"), 1<<(log-2)), 'b'),
		"first byte differs": append([]byte("b"), bytes.Repeat([]byte("a"), 1<<(log-2))...),
		"middle differs":     []byte(strings.Repeat("a", 1<<(log-3)) + "b" + strings.Repeat("a", 1<<(log-3))),
		"short":              append(bytes.Repeat([]byte("a"), 62), 'b'),
	} {
		for _, size := range []int{1, 100, 1 << 16} {
			var b buffer.Buffer
			cut(&b, hay, size)
			if got := b.Index(what); got != -1 {
				t.Errorf("%s in segments of %d: found at %d", name, size, got)
			}
			b.AppendOwned(what, nil)
			if got, want := b.Index(what), bytes.Index(append(bytes.Clone(hay), what...), what); got != want {
				t.Errorf("%s in segments of %d: found at %d, want %d", name, size, got, want)
			}
			b.Reset()
		}
	}
}

func TestIndexByte(t *testing.T) {
	var b buffer.Buffer
	cut(&b, []byte("hello, world"), 5)
	for _, c := range []struct {
		c        byte
		from, at int
	}{{'h', 0, 0}, {'h', 1, -1}, {'o', 0, 4}, {'o', 5, 8}, {'d', 0, 11}, {'d', 11, 11}, {'d', 12, -1}, {'x', 0, -1}} {
		wantInt(t, b.IndexByte(c.c, c.from), c.at)
	}
}

// Texts in which the byte that is rare elsewhere is frequent, and the only match comes after all the ways to search
// have been tried: each has to go on exactly where the one before gave up.
func TestIndexChangesItsWay(t *testing.T) {
	for _, what := range []string{"Zebra", "aZ", "Za", "Z~^Q", strings.Repeat("Z", 70), "x" + strings.Repeat("Zy", 40)} {
		last := what[:len(what)-1]
		for _, noise := range []string{"Z", "ZQ", "Z^Q~", "Z" + strings.Repeat("e", 30), last, last + last[:1], what[1:]} {
			for _, count := range []int{1, 10, 20, 40, 80, 400} {
				text := []byte(strings.Repeat(noise, count))
				if at := bytes.Index(text, []byte(what)); at >= 0 {
					text = text[:at] // the noise holds it by itself
				}
				text = append(append(text, what...), noise...)
				want := bytes.Index(text, []byte(what))
				for _, size := range []int{1, 3, 64, 500, 1 << 16} {
					var b buffer.Buffer
					cut(&b, text, size)
					if got := b.Index([]byte(what)); got != want {
						t.Errorf("%d times %q, segments of %d: %q found at %d, want %d", count, noise, size, what, got, want)
					}
					wantInt(t, b.IndexRange([]byte(what), 0, want+len(what)-1), -1)
					wantInt(t, b.IndexRange([]byte(what), want, want+len(what)), want)
					b.Reset()
				}
			}
		}
	}
}

// A match in a file range, or over the border of one, is found as well when the rare byte lies behind it.
func TestIndexRareByteInFile(t *testing.T) {
	for _, what := range []string{"abZ", "Zab", "aZb", "dQe"} {
		text := "cccaaabZabcaZbcdQeccc"
		for from := range len(text) {
			for to := from + 1; to <= len(text); to++ {
				var b buffer.Buffer
				b.AppendString(text[:from])
				if err := b.AppendFile(strings.NewReader(text), int64(from), int64(to-from), nil); err != nil {
					t.Fatal(err)
				}
				b.AppendString(text[to:])
				wantInt(t, b.Index([]byte(what)), strings.Index(text, what))
				b.Reset()
			}
		}
	}
}

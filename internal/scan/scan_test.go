package scan

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/bevgo/bev/internal/seed"
)

// Every length around the steps of the loops, at every alignment, with the byte
// at every place and at none. What lies before and behind is what is looked
// for: nobody may see it.
func TestEveryPlace(t *testing.T) {
	memory := make([]byte, 512)
	for align := range 33 {
		for n := range 300 {
			for i := range memory {
				memory[i] = "ab"[i%2]
			}
			p := memory[align : align+n : align+n]
			clear(p)
			check := func(what string, got, want int) {
				if got != want {
					t.Fatalf("%s in %d bytes at offset %d: %d, want %d", what, n, align, got, want)
				}
			}
			index := func() int { // of 'a', by the loop where Byte would not take it yet
				if fast && n >= vector {
					return indexByte(&p[0], n, 'a')
				}
				return Byte(p, 'a')
			}
			check("no byte", index(), -1)
			check("no pair", Followed(p, 'a', 'b'), -1)
			check("no pair", Preceded(p, 'b', 'a'), -1)
			for i := range n {
				p[i] = 'a'
				check("a byte", index(), i)
				check("half a pair", Followed(p, 'a', 'b'), -1)
				check("half a pair", Preceded(p, 'a', 'b'), -1)
				if i+1 < n {
					p[i+1] = 'b'
					check("a pair", Followed(p, 'a', 'b'), i)
					check("a pair", Preceded(p, 'b', 'a'), i+1)
					p[i+1] = 0
				}
				p[i] = 0
			}
		}
	}
}

// Random bytes of few values: the first of many is the one that is found.
func TestAgainstPackageBytes(t *testing.T) {
	r := seed.New(t)
	for range 20_000 {
		p := make([]byte, r.IntN(1400))
		values := 2 + r.IntN(60)
		for i := range p {
			p[i] = byte(r.IntN(values))
		}
		against(t, p, byte(r.IntN(values)), byte(r.IntN(values)))
	}
}

// against compares with what package bytes finds.
func against(t *testing.T, p []byte, a, b byte) {
	t.Helper()
	if got, want := Byte(p, a), bytes.IndexByte(p, a); got != want {
		t.Fatalf("%d in %v: %d, want %d", a, p, got, want)
	}
	want := bytes.Index(p, []byte{a, b})
	if got := Followed(p, a, b); got != want {
		t.Fatalf("%d before %d in %v: %d, want %d", a, b, p, got, want)
	}
	if want >= 0 {
		want++
	}
	if got := Preceded(p, b, a); got != want {
		t.Fatalf("%d after %d in %v: %d, want %d", b, a, p, got, want)
	}
}

// The fuzzer writes the bytes.
func FuzzScan(f *testing.F) {
	f.Add(bytes.Repeat([]byte("aab"), 100), byte('a'), byte('b'))
	f.Add(append(bytes.Repeat([]byte("a"), 300), "xb"...), byte('x'), byte('b'))
	f.Fuzz(func(t *testing.T, p []byte, a, b byte) {
		against(t, p, a, b)
	})
}

func BenchmarkByte(b *testing.B) {
	for _, n := range []int{16, 64, 256, 4096, 65536} {
		p := make([]byte, n)
		b.Run(fmt.Sprint("scan/", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				Byte(p, 'a')
			}
		})
		b.Run(fmt.Sprint("bytes/", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				bytes.IndexByte(p, 'a')
			}
		})
	}
}

func BenchmarkPair(b *testing.B) {
	for _, n := range []int{16, 64, 256, 4096, 65536} {
		p := make([]byte, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				Followed(p, 'a', 'b')
			}
		})
	}
}

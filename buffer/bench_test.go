package buffer_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/bevgo/bev/buffer"
)

// Each row runs with the pools of the package and with a pool of its own, as the Buffers of a loop have. The name holds
// the figure of libevent 2.1.12's evbuffer (-O2, median ns an operation, on the machine of the first measurements), so
// that one look tells where something is out of proportion; a fair comparison runs both at once.
//
//	go test -run='^$' -bench=. ./buffer

type row struct {
	name string
	c    string // libevent 2.1.12, median ns an operation
	run  func(b *testing.B, buf, dst *buffer.Buffer)
}

var (
	p64  = bytes.Repeat([]byte("x"), 64)
	p4k  = bytes.Repeat([]byte("x"), 4096)
	sink byte
)

func text(n int, eol string) []byte {
	return bytes.Repeat(append(bytes.Repeat([]byte("l"), 64-len(eol)), eol...), n)
}

func readLines(eol buffer.EOL, ending string) func(b *testing.B, buf, dst *buffer.Buffer) {
	return func(b *testing.B, buf, dst *buffer.Buffer) {
		t := text(1024, ending)
		var line []byte
		for b.Loop() {
			if buf.Len() == 0 {
				b.StopTimer()
				buf.Append(t)
				b.StartTimer()
			}
			line, _ = buf.ReadLine(line[:0], eol, -1)
		}
	}
}

// searchText finds all occurrences of what in a megabyte of text in segments of 4 KiB; the figure is for all of it.
func searchText(b *testing.B, buf *buffer.Buffer, what string) {
	const sentence = "When the sun had set over the hills, the quick brown fox jumped over a lazy dog near Zurich. "
	t := bytes.Repeat([]byte(sentence), 1<<20/len(sentence))
	for len(t) > 0 {
		n := min(len(t), 4096)
		buf.AppendOwned(t[:n], nil)
		t = t[n:]
	}
	for b.Loop() {
		v := buf.View(-1)
		for at := v.Index([]byte(what)); at >= 0; at = v.Index([]byte(what)) {
			v.Seek(int64(at+1), io.SeekStart)
		}
	}
}

var rows = []row{
	{"append64-row", "24.1", func(b *testing.B, buf, dst *buffer.Buffer) {
		for b.Loop() {
			if buf.Len() == 64e6 {
				b.StopTimer()
				buf.Reset()
				b.StartTimer()
			}
			buf.Append(p64)
		}
	}},
	{"drain64-row", "7.7", func(b *testing.B, buf, dst *buffer.Buffer) {
		for b.Loop() {
			if buf.Len() == 0 {
				b.StopTimer()
				for range 100_000 {
					buf.Append(p64)
				}
				b.StartTimer()
			}
			buf.Drain(64)
		}
	}},
	{"append64+drain", "19.3", func(b *testing.B, buf, dst *buffer.Buffer) {
		for b.Loop() {
			buf.Append(p64)
			buf.Drain(64)
		}
	}},
	{"append64+drain-window6400", "10.1", func(b *testing.B, buf, dst *buffer.Buffer) {
		for range 100 {
			buf.Append(p64)
		}
		for b.Loop() {
			buf.Append(p64)
			buf.Drain(64)
		}
	}},
	{"append4k-row", "1597", func(b *testing.B, buf, dst *buffer.Buffer) {
		for b.Loop() {
			if buf.Len() == 64<<20 {
				b.StopTimer()
				buf.Reset()
				b.StartTimer()
			}
			buf.Append(p4k)
		}
	}},
	{"append4k+drain", "73.5", func(b *testing.B, buf, dst *buffer.Buffer) {
		for b.Loop() {
			buf.Append(p4k)
			buf.Drain(4096)
		}
	}},
	{"append64+read", "24.8", func(b *testing.B, buf, dst *buffer.Buffer) {
		var p [64]byte
		for b.Loop() {
			buf.Append(p64)
			buf.Read(p[:])
		}
	}},
	{"append4k+read", "116.8", func(b *testing.B, buf, dst *buffer.Buffer) {
		var p [4096]byte
		for b.Loop() {
			buf.Append(p4k)
			buf.Read(p[:])
		}
	}},
	{"owned4k+drain", "18.0", func(b *testing.B, buf, dst *buffer.Buffer) {
		f := func() { sink++ }
		for b.Loop() {
			buf.AppendOwned(p4k, f)
			buf.Drain(4096)
		}
	}},
	{"append64+move+drain", "28.3", func(b *testing.B, buf, dst *buffer.Buffer) {
		for b.Loop() {
			buf.Append(p64)
			dst.MoveAll(buf)
			dst.Drain(64)
		}
	}},
	{"append4k+move+drain", "75.2", func(b *testing.B, buf, dst *buffer.Buffer) {
		for b.Loop() {
			buf.Append(p4k)
			dst.MoveAll(buf)
			dst.Drain(4096)
		}
	}},
	{"16owned+move+drain", "472.6", func(b *testing.B, buf, dst *buffer.Buffer) {
		f := func() { sink++ }
		for b.Loop() {
			for range 16 {
				buf.AppendOwned(p4k, f)
			}
			dst.MoveAll(buf)
			dst.Drain(16 * 4096)
		}
	}},
	{"append4k+move1000+drain", "126.7", func(b *testing.B, buf, dst *buffer.Buffer) {
		for b.Loop() {
			buf.Append(p4k)
			dst.Move(buf, 1000)
			dst.Drain(1000)
			buf.Drain(3096)
		}
	}},
	{"readln-crlf", "39.3", readLines(buffer.CRLF, "\r\n")},
	{"readln-lf", "29.3", readLines(buffer.LF, "\n")},
	{"readln-crlfstrict", "46.4", readLines(buffer.CRLFStrict, "\r\n")},
	{"readln-any", "-", readLines(buffer.AnyEOL, "\r\n")},
	{"search4-64k-none", "2302", func(b *testing.B, buf, dst *buffer.Buffer) {
		for range 16 {
			buf.AppendOwned(p4k, nil)
		}
		for b.Loop() {
			buf.Index([]byte("abcd"))
		}
	}},
	{"search2-64k-bad", "443490", func(b *testing.B, buf, dst *buffer.Buffer) {
		for range 16 {
			buf.AppendOwned(p4k, nil)
		}
		for b.Loop() {
			buf.Index([]byte("xy"))
		}
	}},
	{"search-rare-1M", "-", func(b *testing.B, buf, dst *buffer.Buffer) {
		searchText(b, buf, "Zanzibar")
	}},
	{"search-frequent-1M", "-", func(b *testing.B, buf, dst *buffer.Buffer) {
		searchText(b, buf, "the quick")
	}},
	{"read-1k", "-", func(b *testing.B, buf, dst *buffer.Buffer) {
		var p [1024]byte
		for b.Loop() {
			if buf.Len() == 0 {
				b.StopTimer()
				for range 256 {
					buf.Append(p4k)
				}
				b.StartTimer()
			}
			buf.Read(p[:])
		}
	}},
	{"16owned+pullup+drain", "1058", func(b *testing.B, buf, dst *buffer.Buffer) {
		for b.Loop() {
			for range 16 {
				buf.AppendOwned(p4k, nil)
			}
			buf.PullUp(-1)
			buf.Drain(16 * 4096)
		}
	}},
	{"2owned+pullup20+drain", "49.9", func(b *testing.B, buf, dst *buffer.Buffer) {
		for b.Loop() {
			buf.AppendOwned(p4k[:10], nil)
			buf.AppendOwned(p4k, nil)
			buf.PullUp(20)
			buf.Drain(16 * 4096)
		}
	}},
	{"reserve4k+commit100+drain", "41.5", func(b *testing.B, buf, dst *buffer.Buffer) {
		for b.Loop() {
			buf.Reserve(4096)
			buf.Commit(100)
			buf.Drain(100)
		}
	}},
	{"peek16", "15.3", func(b *testing.B, buf, dst *buffer.Buffer) {
		for range 16 {
			buf.AppendOwned(p4k, nil)
		}
		var v [16][]byte
		for b.Loop() {
			buf.PeekInto(v[:], -1)
		}
	}},
	{"copyout64", "4.1", func(b *testing.B, buf, dst *buffer.Buffer) {
		buf.Append(p4k)
		var p [64]byte
		for b.Loop() {
			buf.CopyOut(p[:], 0)
		}
	}},
	{"append100+prepend16+drain", "32.9", func(b *testing.B, buf, dst *buffer.Buffer) {
		for b.Loop() {
			buf.Append(p4k[:100])
			buf.Prepend(p4k[:16])
			buf.Drain(116)
		}
	}},
	{"fprintf+drain", "60.7", func(b *testing.B, buf, dst *buffer.Buffer) {
		n, s := any(1234), any("hello")
		for b.Loop() {
			fmt.Fprintf(buf, "%d %s", n, s)
			buf.Drain(100)
		}
	}},
	{"share4k-1000", "-", func(b *testing.B, buf, dst *buffer.Buffer) {
		buf.Append(p4k)
		for b.Loop() {
			for range 1000 {
				dst.Share(buf)
			}
			dst.Drain(1000 * 4096)
		}
	}},
}

func BenchmarkBuffer(b *testing.B) {
	for _, r := range rows {
		for _, pool := range []*buffer.Pool{nil, buffer.NewPool(4 << 20)} {
			name := fmt.Sprintf("%s/c=%s/shared", r.name, r.c)
			var buf, dst buffer.Buffer
			if pool != nil {
				name = fmt.Sprintf("%s/c=%s/pool", r.name, r.c)
				buf.SetOwner(pool.Owner())
				dst.SetOwner(pool.Owner())
			}
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				r.run(b, &buf, &dst)
				buf.Reset()
				dst.Reset()
			})
		}
	}
}

// BenchmarkEcho is what a connection does to the bytes of an echo.
func BenchmarkEcho(b *testing.B) {
	pool, s := buffer.NewPool(1<<20), buffer.NewScratch(0)
	var in, out buffer.Buffer
	in.SetOwner(pool.Owner())
	out.SetOwner(pool.Owner())
	b.ReportAllocs()
	for b.Loop() {
		in.AppendScratch(s, 64)
		out.MoveAll(&in)
		sink += out.Head()[0]
		out.DrainQuiet(64)
	}
}

package main

import (
	"fmt"
	"io"

	"github.com/bevgo/bev/buffer"
)

// poolBytes is what a loop's pool keeps.
const poolBytes = 1 << 20

// pooled returns a Buffer as a loop's: with a pool for memory.
func pooled(p *buffer.Pool) *buffer.Buffer {
	b := new(buffer.Buffer)
	b.SetOwner(p.Owner())
	return b
}

// onOne is a row on one Buffer that starts empty.
func onOne(f func(b *buffer.Buffer)) func() func() {
	return func() func() {
		b := pooled(buffer.NewPool(poolBytes))
		return func() { f(b) }
	}
}

// onTwo is onOne for two Buffers of one loop.
func onTwo(f func(b, to *buffer.Buffer)) func() func() {
	return func() func() {
		p := buffer.NewPool(poolBytes)
		b, to := pooled(p), pooled(p)
		return func() { f(b, to) }
	}
}

var bevWork = work{
	"append64_million": onOne(func(b *buffer.Buffer) {
		for range 1_000_000 {
			b.Append(p64)
		}
		b.Drain(64_000_000)
	}),
	"append64": onOne(func(b *buffer.Buffer) {
		b.Append(p64)
		b.Drain(64)
	}),
	"append4k": onOne(func(b *buffer.Buffer) {
		b.Append(p4k)
		b.Drain(4096)
	}),
	"owned": onOne(func(b *buffer.Buffer) {
		b.AppendOwned(p8k, released)
		b.Drain(ownedSize)
	}),
	"move4k": onTwo(func(b, to *buffer.Buffer) {
		b.Append(p4k)
		to.MoveAll(b)
		to.Drain(4096)
	}),
	"move16": onTwo(func(b, to *buffer.Buffer) {
		own16(b)
		to.MoveAll(b)
		to.Drain(16 * ownedSize)
	}),
	"lines":           bevLines,
	"search_rare":     bevFindAll(rareWord),
	"search_frequent": bevFindAll(frequentWord),
	"search_one": func() func() {
		b := filled()
		return func() { sink += b.Index([]byte(absentWord)) }
	},
	"search_absent": func() func() {
		b := pooled(buffer.NewPool(poolBytes))
		for range 16 {
			b.AppendOwned(p4k, nil)
		}
		return func() { sink += b.Index([]byte("abcd")) }
	},
	"pullup16": onOne(func(b *buffer.Buffer) {
		own16(b)
		sink += int(b.PullUp(-1)[0])
		b.Drain(16 * ownedSize)
	}),
	"pullup20": onOne(func(b *buffer.Buffer) {
		b.AppendOwned(p8k[:10], released)
		b.AppendOwned(p8k, released)
		sink += int(b.PullUp(20)[0])
		b.Drain(10 + ownedSize)
	}),
	"read1k": bevRead1k,
	"share":  bevShare,
	"peek16": func() func() {
		b := pooled(buffer.NewPool(poolBytes))
		for range 16 {
			b.AppendOwned(p4k, nil)
		}
		v := make([][]byte, 16)
		return func() { sink += b.PeekInto(v, -1) + len(v[15]) }
	},
	"reserve": onOne(func(b *buffer.Buffer) {
		sink += len(b.Reserve(4096))
		b.Commit(100)
		b.Drain(100)
	}),
	"printf": onOne(func(b *buffer.Buffer) {
		fmt.Fprintf(b, "%d %s", 1234, "hello")
		b.Drain(10)
	}),
}

func own16(b *buffer.Buffer) {
	for range 16 {
		b.AppendOwned(p8k, released)
	}
}

// filled returns a Buffer with the text in pieces of 4 KiB.
func filled() *buffer.Buffer {
	b := pooled(buffer.NewPool(poolBytes))
	eachPiece(func(p []byte) { b.AppendOwned(p, nil) })
	return b
}

func bevFindAll(what string) func() func() {
	return func() func() {
		b, needle := filled(), []byte(what)
		return func() {
			v := b.View(-1)
			for at := v.Index(needle); at >= 0; at = v.Index(needle) {
				sink++
				_, _ = v.Seek(int64(at+1), io.SeekStart)
			}
		}
	}
}

func bevLines() func() {
	b := pooled(buffer.NewPool(poolBytes))
	var line []byte
	return func() {
		eachPiece(b.Append)
		for {
			var err error
			if line, err = b.ReadLine(line[:0], buffer.LF, -1); err != nil {
				break
			}
			sink += len(line)
		}
		b.Reset()
	}
}

func bevRead1k() func() {
	b := pooled(buffer.NewPool(poolBytes))
	into := make([]byte, 1024)
	return func() {
		for range 256 {
			b.Append(p4k)
		}
		for b.Len() > 0 {
			n, _ := b.Read(into)
			sink += n
		}
	}
}

func bevShare() func() {
	p := buffer.NewPool(poolBytes)
	src := pooled(p)
	src.Append(p4k)
	many := make([]*buffer.Buffer, 1000)
	for i := range many {
		many[i] = pooled(p)
	}
	return func() {
		for _, b := range many {
			b.Share(src)
		}
		for _, b := range many {
			b.Drain(4096)
		}
	}
}

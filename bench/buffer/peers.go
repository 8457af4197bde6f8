package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/cloudwego/netpoll"
	"github.com/panjf2000/gnet/v2/pkg/buffer/elastic"
	"github.com/panjf2000/gnet/v2/pkg/buffer/ring"
)

// What a peer cannot do without the user writing it (a ring has no lines and no owned pieces, bytes.Buffer is one
// piece by nature) is left out.

// onBytes is a row on one bytes.Buffer.
func onBytes(f func(b *bytes.Buffer)) func() func() {
	return func() func() {
		b := new(bytes.Buffer)
		return func() { f(b) }
	}
}

// bytesWork is bytes.Buffer, for reference.
var bytesWork = work{
	"append64_million": onBytes(func(b *bytes.Buffer) {
		for range 1_000_000 {
			b.Write(p64)
		}
		sink += len(b.Next(64_000_000))
		*b = bytes.Buffer{} // it gives memory back in no other way
	}),
	"append64": onBytes(func(b *bytes.Buffer) {
		b.Write(p64)
		sink += len(b.Next(64))
	}),
	"append4k": onBytes(func(b *bytes.Buffer) {
		b.Write(p4k)
		sink += len(b.Next(4096))
	}),
	"lines": onBytes(func(b *bytes.Buffer) {
		eachPiece(func(p []byte) { b.Write(p) })
		for {
			line, err := b.ReadBytes('\n')
			if err != nil {
				break
			}
			sink += len(line)
		}
		b.Reset()
	}),
	"search_rare":     bytesFindAll(rareWord),
	"search_frequent": bytesFindAll(frequentWord),
	"search_one": func() func() {
		b := bytes.NewBuffer(text)
		return func() { sink += bytes.Index(b.Bytes(), []byte(absentWord)) }
	},
	"search_absent": func() func() {
		b := bytes.NewBuffer(bytes.Repeat(p4k, 16))
		return func() { sink += bytes.Index(b.Bytes(), []byte("abcd")) }
	},
	"read1k": func() func() {
		b, into := new(bytes.Buffer), make([]byte, 1024)
		return func() {
			for range 256 {
				b.Write(p4k)
			}
			for b.Len() > 0 {
				n, _ := b.Read(into)
				sink += n
			}
		}
	},
	"reserve": onBytes(func(b *bytes.Buffer) {
		b.Grow(4096)
		b.Write(b.AvailableBuffer()[:100])
		sink += len(b.Next(100))
	}),
	"printf": onBytes(func(b *bytes.Buffer) {
		fmt.Fprintf(b, "%d %s", 1234, "hello")
		sink += len(b.Next(10))
	}),
}

func bytesFindAll(what string) func() func() {
	return func() func() {
		b, needle := bytes.NewBuffer(text), []byte(what)
		return func() {
			p := b.Bytes()
			for i := bytes.Index(p, needle); i >= 0; i = bytes.Index(p, needle) {
				sink++
				p = p[i+1:]
			}
		}
	}
}

// ringBuffer is what both rings of gnet can do.
type ringBuffer interface {
	io.ReadWriter
	Discard(n int) (int, error)
	IsEmpty() bool
}

// ringWork is the work of rings that renew makes. With keeps, one does not give
// memory back by itself and is renewed after a million messages.
func ringWork(renew func() ringBuffer, keeps bool) work {
	on := func(f func(b ringBuffer)) func() func() {
		return func() func() {
			b := renew()
			return func() { f(b) }
		}
	}
	discard := func(b ringBuffer, n int) {
		_, err := b.Discard(n)
		check(err)
	}
	return work{
		"append64_million": func() func() {
			b := renew()
			return func() {
				for range 1_000_000 {
					_, _ = b.Write(p64)
				}
				discard(b, 64_000_000)
				if keeps {
					b = renew()
				}
			}
		},
		"append64": on(func(b ringBuffer) {
			_, _ = b.Write(p64)
			discard(b, 64)
		}),
		"append4k": on(func(b ringBuffer) {
			_, _ = b.Write(p4k)
			discard(b, 4096)
		}),
		"read1k": func() func() {
			b, into := renew(), make([]byte, 1024)
			return func() {
				for range 256 {
					_, _ = b.Write(p4k)
				}
				for !b.IsEmpty() {
					n, _ := b.Read(into)
					sink += n
				}
			}
		},
		"printf": on(func(b ringBuffer) {
			fmt.Fprintf(b, "%d %s", 1234, "hello")
			discard(b, 10)
		}),
	}
}

var (
	// ringOnlyWork is gnet's bare ring, for reference: it keeps its memory when
	// it is empty.
	ringOnlyWork = ringWork(func() ringBuffer { return ring.New(0) }, true)

	// gnetWork is the ring that gnet's connections have: an empty one gives its
	// memory back, as an empty Buffer does. The pool that it goes to learns which
	// sizes are usual: after many short messages it lets go of large rings. So
	// read1k takes 46 ns in a run of its own and twenty times as much in the table.
	gnetWork = ringWork(func() ringBuffer { return new(elastic.RingBuffer) }, false)
)

// onLink is a row on one LinkBuffer.
func onLink(f func(b *netpoll.LinkBuffer)) func() func() {
	return func() func() {
		b := netpoll.NewLinkBuffer()
		return func() { f(b) }
	}
}

// write adds p and makes it readable: copied up to 4 KiB, linked beyond.
func write(b *netpoll.LinkBuffer, p []byte) {
	_, err := b.WriteBinary(p)
	check(err)
	check(b.Flush())
}

// skip removes n bytes and gives memory back.
func skip(b *netpoll.LinkBuffer, n int) {
	check(b.Skip(n))
	check(b.Release())
}

// netpollWork is netpoll's LinkBuffer.
var netpollWork = work{
	"append64_million": onLink(func(b *netpoll.LinkBuffer) {
		for range 1_000_000 {
			_, _ = b.WriteBinary(p64)
		}
		check(b.Flush()) // once, in its favour
		skip(b, 64_000_000)
	}),
	"append64": onLink(func(b *netpoll.LinkBuffer) {
		write(b, p64)
		skip(b, 64)
	}),
	"append4k": onLink(func(b *netpoll.LinkBuffer) {
		write(b, p4k)
		skip(b, 4096)
	}),
	"owned": onLink(func(b *netpoll.LinkBuffer) {
		write(b, p8k)
		skip(b, ownedSize)
	}),
	// A LinkBuffer that was moved from is gone: the next one is part of the work.
	"move4k": onLink(func(b *netpoll.LinkBuffer) {
		from := netpoll.NewLinkBuffer()
		write(from, p4k)
		check(b.WriteBuffer(from))
		check(b.Flush())
		skip(b, 4096)
	}),
	"move16": onLink(func(b *netpoll.LinkBuffer) {
		from := netpoll.NewLinkBuffer()
		for range 16 {
			write(from, p8k)
		}
		check(b.WriteBuffer(from))
		check(b.Flush())
		skip(b, 16*ownedSize)
	}),
	"lines": onLink(func(b *netpoll.LinkBuffer) {
		eachPiece(func(p []byte) { write(b, p) })
		for {
			line, err := b.Until('\n')
			if err != nil {
				break
			}
			sink += len(line)
			check(b.Release())
		}
		skip(b, b.Len())
	}),
	"pullup16": onLink(func(b *netpoll.LinkBuffer) {
		for range 16 {
			write(b, p8k)
		}
		p, err := b.Peek(16 * ownedSize)
		check(err)
		sink += len(p)
		skip(b, 16*ownedSize)
	}),
	"pullup20": onLink(func(b *netpoll.LinkBuffer) {
		write(b, p8k[:10])
		write(b, p8k)
		p, err := b.Peek(20)
		check(err)
		sink += len(p)
		skip(b, 10+ownedSize)
	}),
	"read1k": onLink(func(b *netpoll.LinkBuffer) {
		for range 256 {
			write(b, p4k)
		}
		var into [1024]byte
		for b.Len() > 0 {
			p, err := b.Next(1024)
			check(err)
			sink += copy(into[:], p)
			check(b.Release())
		}
	}),
	"peek16": func() func() {
		b := netpoll.NewLinkBuffer()
		for range 16 {
			write(b, p8k)
		}
		v := make([][]byte, 16)
		return func() { sink += len(b.GetBytes(v)) }
	},
	"reserve": onLink(func(b *netpoll.LinkBuffer) {
		p, err := b.Malloc(4096)
		check(err)
		sink += len(p)
		check(b.MallocAck(100))
		check(b.Flush())
		skip(b, 100)
	}),
}

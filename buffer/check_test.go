package buffer

import (
	"fmt"
	"strings"
	"testing"
)

// The check that all other tests rely on finds each way in which the invariant can be broken.
func TestCheckFindsDamage(t *testing.T) {
	for name, damage := range map[string]func(b *Buffer){
		"count":               func(b *Buffer) { b.n++ },
		"empty segment":       func(b *Buffer) { b.n -= b.head.len(); b.head.r = b.head.w },
		"offsets":             func(b *Buffer) { b.head.r = -1; b.n++ },
		"beyond the memory":   func(b *Buffer) { b.n += 1000; b.tail.w += 1000 },
		"tail":                func(b *Buffer) { b.tail = b.head },
		"list goes on":        func(b *Buffer) { b.tail.next = &segment{buf: make([]byte, 1), w: 1} },
		"head is gone":        func(b *Buffer) { b.head, b.tail = nil, nil },
		"room in user memory": func(b *Buffer) { b.tail.kind = kindOwned },
		"loan without Owner":  func(b *Buffer) { b.head.kind = kindLent },
		"reserved in spare":   func(b *Buffer) { b.own().reserved = 10 },
		"reserved in room": func(b *Buffer) {
			e := b.own()
			e.reserved, e.inRoom = 10_000, 10_000
		},
		"few bytes in the middle": func(b *Buffer) {
			b.AppendOwned(make([]byte, 1000), nil)
			b.AppendOwned(make([]byte, 1000), nil)
			s := b.head.next.next
			s.kind, s.w = kindPooled, 100
			b.n -= 900
		},
		"few bytes at the front": func(b *Buffer) { b.head.buf = make([]byte, 64<<10) },
		"few bytes at the back":  func(b *Buffer) { b.tail.buf = make([]byte, 64<<10) },
		"spare with bytes":       func(b *Buffer) { b.Grow(1000); b.ext.spare.w = 1 },
		"shared state": func(b *Buffer) {
			b.Freeze(Front)
			e := *b.ext
			b.ext = &e // not one of frozenOnly, and yet it says so
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b Buffer
			b.Append(make([]byte, 1200))
			b.check()
			damage(&b)
			defer func() {
				if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "buffer: BUG: ") {
					t.Errorf("check said %s", p)
				}
			}()
			b.check()
		})
	}
}

// A loan is never shared: its one segment cannot be in two lists.
func TestViewOfLentSegmentIsABug(t *testing.T) {
	s := NewScratch(0)
	defer func() {
		if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "buffer: BUG: ") {
			t.Errorf("panic %s", p)
		}
	}()
	s.seg.view(0, 1, nil)
}

package main

import (
	"bytes"
	"errors"

	"github.com/bevgo/bev/buffer"
)

// A pattern is what the loads send, and what they compare with what comes
// back. Its period is one that no buffer's size has, so that bytes which are
// lost, doubled or moved are noticed.
type pattern struct {
	bytes []byte // the period as often as it takes for no piece to wrap
	piece int    // the longest piece
}

// A cursor is a place in the endless stream that a pattern stands for.
type cursor int

const patternPeriod = 65521 // the largest prime below 64 KiB

var errOtherBytes = errors.New("the server sent back other bytes than it was sent, or in another order")

// newPattern makes one that gives pieces of up to longest bytes.
func newPattern(longest int) *pattern {
	p := &pattern{piece: max(longest, 1<<20)}
	p.bytes = make([]byte, patternPeriod+p.piece)
	x := uint32(1)
	for i := range patternPeriod {
		x = x*1664525 + 1013904223
		p.bytes[i] = byte(x >> 24)
	}
	for done := patternPeriod; done < len(p.bytes); {
		done += copy(p.bytes[done:], p.bytes[:done])
	}
	return p
}

// next lends the next n bytes of the stream.
func (p *pattern) next(at *cursor, n int) []byte {
	b := p.bytes[*at:][:n]
	*at = (*at + cursor(n)) % patternPeriod
	return b
}

// check takes all of in, which has to be what the stream goes on with.
func (p *pattern) check(at *cursor, in *buffer.Buffer) error {
	for b := in.Head(); len(b) > 0; b = in.Head() {
		b = b[:min(len(b), p.piece)]
		if !bytes.Equal(b, p.next(at, len(b))) {
			return errOtherBytes
		}
		in.Drain(len(b))
	}
	return nil
}

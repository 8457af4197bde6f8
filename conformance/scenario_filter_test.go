//go:build interop

package conformance

import (
	"errors"
	"fmt"

	"github.com/bevgo/bev"
)

// The filters that scenarios use; libevent/filters.c has the same.

// chunk is the most that they take in one call.
const chunk = 4096

var errFilter = errors.New("conformance: this filter was to fail")

// transform is one direction of a filter: it moves bytes from src to dst, of
// which there is room for some.
type transform func(src, dst stream, room int, mode bev.FlushMode) error

// stream is what a transform needs of a Buffer.
type stream interface {
	Len() int
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
}

// testFilter is a filter of two transforms; nil moves bytes as they are.
type testFilter struct{ in, out transform }

func (f testFilter) In(s *bev.FilterStreams, mode bev.FlushMode) error {
	return f.in(s.FromBelow, s.ToUser, s.UserRoom, mode)
}

func (f testFilter) Out(s *bev.FilterStreams, mode bev.FlushMode) error {
	return f.out(s.FromUser, s.ToBelow, s.BelowRoom, mode)
}

// newTestFilter makes one of the kinds; "null" is what bev does by itself.
// self is for one that wants to know its own Conn.
func newTestFilter(kind string, self func() *bev.Conn) bev.Filter {
	switch kind {
	case "null":
		return nil
	case "rot":
		return testFilter{rotate(255), rotate(1)}
	case "double":
		return testFilter{halve, double}
	case "block":
		return testFilter{block, block}
	case "quad":
		return testFilter{quad, quad}
	case "header":
		return testFilter{rotate(0), header}
	case "slow": // at most eight bytes a call
		slow := func(src, dst stream, room int, _ bev.FlushMode) error {
			dst.Write(take(src, min(src.Len(), room, 8)))
			return nil
		}
		return testFilter{slow, slow}
	case "reenter":
		wrote := false
		return testFilter{rotate(255), func(src, dst stream, room int, mode bev.FlushMode) error {
			err := rotate(1)(src, dst, room, mode)
			if !wrote { // to its own Conn, while it runs
				wrote = true
				self().Write([]byte("-"))
			}
			return err
		}}
	case "failin":
		left := 10
		return testFilter{func(src, dst stream, room int, _ bev.FlushMode) error {
			if left == 0 && src.Len() > 0 {
				return errFilter
			}
			n := min(left, room, src.Len())
			left -= n
			dst.Write(take(src, n))
			return nil
		}, rotate(0)}
	case "failout":
		return testFilter{rotate(0), func(stream, stream, int, bev.FlushMode) error { return errFilter }}
	}
	panic(fmt.Sprintf("no filter of kind %s", kind))
}

func take(src stream, n int) []byte {
	p := make([]byte, n)
	src.Read(p)
	return p
}

// rotate adds to each byte.
func rotate(by byte) transform {
	return func(src, dst stream, room int, _ bev.FlushMode) error {
		p := take(src, min(src.Len(), room, chunk))
		for i := range p {
			p[i] += by
		}
		dst.Write(p)
		return nil
	}
}

// double sends each byte twice, and halve takes them back.
func double(src, dst stream, room int, _ bev.FlushMode) error {
	for _, c := range take(src, min(src.Len(), room/2, chunk/2)) {
		dst.Write([]byte{c, c})
	}
	return nil
}

func halve(src, dst stream, room int, _ bev.FlushMode) error {
	p := take(src, 2*min(src.Len()/2, room, chunk/2))
	for i := 0; i < len(p); i += 2 {
		dst.Write(p[i : i+1])
	}
	return nil
}

// block passes on whole blocks of four bytes, and what is left when it is
// flushed.
func block(src, dst stream, room int, mode bev.FlushMode) error {
	n := min(src.Len(), room, chunk)
	if mode == bev.FlushNormal {
		n -= n % 4
	}
	dst.Write(take(src, n))
	return nil
}

// quad is block that keeps the rest for ever.
func quad(src, dst stream, room int, _ bev.FlushMode) error {
	return block(src, dst, room, bev.FlushNormal)
}

// header puts 20 bytes before each piece that it sends.
func header(src, dst stream, _ int, _ bev.FlushMode) error {
	n := min(src.Len(), chunk)
	if n > 0 {
		fmt.Fprint(dst, "HHHHHHHHHHHHHHHHHHHH")
		dst.Write(take(src, n))
	}
	return nil
}

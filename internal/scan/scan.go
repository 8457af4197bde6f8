// Package scan finds bytes in memory, faster than package bytes can.
//
// bytes.IndexByte looks at 32 bytes in each turn of its loop; the C library,
// which bev's buffer is measured against, at 128. And what searches by one rare
// byte stops at each that is not the one looked for, where a look at its
// neighbour in the same turn would have passed over nearly all of them. The loops
// here use vectors of 64 bytes where the processor has good ones, else of 32. On
// other processors than amd64 with AVX2 package bytes does the work.
package scan

import "bytes"

const (
	vector = 32  // what the fast loops load at once for a short input, and so the least that they take
	long   = 512 // from where on indexByte is ahead of bytes.IndexByte
)

// Byte returns the index of the first c in p, or -1.
func Byte(p []byte, c byte) int {
	if fast && len(p) >= long {
		return indexByte(&p[0], len(p), c)
	}
	return bytes.IndexByte(p, c)
}

// Followed returns the index of the first a in p with b right behind it, or -1.
// a should be the rarer one: it is what is looked for.
func Followed(p []byte, a, b byte) int {
	if fast && len(p) > vector {
		return indexPair(&p[0], len(p)-1, 1, a, b)
	}
	return bytes.Index(p, []byte{a, b})
}

// Preceded returns the index of the first a in p with b right before it, or -1.
// a should be the rarer one: it is what is looked for.
func Preceded(p []byte, a, b byte) int {
	if fast && len(p) > vector {
		if i := indexPair(&p[1], len(p)-1, -1, a, b); i >= 0 {
			return i + 1
		}
		return -1
	}
	if i := bytes.Index(p, []byte{b, a}); i >= 0 {
		return i + 1
	}
	return -1
}

package bevfilter

import "math/bits"

// inflater decompresses a DEFLATE stream (RFC 1951) that comes in pieces. What
// it cannot decode yet it leaves: each step either succeeds or takes nothing,
// which is what compress/flate cannot do, as its Reader is broken for good by
// an end of input that is only the end of what has come.
type inflater struct {
	in   []byte // what has come
	pos  int    // how much of it was decoded, or is in hold
	hold uint64 // bits that were read from in, the next one lowest
	n    uint   // how many

	state  inflateState
	final  bool // the block is the last one
	stored int  // bytes left of a stored block
	length huffman
	dist   huffman

	out   []byte // what was decoded: history, then what is not taken yet
	taken int    // of out
}

type inflateState uint8

const (
	atBlock inflateState = iota
	inStored
	inCodes
	atEnd
)

const (
	window   = 32 << 10 // how far back a copy may reach
	fastBits = 9
	maxCode  = 15
)

// huffman is a canonical code: short ones by table, long ones by counting.
type huffman struct {
	fast   [1 << fastBits]uint16 // symbol<<4 | length, 0 for a longer code
	count  [maxCode + 1]uint16   // codes of each length
	symbol [288]uint16           // in the order of their codes
}

// build makes the code of lengths. It reports false for lengths that make no
// code; an incomplete one is allowed for a single symbol only (RFC 1951 3.2.7).
func (h *huffman) build(lengths []uint8) bool {
	*h = huffman{}
	for _, l := range lengths {
		h.count[l]++
	}
	left := 1
	var next, offset [maxCode + 2]uint16
	for l := 1; l <= maxCode; l++ {
		left = left<<1 - int(h.count[l])
		if left < 0 {
			return false
		}
		offset[l+1] = offset[l] + h.count[l]
		next[l+1] = (next[l] + h.count[l]) << 1
	}
	if left > 0 && len(lengths)-int(h.count[0]) > 1 {
		return false
	}
	for sym, l := range lengths {
		if l == 0 {
			continue
		}
		h.symbol[offset[l]] = uint16(sym)
		offset[l]++
		code := next[l]
		next[l]++
		if l <= fastBits {
			for i := int(bits.Reverse16(code) >> (16 - l)); i < len(h.fast); i += 1 << l {
				h.fast[i] = uint16(sym)<<4 | uint16(l)
			}
		}
	}
	h.count[0] = 0
	return true
}

// need has at least n bits in hold, if they have come. n is at most 32.
func (z *inflater) need(n uint) bool {
	for z.n < n {
		if z.pos == len(z.in) {
			return false
		}
		z.hold |= uint64(z.in[z.pos]) << z.n
		z.pos++
		z.n += 8
	}
	return true
}

// take takes n bits that are there.
func (z *inflater) take(n uint) int {
	v := z.hold & (1<<n - 1)
	z.hold >>= n
	z.n -= n
	return int(v)
}

// unread gives whole bytes in hold back.
func (z *inflater) unread() {
	z.pos -= int(z.n / 8)
	z.n &= 7
	z.hold &= 1<<z.n - 1
}

// decode takes one symbol: needMore where its bits have not all come, noSymbol
// where they are none.
func (z *inflater) decode(h *huffman) int {
	z.need(maxCode) // or as many as there are
	if e := h.fast[z.hold&(1<<fastBits-1)]; e != 0 && uint(e&15) <= z.n {
		z.take(uint(e & 15))
		return int(e >> 4)
	}
	code, first, index := 0, 0, 0
	for l := uint(1); l <= maxCode; l++ {
		if l > z.n {
			return needMore
		}
		code |= int(z.hold>>(l-1)) & 1
		count := int(h.count[l])
		if code-count < first {
			z.take(l)
			return int(h.symbol[index+code-first])
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return noSymbol
}

const (
	needMore = -1
	noSymbol = -2
)

// run decodes what it can of in until room bytes have come of it. It reports
// true when it stopped for want of input.
func (z *inflater) run(room int) (starved bool, err error) {
	for z.state != atEnd && len(z.out)-z.taken < room && !starved && err == nil {
		pos, hold, n := z.pos, z.hold, z.n
		done := false
		switch z.state {
		case atBlock:
			done, err = z.block()
		case inStored:
			done = z.copyStored()
		case inCodes:
			done, err = z.code()
		}
		if !done {
			z.pos, z.hold, z.n = pos, hold, n
			starved = true
		}
	}
	return starved, err
}

// block begins a block.
func (z *inflater) block() (done bool, err error) {
	if z.final {
		z.unread()
		z.take(z.n)
		z.state = atEnd
		return true, nil
	}
	if !z.need(3) {
		return false, nil
	}
	final, kind := z.take(1) == 1, z.take(2)
	switch kind {
	case 0:
		z.unread()
		z.take(z.n)
		if !z.need(32) {
			return false, nil
		}
		size := z.take(16)
		if z.take(16) != size^0xffff {
			return false, ErrCorrupt
		}
		z.stored, z.state = size, inStored
	case 1:
		z.fixed()
		z.state = inCodes
	case 2:
		if done, err = z.dynamic(); !done {
			return false, err
		}
		z.state = inCodes
	default:
		return false, ErrCorrupt
	}
	z.final = final
	return true, nil
}

// fixed makes the codes of RFC 1951 3.2.6.
func (z *inflater) fixed() {
	var l [288]uint8
	for i := range l {
		switch {
		case i < 144:
			l[i] = 8
		case i < 256:
			l[i] = 9
		case i < 280:
			l[i] = 7
		default:
			l[i] = 8
		}
	}
	var d [32]uint8
	for i := range d {
		d[i] = 5
	}
	z.length.build(l[:])
	z.dist.build(d[:])
}

// lengthOrder is the order in which the lengths of the code of lengths come.
var lengthOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamic reads the codes of a block, RFC 1951 3.2.7.
func (z *inflater) dynamic() (done bool, err error) {
	if !z.need(14) {
		return false, nil
	}
	nlen, ndist, ncode := z.take(5)+257, z.take(5)+1, z.take(4)+4
	if nlen > 286 || ndist > 30 {
		return false, ErrCorrupt
	}
	var l [320]uint8
	for i := range ncode {
		if !z.need(3) {
			return false, nil
		}
		l[lengthOrder[i]] = uint8(z.take(3))
	}
	if !z.length.build(l[:19]) {
		return false, ErrCorrupt
	}
	clear(l[:19])
	for i := 0; i < nlen+ndist; {
		sym := z.decode(&z.length)
		if sym < 0 {
			return false, corruptIf(sym == noSymbol)
		}
		if sym < 16 {
			l[i] = uint8(sym)
			i++
			continue
		}
		extra, base := [3]uint{2, 3, 7}[sym-16], [3]int{3, 3, 11}[sym-16]
		if !z.need(extra) {
			return false, nil
		}
		repeat := base + z.take(extra)
		if sym == 16 && i == 0 || i+repeat > nlen+ndist {
			return false, ErrCorrupt
		}
		for range repeat {
			if sym == 16 {
				l[i] = l[i-1]
			}
			i++
		}
	}
	if l[256] == 0 || !z.length.build(l[:nlen]) || !z.dist.build(l[nlen:nlen+ndist]) {
		return false, ErrCorrupt // a block without an end is none
	}
	return true, nil
}

func corruptIf(corrupt bool) error {
	if corrupt {
		return ErrCorrupt
	}
	return nil
}

func (z *inflater) copyStored() (done bool) {
	z.unread()
	n := min(z.stored, len(z.in)-z.pos)
	z.out = append(z.out, z.in[z.pos:z.pos+n]...)
	z.pos += n
	z.stored -= n
	if z.stored == 0 {
		z.state = atBlock
	}
	return n > 0 || z.stored == 0
}

// Base values and extra bits of lengths and distances, RFC 1951 3.2.5.
var (
	lengthBase  = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
)

// code decodes a byte, a copy or the end of the block.
func (z *inflater) code() (done bool, err error) {
	sym := z.decode(&z.length)
	switch {
	case sym < 0:
		return false, corruptIf(sym == noSymbol)
	case sym < 256:
		z.out = append(z.out, byte(sym))
		return true, nil
	case sym == 256:
		z.state = atBlock
		return true, nil
	case sym > 285:
		return false, ErrCorrupt
	}
	extra := uint(lengthExtra[sym-257])
	if !z.need(extra) {
		return false, nil
	}
	length := int(lengthBase[sym-257]) + z.take(extra)
	sym = z.decode(&z.dist)
	if sym < 0 {
		return false, corruptIf(sym == noSymbol)
	}
	if sym > 29 {
		return false, ErrCorrupt
	}
	extra = uint(max(sym/2-1, 0))
	if !z.need(extra) {
		return false, nil
	}
	dist := int(distBase[sym]) + z.take(extra)
	if dist > len(z.out) {
		return false, ErrCorrupt
	}
	for range length { // what is copied may be what the copy has made
		z.out = append(z.out, z.out[len(z.out)-dist])
	}
	return true, nil
}

// output returns what was decoded since the last call, valid until the next
// run, and forgets what no copy can reach.
func (z *inflater) output() []byte {
	if len(z.out) > 2*window && z.taken > window {
		n := z.taken - window
		z.out = z.out[:copy(z.out, z.out[n:])]
		z.taken -= n
	}
	p := z.out[z.taken:]
	z.taken = len(z.out)
	return p
}

// feed adds input, and forgets what was decoded.
func (z *inflater) feed(p []byte) {
	z.unread()
	z.in = append(z.in[:copy(z.in, z.in[z.pos:])], p...)
	z.pos = 0
}

// next begins another stream in what is left of the input.
func (z *inflater) next() {
	z.state, z.final, z.out, z.taken = atBlock, false, z.out[:0], 0
}

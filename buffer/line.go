package buffer

import (
	"bytes"
	"iter"
)

// An EOL says what ends a line.
type EOL uint8

// The line endings, as libevent's.
const (
	AnyEOL     EOL = iota // a run of CR and LF in any order and number
	CRLF                  // LF, with a CR before it or not
	CRLFStrict            // CR LF
	LF                    // LF
	NUL                   // a zero byte
)

// IndexEOL returns the position of the first line ending at position from or later, and its length; -1 and 0 if there
// is none. It begins at from: a CR before from belongs to no ending. from beyond Len finds nothing. For AnyEOL, the
// run may go on in bytes that have not arrived yet. File ranges are treated as in [Buffer.Index].
//
// Libevent: evbuffer_search_eol.
func (b *Buffer) IndexEOL(eol EOL, from int) (at, size int) {
	if from < 0 {
		panic(panicNegative)
	}
	return b.indexEOL(eol, b.place(place{}, from), from, b.n)
}

// indexEOL looks for an ending that lies between from and to (AnyEOL: begins there).
func (b *Buffer) indexEOL(eol EOL, begin place, from, to int) (at, size int) {
	switch eol {
	case AnyEOL:
		return b.indexRun(begin, from, to)
	case CRLF:
		at = b.indexByte('\n', begin, from, to)
		if at > from && b.byteAt(begin, at-1) == '\r' {
			return at - 1, 2
		}
	case CRLFStrict:
		if at = b.indexShort([]byte{'\r', '\n'}, begin, from, to); at >= 0 {
			return at, 2
		}
	case LF:
		at = b.indexByte('\n', begin, from, to)
	case NUL:
		at = b.indexByte(0, begin, from, to)
	default:
		panic("buffer: unknown EOL")
	}
	if at < 0 {
		return -1, 0
	}
	return at, 1
}

// indexRun finds the first CR or LF and counts how many follow it directly.
func (b *Buffer) indexRun(begin place, from, to int) (at, size int) {
	at = b.indexCRLF(begin, from, to)
	if at < 0 {
		return -1, 0
	}
	for run := b.place(begin, at); run.s != nil; run = run.next() {
		if run.s.kind == kindFile {
			if run = b.loaded(max(run.start, at)); run.s == nil {
				break
			}
		}
		for _, c := range run.piece(at, b.n) {
			if c != '\r' && c != '\n' {
				return at, size
			}
			size++
		}
	}
	return at, size
}

// indexCRLF returns the position of the first CR or LF. It looks for the one and then for the other in windows that
// double: a text with only one of them must not be searched to its end for the other again for each line.
func (b *Buffer) indexCRLF(begin place, from, to int) int {
	for window := 128; from < to; window *= 2 {
		end := to
		if to-from > window {
			end = from + window
		}
		at := b.indexByte('\n', begin, from, end)
		if at >= 0 {
			end = at
		}
		if cr := b.indexByte('\r', b.place(begin, from), from, end); cr >= 0 {
			return cr
		}
		if at >= 0 {
			return at
		}
		from = end
		begin = b.place(begin, from)
	}
	return -1
}

// byteAt returns the byte at pos, which is in memory.
func (b *Buffer) byteAt(begin place, pos int) byte {
	at := b.place(begin, pos)
	return at.s.buf[at.s.r+pos-at.start]
}

// FindLine returns the length of the first line, without its ending, and that of the ending. b stays as it is.
//
// limit is the most bytes that the line may have, without its ending; negative: no limit. Errors: [ErrLineTooLong] if
// the line has more for certain, also when its ending has not arrived; else [ErrNeedMore] if there is no ending yet;
// else that of a file range that cannot be read.
func (b *Buffer) FindLine(eol EOL, limit int) (n, ending int, err error) {
	if s := b.head; s != nil && s.kind != kindFile && eol != AnyEOL {
		p := s.buf[s.r:s.w]
		if limit >= 0 && limit < len(p)-2 {
			p = p[:limit+2]
		}
		if n, ending = lineIn(p, eol); ending > 0 && (limit < 0 || n <= limit) {
			return n, ending, nil // most lines lie in one segment
		}
	}
	to := b.n
	if limit >= 0 && limit < to-2 {
		to = limit + 2 // the longest ending that must lie within is CR LF
	}
	at, size := b.indexEOL(eol, b.place(place{}, 0), 0, to)
	if at >= 0 && (limit < 0 || at <= limit) {
		return at, size, nil
	}
	if at < 0 {
		if err := b.Load(to); err != nil {
			return 0, 0, err
		}
	}
	if limit >= 0 && (at > limit || b.n > limit && !b.mayEnd(eol, limit)) {
		return 0, 0, ErrLineTooLong
	}
	return 0, 0, ErrNeedMore
}

// lineIn is FindLine for the bytes of one segment; ending is 0 if there is none.
func lineIn(p []byte, eol EOL) (n, ending int) {
	c := byte('\n')
	if eol == NUL {
		c = 0
	}
	for from := 0; ; from = n + 1 {
		i := bytes.IndexByte(p[from:], c)
		if i < 0 {
			return 0, 0
		}
		switch n = from + i; {
		case (eol == CRLF || eol == CRLFStrict) && n > 0 && p[n-1] == '\r':
			return n - 1, 2
		case eol != CRLFStrict:
			return n, 1
		}
	}
}

// mayEnd says whether the bytes from position at on can be the beginning of an ending of which more is to come.
func (b *Buffer) mayEnd(eol EOL, at int) bool {
	return at+1 == b.n && (eol == CRLF || eol == CRLFStrict) && b.byteAt(place{}, at) == '\r'
}

// ReadLine removes the first line and its ending and appends the line, without the ending, to dst, which it returns.
// limit and errors are those of [Buffer.FindLine], and [ErrFrozen]; with an error dst is returned as it was and nothing
// is removed.
//
// Libevent: evbuffer_readln.
func (b *Buffer) ReadLine(dst []byte, eol EOL, limit int) ([]byte, error) {
	if b.isFrozen(frozenFront) {
		return dst, ErrFrozen
	}
	n, ending, err := b.FindLine(eol, limit)
	if err != nil {
		return dst, err
	}
	for s, rest := b.head, n; rest > 0; s = s.next {
		p := s.buf[s.r:s.w]
		if len(p) > rest {
			p = p[:rest]
		}
		dst = append(dst, p...)
		rest -= len(p)
	}
	b.Drain(n + ending)
	return dst, nil
}

// AsLine lends the first line without copying it, unless it lies in several segments, and says how many bytes it has
// with its ending: Drain that many to go on. The line is read only and valid until the next call that modifies b. limit
// and errors are those of [Buffer.FindLine].
func (b *Buffer) AsLine(eol EOL, limit int) (line []byte, size int, err error) {
	n, ending, err := b.FindLine(eol, limit)
	if err != nil {
		return nil, 0, err
	}
	if n == 0 {
		return []byte{}, ending, nil
	}
	return b.PullUp(n), n + ending, nil
}

// Lines returns an iterator that removes complete lines from the front, one after the other, and yields each without
// its ending. A line is read only and valid in the loop's body; it is removed when the body is left, by break too. What
// has no ending yet stays in b.
//
// The body may remove the line, with its ending, itself, and more: what follows it, or all, as closing its connection
// does. The loop goes on with what comes first then. It may also have b keep its bytes elsewhere, as PullUp does. If the
// body modifies b otherwise the loop panics. It looks at Len, at where the first byte lies and, if that is elsewhere, at
// the first few bytes: only builds with -race or with the tag invariants find each body that removes bytes and puts as
// many others in their place.
//
// Libevent: evbuffer_readln in a loop.
func (b *Buffer) Lines(eol EOL) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for {
			line, size, err := b.AsLine(eol, -1)
			if err != nil {
				return
			}
			n, first := b.n, b.head
			from, start := first.r, startOf(line)
			was := b.snapshot(size)
			more := yield(line)
			if b.n == n && (b.head == first && first.r == from || start.begins(b)) {
				b.mustStartWith(was)
				b.Drain(size)
			} else {
				b.mustHaveLost(size, n)
			}
			if !more {
				return
			}
		}
	}
}

package buffer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A View reads a Buffer from the front without removing anything: a position that moves. It is for parsers that want an
// io.Reader and may find that the message is not complete. While a View is in use its Buffer must not be modified; a
// View that notices panics.
//
// Where the bytes end, Read returns io.EOF if that is the limit of the View, because nothing belongs behind it; but
// [ErrNeedMore] if it is only the end of what has arrived. ErrNeedMore is not io.EOF, so that io.ReadFull, bufio,
// encoding/json, net/textproto and net/http hand it through as it is, where they would turn io.EOF into an error of
// theirs or take it for the end of the message.
type View struct {
	b     *Buffer
	pos   int // of the next byte
	limit int

	s     *segment // the one that holds pos; nil: look it up
	start int      // where s begins

	head    *segment // b's, when the View was made
	n       int
	starved bool // Read found no byte although the limit is not reached
}

var _ io.ByteScanner = (*View)(nil)

// View returns a View of the first limit bytes, which need not be there yet; a negative limit means no limit: the
// View never gives io.EOF. b.View(b.Len()) ends with io.EOF where b ends, for the last message before the peer's EOF.
func (b *Buffer) View(limit int) View {
	return View{b: b, limit: limit, head: b.head, n: b.n}
}

// Pos returns how many bytes were read: what b.Drain needs when the message was complete.
func (v *View) Pos() int { return v.pos }

// Len returns how many bytes can be read now.
func (v *View) Len() int {
	if v.limit >= 0 && v.limit < v.n {
		return max(v.limit-v.pos, 0)
	}
	return v.n - v.pos
}

// Read copies the next bytes into p: as many as there are, from several segments if need be. At the end it returns
// io.EOF or [ErrNeedMore], see [View]; or the error of a file range that cannot be read, with the bytes before it.
func (v *View) Read(p []byte) (n int, err error) {
	if v.head != v.b.head || v.n != v.b.n {
		panic("buffer: View used after its Buffer changed")
	}
	if len(p) == 0 {
		return 0, nil
	}
	left := v.Len()
	if left == 0 {
		if v.pos == v.limit {
			return 0, io.EOF
		}
		v.starved = true
		return 0, ErrNeedMore
	}
	p = p[:min(len(p), left)]
	if v.s == nil {
		v.s, v.start = v.b.at(v.pos)
	}
	for n < len(p) && err == nil {
		s, k := v.s, 0
		if from := s.r + v.pos - v.start; s.kind == kindFile {
			k, err = s.from.(*File).readAt(p[n:min(len(p), n+s.w-from)], from)
		} else {
			k = copy(p[n:], s.buf[from:s.w])
		}
		n += k
		v.pos += k
		if v.pos == v.start+s.len() {
			v.s, v.start = s.next, v.pos
		}
	}
	return n, err
}

// ReadByte returns the next byte; errors are those of Read.
func (v *View) ReadByte() (byte, error) {
	var p [1]byte
	_, err := v.Read(p[:])
	return p[0], err
}

// UnreadByte goes back by one byte. It fails only at the front.
func (v *View) UnreadByte() error {
	if v.pos == 0 {
		return errors.New("buffer: UnreadByte at the front of a View")
	}
	v.pos--
	v.s = nil
	return nil
}

// Rewind goes back to the front.
func (v *View) Rewind() { v.pos, v.s, v.starved = 0, nil, false }

// parser is what a Parse needs, reused from one to the next.
type parser struct {
	view View
	r    *bufio.Reader
}

var parsers = sync.Pool{New: func() any { return &parser{r: bufio.NewReader(nil)} }}

// Parse runs f on a buffered reader over b and removes what f has read if f returns nil. Otherwise it removes nothing,
// so that f can be run again, from the start, when more bytes have arrived:
//
//	err := in.Parse(func(r *bufio.Reader) error {
//		req, err := http.ReadRequest(r)
//		if err != nil {
//			return err
//		}
//		body, err = io.ReadAll(req.Body) // all of the message must be read in here
//		return err
//	})
//	if errors.Is(err, buffer.ErrNeedMore) {
//		return // until the next Read callback
//	}
//
// Read-ahead costs nothing: what is left in the buffered reader stays in b. f must not keep r, nor anything that reads
// from it, nor modify b.
//
// The error is f's. If r came to the end of b while f ran, and f returned an error that does not say so, the error
// wraps [ErrNeedMore] as well: half a message may look like a malformed one. When no more bytes will come, ErrNeedMore
// means io.ErrUnexpectedEOF, or io.EOF if b is empty; Parse does not know which and returns neither. A parser that
// takes any error of its reader for the end and returns nil (bufio.Scanner does; ask its Err) would be believed.
// A frozen front is [ErrFrozen].
func (b *Buffer) Parse(f func(r *bufio.Reader) error) error {
	if b.isFrozen(frozenFront) {
		return ErrFrozen
	}
	p := parsers.Get().(*parser)
	p.view = b.View(-1)
	p.r.Reset(&p.view)
	err := f(p.r)
	used, starved := p.view.pos-p.r.Buffered(), p.view.starved
	p.view = View{}
	p.r.Reset(stale{})
	parsers.Put(p)
	if err == nil {
		b.Drain(used)
		return nil
	}
	if starved && !errors.Is(err, ErrNeedMore) {
		return fmt.Errorf("%w (%w)", ErrNeedMore, err)
	}
	return err
}

// stale is what the reader of a Parse reads from afterwards.
type stale struct{}

func (stale) Read([]byte) (int, error) {
	return 0, errors.New("buffer: the reader of Parse was used after Parse returned")
}

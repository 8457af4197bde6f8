package buffer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/bevgo/bev/internal/invariants"
)

// A View reads a Buffer from the front without removing anything: a position that moves. It is for parsers that want an
// io.Reader and may find that the message is not complete, and for searches that go on from where they were.
//
// A View is of use until the next call that modifies its Buffer, as a lent slice is; a call that adds or removes nothing
// counts, Reserve, Grow and Share of the Buffer too. Its methods panic then, but for Pos, Len and UnreadByte, which do
// not look at the Buffer.
//
// Where the bytes end, Read returns io.EOF if that is the limit of the View, because nothing belongs behind it; but
// [ErrNeedMore] if it is only the end of what has arrived. ErrNeedMore is not io.EOF, so that io.ReadFull, bufio,
// encoding/json, net/textproto and net/http hand it through as it is, where they would turn io.EOF into an error of
// theirs or take it for the end of the message.
type View struct {
	b     *Buffer
	pos   int // of the next byte
	limit int

	at place // of pos; none: look it up

	n       int // b's Len, when the View was made
	since   stamp
	starved bool // Read found no byte although the limit is not reached
}

var (
	_ io.ByteScanner = (*View)(nil)
	_ io.ReaderAt    = (*View)(nil)
	_ io.Seeker      = (*View)(nil)
)

// View returns a View of the first limit bytes, which need not be there yet; a negative limit means no limit: the
// View never gives io.EOF. b.View(b.Len()) ends with io.EOF where b ends, for the last message before the peer's EOF.
//
// How much to Drain when a message is complete: v.Pos(), if its parser reads no further, because it takes bytes one by
// one from an io.ByteReader, as encoding/xml and encoding/gob do; else less by what the parser has read ahead, which
// only the parser knows: v.Pos()-r.Buffered() of a bufio.Reader, dec.InputOffset() of a json.Decoder.
func (b *Buffer) View(limit int) View {
	return View{b: b, limit: limit, n: b.n, since: b.stamp()}
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
	v.mustBeFresh()
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
	v.at = v.place(v.pos)
	for n < len(p) && err == nil {
		s, k := v.at.s, 0
		if from := s.r + v.pos - v.at.start; s.kind == kindFile {
			k, err = s.from.(*File).readAt(p[n:min(len(p), n+s.w-from)], from)
		} else {
			k = copy(p[n:], s.buf[from:s.w])
		}
		n += k
		v.pos += k
		v.at = v.at.forward(v.pos)
	}
	return n, err
}

// place finds pos, which is cheap if it is not before v's own.
func (v *View) place(pos int) place {
	if v.at.s == nil || pos < v.at.start {
		return v.b.at(pos)
	}
	return v.at.forward(pos)
}

func (v *View) mustBeFresh() {
	if !v.since.holds(v.b) {
		panic("buffer: View used after its Buffer changed; make a new one")
	}
}

// searched is called after a search, which may have loaded file ranges, a change that is the View's own. If a clean-up
// function that ran then has changed Len, the View has ended.
func (v *View) searched() {
	if !v.since.holds(v.b) && v.n == v.b.n {
		v.since, v.at = v.b.stamp(), place{}
	}
}

// ReadAt copies into p what lies off bytes behind the front of the Buffer, whatever was read. Fewer bytes than len(p)
// come with the error that Read returns there. (A Buffer has no ReadAt: its front moves as it is read, and an
// io.ReaderAt must not. CopyOut is that.)
//
// Libevent: evbuffer_copyout_from.
func (v *View) ReadAt(p []byte, off int64) (int, error) {
	v.mustBeFresh()
	if off < 0 {
		return 0, errors.New("buffer: ReadAt with a negative offset")
	}
	end := v.n
	if v.limit >= 0 {
		end = min(end, v.limit)
	}
	want := 0
	if off < int64(end) {
		want = min(len(p), end-int(off))
	}
	n, err := 0, error(nil)
	if want > 0 {
		n, err = v.b.copyOut(p[:want], int(off))
	}
	if n < len(p) && err == nil {
		if err = ErrNeedMore; end == v.limit {
			err = io.EOF
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
	return nil
}

// Seek sets the position of the next Read, as io.Seeker has it: counted from the front, from where the View is, or from
// its end, which is the limit or, without one, the end of what has arrived. A position behind that end is an error.
// Going forward is cheap: it costs the segments between.
//
// Libevent: evbuffer_ptr_set.
func (v *View) Seek(offset int64, whence int) (int64, error) {
	end := v.Len() + v.pos
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += int64(v.pos)
	case io.SeekEnd:
		offset += int64(end)
	default:
		return int64(v.pos), errors.New("buffer: Seek with an unknown whence")
	}
	if offset < 0 || offset > int64(end) {
		return int64(v.pos), errors.New("buffer: Seek to a position outside of the View")
	}
	v.mustBeFresh()
	v.pos = int(offset)
	v.at = v.place(v.pos)
	return offset, nil
}

// Index returns the position of the first what at or behind the View's own, counted from the front of the Buffer, or
// -1. It does not move the View. A search for all occurrences costs no more than one pass that way:
//
//	v := b.View(-1)
//	for at := v.Index(what); at >= 0; at = v.Index(what) {
//		v.Seek(int64(at+1), io.SeekStart)
//	}
//
// File ranges are treated as in [Buffer.Index].
//
// Libevent: evbuffer_search.
func (v *View) Index(what []byte) int {
	v.mustBeFresh()
	end := v.pos + v.Len()
	if len(what) == 0 || len(what) > v.Len() {
		return v.b.IndexRange(what, v.pos, end)
	}
	v.at = v.b.place(v.place(v.pos), v.pos)
	at := v.b.index(what, v.at, v.pos, end)
	v.searched()
	return at
}

// IndexEOL is [Buffer.IndexEOL] from the View's position on, up to its end. It does not move the View.
//
// Libevent: evbuffer_search_eol.
func (v *View) IndexEOL(eol EOL) (at, size int) {
	v.mustBeFresh()
	end := v.pos + v.Len()
	v.at = v.b.place(v.place(v.pos), v.pos)
	at, size = v.b.indexEOL(eol, v.at, v.pos, end)
	v.searched()
	return at, min(size, end-at)
}

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
// What was read from r is gone, read ahead or not: a parser that works on r itself takes its message and no more, one
// that fills a buffer of its own from r takes the messages behind it too, and they are lost. On r itself work
// http.ReadRequest and ReadResponse, net/textproto, encoding/xml, encoding/gob, encoding/binary, compress/gzip, and
// whatever begins with bufio.NewReader(r), which returns r. json.Decoder and bufio.Scanner do not: for JSON see the
// example of [Buffer.View], for lines [Buffer.Lines].
//
// f must not keep r, nor anything that reads from it, such as the body of a request: it gives an error once Parse has
// returned. f must not modify b: to take anything off it is Parse's task, and if bytes are left when they should go,
// Parse panics. To empty b, as closing its connection does, is no offence.
//
// If f asked for more than b holds, nothing is removed and the error is or wraps [ErrNeedMore], whatever f returned:
// half a message may look malformed, and it may look whole, because bufio's ReadLine, on which net/textproto is built,
// gives out half a line as a line when its reader fails. A parser that always reads on to the end can therefore not be
// used here. Other errors are f's. A frozen front is [ErrFrozen].
//
// When no more bytes will come, ErrNeedMore means io.ErrUnexpectedEOF, or io.EOF if b is empty: Parse cannot know
// which, or whether, and returns neither.
//
// Slices that r lends, as by Peek or ReadSlice, are valid until f returns: their memory is pooled.
func (b *Buffer) Parse(f func(r *bufio.Reader) error) error {
	if b.isFrozen(frozenFront) {
		return ErrFrozen
	}
	memory := readers.Get().(*bufio.Reader)
	p := &parser{view: b.View(-1), r: *memory}
	defer p.end(memory)
	p.r.Reset(&p.view)
	err := f(&p.r)
	starved := p.view.starved
	switch {
	case starved && err == nil:
		return ErrNeedMore
	case starved && !errors.Is(err, ErrNeedMore):
		return fmt.Errorf("%w (%w)", ErrNeedMore, err)
	case err != nil:
		return err
	case p.view.since.holds(b):
		b.Drain(p.view.pos - p.r.Buffered())
	case b.n > 0:
		panic("buffer: b was modified inside of its Parse, which removes by itself what was read")
	}
	return nil
}

// parser is what a Parse needs and what f may come to keep: it is never used again, or whoever has kept the reader
// would read the bytes of somebody else's Buffer. Only the memory of the reader, the larger part, is.
type parser struct {
	view View
	r    bufio.Reader // shares the memory of one of readers, or is dead
}

// readers holds bufio.Readers that nobody reads from: copies of them do, in their memory, one at a time. It is as much
// as bufio.NewReader asks for, though most messages have less, because that puts another reader around a smaller one.
var readers = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

// dead is what the reader of a Parse is afterwards. Nothing is ever in its memory, so that all may share it.
var dead = *bufio.NewReaderSize(stale{}, 0)

// end takes the memory away from p's reader and gives it to those who come.
func (p *parser) end(memory *bufio.Reader) {
	if invariants.Enabled {
		p.r.Reset(poisoned{})
		p.r.Peek(p.r.Size())
	}
	p.view, p.r = View{}, dead
	readers.Put(memory)
}

// stale is what the reader of a Parse reads from afterwards.
type stale struct{}

func (stale) Read([]byte) (int, error) {
	return 0, errors.New("buffer: the reader of Parse was used after Parse returned")
}

// poisoned overwrites what it is read into, see poison.
type poisoned struct{}

func (poisoned) Read(p []byte) (int, error) {
	poisonBytes(p)
	return len(p), nil
}

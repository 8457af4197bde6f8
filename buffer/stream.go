package buffer

import (
	"errors"
	"io"
)

// defaultMaxRead is the most that one call of a reader is asked for, unless SetMaxRead says otherwise.
const defaultMaxRead = maxSegment

// firstRead is how much ReadFrom asks for first; it doubles while the reader fills it.
const firstRead = 4 << 10

// SetMaxRead limits how many bytes [Buffer.ReadOnce] and [Buffer.ReadFrom] ask for in one call of the reader. Zero or
// less means the default, 64 KiB.
//
// Libevent: evbuffer_set_max_read.
func (b *Buffer) SetMaxRead(n int) {
	if n <= 0 || n == defaultMaxRead {
		n = 0
	}
	if n != 0 || b.ext != nil {
		b.own().maxRead = n
		b.disown()
	}
}

// MaxRead returns the limit set by [Buffer.SetMaxRead].
//
// Libevent: evbuffer_get_max_read.
func (b *Buffer) MaxRead() int {
	if b.ext == nil || b.ext.maxRead == 0 {
		return defaultMaxRead
	}
	return b.ext.maxRead
}

// ReadOnce calls r.Read once, for at most n bytes (n < 0: as many as MaxRead allows), and adds what came to the back.
// It returns what Read returned: bytes may come with an error, and 0 bytes without one are possible. The error may be
// [ErrFrozen].
//
// Libevent: evbuffer_read. Unlike libevent it asks the kernel nothing beforehand.
func (b *Buffer) ReadOnce(r io.Reader, n int) (int, error) {
	if b.isFrozen(frozenBack) {
		return 0, ErrFrozen
	}
	if limit := b.MaxRead(); n < 0 || n > limit {
		n = limit
	}
	if n == 0 {
		return 0, nil
	}
	p := b.Reserve(n)
	k, err := r.Read(p)
	if k < 0 || k > len(p) {
		panic("buffer: Read of a reader returned an impossible count")
	}
	b.Commit(k)
	return k, err
}

// ReadFrom adds all that r gives until io.EOF, which is no error here. It stops at any other error, which it returns
// with the count of bytes that were added; io.ErrNoProgress after a hundred reads in a row without a byte.
func (b *Buffer) ReadFrom(r io.Reader) (n int64, err error) {
	size, empty := firstRead, 0
	for {
		k, err := b.ReadOnce(r, size)
		n += int64(k)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		switch empty++; {
		case k == size:
			size *= 2
			fallthrough
		case k > 0:
			empty = 0
		case empty == 100:
			return n, io.ErrNoProgress
		}
		size = min(size, b.MaxRead())
	}
}

// WriteTo writes all of b to w, extent by extent, and removes what w took. It stops at the first error; a short write
// without one is io.ErrShortWrite. The error may be [ErrFrozen], or that of a file range that cannot be read.
//
// To have one writev instead of a write for each extent, use [Buffer.AppendExtents].
//
// Libevent: evbuffer_write. Unlike libevent, writing an empty Buffer is no error.
func (b *Buffer) WriteTo(w io.Writer) (int64, error) {
	n, err := b.writeAtMost(w, b.n)
	return int64(n), err
}

// WriteAtMost is WriteTo for the first n bytes; n < 0 or beyond Len means all.
//
// Libevent: evbuffer_write_atmost.
func (b *Buffer) WriteAtMost(w io.Writer, n int) (int, error) {
	if n < 0 {
		n = b.n
	}
	return b.writeAtMost(w, n)
}

func (b *Buffer) writeAtMost(w io.Writer, n int) (done int, err error) {
	if b.isFrozen(frozenFront) {
		return 0, ErrFrozen
	}
	for n > done && b.n > 0 {
		p := b.head.bytesIfLoaded()
		if p == nil {
			if p, err = b.loadHead(); err != nil {
				return done, err
			}
		}
		p = p[:min(len(p), n-done)]
		k, err := w.Write(p)
		if k < 0 || k > len(p) {
			panic("buffer: Write of a writer returned an impossible count")
		}
		b.Drain(k)
		done += k
		if err != nil {
			return done, err
		}
		if k < len(p) {
			return done, io.ErrShortWrite
		}
	}
	return done, nil
}

// ReadByte removes and returns the first byte. The error is io.EOF when b is empty, [ErrFrozen], or that of a file
// range that cannot be read.
func (b *Buffer) ReadByte() (byte, error) {
	if b.isFrozen(frozenFront) {
		return 0, ErrFrozen
	}
	if b.n == 0 {
		return 0, io.EOF
	}
	p := b.head.bytesIfLoaded()
	if p == nil {
		var err error
		if p, err = b.loadHead(); err != nil {
			return 0, err
		}
		if len(p) == 0 { // emptied by a clean-up function
			return 0, io.EOF
		}
	}
	c := p[0]
	b.useFront()
	b.discard(1)
	e := b.own()
	e.unread, e.last = true, c // before anybody is told, who may change b
	b.changed(0, 1)
	return c, nil
}

var errUnread = errors.New("buffer: UnreadByte not directly after a ReadByte that returned a byte")

// UnreadByte puts back the byte that ReadByte returned, if that was the last call that changed b.
func (b *Buffer) UnreadByte() error {
	e := b.ext
	if e == nil || !e.unread {
		return errUnread
	}
	if e.frozen&frozenFront != 0 {
		return ErrFrozen
	}
	c := [1]byte{e.last}
	b.Prepend(c[:])
	b.disown()
	return nil
}

// AppendTo appends a copy of all bytes to dst and returns it; b stays as it is. A file range that cannot be read ends
// the copy ([Buffer.Load] tells why).
func (b *Buffer) AppendTo(dst []byte) []byte {
	for s := b.head; s != nil; s = s.next {
		if s.kind != kindFile {
			dst = append(dst, s.buf[s.r:s.w]...)
			continue
		}
		at := len(dst)
		dst = append(dst, make([]byte, s.len())...)
		if k, err := s.from.(*File).readAt(dst[at:], s.r); err != nil {
			return dst[:at+k]
		}
	}
	return dst
}

// ToBytes returns a copy of all bytes; nil if there are none. See [Buffer.AppendTo].
func (b *Buffer) ToBytes() []byte {
	if b.n == 0 {
		return nil
	}
	return b.AppendTo(make([]byte, 0, b.n))
}

// String returns a copy of all bytes as a string; b stays as it is.
func (b *Buffer) String() string { return string(b.ToBytes()) }

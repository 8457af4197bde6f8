package buffer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"sync/atomic"
)

// A File is a range of an io.ReaderAt that Buffers show without having it in memory. It counts the segments that show
// it: when the last is gone and its maker has released it, the clean-up functions run.
//
// Nothing is mapped into memory: a file that somebody truncates gives an error, not a signal. Safe from any goroutine
// if its reader is, as os.File is; AddCleanup belongs before the first use by another goroutine.
//
// Libevent: struct evbuffer_file_segment.
type File struct {
	r        io.ReaderAt
	off      int64
	n        int64
	refs     atomic.Int64 // the maker's and one for each segment
	released atomic.Bool
	cleanup  []func()
}

var (
	errFileShort = fmt.Errorf("buffer: the file is shorter than the range that was appended: %w", io.ErrUnexpectedEOF)
	errFileRange = errors.New("buffer: file range outside of the file, or too long for an int")
)

// NewFile returns a File over the n bytes of r that begin at off. A negative n means up to the end, which r must be
// able to tell, by a method Size() int64 or Stat() (fs.FileInfo, error). The maker calls Release when it has appended
// the File wherever it should be.
//
// Libevent: evbuffer_file_segment_new.
func NewFile(r io.ReaderAt, off, n int64) (*File, error) {
	if off < 0 {
		return nil, errFileRange
	}
	if n < 0 {
		size, err := sizeOf(r)
		if err != nil {
			return nil, err
		}
		if n = size - off; n < 0 {
			return nil, errFileRange
		}
	}
	if n > math.MaxInt64-off {
		return nil, errFileRange
	}
	f := &File{r: r, off: off, n: n}
	f.refs.Store(1)
	return f, nil
}

func sizeOf(r io.ReaderAt) (int64, error) {
	switch r := r.(type) {
	case interface{ Size() int64 }:
		return r.Size(), nil
	case interface{ Stat() (fs.FileInfo, error) }:
		st, err := r.Stat()
		if err != nil {
			return 0, err
		}
		return st.Size(), nil
	}
	return 0, errors.New("buffer: the reader cannot tell its size; say how many bytes are meant")
}

// Size returns the number of bytes of the range.
func (f *File) Size() int64 { return f.n }

// AddCleanup has fn called once, when nobody shows f any more, on the goroutine that let go last. Several run in the
// order in which they were added.
//
// Libevent: evbuffer_file_segment_add_cleanup_cb.
func (f *File) AddCleanup(fn func()) { f.cleanup = append(f.cleanup, fn) }

// Release says that the maker needs f no longer. A second call does nothing.
//
// Libevent: evbuffer_file_segment_free.
func (f *File) Release() {
	if f.released.CompareAndSwap(false, true) {
		f.unref()
	}
}

func (f *File) unref() {
	if f.refs.Add(-1) == 0 {
		for i := len(f.cleanup) - 1; i >= 0; i-- {
			defer f.cleanup[i]() // in order, and each, even if one panics
		}
	}
}

// readAt fills p from byte from of the range. Fewer bytes come with an error, and only then is there one.
func (f *File) readAt(p []byte, from int) (int, error) {
	n, err := f.r.ReadAt(p, f.off+int64(from))
	switch {
	case n < 0 || n > len(p):
		panic("buffer: ReadAt of a file range returned an impossible count")
	case n == len(p):
		return n, nil
	case err == io.EOF:
		return n, errFileShort
	case err == nil:
		return n, io.ErrNoProgress
	}
	return n, err
}

// AppendFile adds n bytes of r, from off on, to the back without reading them: a negative n means up to the end, as for
// [NewFile]. A socket sends them from the file; everything else reads them when they are needed. It takes ownership of
// r: release, unless nil, is called once when r is needed no more, because its bytes are gone or in memory, as for
// [Buffer.AppendOwned]; at once if there are none. With an error nothing was added and r is still the caller's.
//
// Libevent: evbuffer_add_file. Unlike libevent, it never closes r unless release does.
func (b *Buffer) AppendFile(r io.ReaderAt, off, n int64, release func()) error {
	if b.isFrozen(frozenBack) {
		return ErrFrozen
	}
	f, err := NewFile(r, off, n)
	if err != nil {
		return err
	}
	if f.n > int64(maxLen-b.n) {
		return errFileRange
	}
	if release != nil {
		f.AddCleanup(release)
	}
	defer f.Release()
	return b.AppendFileRange(f, 0, -1)
}

// AppendFileRange adds n bytes of f, from byte off of its range on, to the back; a negative n means all from there. It
// takes a reference to f. The error says that this is not within f; nothing was added.
//
// Libevent: evbuffer_add_file_segment.
func (b *Buffer) AppendFileRange(f *File, off, n int64) error {
	if b.isFrozen(frozenBack) {
		return ErrFrozen
	}
	b.useBack()
	if off < 0 || off > f.n || n > f.n-off {
		return errFileRange
	}
	if n < 0 {
		n = f.n - off
	}
	if off+n > math.MaxInt || n > int64(maxLen-b.n) {
		return errFileRange
	}
	if n == 0 {
		return nil
	}
	f.refs.Add(1)
	s := b.pool().header()
	s.kind, s.from = kindFile, f
	s.r, s.w = int(off), int(off+n)
	b.seal()
	b.link(s)
	b.verify()
	b.changed(int(n), 0)
	return nil
}

// HeadFile tells whether a file range comes first, and which: the next n bytes of b are those of r from off on. The
// socket sends them with sendfile and drains what was sent. They stay b's; r is valid until the next call that modifies
// b.
func (b *Buffer) HeadFile() (r io.ReaderAt, off int64, n int, ok bool) {
	s := b.head
	if s == nil || s.kind != kindFile {
		return nil, 0, 0, false
	}
	f := s.from.(*File)
	return f.r, f.off + int64(s.r), s.len(), true
}

// Load reads the file ranges among the first n bytes (n < 0: all) into memory, in pieces of at most 64 KiB. Without
// file ranges it does nothing, at the cost of a step per segment.
//
// An error is that of the reader, or io.ErrUnexpectedEOF if the file ends before its range. Nothing is lost by it: what
// was read is kept, what was not is still a file range, Len is the same, and Load may be tried again. The methods that
// need bytes and return no error call it and find nothing when it fails.
func (b *Buffer) Load(n int) error {
	if n < 0 || n > b.n {
		n = b.n
	}
	if !b.hasFile(n) {
		return nil
	}
	return b.loadRanges(n)
}

func (b *Buffer) loadRanges(n int) (err error) {
	var prev, gone *segment
	defer func() { // if a reader panics too: what was read before is in its place by then
		b.verify()
		dropList(gone, nil, b) // last: clean-up functions may come back to b
	}()
	for s := b.head; s != nil && n > 0 && err == nil; {
		next := s.next
		if s.kind != kindFile {
			n -= s.len()
			prev, s = s, next
			continue
		}
		var list Buffer
		err = b.load(&list, s, min(n, s.len()))
		n -= list.n
		if s.r += list.n; s.r < s.w {
			prev, s = b.splice(prev, &list, s), next
			continue
		}
		prev = b.splice(prev, &list, next)
		s.next, gone = gone, s
		s = next
	}
	return err
}

// hasFile says whether there is a file range among the first n bytes.
func (b *Buffer) hasFile(n int) bool {
	for s := b.head; s != nil && n > 0; s = s.next {
		if s.kind == kindFile {
			return true
		}
		n -= s.w - s.r
	}
	return false
}

// load reads the first n bytes of the file range s into list. It leaves s as it is, because a reader that panics must
// find nothing half done.
func (b *Buffer) load(list *Buffer, s *segment, n int) error {
	if b.ext != nil {
		b.ext.touch()
	}
	p, f := b.pool(), s.from.(*File)
	for n > list.n {
		rest := n - list.n
		g := p.segment(classFor(0, min(rest, maxSegment)))
		k, err := f.readAt(g.buf[:min(rest, len(g.buf))], s.r+list.n)
		if g.w = k; k == 0 {
			p.put(g)
		} else {
			list.link(g)
		}
		if err != nil {
			if k > 0 {
				g.fitThin(b)
			}
			return err
		}
	}
	return nil
}

// loadHead is Head when a file range comes first: it loads a piece of it, and says why if it cannot.
func (b *Buffer) loadHead() ([]byte, error) {
	err := b.Load(min(b.head.len(), maxSegment))
	if s := b.head; s != nil && s.kind != kindFile { // a clean-up function may have emptied b
		return s.bytes(), nil // an error further on is for the next call
	}
	return nil, err
}

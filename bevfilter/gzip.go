package bevfilter

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/bevgo/bev"
)

// CompressOptions are the settings of [NewGzip] and [NewDeflate]. A nil
// pointer means all defaults.
type CompressOptions struct {
	// Level is that of compress/flate: 1 is fast, 9 is small; 0 means
	// flate.DefaultCompression.
	Level int

	// MaxReceived bounds what may come out of decompressing, in bytes for
	// the whole life of the Conn; beyond it is ErrTooLarge. 0 or less means no
	// bound: the marks of the Conn hold at any time, so that a small input
	// that becomes a large one is read as slowly as the user drains it.
	MaxReceived int64
}

// Compressor compresses what is written and decompresses what comes. Made by
// [NewGzip] and [NewDeflate]. Whatever is written in one callback can be
// decompressed by the peer without what follows; the end of the stream goes
// with CloseWrite, CloseAfterFlush and Close. The first write takes about 800
// KB of memory (compress/flate), the first byte that comes up to 100 KB.
type Compressor struct {
	z        inflater
	gzip     bool
	inStream bool // between the header of a gzip stream and its end
	begun    bool // something has come
	sum      uint32
	size     uint32
	total    int64
	max      int64

	level int
	out   flusher
}

// flusher is what *gzip.Writer and *flate.Writer have in common.
type flusher interface {
	io.WriteCloser
	Flush() error
	Reset(w io.Writer)
}

// NewGzip returns a filter for gzip streams, RFC 1952, several in a row too.
// An error is one of the level. Safe from any goroutine.
func NewGzip(o *CompressOptions) (*Compressor, error) { return newCompressor(o, true) }

// NewDeflate returns a filter for a bare DEFLATE stream, RFC 1951. An error is
// one of the level. Safe from any goroutine.
func NewDeflate(o *CompressOptions) (*Compressor, error) { return newCompressor(o, false) }

func newCompressor(o *CompressOptions, gz bool) (*Compressor, error) {
	var z CompressOptions
	if o != nil {
		z = *o
	}
	switch {
	case z.Level == 0:
		z.Level = flate.DefaultCompression
	case z.Level < flate.HuffmanOnly || z.Level > flate.BestCompression:
		return nil, fmt.Errorf("bevfilter: compression level %d: want 1 to 9, or a constant of compress/flate", z.Level)
	}
	return &Compressor{gzip: gz, level: z.Level, max: z.MaxReceived, inStream: !gz}, nil
}

// piece is how much input is taken out of the Conn below at a time.
const piece = 4 << 10

// In is for the Conn to call, see [bev.Filter].
func (c *Compressor) In(s *bev.FilterStreams, mode bev.FlushMode) error {
	for room := s.UserRoom; room > 0; {
		n, starved, err := c.step(s, room)
		if err != nil {
			return err
		}
		room -= n
		if !starved {
			continue
		}
		if s.FromBelow.Len() == 0 {
			if mode == bev.FlushFinished && c.cutOff() {
				return cutOff("a compressed stream")
			}
			return nil
		}
		p := make([]byte, min(s.FromBelow.Len(), piece))
		n, _ = s.FromBelow.Read(p)
		c.z.feed(p[:n])
		c.begun = true
	}
	return nil
}

// cutOff reports whether an end now would be one in the middle.
func (c *Compressor) cutOff() bool {
	if c.gzip {
		return c.inStream || c.z.pos < len(c.z.in)
	}
	return c.begun && c.z.state != atEnd
}

// step is a header, a trailer, or up to room bytes of what lies between.
func (c *Compressor) step(s *bev.FilterStreams, room int) (n int, starved bool, err error) {
	switch {
	case !c.inStream:
		starved, err = c.header()
		return 0, starved, err
	case c.z.state != atEnd:
		starved, err = c.z.run(min(room, window))
		p := c.z.output()
		if c.max > 0 && c.total+int64(len(p)) > c.max {
			return 0, false, fmt.Errorf("%w: more than %d bytes came of decompressing", ErrTooLarge, c.max)
		}
		c.total += int64(len(p))
		if c.gzip {
			c.sum = crc32.Update(c.sum, crc32.IEEETable, p)
			c.size += uint32(len(p))
		}
		s.ToUser.Append(p)
		return len(p), starved, err
	case c.gzip:
		starved, err = c.trailer()
		return 0, starved, err
	}
	if c.z.pos < len(c.z.in) {
		return 0, false, ErrCorrupt // bytes behind the end
	}
	return 0, true, nil
}

// trailer checks sum and size, RFC 1952 2.3.1.
func (c *Compressor) trailer() (starved bool, err error) {
	p := c.z.in[c.z.pos:]
	if len(p) < 8 {
		return true, nil
	}
	if binary.LittleEndian.Uint32(p) != c.sum || binary.LittleEndian.Uint32(p[4:]) != c.size {
		return false, ErrCorrupt
	}
	c.z.pos += 8
	c.inStream = false
	return false, nil
}

// header reads the header of a gzip stream. It is that of the standard
// library, tried again when more has come; a header has an end, see piece.
func (c *Compressor) header() (starved bool, err error) {
	p := c.z.in[c.z.pos:]
	if len(p) == 0 {
		return true, nil
	}
	r := bytes.NewReader(p)
	switch _, err = gzip.NewReader(r); {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		if len(p) > 4*piece {
			return false, fmt.Errorf("%w: the header of a gzip stream", ErrTooLarge)
		}
		return true, nil
	case err != nil:
		return false, ErrCorrupt
	}
	c.z.pos += len(p) - r.Len()
	c.z.next()
	c.inStream, c.sum, c.size = true, 0, 0
	return false, nil
}

// Out is for the Conn to call, see [bev.Filter].
func (c *Compressor) Out(s *bev.FilterStreams, mode bev.FlushMode) error {
	if s.FromUser.Len() > 0 {
		if err := c.open(s.ToBelow); err != nil {
			return err
		}
		n := s.FromUser.Len()
		if mode == bev.FlushNormal {
			n = min(n, s.BelowRoom)
		}
		if _, err := s.FromUser.WriteAtMost(c.out, n); err != nil {
			return err
		}
		if err := c.out.Flush(); err != nil {
			return err
		}
	}
	if mode == bev.FlushFinished && c.out != nil {
		return c.out.Close()
	}
	return nil
}

// open makes the writer, once there is something to write.
func (c *Compressor) open(w io.Writer) (err error) {
	switch {
	case c.out != nil:
	case c.gzip:
		c.out, err = gzip.NewWriterLevel(w, c.level)
	default:
		c.out, err = flate.NewWriter(w, c.level)
	}
	return err
}

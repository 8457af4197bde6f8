package bevfilter

import (
	"encoding/binary"
	"fmt"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
)

// DefaultMaxMessage bounds a frame, a line or a zstd frame where nobody chose
// a limit, in bytes.
const DefaultMaxMessage = 1 << 20

// Frames delivers messages that come with their length before them, 4 bytes,
// most significant first. Each Read callback is given one message, without
// its length: Input holds exactly that, provided that the callback drains it.
// Empty messages are good for keeping a connection alive: they are not
// delivered. Loop only.
//
// The output is a stream, in which two writes of one callback are one run of
// bytes. So the filter does not guess where messages begin there: [Frames.Send]
// writes one, and everything else passes as it is.
type Frames struct {
	// Max bounds a message in bytes, both ways. 0 means 1 MiB
	// (DefaultMaxMessage). It is read before each message.
	Max int

	part buffer.Buffer // of a message that is not complete
	want int           // its length, 0 while that is not known
}

const headerSize = 4

func (f *Frames) max() int { return limitOr(f.Max) }

func limitOr(n int) int {
	if n <= 0 {
		return DefaultMaxMessage
	}
	return n
}

// Send writes one message to c, the Conn that has this filter. It copies p. An
// empty one keeps the connection alive. The errors are ErrTooLarge, and those
// of [bev.Conn.Write], with which nothing was written. Loop only.
func (f *Frames) Send(c *bev.Conn, p []byte) error {
	if len(p) > f.max() {
		return fmt.Errorf("%w: a message of %d bytes", ErrTooLarge, len(p))
	}
	var b buffer.Buffer
	b.Append(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
	b.Append(p)
	return c.WriteBuffer(&b)
}

// In is for the Conn to call, see [bev.Filter].
func (f *Frames) In(s *bev.FilterStreams, mode bev.FlushMode) error {
	for f.want == 0 {
		h, ok := s.FromBelow.Peek4(0)
		if !ok {
			if mode == bev.FlushFinished && s.FromBelow.Len() > 0 {
				return cutOff("a frame")
			}
			return nil
		}
		n := binary.BigEndian.Uint32(h[:])
		if uint64(n) > uint64(f.max()) {
			return fmt.Errorf("%w: a message of %d bytes", ErrTooLarge, n)
		}
		s.FromBelow.Drain(headerSize)
		f.want = int(n)
	}
	// A message may be longer than what may wait below, so it waits here.
	f.part.Move(s.FromBelow, f.want-f.part.Len())
	switch {
	case f.part.Len() == f.want:
		s.ToUser.MoveAll(&f.part)
		f.want = 0
	case mode == bev.FlushFinished:
		return cutOff("a frame")
	}
	return nil
}

// Out is for the Conn to call, see [bev.Filter].
func (f *Frames) Out(s *bev.FilterStreams, _ bev.FlushMode) error {
	s.ToBelow.Move(s.FromUser, s.BelowRoom)
	return nil
}

// Lines delivers one line with each Read callback: Input holds exactly that,
// provided that the callback drains it. The line's ending, LF or CRLF, is made
// one LF, so that an empty line is something, too. What comes after the last
// ending is delivered as it is, before the end of file. Output passes as it
// is. Loop only.
type Lines struct {
	// Max bounds a line in bytes, its ending not counted. 0 means 1 MiB
	// (DefaultMaxMessage). It is read before each line.
	Max int

	part buffer.Buffer // a line whose end has not come
}

// In is for the Conn to call, see [bev.Filter].
func (f *Lines) In(s *bev.FilterStreams, mode bev.FlushMode) error {
	limit := limitOr(f.Max)
	n := s.FromBelow.IndexByte('\n', 0) // what is in part has been searched
	whole := n >= 0
	if !whole {
		n = s.FromBelow.Len()
	}
	if f.part.Len()+n > limit+1 { // a CR, perhaps
		return fmt.Errorf("%w: a line of more than %d bytes", ErrTooLarge, limit)
	}
	f.part.Move(s.FromBelow, n)
	switch {
	case whole:
		s.FromBelow.Drain(1)
		return f.deliver(s, limit, "\n")
	case mode == bev.FlushFinished && f.part.Len() > 0:
		return f.deliver(s, limit, "")
	}
	return nil
}

// deliver gives part to the user, with that ending in place of its own.
func (f *Lines) deliver(s *bev.FilterStreams, limit int, ending string) error {
	n := f.part.Len()
	if ending != "" && n > 0 && f.part.IndexByte('\r', n-1) >= 0 {
		n--
	}
	if n > limit {
		return fmt.Errorf("%w: a line of more than %d bytes", ErrTooLarge, limit)
	}
	s.ToUser.Move(&f.part, n)
	s.ToUser.AppendString(ending)
	f.part.Reset()
	return nil
}

// Out is for the Conn to call, see [bev.Filter].
func (f *Lines) Out(s *bev.FilterStreams, _ bev.FlushMode) error {
	s.ToBelow.Move(s.FromUser, s.BelowRoom)
	return nil
}

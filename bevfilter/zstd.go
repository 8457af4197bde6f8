package bevfilter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/bevgo/bev"
	"github.com/klauspost/compress/zstd"
)

// Zstd compresses and decompresses zstd frames, RFC 8878. Each run of bytes
// that is written becomes a frame of its own, which any zstd decoder takes as
// a part of one stream; what comes is decompressed frame by frame. So it is
// made for messages of some size, and a peer that sends all it has as one
// long frame, as the zstd program does, needs a Max to match. Encoders and
// decoders are shared by all Conns: one that is idle holds no memory. Made by
// [NewZstd].
type Zstd struct {
	max  int
	dec  *zstd.Decoder
	part []byte // of a frame that is not complete
	seen int    // of part, up to the next block header; 0: at the frame header
	sum  bool   // the frame ends with a checksum
	last bool   // the last block has been seen
}

// zstdPiece is the most that goes into one frame.
const zstdPiece = 128 << 10

// NewZstd returns a filter for zstd. max bounds a frame in bytes, compressed
// and decompressed; 0 or less means 1 MiB (DefaultMaxMessage). It is at least
// 256 KiB, so that two ends with these filters always understand each other.
// Safe from any goroutine.
func NewZstd(max int) (*Zstd, error) {
	max = limitOr(max)
	if max < 2*zstdPiece {
		max = 2 * zstdPiece
	}
	dec, err := zstdDecoder(max)
	if err != nil {
		return nil, fmt.Errorf("bevfilter: zstd: %w", err)
	}
	if _, err := zstdEncoder(); err != nil {
		return nil, fmt.Errorf("bevfilter: zstd: %w", err)
	}
	return &Zstd{max: max, dec: dec}, nil
}

var zstdEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
})

var (
	zstdLock     sync.Mutex
	zstdDecoders = make(map[int]*zstd.Decoder) // by their limit
)

func zstdDecoder(max int) (*zstd.Decoder, error) {
	zstdLock.Lock()
	defer zstdLock.Unlock()
	if d := zstdDecoders[max]; d != nil {
		return d, nil
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(max)))
	if err == nil {
		zstdDecoders[max] = d
	}
	return d, err
}

// In is for the Conn to call, see [bev.Filter]. It delivers at most one frame,
// and passes over those that are empty.
func (z *Zstd) In(s *bev.FilterStreams, mode bev.FlushMode) error {
	for s.UserRoom > 0 {
		end, err := z.frame()
		if err != nil {
			return err
		}
		if end > 0 {
			p, err := z.dec.DecodeAll(z.part[:end], nil)
			switch {
			case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
				return fmt.Errorf("%w: a zstd frame of more than %d bytes", ErrTooLarge, z.max)
			case err != nil:
				return fmt.Errorf("%w: zstd (%v)", ErrCorrupt, err)
			}
			z.part = append(z.part[:0], z.part[end:]...)
			z.seen, z.last = 0, false
			s.ToUser.Append(p)
			if len(p) > 0 {
				return nil
			}
			continue
		}
		if s.FromBelow.Len() == 0 {
			if mode == bev.FlushFinished && len(z.part) > 0 {
				return cutOff("a zstd frame")
			}
			if len(z.part) == 0 {
				z.part = nil // an idle Conn holds no memory
			}
			return nil
		}
		n, at := min(s.FromBelow.Len(), zstdPiece), len(z.part)
		z.part = append(z.part, make([]byte, n)...)
		_, _ = s.FromBelow.Read(z.part[at:]) // they are there
	}
	return nil
}

// frame returns where the frame that part begins with ends, 0 while that has
// not come. RFC 8878 3.1.1: each block says how long it is.
func (z *Zstd) frame() (end int, err error) {
	p := z.part
	if z.seen == 0 {
		if len(p) < 8 {
			return 0, nil
		}
		switch magic := binary.LittleEndian.Uint32(p); {
		case magic&^15 == 0x184D2A50: // to be skipped
			return z.within(8+int64(binary.LittleEndian.Uint32(p[4:])), len(p))
		case magic != 0xFD2FB528:
			return 0, fmt.Errorf("%w: this is not zstd", ErrCorrupt)
		}
		d := p[4]
		single := d >> 5 & 1
		z.sum = d>>2&1 == 1
		size := [4]int{int(single), 2, 4, 8}[d>>6]
		z.seen = 5 + int(1-single) + [4]int{0, 1, 2, 4}[d&3] + size
	}
	for !z.last {
		if len(p) < z.seen+3 {
			return z.within(0, 0)
		}
		h := int(p[z.seen]) | int(p[z.seen+1])<<8 | int(p[z.seen+2])<<16
		z.last = h&1 == 1
		n := h >> 3
		if h>>1&3 == 1 {
			n = 1 // one byte, many times
		}
		z.seen += 3 + n
		if _, err := z.within(int64(z.seen), 0); err != nil {
			return 0, err
		}
	}
	end = z.seen
	if z.sum {
		end += 4
	}
	return z.within(int64(end), len(p))
}

// within returns end once it is not behind have, and an error if it is too
// far away.
func (z *Zstd) within(end int64, have int) (int, error) {
	switch {
	case end > int64(z.max)+zstdPiece: // what does not compress takes a little more
		return 0, fmt.Errorf("%w: a zstd frame of more than %d bytes", ErrTooLarge, z.max)
	case end > int64(have):
		return 0, nil
	}
	return int(end), nil
}

// Out is for the Conn to call, see [bev.Filter].
func (z *Zstd) Out(s *bev.FilterStreams, mode bev.FlushMode) error {
	e, err := zstdEncoder()
	if err != nil {
		return err // NewZstd has seen that there is none
	}
	for room := s.BelowRoom; s.FromUser.Len() > 0 && (room > 0 || mode != bev.FlushNormal); {
		n := min(s.FromUser.Len(), zstdPiece)
		p := e.EncodeAll(s.FromUser.PullUp(n), nil)
		s.FromUser.Drain(n)
		s.ToBelow.AppendOwned(p, nil)
		room -= len(p)
	}
	return nil
}

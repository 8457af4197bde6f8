package bevfilter_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/bevfilter"
	"github.com/bevgo/bev/internal/leak"
	"github.com/klauspost/compress/zstd"
)

func TestMain(m *testing.M) { leak.Main(m) }

// result is what a filter's user was told.
type result struct {
	pieces []string // of each Read callback
	data   []byte
	event  bev.Event
	err    error
}

// read feeds wire to f, so many bytes at a time (0: in pieces of random
// length), then the end, and returns what came out.
func read(t *testing.T, f bev.Filter, wire []byte, step int) *result {
	t.Helper()
	l, err := bev.NewLoop(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, under, err := bev.Pair(l, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := bev.NewFilter(under, f, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &result{}
	c.SetCallbacks(bev.Callbacks{
		Read: func(c *bev.Conn) {
			p := c.Input().ToBytes()
			r.pieces = append(r.pieces, string(p))
			r.data = append(r.data, p...)
			c.Input().Reset()
		},
		Event: func(c *bev.Conn, what bev.Event, err error) {
			r.event, r.err = what, err
			l.Stop()
		},
	})
	c.Enable(bev.Reading)
	random := rand.New(rand.NewPCG(1, uint64(len(wire))))
	var next func()
	next = func() {
		n := step
		if n == 0 {
			n = 1 + random.IntN(5000)
		}
		n = min(n, len(wire))
		peer.Write(wire[:n])
		if wire = wire[n:]; len(wire) == 0 {
			peer.CloseWrite()
			return
		}
		l.AfterFunc(0, next)
	}
	next()
	if err := l.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return r
}

// written is what f makes of pieces that are written one after the other, and
// of the end.
func written(t *testing.T, f bev.Filter, pieces ...[]byte) []byte {
	t.Helper()
	l, err := bev.NewLoop(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, under, err := bev.Pair(l, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := bev.NewFilter(under, f, nil)
	if err != nil {
		t.Fatal(err)
	}
	var wire []byte
	peer.SetCallbacks(bev.Callbacks{
		Read: func(c *bev.Conn) {
			wire = append(wire, c.Input().ToBytes()...)
			c.Input().Reset()
		},
		Event: func(*bev.Conn, bev.Event, error) { l.Stop() },
	})
	peer.Enable(bev.Reading)
	var next func()
	next = func() {
		if len(pieces) == 0 {
			c.CloseWrite()
			return
		}
		if _, err := c.Write(pieces[0]); err != nil {
			t.Errorf("Write: %v", err)
		}
		pieces = pieces[1:]
		l.AfterFunc(0, next)
	}
	next()
	if err := l.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return wire
}

// samples are streams that compress well, badly, and in every block type.
func samples() map[string][]byte {
	r := rand.New(rand.NewPCG(7, 7))
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	var text bytes.Buffer
	for i := range 30_000 {
		fmt.Fprintf(&text, "%d %x line of text\n", i, r.Uint32N(1000))
	}
	return map[string][]byte{
		"one byte": {'x'},
		"short":    []byte("hello, hello, hello"),
		"zeros":    make([]byte, 1<<20),
		"noise":    noise,
		"text":     text.Bytes(),
	}
}

func gz(t *testing.T, p []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Name, w.Comment, w.Extra = "a name", "a comment", []byte("extra")
	w.Write(p)
	w.Close()
	return b.Bytes()
}

func newGzip(t *testing.T, o *bevfilter.CompressOptions) *bevfilter.Compressor {
	t.Helper()
	f, err := bevfilter.NewGzip(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newDeflate(t *testing.T) *bevfilter.Compressor {
	t.Helper()
	f, err := bevfilter.NewDeflate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newZstd(t *testing.T, max int) *bevfilter.Zstd {
	t.Helper()
	f, err := bevfilter.NewZstd(max)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func wantClean(t *testing.T, r *result, want []byte) {
	t.Helper()
	if r.event != bev.EventReading|bev.EventEOF || !bytes.Equal(r.data, want) {
		t.Fatalf("%d bytes, right: %v; then %v, %v; want %d bytes and the end", len(r.data), bytes.Equal(r.data, want), r.event, r.err, len(want))
	}
}

func wantError(t *testing.T, r *result, want error) {
	t.Helper()
	if r.event != bev.EventReading|bev.EventError || !errors.Is(r.err, want) {
		t.Fatalf("%d bytes, then %v, %v; want an error, %v", len(r.data), r.event, r.err, want)
	}
}

func TestReadingWhatTheStandardLibraryWrites(t *testing.T) {
	for name, data := range samples() {
		for _, level := range []int{flate.NoCompression, flate.BestSpeed, flate.BestCompression, flate.HuffmanOnly} {
			wire := gz(t, data, level)
			steps := []int{0, 1 << 20}
			if len(wire) < 5_000 {
				steps = append(steps, 1)
			}
			for _, step := range steps {
				t.Run(fmt.Sprintf("%s/%d/%d", name, level, step), func(t *testing.T) {
					wantClean(t, read(t, newGzip(t, nil), wire, step), data)
					wantClean(t, read(t, newGzip(t, nil), append(bytes.Clone(wire), wire...), step), append(bytes.Clone(data), data...))
				})
			}
		}
	}
}

func TestRoundTrips(t *testing.T) {
	for kind, make := range map[string]func() bev.Filter{
		"gzip":    func() bev.Filter { return newGzip(t, nil) },
		"deflate": func() bev.Filter { return newDeflate(t) },
		"zstd":    func() bev.Filter { return newZstd(t, 0) },
		"counter": func() bev.Filter { return new(bevfilter.Counter) },
	} {
		for name, data := range samples() {
			t.Run(kind+"/"+name, func(t *testing.T) {
				half := len(data) / 2
				wire := written(t, make(), data[:half], data[half:])
				wantClean(t, read(t, make(), wire, 0), data)
				if len(wire) < 5_000 {
					wantClean(t, read(t, make(), wire, 1), data)
				}
			})
		}
	}
}

func TestOthersReadWhatIsWritten(t *testing.T) {
	for name, data := range samples() {
		t.Run(name, func(t *testing.T) {
			r, err := gzip.NewReader(bytes.NewReader(written(t, newGzip(t, nil), data)))
			if err != nil {
				t.Fatal(err)
			}
			if p, err := io.ReadAll(r); err != nil || !bytes.Equal(p, data) {
				t.Errorf("gzip: %d bytes, %v", len(p), err)
			}
			p, err := io.ReadAll(flate.NewReader(bytes.NewReader(written(t, newDeflate(t), data))))
			if err != nil || !bytes.Equal(p, data) {
				t.Errorf("deflate: %d bytes, %v", len(p), err)
			}
			d, err := zstd.NewReader(bytes.NewReader(written(t, newZstd(t, 0), data)), zstd.WithDecoderConcurrency(1))
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if p, err := io.ReadAll(d); err != nil || !bytes.Equal(p, data) {
				t.Errorf("zstd: %d bytes, %v", len(p), err)
			}
		})
	}
}

func TestNothingWrittenIsNothingSent(t *testing.T) {
	for _, make := range []func() bev.Filter{
		func() bev.Filter { return newGzip(t, nil) },
		func() bev.Filter { return newDeflate(t) },
		func() bev.Filter { return newZstd(t, 0) },
	} {
		if wire := written(t, make()); len(wire) != 0 {
			t.Errorf("%T sent %d bytes for nothing", make(), len(wire))
		}
		wantClean(t, read(t, make(), nil, 1), nil)
	}
}

// Every prefix of a stream is either cut off or, at a border, a shorter one.
func TestTruncatedInput(t *testing.T) {
	data := []byte(strings.Repeat("some text to compress. ", 40))
	for kind, make := range map[string]func() bev.Filter{
		"gzip":    func() bev.Filter { return newGzip(t, nil) },
		"deflate": func() bev.Filter { return newDeflate(t) },
		"zstd":    func() bev.Filter { return newZstd(t, 0) },
	} {
		t.Run(kind, func(t *testing.T) {
			wire := written(t, make(), data)
			for n := 1; n < len(wire); n++ {
				wantError(t, read(t, make(), wire[:n], 0), io.ErrUnexpectedEOF)
			}
		})
	}
}

// Damage is noticed, or does no harm: nothing panics, nothing hangs.
func TestCorruptInput(t *testing.T) {
	data := []byte(strings.Repeat("some text to compress. ", 40))
	for kind, make := range map[string]func() bev.Filter{
		"gzip": func() bev.Filter { return newGzip(t, nil) },
		"zstd": func() bev.Filter { return newZstd(t, 0) },
	} {
		t.Run(kind, func(t *testing.T) {
			wire := written(t, make(), data)
			noticed := 0
			for i := range wire {
				bad := bytes.Clone(wire)
				bad[i] ^= 0x55
				r := read(t, make(), bad, 0)
				if r.event&bev.EventError != 0 {
					noticed++
				} else if !bytes.Equal(r.data, data) {
					t.Errorf("byte %d damaged: other data and no error", i)
				}
			}
			if noticed < len(wire)/2 {
				t.Errorf("%d of %d damages noticed", noticed, len(wire))
			}
			wantError(t, read(t, make(), []byte("GET / HTTP/1.1\r\n\r\n"), 0), bevfilter.ErrCorrupt)
		})
	}
	wantError(t, read(t, newDeflate(t), []byte{0x07, 0xff}, 1), bevfilter.ErrCorrupt)
	wantError(t, read(t, newDeflate(t), append(written(t, newDeflate(t), data), 'x'), 0), bevfilter.ErrCorrupt)
}

func TestDecompressionBombs(t *testing.T) {
	bomb := gz(t, make([]byte, 20<<20), flate.BestCompression)
	r := read(t, newGzip(t, &bevfilter.CompressOptions{MaxReceived: 1 << 20}), bomb, 0)
	wantError(t, r, bevfilter.ErrTooLarge)
	if len(r.data) > 1<<20 {
		t.Errorf("%d bytes got through a limit of 1 MiB", len(r.data))
	}
	for _, p := range read(t, newGzip(t, nil), bomb, 0).pieces { // the marks hold
		if len(p) > 128<<10 {
			t.Fatalf("one read brought %d bytes", len(p))
		}
	}
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	wantError(t, read(t, newZstd(t, 0), e.EncodeAll(make([]byte, 20<<20), nil), 0), bevfilter.ErrTooLarge)
}

func TestCompressionLevel(t *testing.T) {
	if _, err := bevfilter.NewGzip(&bevfilter.CompressOptions{Level: 10}); err == nil {
		t.Error("level 10 was taken")
	}
}

func frame(p string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...)
}

func TestFrames(t *testing.T) {
	long := strings.Repeat("long", 50_000)
	var wire []byte
	for _, m := range []string{"one", "", "two", long, "", ""} {
		wire = append(wire, frame(m)...)
	}
	for _, step := range []int{0, 1 << 20} {
		r := read(t, new(bevfilter.Frames), wire, step)
		wantClean(t, r, []byte("onetwo"+long))
		if len(r.pieces) != 3 || r.pieces[1] != "two" {
			t.Errorf("%d callbacks for 3 messages", len(r.pieces))
		}
	}
	wantClean(t, read(t, new(bevfilter.Frames), wire[:18], 1), []byte("onetwo"))
	wantError(t, read(t, new(bevfilter.Frames), wire[:2], 0), io.ErrUnexpectedEOF)
	wantError(t, read(t, new(bevfilter.Frames), wire[:6], 0), io.ErrUnexpectedEOF)
	wantError(t, read(t, &bevfilter.Frames{Max: 2}, wire, 0), bevfilter.ErrTooLarge)
	wantError(t, read(t, new(bevfilter.Frames), []byte{255, 255, 255, 255}, 0), bevfilter.ErrTooLarge)
}

func TestFramesSend(t *testing.T) {
	l, err := bev.NewLoop(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, b, err := bev.Pair(l, nil)
	if err != nil {
		t.Fatal(err)
	}
	fa, fb := &bevfilter.Frames{Max: 10}, &bevfilter.Frames{Max: 10}
	if a, err = bev.NewFilter(a, fa, nil); err != nil {
		t.Fatal(err)
	}
	if b, err = bev.NewFilter(b, fb, nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	b.SetCallbacks(bev.Callbacks{
		Read: func(c *bev.Conn) {
			got = append(got, c.Input().String())
			c.Input().Reset()
		},
		Event: func(*bev.Conn, bev.Event, error) { l.Stop() },
	})
	b.Enable(bev.Reading)
	for _, m := range []string{"two", "", "in one tick"[:10]} {
		if err := fa.Send(a, []byte(m)); err != nil {
			t.Errorf("Send: %v", err)
		}
	}
	if err := fa.Send(a, make([]byte, 11)); !errors.Is(err, bevfilter.ErrTooLarge) {
		t.Errorf("Send of 11 bytes past a limit of 10: %v", err)
	}
	a.CloseWrite()
	if err := l.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0] != "two" || got[1] != "in one tic" {
		t.Errorf("the callbacks were given %q", got)
	}
}

func TestCounter(t *testing.T) {
	var in, out bevfilter.Counter
	wantClean(t, read(t, &in, make([]byte, 5000), 0), make([]byte, 5000))
	written(t, &out, make([]byte, 300), make([]byte, 33))
	if in.Received != 5000 || in.Sent != 0 || out.Received != 0 || out.Sent != 333 {
		t.Errorf("counted %+v and %+v", in, out)
	}
}

func FuzzInflate(f *testing.F) {
	f.Add([]byte("hello"), 3)
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		// Whatever it is, it ends, and as compress/flate says it does.
		want, err := io.ReadAll(flate.NewReader(bytes.NewReader(data)))
		r := read(t, newDeflate(t), data, max(step, 0))
		if err == nil && r.event&bev.EventError == 0 && !bytes.Equal(r.data, want) {
			t.Fatalf("%d bytes, compress/flate finds %d", len(r.data), len(want))
		}
		if err != nil && r.event&bev.EventError == 0 && len(data) > 0 {
			t.Fatalf("no error where compress/flate says %v", err)
		}
	})
}

func TestLines(t *testing.T) {
	for _, step := range []int{0, 1, 1 << 20} {
		r := read(t, &bevfilter.Lines{Max: 10}, []byte("one\r\n\ntwo\n0123456789\r\nrest"), step)
		wantClean(t, r, []byte("one\n\ntwo\n0123456789\nrest"))
		if got := fmt.Sprintf("%q", r.pieces); got != `["one\n" "\n" "two\n" "0123456789\n" "rest"]` {
			t.Errorf("the callbacks were given %s", got)
		}
		wantError(t, read(t, &bevfilter.Lines{Max: 10}, []byte("ok\n01234567890\n"), step), bevfilter.ErrTooLarge)
		wantError(t, read(t, &bevfilter.Lines{Max: 10}, []byte("01234567890123"), step), bevfilter.ErrTooLarge)
		wantError(t, read(t, &bevfilter.Lines{Max: 10}, []byte("01234567890"), step), bevfilter.ErrTooLarge)
	}
}

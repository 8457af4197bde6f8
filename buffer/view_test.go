package buffer_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/gob"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"testing"

	"github.com/bevgo/bev/buffer"
)

// Standard parsers over a Buffer that grows byte by byte: each must say ErrNeedMore, and take nothing, until the message
// is complete, and then take exactly the message.
func TestParsersRetryWithoutLoss(t *testing.T) {
	const body = `{"name": "bev", "list": [1, 2, 3]}`
	for name, c := range map[string]struct {
		message string
		parse   func(r *bufio.Reader) (string, error)
		want    string
	}{
		"http.ReadRequest": {
			"POST /path HTTP/1.1\r\nHost: example.com\r\nContent-Length: 34\r\n\r\n" + body,
			func(r *bufio.Reader) (string, error) {
				req, err := http.ReadRequest(r)
				if err != nil {
					return "", err
				}
				p, err := io.ReadAll(req.Body)
				return req.Method + req.Host + string(p), err
			}, "POSTexample.com" + body,
		},
		"http.ReadRequest, chunked": {
			"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
			func(r *bufio.Reader) (string, error) {
				req, err := http.ReadRequest(r)
				if err != nil {
					return "", err
				}
				p, err := io.ReadAll(req.Body)
				return string(p), err
			}, "hello world",
		},
		"http.ReadResponse": {
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
			parseResponse, "200 OKok",
		},
		"textproto": {
			"250-first\r\n250-second\r\n250 last\r\n",
			func(r *bufio.Reader) (string, error) {
				_, message, err := textproto.NewReader(r).ReadResponse(250)
				return message, err
			}, "first\nsecond\nlast",
		},
		"textproto header": {
			"Key: value\r\n folded\r\nOther: x\r\n\r\n",
			func(r *bufio.Reader) (string, error) {
				h, err := textproto.NewReader(r).ReadMIMEHeader()
				return h.Get("Key") + h.Get("Other"), err
			}, "value foldedx",
		},
		"binary": {
			"\x00\x00\x01\x02\xff\xfe",
			func(r *bufio.Reader) (string, error) {
				var v struct {
					A uint32
					B int16
				}
				err := binary.Read(r, binary.BigEndian, &v)
				return string(rune('a'+v.A%26)) + string(rune('a'-v.B)), err
			}, "yc",
		},
		"xml":                        {"<m a='1'><Name>bev</Name></m>", parseXML, "bev"},
		"gob":                        {gobOf(1, 2, 3), parseGob, "[1 2 3]"},
		"gzip":                       {gzipOf("hello hello hello"), parseGzip, "hello hello hello"},
		"http.ReadResponse, chunked": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", parseResponse, "200 OKhello"},
		"ReadString": {
			"a line\n",
			func(r *bufio.Reader) (string, error) { return r.ReadString('\n') }, "a line\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b buffer.Buffer
			rest := "GET / the next message"
			for i := range len(c.message) {
				got, err := parse(&b, c.parse)
				if !errors.Is(err, buffer.ErrNeedMore) || b.Len() != i {
					t.Fatalf("%d of %d bytes: %q, %v, %d left", i, len(c.message), got, err, b.Len())
				}
				b.AppendOwned([]byte(c.message[i:i+1]), nil)
			}
			var alone buffer.Buffer // nothing behind the message is needed to see its end
			alone.Share(&b)
			if got, err := parse(&alone, c.parse); got != c.want || err != nil || alone.Len() != 0 {
				t.Errorf("alone: parsed %q, %v; want %q", got, err, c.want)
			}
			b.AppendString(rest)
			got, err := parse(&b, c.parse)
			if got != c.want || err != nil {
				t.Errorf("parsed %q, %v; want %q", got, err, c.want)
			}
			wantString(t, &b, rest)
		})
	}
}

func parseResponse(r *bufio.Reader) (string, error) {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return "", err
	}
	p, err := io.ReadAll(resp.Body)
	return resp.Status + string(p), err
}

func parseXML(r *bufio.Reader) (string, error) {
	var m struct{ Name string }
	err := xml.NewDecoder(r).Decode(&m)
	return m.Name, err
}

func parseGob(r *bufio.Reader) (string, error) {
	var n []int
	err := gob.NewDecoder(r).Decode(&n)
	return fmt.Sprint(n), err
}

func parseGzip(r *bufio.Reader) (string, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return "", err
	}
	z.Multistream(false) // else it looks for another one behind
	p, err := io.ReadAll(z)
	return string(p), err
}

func parse(b *buffer.Buffer, f func(r *bufio.Reader) (string, error)) (s string, err error) {
	err = b.Parse(func(r *bufio.Reader) error {
		s, err = f(r)
		return err
	})
	return s, err
}

func TestParseErrors(t *testing.T) {
	var b buffer.Buffer
	b.AppendString("half")
	broken := errors.New("malformed")

	// An error of the parser's own, with all bytes it wanted at hand.
	err := b.Parse(func(r *bufio.Reader) error { r.Discard(2); return broken })
	if err != broken {
		t.Errorf("Parse: %v, want the parser's error", err)
	}
	// The same at the end of what is there: it may be only half a message.
	err = b.Parse(func(r *bufio.Reader) error { io.ReadAll(r); return broken })
	if !errors.Is(err, broken) || !errors.Is(err, buffer.ErrNeedMore) {
		t.Errorf("Parse: %v, want both", err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Parse: %v is taken for an end", err)
	}
	// Success at the end of what is there: half a line that looks like one.
	err = b.Parse(func(r *bufio.Reader) error { _, _, err := r.ReadLine(); return err })
	if err != buffer.ErrNeedMore {
		t.Errorf("Parse of half a line: %v", err)
	}
	wantString(t, &b, "half")

	// What was read ahead is not taken, what was put back neither.
	err = b.Parse(func(r *bufio.Reader) error {
		r.ReadByte()
		r.ReadByte()
		r.UnreadByte()
		_, err := r.Peek(3)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	wantString(t, &b, "alf")

	// A panic of the parser leaves everything as it was.
	wantPanic(t, "in the parser", func() { b.Parse(func(*bufio.Reader) error { panic("in the parser") }) })
	wantString(t, &b, "alf")
}

func TestViewEnds(t *testing.T) {
	var b buffer.Buffer
	cut(&b, []byte("0123456789"), 3)
	for _, c := range []struct {
		limit, n int
		err      error
	}{{0, 0, io.EOF}, {4, 4, io.EOF}, {10, 10, io.EOF}, {11, 10, buffer.ErrNeedMore}, {-1, 10, buffer.ErrNeedMore}} {
		v := b.View(c.limit)
		var got []byte
		var err error
		wantInt(t, v.Len(), c.n)
		for err == nil {
			var one byte
			if one, err = v.ReadByte(); err == nil {
				got = append(got, one)
			}
			wantInt(t, v.Pos()+v.Len(), c.n)
		}
		if string(got) != "0123456789"[:c.n] || err != c.err {
			t.Errorf("View(%d): %q, %v", c.limit, got, err)
		}
		if n, err := v.Read(nil); n != 0 || err != nil {
			t.Errorf("Read of nothing at the end = %d, %v", n, err)
		}
		for v.Pos() > 0 {
			if err := v.UnreadByte(); err != nil {
				t.Fatal(err)
			}
			at := v.Pos()
			if one, err := v.ReadByte(); err != nil || one != "0123456789"[at] {
				t.Errorf("byte %d again: %q, %v", at, one, err)
			}
			v.UnreadByte()
		}
		if v.UnreadByte() == nil {
			t.Error("UnreadByte at the front")
		}
		io.ReadFull(&v, make([]byte, 2))
		if at, err := v.Seek(0, io.SeekStart); at != 0 || err != nil || v.Pos() != 0 {
			t.Errorf("Seek = %d, %v", at, err)
		}
	}
	wantString(t, &b, "0123456789")
	empty := new(buffer.Buffer).View(-1)
	if _, err := empty.Read(make([]byte, 1)); !errors.Is(err, buffer.ErrNeedMore) {
		t.Errorf("a View of nothing: %v", err)
	}
}

func TestViewSeek(t *testing.T) {
	for _, f := range fills {
		var b buffer.Buffer
		p := pattern(3000)
		f.fill(&b, p)
		v := b.View(2500)
		for _, c := range []struct {
			offset int64
			whence int
			at     int
			ok     bool
		}{
			{700, io.SeekStart, 700, true}, {50, io.SeekCurrent, 750, true}, {-1, io.SeekEnd, 2499, true},
			{-2000, io.SeekCurrent, 499, true}, {2500, io.SeekStart, 2500, true}, {0, io.SeekEnd, 2500, true},
			{1, io.SeekEnd, 2500, false}, {-1, io.SeekStart, 2500, false}, {0, 7, 2500, false}, {0, io.SeekStart, 0, true},
			{2501, io.SeekCurrent, 0, false}, {513, io.SeekCurrent, 513, true},
		} {
			at, err := v.Seek(c.offset, c.whence)
			if (err == nil) != c.ok || int(at) != c.at || v.Pos() != c.at {
				t.Fatalf("%s: Seek(%d, %d) = %d, %v; want %d", f.name, c.offset, c.whence, at, err, c.at)
			}
			if one, err := v.ReadByte(); c.at < 2500 && (err != nil || one != p[c.at]) {
				t.Fatalf("%s: after Seek to %d: %d, %v", f.name, c.at, one, err)
			} else if err == nil {
				v.UnreadByte()
			}
		}
		b.Reset()
	}
}

// All occurrences, by a View that goes on from one to the next, in every kind of segment.
func TestViewIndex(t *testing.T) {
	for _, f := range fills {
		var b buffer.Buffer
		p := pattern(3000)
		copy(p[990:], "line\r\nline\r\n\r\n")
		copy(p[2494:], "end\n\n\n")
		for _, what := range [][]byte{p[100:101], p[100:110], p[100:300], p[993:996], []byte("nowhere")} {
			f.fill(&b, p)
			v := b.View(2500)
			var got, want []int
			for at := v.Index(what); at >= 0; at = v.Index(what) {
				got = append(got, at)
				v.Seek(int64(at+1), io.SeekStart)
			}
			for from := 0; ; {
				at := bytes.Index(p[from:2500], what)
				if at < 0 {
					break
				}
				want = append(want, from+at)
				from += at + 1
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q… at %v, want %v", f.name, what[:1], got, want)
			}
			wantInt(t, v.Index(nil), v.Pos())
			wantInt(t, v.Index(pattern(2501)), -1)
			b.Reset()
		}
		for eol := buffer.AnyEOL; eol <= buffer.NUL; eol++ {
			f.fill(&b, p)
			v := b.View(2500)
			for from := 0; ; {
				at, size := v.IndexEOL(eol)
				wantAt, wantSize := plainEOL(p[:2500], eol, from)
				if at != wantAt || size != wantSize {
					t.Fatalf("%s: IndexEOL(%d) from %d = %d, %d; want %d, %d", f.name, eol, from, at, size, wantAt, wantSize)
				}
				if from = at + size; at < 0 {
					break
				}
				v.Seek(int64(from), io.SeekStart)
			}
			b.Reset()
		}
	}
}

// A View does not survive a change of its Buffer, and says so, also if Len, the first segment, its offsets and the bytes
// are what they were.
func TestStaleView(t *testing.T) {
	var other buffer.Buffer
	release := func(b *buffer.Buffer, f func()) {
		b.Reset()
		b.AppendOwned([]byte("gone!"), f)
		b.AppendString("hello")
	}
	for name, change := range map[string]func(b *buffer.Buffer){
		"Append":             func(b *buffer.Buffer) { b.AppendString("x") },
		"Append none":        func(b *buffer.Buffer) { b.Append(nil) },
		"Drain":              func(b *buffer.Buffer) { b.Drain(1) },
		"DrainQuiet":         func(b *buffer.Buffer) { b.DrainQuiet(1) },
		"swap":               func(b *buffer.Buffer) { b.Drain(b.Len()); b.AppendOwned([]byte("other"), nil) },
		"the same again":     func(b *buffer.Buffer) { p := b.ToBytes(); b.Drain(len(p)); b.Append(p) },
		"a few replaced":     func(b *buffer.Buffer) { b.Drain(2); b.AppendString("yy") },
		"the front replaced": func(b *buffer.Buffer) { b.Drain(2); b.Prepend([]byte("yy")) },
		"PullUp":             func(b *buffer.Buffer) { b.PullUp(-1) },
		"PullUp of some":     func(b *buffer.Buffer) { b.PullUp(6) },
		"Reset":              func(b *buffer.Buffer) { b.Reset() },
		"Move in":            func(b *buffer.Buffer) { other.AppendString("x"); b.MoveAll(&other) },
		"Move out":           func(b *buffer.Buffer) { other.Move(b, 7); other.Reset() },
		"Move out and back":  func(b *buffer.Buffer) { other.MoveAll(b); b.MoveAll(&other) },
		"Prepend all":        func(b *buffer.Buffer) { other.MoveAll(b); b.PrependBuffer(&other) },
		"Commit":             func(b *buffer.Buffer) { b.Reserve(10); b.Commit(1) },
		"ReadByte":           func(b *buffer.Buffer) { b.ReadByte(); b.UnreadByte() },
		"ReadLine":           func(b *buffer.Buffer) { b.ReadLine(nil, buffer.LF, -1); b.Append(nil) },
		"AppendScratch":      func(b *buffer.Buffer) { b.AppendScratch(buffer.NewScratch(512), 5); b.Settle() },
		"a release function": func(b *buffer.Buffer) { release(b, func() { b.Append(nil) }); b.Drain(5) },
	} {
		for _, owner := range []*buffer.Owner{nil, buffer.NewPool(1 << 20).Owner()} {
			var b buffer.Buffer
			b.SetOwner(owner)
			b.AppendString("hello")
			b.AppendOwned([]byte(" to"), nil)
			b.AppendString(" you")
			v := b.View(-1)
			v.ReadByte()
			change(&b)
			again := b.View(-1) // a new one is no excuse for the old
			for method, f := range map[string]func(){
				"Read":     func() { v.Read(make([]byte, 1)) },
				"ReadByte": func() { v.ReadByte() },
				"ReadAt":   func() { v.ReadAt(make([]byte, 1), 0) },
				"Index":    func() { v.Index([]byte("x")) },
				"IndexEOL": func() { v.IndexEOL(buffer.LF) },
				"Seek":     func() { v.Seek(0, io.SeekStart) },
			} {
				t.Run(name+"/"+method, func(t *testing.T) {
					wantPanic(t, "buffer: View used after its Buffer changed; make a new one", f)
				})
			}
			again.Read(make([]byte, 20))
			b.Check()
			b.Reset()
		}
	}
}

// The memory of a Scratch is another connection's after Settle, and its bytes may lie in the middle.
func TestViewIsStaleAfterSettle(t *testing.T) {
	var b buffer.Buffer
	scratch := buffer.NewScratch(512)
	b.SetOwner(buffer.NewPool(1 << 20).Owner())
	b.AppendOwned([]byte("be"), nil)
	b.AppendScratch(scratch, copy(scratch.Bytes(), "mine"))
	b.AppendOwned([]byte("hind"), nil)
	v := b.View(-1)
	v.Read(make([]byte, 3))
	b.Settle()
	copy(scratch.Bytes(), "yours")
	wantPanic(t, "View used after its Buffer changed", func() { v.ReadByte() })
	again := b.View(-1)
	b.Settle() // nothing to settle: nothing changes
	if _, err := again.ReadByte(); err != nil {
		t.Error(err)
	}
}

// What only looks does not end a View, nor do other Views.
func TestLookingKeepsView(t *testing.T) {
	for _, owner := range []*buffer.Owner{nil, buffer.NewPool(1 << 20).Owner()} {
		var b, src buffer.Buffer
		b.SetOwner(owner)
		b.Freeze(buffer.Back)
		b.Unfreeze(buffer.Back)
		cb := b.AddCallback(func(buffer.Change) {})
		src.AppendString("hello")
		b.Share(&src)
		b.AppendOwned([]byte(" to you\n"), nil)
		v := b.View(-1)
		other := b.View(3)
		b.Len()
		b.Cap()
		b.Head()
		b.PeekInto(make([][]byte, 3), -1)
		b.CopyOut(make([]byte, 10), 0)
		b.PullUp(3)
		b.Index([]byte("you"))
		b.FindLine(buffer.LF, -1)
		other.Read(make([]byte, 2))
		for range b.Extents() {
		}
		b.Freeze(buffer.Front)
		b.Unfreeze(buffer.Front)
		b.SetMaxRead(100)
		b.SetMaxRead(0)
		b.DeferCallbacks(nil)
		cb.Remove()
		src.Reset()
		if p, err := io.ReadAll(&v); string(p) != "hello to you\n" || !errors.Is(err, buffer.ErrNeedMore) {
			t.Errorf("read %q, %v", p, err)
		}
		b.Reset()
	}
}

// A View of nothing is as good as any other, as long as there is nothing.
func TestViewOfNothingGoesStale(t *testing.T) {
	var b buffer.Buffer
	v := b.View(-1)
	b.AppendString("x")
	wantPanic(t, "View used after", func() { v.ReadByte() })
	wantPanic(t, "View used after", func() { new(buffer.View).ReadByte() })
}

// A View takes notice of the file ranges that its own searches load, and of those that others load.
func TestViewOfFileRanges(t *testing.T) {
	var b buffer.Buffer
	p := pattern(200_000)
	appendFile(&b, p)
	v, other := b.View(-1), b.View(-1)
	want := bytes.Index(p, p[150_000:150_100])
	wantInt(t, v.Index(p[150_000:150_100]), want)
	got := make([]byte, 100)
	v.Seek(int64(want), io.SeekStart)
	v.Read(got)
	wantBytes(t, got, p[want:want+100])
	wantPanic(t, "View used after its Buffer changed", func() { other.Read(got) })
	b.Reset()
}

// The extra that a View needs goes back when the Buffer is empty: idle connections have none.
func TestViewLeavesNothingBehind(t *testing.T) {
	for name, use := range map[string]func(b *buffer.Buffer){
		"View":    func(b *buffer.Buffer) { b.View(-1) },
		"Extents": func(b *buffer.Buffer) { each(b); b.Extents()(func([]byte) bool { return true }) },
		"Lines":   func(b *buffer.Buffer) { each(b) },
		"Parse":   func(b *buffer.Buffer) { parse(b, func(r *bufio.Reader) (string, error) { return r.ReadString('c') }) },
	} {
		for end, empty := range map[string]func(b *buffer.Buffer){
			"Drain":      func(b *buffer.Buffer) { b.Drain(b.Len()) },
			"DrainQuiet": func(b *buffer.Buffer) { b.DrainQuiet(b.Len()) },
			"Reset":      func(b *buffer.Buffer) { b.Reset() },
			"MoveAll":    func(b *buffer.Buffer) { new(buffer.Buffer).MoveAll(b) },
			"Prepend":    func(b *buffer.Buffer) { new(buffer.Buffer).PrependBuffer(b) },
		} {
			var b buffer.Buffer
			use(&b)
			if b.HasExtra() {
				t.Errorf("%s of nothing needs an extra", name)
			}
			b.SetOwner(buffer.NewPool(0).Owner())
			b.AppendString("a\nb")
			use(&b)
			empty(&b)
			if b.HasExtra() {
				t.Errorf("%s, then %s: the extra is still there", name, end)
			}
		}
	}
}

package buffer_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/mail"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/invariants"
)

// Whoever keeps what a Parse gave out reads an error, whatever is parsed meanwhile: other bytes are somebody else's.
func TestKeptReaderReadsNoOtherBuffer(t *testing.T) {
	const first = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	const second = "POST /b HTTP/1.1\r\nHost: b\r\nContent-Length: 6\r\n\r\nsecret"
	for name, parseFirst := range map[string]func(b *buffer.Buffer, keep func(r io.Reader)) error{
		"a body": func(b *buffer.Buffer, keep func(r io.Reader)) error {
			return b.Parse(func(r *bufio.Reader) error {
				req, err := http.ReadRequest(r)
				if err == nil {
					keep(req.Body)
				}
				return err
			})
		},
		"r": func(b *buffer.Buffer, keep func(r io.Reader)) error {
			return b.Parse(func(r *bufio.Reader) error { keep(r); return nil })
		},
		"r after an error": func(b *buffer.Buffer, keep func(r io.Reader)) error {
			b.Parse(func(r *bufio.Reader) error { keep(r); return io.EOF })
			return nil
		},
		"r, more needed": func(b *buffer.Buffer, keep func(r io.Reader)) error {
			b.Parse(func(r *bufio.Reader) error { keep(r); r.Peek(1000); return nil })
			return nil
		},
		"around r": func(b *buffer.Buffer, keep func(r io.Reader)) error {
			return b.Parse(func(r *bufio.Reader) error { keep(bufio.NewReaderSize(r, 8192)); return nil })
		},
		"r after a panic": func(b *buffer.Buffer, keep func(r io.Reader)) error {
			defer func() { recover() }()
			return b.Parse(func(r *bufio.Reader) error { keep(r); panic("in the parser") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			var a, b buffer.Buffer
			var kept io.Reader
			a.AppendString(first)
			if err := parseFirst(&a, func(r io.Reader) { kept = r }); err != nil {
				t.Fatal(err)
			}
			wantNothing := func(when string) {
				t.Helper()
				p, err := io.ReadAll(kept)
				if len(p) > 0 || err == nil {
					t.Errorf("%s: read %q, %v", when, p, err)
				}
			}
			wantNothing("after Parse")
			for range 3 {
				b.AppendString(second)
				got, err := parse(&b, func(r *bufio.Reader) (string, error) {
					wantNothing("before another Parse reads")
					req, err := http.ReadRequest(r)
					if err != nil {
						return "", err
					}
					wantNothing("in another Parse")
					p, err := io.ReadAll(req.Body)
					return string(p), err
				})
				if got != "secret" || err != nil || b.Len() != 0 {
					t.Errorf("the other message: %q, %v, %d left", got, err, b.Len())
				}
			}
		})
	}
}

// The same from other goroutines, for the race detector.
func TestKeptReadersOnOtherGoroutines(t *testing.T) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var b buffer.Buffer
			for range 200 {
				b.AppendString("line\n")
				var kept *bufio.Reader
				b.Parse(func(r *bufio.Reader) error { kept = r; _, err := r.ReadSlice('\n'); return err })
				wg.Go(func() {
					p, err := io.ReadAll(kept)
					if q, _ := kept.Peek(1); len(p)+len(q) > 0 || err == nil {
						t.Errorf("read %q%q, %v", p, q, err)
					}
				})
			}
		})
	}
	wg.Wait()
}

// What the reader lends is pooled memory, as what a Buffer lends is.
func TestSlicesOfAParseArePoisoned(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("only with -race or -tags invariants")
	}
	var b buffer.Buffer
	b.AppendString("line\n")
	var kept []byte
	b.Parse(func(r *bufio.Reader) (err error) { kept, err = r.ReadSlice('\n'); return err })
	wantBytes(t, kept, bytes.Repeat([]byte{buffer.Poison}, 5))
}

// A parse costs an allocation, of what the user may keep.
func TestParseAllocatesLittle(t *testing.T) {
	if invariants.Enabled {
		t.Skip("these builds allocate more")
	}
	read16 := func(r *bufio.Reader) error { _, err := r.Discard(16); return err }
	for _, owner := range []*buffer.Owner{nil, buffer.NewPool(1 << 20).Owner()} {
		var b buffer.Buffer
		b.SetOwner(owner)
		p := pattern(32)
		if n := testing.AllocsPerRun(200, func() { b.Append(p); b.Parse(read16); b.Reset() }); n > 1 {
			t.Errorf("%v allocations a Parse", n)
		}
	}
}

func TestModifyingInParse(t *testing.T) {
	const text = "buffer: b was modified inside of its Parse"
	for name, change := range map[string]func(b *buffer.Buffer){
		"Drain":         func(b *buffer.Buffer) { b.Drain(3) },
		"Append":        func(b *buffer.Buffer) { b.AppendString("x") },
		"Drain, Append": func(b *buffer.Buffer) { b.Drain(b.Len()); b.AppendString("line\nnext\n") },
	} {
		t.Run(name, func(t *testing.T) {
			var b buffer.Buffer
			b.AppendString("line\nnext\n")
			wantPanic(t, text, func() {
				b.Parse(func(r *bufio.Reader) error { _, err := r.ReadSlice('\n'); change(&b); return err })
			})
			n := b.Len()
			wantPanic(t, "buffer: View used after its Buffer changed", func() {
				b.Parse(func(r *bufio.Reader) error { b.Append(nil); _, err := r.ReadByte(); return err })
			})
			// Nothing is to be removed then.
			b.Parse(func(r *bufio.Reader) error { r.ReadByte(); b.AppendString("y"); return io.ErrClosedPipe })
			wantInt(t, b.Len(), n+1)
			if err := b.Parse(func(r *bufio.Reader) error { _, err := r.ReadByte(); b.Reset(); return err }); err != nil {
				t.Error(err)
			}
			wantInt(t, b.Len(), 0)
		})
	}
}

// Parsers that work on the reader of Parse leave what is behind their message, also those that begin with
// bufio.NewReader, because it returns a reader that is large enough.
func TestParsersThatReadNoFurther(t *testing.T) {
	for name, c := range map[string]struct {
		message string
		parse   func(r *bufio.Reader) error
	}{
		"bufio.NewReader": {"a line\n", func(r *bufio.Reader) error { _, err := bufio.NewReader(r).ReadString('\n'); return err }},
		"textproto":       {"a line\n", func(r *bufio.Reader) error { _, err := textproto.NewReader(bufio.NewReader(r)).ReadLine(); return err }},
		"net/mail":        {"Subject: hello\r\n\r\n", func(r *bufio.Reader) error { _, err := mail.ReadMessage(r); return err }},
		"csv":             {"a,b\n", func(r *bufio.Reader) error { _, err := csv.NewReader(r).Read(); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			var b buffer.Buffer
			b.AppendString(c.message + "the next message\n")
			if err := b.Parse(c.parse); err != nil {
				t.Error(err)
			}
			wantString(t, &b, "the next message\n")
		})
	}
}

// Parsers that fill a buffer of their own take what is behind their message with them: Parse warns of them, and this
// holds the warning to the truth. The same parsers lose nothing over a View, if they tell how far they came.
func TestParsersThatReadAhead(t *testing.T) {
	const text = `{"a": 1}` + "\n" + `{"b": 2}` + "\n"
	for name, f := range map[string]func(r *bufio.Reader) error{
		"json.Decoder":   func(r *bufio.Reader) error { return json.NewDecoder(r).Decode(new(any)) },
		"bufio.Scanner":  func(r *bufio.Reader) error { bufio.NewScanner(r).Scan(); return nil },
		"a larger bufio": func(r *bufio.Reader) error { _, err := bufio.NewReaderSize(r, 8192).ReadString('\n'); return err },
		"one around another": func(r *bufio.Reader) error {
			_, err := bufio.NewReader(io.LimitReader(r, 100)).ReadString('\n')
			return err
		},
	} {
		var b buffer.Buffer
		b.AppendString(text)
		if err := b.Parse(f); err != nil || b.Len() != 0 {
			t.Errorf("%s: %v, %q left: Parse need not warn of it", name, err, b.String())
		}
	}
}

// gobOf returns the numbers as encoding/gob has them.
func gobOf(n ...int) string {
	var w strings.Builder
	if err := gob.NewEncoder(&w).Encode(n); err != nil {
		panic(err)
	}
	return w.String()
}

func gzipOf(text string) string {
	var w strings.Builder
	z := gzip.NewWriter(&w)
	z.Write([]byte(text))
	z.Close()
	return w.String()
}

// Over a View: json by InputOffset, and by Pos those that read a byte at a time where they can.
func TestParsersOverAView(t *testing.T) {
	for name, c := range map[string]struct {
		parse func(v *buffer.View) (used int, err error)
		text  string
	}{
		"json": {func(v *buffer.View) (int, error) {
			d := json.NewDecoder(v)
			err := d.Decode(new(any))
			return int(d.InputOffset()), err
		}, `{"a": "b"}`},
		"xml": {func(v *buffer.View) (int, error) {
			err := xml.NewDecoder(v).Decode(new(struct{ B string }))
			return v.Pos(), err
		}, "<a><B>c</B></a>"},
		"gob": {func(v *buffer.View) (int, error) {
			err := gob.NewDecoder(v).Decode(new([]int))
			return v.Pos(), err
		}, gobOf(3, 4)},
		"own reader": {func(v *buffer.View) (int, error) {
			r := bufio.NewReader(v)
			_, err := r.ReadString('\n')
			return v.Pos() - r.Buffered(), err
		}, "a line\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var b buffer.Buffer
			for i := range len(c.text) {
				v := b.View(-1)
				if _, err := c.parse(&v); !errors.Is(err, buffer.ErrNeedMore) {
					t.Fatalf("%d of %d bytes: %v", i, len(c.text), err)
				}
				b.AppendOwned([]byte(c.text[i:i+1]), nil)
			}
			b.AppendString(strings.Repeat(c.text, 2) + "rest")
			for range 3 {
				v := b.View(-1)
				used, err := c.parse(&v)
				if err != nil {
					t.Fatal(err)
				}
				b.Drain(used)
			}
			wantString(t, &b, "rest")
		})
	}
}

// BenchmarkParse is what a request costs that is there as a whole, and a short line, in which Parse itself is most.
func BenchmarkParse(b *testing.B) {
	const request = "POST /path HTTP/1.1\r\nHost: example.com\r\nUser-Agent: curl/7\r\nAccept: */*\r\nContent-Length: 5\r\n\r\nhello"
	for name, c := range map[string]struct {
		message string
		parse   func(r *bufio.Reader) error
	}{
		"request": {request, func(r *bufio.Reader) error {
			req, err := http.ReadRequest(r)
			if err == nil {
				_, err = io.Copy(io.Discard, req.Body)
			}
			return err
		}},
		"line": {"a line\n", func(r *bufio.Reader) error { _, err := r.ReadSlice('\n'); return err }},
	} {
		b.Run(name, func(b *testing.B) {
			var buf buffer.Buffer
			buf.SetOwner(buffer.NewPool(1 << 20).Owner())
			b.ReportAllocs()
			for b.Loop() {
				buf.AppendString(c.message)
				if err := buf.Parse(c.parse); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package buffer_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/bevgo/bev/buffer"
)

var errDisk = errors.New("the disk is gone")

// flaky is a file that can be read up to ok, until that is raised.
type flaky struct {
	data  []byte
	ok    int
	calls int
}

func (f *flaky) ReadAt(p []byte, off int64) (int, error) {
	f.calls++
	n := copy(p, f.data[min(int(off), f.ok):f.ok])
	if n < len(p) {
		return n, errDisk
	}
	return n, nil
}

// What each method does with a file that fails half way: the error is told where there is a place for it, nothing is
// lost, and when the file can be read again everything goes on.
func TestFileErrors(t *testing.T) {
	const head, size, ok = "head", 100_000, 70_000
	all := head + string(pattern(size)) + "tail"
	good := len(head) + ok // bytes that can be had
	for name, try := range map[string]func(t *testing.T, b *buffer.Buffer) (taken string, err error){
		"Load": func(_ *testing.T, b *buffer.Buffer) (string, error) { return "", b.Load(-1) },
		"Read": func(_ *testing.T, b *buffer.Buffer) (string, error) {
			p := make([]byte, size+100)
			n, err := b.Read(p)
			return string(p[:n]), err
		},
		"ReadAt": func(t *testing.T, b *buffer.Buffer) (string, error) {
			p := make([]byte, size)
			v := b.View(-1)
			n, err := v.ReadAt(p, 2)
			if string(p[:n]) != all[2:good] {
				t.Errorf("ReadAt gave %d bytes, want %d", n, good-2)
			}
			wantInt(t, b.CopyOut(p, 2), good-2)
			wantInt(t, b.CopyOut(p, good), 0)
			return "", err
		},
		"WriteTo": func(_ *testing.T, b *buffer.Buffer) (string, error) {
			var w bytes.Buffer
			n, err := b.WriteTo(&w)
			return w.String()[:n], err
		},
		"PullUp": func(t *testing.T, b *buffer.Buffer) (string, error) {
			wantBytes(t, b.PullUp(good), []byte(all[:good]))
			if b.PullUp(good+1) != nil {
				t.Error("PullUp gave bytes that nobody has")
			}
			return "", b.Load(good + 1)
		},
		"Index": func(t *testing.T, b *buffer.Buffer) (string, error) {
			wantInt(t, b.Index([]byte("tail")), -1)
			wantInt(t, b.Index(pattern(200)), len(head)) // found before the file fails
			wantInt(t, b.IndexByte('!', good), -1)
			return "", b.Load(-1)
		},
		"FindLine": func(_ *testing.T, b *buffer.Buffer) (string, error) {
			_, _, err := b.FindLine(buffer.CRLFStrict, -1)
			return "", err
		},
		"IndexEOL": func(t *testing.T, b *buffer.Buffer) (string, error) {
			if at, size := b.IndexEOL(buffer.AnyEOL, good); at != -1 || size != 0 {
				t.Errorf("IndexEOL = %d, %d", at, size)
			}
			return "", b.Load(-1)
		},
		"View": func(t *testing.T, b *buffer.Buffer) (string, error) {
			v := b.View(-1)
			p, err := io.ReadAll(&v)
			wantInt(t, len(p), good)
			return "", err
		},
		"Extents": func(t *testing.T, b *buffer.Buffer) (string, error) {
			for range b.Extents() {
				t.Error("Extents yielded, though not all can be read")
			}
			return "", b.Load(-1)
		},
		"AppendTo": func(t *testing.T, b *buffer.Buffer) (string, error) {
			wantInt(t, len(b.AppendTo(nil)), good)
			return "", b.Load(-1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b buffer.Buffer
			f, closed := &flaky{data: pattern(size), ok: ok}, 0
			b.AppendString(head)
			if err := b.AppendFile(f, 0, size, func() { closed++ }); err != nil {
				t.Fatal(err)
			}
			b.AppendString("tail")
			taken, err := try(t, &b)
			if !errors.Is(err, errDisk) {
				t.Errorf("error %v, want that of the reader", err)
			}
			b.Check()
			wantInt(t, b.Len(), len(all)-len(taken))
			f.ok = size // mended
			wantString(t, &b, all[len(taken):])
			b.Reset()
			wantInt(t, closed, 1)
		})
	}
}

// Head, ReadByte and the length after a failure at the very first byte.
func TestFileErrorAtTheFront(t *testing.T) {
	var b buffer.Buffer
	f := &flaky{data: pattern(1000)}
	if err := b.AppendFile(f, 100, 500, nil); err != nil {
		t.Fatal(err)
	}
	if b.Head() != nil || b.PullUp(1) != nil {
		t.Error("Head gave bytes that nobody has")
	}
	if _, err := b.ReadByte(); !errors.Is(err, errDisk) {
		t.Errorf("ReadByte: %v", err)
	}
	if n, err := b.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errDisk) {
		t.Errorf("Read = %d, %v", n, err)
	}
	if n, err := b.WriteTo(io.Discard); n != 0 || !errors.Is(err, errDisk) {
		t.Errorf("WriteTo = %d, %v", n, err)
	}
	wantInt(t, b.Len(), 500)
	wantInt(t, b.Drain(100), 100) // needs no bytes
	f.ok = 1000
	wantBytes(t, b.Head(), pattern(1000)[200:600])
	c, err := b.ReadByte()
	if c != pattern(1000)[200] || err != nil {
		t.Errorf("ReadByte = %d, %v", c, err)
	}
}

// A file that fails now and then: each method goes on where it can, and what it read before is not read again.
func TestFileFailsNowAndThen(t *testing.T) {
	calls, data := 0, pattern(300_000)
	r := readerAt(func(p []byte, off int64) (int, error) {
		if calls++; calls%2 == 1 {
			return 0, errDisk
		}
		return copy(p, data[off:]), nil
	})
	var b buffer.Buffer
	if err := b.AppendFile(r, 0, 200_000, nil); err != nil {
		t.Fatal(err)
	}
	if b.Head() != nil { // first failure
		t.Error("Head of a file that failed")
	}
	wantBytes(t, b.Head(), data[:64<<10])
	b.Drain(64 << 10)
	if _, err := b.ReadByte(); !errors.Is(err, errDisk) {
		t.Errorf("ReadByte: %v", err)
	}
	if c, err := b.ReadByte(); c != data[64<<10] || err != nil {
		t.Errorf("ReadByte = %d, %v", c, err)
	}
	var w bytes.Buffer
	for range 10 {
		if _, err := b.WriteTo(&w); err != nil && !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
	}
	wantBytes(t, w.Bytes(), data[64<<10+1:200_000])
	wantInt(t, calls, 2*4) // each of four pieces failed once and was read once
}

// A run of line endings, and a long needle, that go on in file ranges.
func TestSearchAcrossFileRanges(t *testing.T) {
	var b buffer.Buffer
	b.AppendString("line\r")
	appendFile(&b, []byte("\n\r"))
	appendFile(&b, append([]byte("\n"), pattern(200)...))
	if at, size := b.IndexEOL(buffer.AnyEOL, 0); at != 4 || size != 4 {
		t.Errorf("IndexEOL = %d, %d", at, size)
	}
	b.Reset()
	f := &flaky{data: []byte("\n\n")}
	b.AppendString("line\n")
	if err := b.AppendFile(f, 0, 2, nil); err != nil {
		t.Fatal(err)
	}
	if at, size := b.IndexEOL(buffer.AnyEOL, 0); at != 4 || size != 1 { // as far as can be seen
		t.Errorf("IndexEOL = %d, %d", at, size)
	}
	b.Reset()
	b.AppendString("x")
	appendFile(&b, pattern(100))
	appendFile(&b, pattern(200)[100:])
	wantInt(t, b.Index(pattern(200)[20:180]), 21)
	b.Reset()
	b.AppendString("x")
	if err := b.AppendFile(&flaky{data: pattern(100)}, 0, 100, nil); err != nil {
		t.Fatal(err)
	}
	wantInt(t, b.Index(pattern(100)[20:90]), -1)
	wantInt(t, b.Index(pattern(100)[20:40]), -1)
	wantInt(t, b.IndexByte(5, 0), -1)
}

// A file that was truncated after it was appended.
func TestFileTooShort(t *testing.T) {
	var b buffer.Buffer
	if err := b.AppendFile(strings.NewReader("short"), 0, 10, nil); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	if n, err := b.Read(p); n != 5 || !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		t.Errorf("Read = %d, %v", n, err)
	}
	if n, err := b.Read(p); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Read = %d, %v", n, err)
	}
	wantInt(t, b.Len(), 5)
}

// readerAt is an io.ReaderAt from a function.
type readerAt func(p []byte, off int64) (int, error)

func (f readerAt) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

func TestFileReaderBreaksContract(t *testing.T) {
	var b buffer.Buffer
	lazy := readerAt(func([]byte, int64) (int, error) { return 0, nil })
	if err := b.AppendFile(lazy, 0, 10, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Load(-1); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("Load from a reader that reads nothing: %v", err)
	}
	for _, n := range []int{-1, 1 << 30} {
		b.Reset()
		liar := readerAt(func([]byte, int64) (int, error) { return n, nil })
		if err := b.AppendFile(liar, 0, 10, nil); err != nil {
			t.Fatal(err)
		}
		wantPanic(t, "impossible count", func() { b.Load(-1) })
	}
	full := readerAt(func(p []byte, _ int64) (int, error) { return len(p), io.EOF }) // allowed at the end
	b.Reset()
	if err := b.AppendFile(full, 0, 10, nil); err != nil || b.Load(-1) != nil {
		t.Errorf("all bytes with io.EOF is no error: %v", err)
	}
}

func TestFileRanges(t *testing.T) {
	data := pattern(1000)
	f, err := buffer.NewFile(bytes.NewReader(data), 100, -1)
	if err != nil || f.Size() != 900 {
		t.Fatalf("NewFile: %v", err)
	}
	cleaned := 0
	f.AddCleanup(func() { cleaned++ })
	f.AddCleanup(func() { cleaned *= 10 })
	var b, dst buffer.Buffer
	for _, r := range []struct {
		off, n int64
		ok     bool
	}{
		{0, 10, true}, {890, 10, true}, {890, -1, true}, {900, 0, true}, {900, -1, true},
		{-1, 5, false}, {901, 0, false}, {901, -1, false}, {890, 11, false}, {5, math.MaxInt64, false},
	} {
		before := b.Len()
		err := b.AppendFileRange(f, r.off, r.n)
		if (err == nil) != r.ok || !r.ok && b.Len() != before {
			t.Errorf("AppendFileRange(%d, %d): %v", r.off, r.n, err)
		}
	}
	wantInt(t, b.Len(), 30)
	wantInt(t, b.Cap(), 0)
	dst.Share(&b) // two Buffers show it now, without having it in memory
	dst.Move(&b, 5)
	r, off, n, ok := dst.HeadFile()
	if r == nil || off != 100 || n != 10 || !ok {
		t.Errorf("HeadFile = %d, %d, %v", off, n, ok)
	}
	want := string(data[100:110]) + string(data[990:]) + string(data[990:])
	wantString(t, &dst, want+want[:5])
	wantString(t, &b, want[5:])
	f.Release()
	f.Release()
	b.Reset()
	wantInt(t, cleaned, 0)
	dst.Reset()
	wantInt(t, cleaned, 10) // both, once, in order
	if _, _, _, ok := dst.HeadFile(); ok {
		t.Error("HeadFile of nothing")
	}
	dst.AppendString("x")
	if _, _, _, ok := dst.HeadFile(); ok {
		t.Error("HeadFile of memory")
	}
}

func TestNewFileErrors(t *testing.T) {
	r := strings.NewReader("0123456789")
	closed, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, f := range map[string]func() (*buffer.File, error){
		"negative offset":  func() (*buffer.File, error) { return buffer.NewFile(r, -1, 5) },
		"behind the end":   func() (*buffer.File, error) { return buffer.NewFile(r, 11, -1) },
		"beyond int64":     func() (*buffer.File, error) { return buffer.NewFile(r, 5, math.MaxInt64) },
		"no size":          func() (*buffer.File, error) { return buffer.NewFile(readerAt(nil), 0, -1) },
		"size cannot tell": func() (*buffer.File, error) { return buffer.NewFile(closed, 0, -1) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// With an error, nothing is taken: the reader is still the caller's.
	var b buffer.Buffer
	if err := b.AppendFile(r, -1, 5, func() { t.Error("released") }); err == nil || b.Len() != 0 {
		t.Errorf("AppendFile from -1: %v", err)
	}
	if err := b.AppendFile(r, 0, buffer.MaxLen, nil); err != nil { // it is only said how long it is
		t.Fatal(err)
	}
	if err := b.AppendFile(r, 0, 1, func() { t.Error("released") }); err == nil {
		t.Error("Len passed its bound")
	}
	f, err := buffer.NewFile(r, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	if err := b.AppendFileRange(f, 0, 1); err == nil {
		t.Error("Len passed its bound")
	}
	var full buffer.Buffer
	full.AppendString("xy")
	wantPanic(t, "what an int can count", func() { full.MoveAll(&b) })
	wantPanic(t, "what an int can count", func() { full.PrependBuffer(&b) })
	wantPanic(t, "what an int can count", func() { full.Share(&b) })
	wantPanic(t, "what an int can count", func() { full.Move(&b, buffer.MaxLen-1) })
	wantString(t, &full, "xy")
	wantPanic(t, "what an int can count", func() { b.AppendString("x") })
	wantPanic(t, "what an int can count", func() { b.AppendOwned([]byte("x"), nil) })
	b.Check()
	wantInt(t, b.Len(), buffer.MaxLen)
	wantInt(t, b.Drain(math.MaxInt), buffer.MaxLen)
}

// A search reads only as much as it needs, and each piece once.
func TestSearchLoadsPieceByPiece(t *testing.T) {
	var b buffer.Buffer
	f := &flaky{data: pattern(1 << 20), ok: 1 << 20}
	f.data[100_000] = 251
	if err := b.AppendFile(f, 0, 1<<20, nil); err != nil {
		t.Fatal(err)
	}
	wantInt(t, b.IndexByte(251, 0), 100_000)
	if c := b.Cap(); c > 256<<10 {
		t.Errorf("%d bytes were loaded to look at 100000", c)
	}
	calls := f.calls
	wantInt(t, b.IndexByte(251, 0), 100_000)
	wantInt(t, f.calls, calls)
}

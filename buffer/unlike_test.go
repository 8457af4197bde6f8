package buffer_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/bevgo/bev/buffer"
)

// What a Buffer does other than an evbuffer has a name each, in the table of
// package conformance, and a test of that name here.
func TestUnlikeEvbuffer(t *testing.T) {
	for name, test := range map[string]func(t *testing.T){
		"frozen":      unlikeFrozen,
		"copyout":     unlikeCopyout,
		"empty write": unlikeEmptyWrite,
		"one change":  unlikeOneChange,
		"order":       unlikeOrder,
		"removed":     unlikeRemoved,
		"files":       unlikeFiles,
		"empty":       unlikeEmpty,
		"owned":       unlikeOwned,
		"share":       unlikeShare,
		"commit":      unlikeCommit,
		"cycle":       unlikeCycle,
		"pullup":      unlikePullUp,
	} {
		t.Run(name, test)
	}
}

// counter returns a release function and how often it ran.
func counter() (release func(), n *int) {
	n = new(int)
	return func() { *n++ }, n
}

func unlikeFrozen(t *testing.T) {
	var b, empty buffer.Buffer
	b.Freeze(buffer.Front)
	b.Freeze(buffer.Back)
	wantPanic(t, "frozen", func() { b.Drain(1) })
	wantPanic(t, "frozen", func() { b.Prepend(nil) })
	wantPanic(t, "frozen", func() { b.Grow(1) })
	wantInt(t, empty.Move(&b, 1), 0)
}

func unlikeCopyout(t *testing.T) {
	var b buffer.Buffer
	b.AppendString("hello")
	b.Freeze(buffer.Front)
	p := make([]byte, 5)
	wantInt(t, b.CopyOut(p, 0), 5)
	wantBytes(t, p, []byte("hello"))
}

func unlikeEmptyWrite(t *testing.T) {
	var b buffer.Buffer
	if n, err := b.WriteTo(&bytes.Buffer{}); n != 0 || err != nil {
		t.Errorf("WriteTo of an empty Buffer: %d, %v", n, err)
	}
	b.AppendString("hello")
	if n, err := b.WriteAtMost(&bytes.Buffer{}, 0); n != 0 || err != nil {
		t.Errorf("WriteAtMost of no bytes: %d, %v", n, err)
	}
}

func unlikeOneChange(t *testing.T) {
	var b buffer.Buffer
	var heard []buffer.Change
	b.AddCallback(func(c buffer.Change) { heard = append(heard, c) })
	b.AppendAll([][]byte{[]byte("one"), nil, []byte("two\r\n")})
	if line, err := b.ReadLine(nil, buffer.CRLF, -1); string(line) != "onetwo" || err != nil {
		t.Fatalf("ReadLine: %q, %v", line, err)
	}
	if want := (buffer.Change{Added: 8}); len(heard) != 2 || heard[0] != want || heard[1] != (buffer.Change{OrigLen: 8, Removed: 8}) {
		t.Errorf("heard %+v, want eight bytes to come and to go", heard)
	}
}

func unlikeOrder(t *testing.T) {
	var a, b buffer.Buffer
	var heard strings.Builder
	a.AddCallback(func(buffer.Change) { heard.WriteString("a") })
	b.AddCallback(func(buffer.Change) { heard.WriteString("b") })
	a.Append(make([]byte, 3000))
	b.Move(&a, 1000)
	b.MoveAll(&a)
	a.Move(&b, 3000)
	if heard.String() != "a"+"ab"+"ab"+"ba" {
		t.Errorf("told in the order %s, want the source first each time", heard.String())
	}
}

func unlikeRemoved(t *testing.T) {
	var b buffer.Buffer
	var due []func()
	var heard []buffer.Change
	b.DeferCallbacks(func(run func()) { due = append(due, run) })
	first := b.AddCallback(func(buffer.Change) { t.Error("a removed callback ran") })
	b.AppendString("hello")
	first.Remove()
	b.AddCallback(func(c buffer.Change) { heard = append(heard, c) })
	b.AppendString("more")
	for _, run := range due {
		run()
	}
	if len(heard) != 1 || heard[0] != (buffer.Change{OrigLen: 5, Added: 4}) {
		t.Errorf("heard %+v, want what came after it was added", heard)
	}
}

func unlikeFiles(t *testing.T) {
	var b buffer.Buffer
	release, n := counter()
	if err := b.AppendFile(bytes.NewReader(make([]byte, 1000)), 0, -1, release); err != nil {
		t.Fatal(err)
	}
	wantInt(t, *n, 0)
	wantInt(t, b.Index([]byte("zzzz")), -1)
	wantInt(t, *n, 1)
	wantInt(t, b.Drain(1000), 1000)
	wantInt(t, *n, 1)
}

func unlikeEmpty(t *testing.T) {
	var b buffer.Buffer
	release, n := counter()
	b.AppendString("kept")
	b.AppendOwned(nil, release)
	wantInt(t, *n, 1)
	wantInt(t, b.NumExtents(-1), 1)
}

func unlikeOwned(t *testing.T) {
	var a, b buffer.Buffer
	release, n := counter()
	a.AppendOwned(make([]byte, 1000), release)
	b.Move(&a, 600)
	a.Drain(400)
	b.Drain(599)
	wantInt(t, *n, 0)
	b.Drain(1)
	wantInt(t, *n, 1)

	release, n = counter() // few bytes are copied
	a.AppendOwned(make([]byte, 1000), release)
	b.Move(&a, 400)
	a.Drain(600)
	wantInt(t, *n, 1)
}

func unlikeShare(t *testing.T) {
	var a, b, c, d buffer.Buffer
	a.AppendString("hello")
	b.Share(&a)
	a.Share(&a)
	c.Share(&b)
	if err := d.AppendFile(strings.NewReader("file"), 0, -1, nil); err != nil {
		t.Fatal(err)
	}
	c.Share(&d)
	wantString(t, &a, "hellohello")
	wantString(t, &c, "hellofile")
}

func unlikeCommit(t *testing.T) {
	var a, d buffer.Buffer
	d.AppendOwned(make([]byte, 505), nil)
	a.Append(make([]byte, 148))
	a.AppendAll([][]byte{make([]byte, 81), make([]byte, 993), make([]byte, 10)})
	var room [2][]byte
	a.ReserveInto(room[:], 1745)
	d.Move(&a, 504)
	a.Append(make([]byte, 72))
	n := a.Len()
	p := a.Reserve(109)
	copy(p, "x")
	a.Commit(1)
	a.AppendString("and on")
	wantInt(t, a.Len(), n+7)
}

func unlikeCycle(t *testing.T) {
	var b, c buffer.Buffer
	b.Append(make([]byte, 100))
	c.Share(&b)
	b.MoveAll(&c)
	release, n := counter()
	b.AppendOwned(make([]byte, 10), release)
	b.Reset()
	wantInt(t, *n, 1)
}

func unlikePullUp(t *testing.T) {
	var a, c, d buffer.Buffer
	c.AppendString("abcde")
	a.Share(&c)
	d.Share(&c)
	a.AppendString("123")
	wantBytes(t, a.PullUp(6), []byte("abcde1"))
	d.AppendString("XYZ")
	wantBytes(t, d.PullUp(6), []byte("abcdeX"))
	wantString(t, &a, "abcde123")
	wantString(t, &c, "abcde")
}

package buffer_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bevgo/bev/buffer"
)

// Each method that changes Len tells the Owner and the callbacks once, and one that changes nothing tells nobody.
func TestWhoIsTold(t *testing.T) {
	type notice struct {
		who   string
		added int
		gone  int
	}
	var said []notice
	var b, src buffer.Buffer
	b.SetOwner(&buffer.Owner{Notify: notifierFunc(func(_ *buffer.Buffer, added, removed int) { said = append(said, notice{"owner", added, removed}) })})
	b.AddCallback(func(ch buffer.Change) { said = append(said, notice{"callback", ch.Added, ch.Removed}) })
	src.AddCallback(func(ch buffer.Change) { said = append(said, notice{"src", ch.Added, ch.Removed}) })
	ten := func() { src.AppendOwned(pattern(10), nil); said = nil }
	both := func(added, removed int) []notice {
		return []notice{{"owner", added, removed}, {"callback", added, removed}}
	}
	moved := append([]notice{{"src", 0, 10}}, both(10, 0)...)
	steps := []struct {
		name string
		do   func()
		want []notice
	}{
		{"Append", func() { b.Append(pattern(600)) }, both(600, 0)},
		{"Append none", func() { b.Append(nil); b.AppendOwned(nil, nil); b.AppendAll(nil); b.Prepend(nil) }, nil},
		{"AppendAll", func() { b.AppendAll([][]byte{{1, 2}, {3}}) }, both(3, 0)},
		{"AppendOwned", func() { b.AppendOwned([]byte("owned"), nil) }, both(5, 0)},
		{"AppendFile", func() { appendFile(&b, []byte("file")) }, both(4, 0)},
		{"Prepend", func() { b.Prepend(pattern(700)) }, both(700, 0)},
		{"Commit", func() { b.Reserve(100); b.Commit(30) }, both(30, 0)},
		{"Commit none", func() { b.Reserve(100); b.Commit(0); b.Grow(1000) }, nil},
		{"Share", func() { ten(); b.Share(&src) }, both(10, 0)},
		{"MoveAll", func() { said = nil; b.MoveAll(&src) }, moved},
		{"Move", func() { ten(); src.AppendString("x"); said = nil; b.Move(&src, 10) }, moved},
		{"PrependBuffer", func() { src.Reset(); ten(); b.PrependBuffer(&src) }, moved},
		{"Move none", func() { b.Move(&src, 5); b.MoveAll(&b); b.PrependBuffer(&src); b.Share(&src) }, nil},
		{"Drain", func() { b.Drain(7) }, both(0, 7)},
		{"Drain none", func() { b.Drain(0) }, nil},
		{"Read", func() { b.Read(make([]byte, 9)) }, both(0, 9)},
		{"ReadByte", func() { b.ReadByte() }, both(0, 1)},
		{"UnreadByte", func() { b.UnreadByte() }, both(1, 0)},
		{"looking", func() { b.PullUp(900); b.Head(); b.CopyOut(make([]byte, 5), 3); b.Settle(); b.Load(-1) }, nil},
		{"DrainQuiet", func() { b.DrainQuiet(3) }, []notice{{"callback", 0, 3}}},
		{"Reset", func() { n := b.Len(); b.Reset(); said[0].gone -= n; said[1].gone -= n }, both(0, 0)},
		{"Reset none", func() { b.Reset() }, nil},
	}
	for _, s := range steps {
		said = nil
		if s.do(); !slices.Equal(said, s.want) {
			t.Errorf("%s: %v, want %v", s.name, said, s.want)
		}
	}
}

// notifierFunc is a Notifier that is a function.
type notifierFunc func(b *buffer.Buffer, added, removed int)

func (f notifierFunc) BufferChanged(b *buffer.Buffer, added, removed int) { f(b, added, removed) }

func TestDeferCallbacks(t *testing.T) {
	var b buffer.Buffer
	var queue []func()
	var heard []buffer.Change
	b.AddCallback(func(ch buffer.Change) { heard = append(heard, ch) })
	b.DeferCallbacks(func(run func()) { queue = append(queue, run) })
	b.AppendString("hello")
	b.Drain(2)
	b.AppendString("x")
	if len(heard) != 0 || len(queue) != 1 {
		t.Fatalf("%d callbacks ran, %d were scheduled", len(heard), len(queue))
	}
	queue[0]()
	if want := (buffer.Change{OrigLen: 0, Added: 6, Removed: 2}); len(heard) != 1 || heard[0] != want {
		t.Fatalf("callbacks heard %+v, want %+v", heard, want)
	}
	b.Drain(1)
	wantInt(t, len(queue), 2) // scheduled again
	b.DeferCallbacks(nil)
	b.Drain(1) // at once again, and what was pending with it
	if want := (buffer.Change{OrigLen: 4, Removed: 2}); len(heard) != 2 || heard[1] != want {
		t.Fatalf("callbacks heard %+v, want %+v", heard[1:], want)
	}
	queue[1]() // nothing is left to tell
	wantInt(t, len(heard), 2)
}

func TestDeferredCallbackIsRemoved(t *testing.T) {
	var b buffer.Buffer
	var run func()
	b.SetOwner(buffer.NewPool(1 << 10).Owner())
	b.DeferCallbacks(func(f func()) { run = f })
	c := b.AddCallback(func(buffer.Change) { t.Error("a removed callback ran") })
	b.AppendString("hello")
	c.Remove()
	c.Remove() // once more is nothing
	b.DeferCallbacks(nil)
	run()
	if b.HasExtra() {
		t.Error("state is left behind")
	}
	c.Enable()
	if c.Enabled() {
		t.Error("a removed callback says that it is enabled")
	}
}

// A callback may remove itself and others, older and newer, while callbacks run.
func TestRemoveWhileRunning(t *testing.T) {
	for victim := range 3 {
		var b buffer.Buffer
		var c [3]*buffer.Callback
		var ran []int
		for i := range c {
			c[i] = b.AddCallback(func(buffer.Change) {
				ran = append(ran, i)
				if i == 1 {
					c[victim].Remove()
				}
			})
		}
		b.AppendString("x")
		b.AppendString("x")
		want := []int{2, 1, 0, 2, 1, 0}
		switch victim {
		case 0:
			want = []int{2, 1, 2, 1}
		case 1:
			want = []int{2, 1, 0, 2, 0}
		case 2:
			want = []int{2, 1, 0, 1, 0}
		}
		if !slices.Equal(ran, want) {
			t.Errorf("1 removes %d: %v ran, want %v", victim, ran, want)
		}
	}
}

// Callbacks and release functions run when the Buffer is as it will be: they may use it as they like.
func TestReentry(t *testing.T) {
	var b, dst buffer.Buffer
	released := ""
	for _, name := range []string{"A", "B", "C"} {
		b.AppendOwned([]byte("piece "+name+";"), func() {
			b.Check()
			released += name
			b.AppendString("+" + name)
			if name == "B" {
				b.Drain(4) // the rest of C: its release runs inside of B's
			}
		})
	}
	wantInt(t, b.Drain(20), 20)
	if released != "ABC" {
		t.Errorf("released in the order %q", released)
	}
	wantString(t, &b, "+A+B+C")

	b.AppendOwned(pattern(600), func() { b.AppendString("pulled") })
	b.PullUp(-1)
	wantString(t, &b, "+A+B+C"+string(pattern(600))+"pulled")

	dst.AddCallback(func(ch buffer.Change) {
		dst.Check()
		b.MoveAll(&dst) // runs this callback again, for nothing but the move
	})
	n := b.Len()
	dst.MoveAll(&b)
	wantInt(t, b.Len(), n)
	wantInt(t, dst.Len(), 0)
	b.Check()
}

// A clean-up function that empties the Buffer as soon as its file was read: whoever was reading finds nothing, and
// nothing worse happens.
func TestCleanupEmptiesTheBuffer(t *testing.T) {
	for name, read := range map[string]func(b *buffer.Buffer) bool{
		"Head":     func(b *buffer.Buffer) bool { return b.Head() == nil },
		"PullUp":   func(b *buffer.Buffer) bool { return b.PullUp(-1) == nil },
		"Index":    func(b *buffer.Buffer) bool { return b.Index([]byte("i")) < 0 && b.Index(pattern(99)) < 0 },
		"IndexEOL": func(b *buffer.Buffer) bool { at, _ := b.IndexEOL(buffer.AnyEOL, 0); return at < 0 },
		"ReadLine": func(b *buffer.Buffer) bool { _, err := b.ReadLine(nil, buffer.LF, -1); return err != nil },
		"ReadByte": func(b *buffer.Buffer) bool { _, err := b.ReadByte(); return err != nil },
		"WriteTo":  func(b *buffer.Buffer) bool { n, err := b.WriteTo(&buffer.Buffer{}); return n == 0 && err == nil },
		"Extents": func(b *buffer.Buffer) bool {
			for range b.Extents() {
				return false
			}
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b buffer.Buffer
			if err := b.AppendFile(strings.NewReader("file\n"), 0, -1, func() { b.Reset() }); err != nil {
				t.Fatal(err)
			}
			if !read(&b) || b.Len() != 0 {
				t.Errorf("something was found, %d bytes are left", b.Len())
			}
			b.Check()
		})
	}
}

func TestNilCallback(t *testing.T) {
	var b buffer.Buffer
	wantPanic(t, "nil function", func() { b.AddCallback(nil) })
}

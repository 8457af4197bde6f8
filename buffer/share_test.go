package buffer_test

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bevgo/bev/buffer"
)

// A chat line for a thousand members: one set of bytes, and one release at the end, whoever is last.
func TestShareToAThousand(t *testing.T) {
	var line buffer.Buffer
	released := 0
	p := pattern(4000)
	line.AppendOwned(p, func() { released++ })
	line.Append(pattern(100))
	var out [1000]buffer.Buffer
	for i := range out {
		wantInt(t, out[i].Share(&line), 4100)
	}
	line.Reset()
	for i := range out {
		if &out[i].Head()[0] != &p[0] {
			t.Fatal("the bytes were copied")
		}
		out[i].AppendString("behind") // must not be written to shared memory
		wantInt(t, released, 0)
		wantString(t, &out[i], string(p)+string(pattern(100))+"behind")
		out[i].Reset()
	}
	wantInt(t, released, 1)
}

// Members on goroutines of their own, each with its own pool, all reading and dropping at once; the race detector looks
// on.
func TestShareBetweenGoroutines(t *testing.T) {
	for range 20 {
		var msg buffer.Buffer
		var released, cleaned atomic.Int32
		msg.AppendOwned(pattern(3000), func() { released.Add(1) })
		msg.Append(pattern(3000))
		if err := msg.AppendFile(bytes.NewReader(pattern(500)), 0, 500, func() { cleaned.Add(1) }); err != nil {
			t.Fatal(err)
		}
		want := string(pattern(3000)) + string(pattern(3000)) + string(pattern(500))
		var wg sync.WaitGroup
		for i := range 8 {
			b := new(buffer.Buffer)
			b.Share(&msg)
			wg.Go(func() {
				b.SetOwner(buffer.NewPool(64 << 10).Owner())
				if b.String() != want {
					t.Error("wrong bytes")
				}
				b.Drain(1000 * i)
				var mine buffer.Buffer
				mine.AppendString("mine")
				mine.MoveAll(b)
				mine.Share(&mine)
				mine.Prepend([]byte("x"))
				mine.Drain(mine.Len() / 2)
				mine.Reset()
			})
		}
		msg.Reset()
		wg.Wait()
		if released.Load() != 1 || cleaned.Load() != 1 {
			t.Errorf("released %d times, cleaned up %d times", released.Load(), cleaned.Load())
		}
	}
}

// Parts of shared bytes drop one by one; the memory goes when the last part goes.
func TestSharePartByPart(t *testing.T) {
	var src, a, b buffer.Buffer
	released := 0
	src.AppendOwned(pattern(5000), func() { released++ })
	a.Share(&src)
	b.Move(&a, 2500) // both halves are views now
	src.Reset()
	a.Drain(2499)
	b.Reset()
	wantInt(t, released, 0)
	wantBytes(t, a.ToBytes(), pattern(5000)[4999:])
	a.Drain(1)
	wantInt(t, released, 1)
}

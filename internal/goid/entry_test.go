package goid

import "testing"

// entryAt is Entry under depth more calls.
//
//go:noinline
func entryAt(depth int) uintptr {
	if depth == 0 {
		return Entry()
	}
	e := entryAt(depth - 1)
	if e == 0 {
		panic("Entry is 0") // and the call above is not the last thing done
	}
	return e
}

func TestEntry(t *testing.T) {
	got := make(chan uintptr)
	one := func(depth int) { got <- entryAt(depth) }
	other := func(depth int) { got <- entryAt(depth) }
	go one(0)
	want := <-got
	// Across the seams between the pieces that the stack is read in.
	for depth := range 100 {
		go one(depth)
		if e := <-got; e != want {
			t.Fatalf("under %d calls Entry is %#x, under none %#x", depth, e, want)
		}
	}
	go other(0)
	if e := <-got; e == want {
		t.Error("two functions have one Entry")
	}
	if Entry() == want {
		t.Error("the goroutine of a test has the Entry of another")
	}
}

// Loops ask before every wait, so it must not cost memory.
func TestEntryAllocates(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Entry() }); n != 0 {
		t.Errorf("Entry allocates %v times", n)
	}
}

func BenchmarkEntry(b *testing.B) {
	for b.Loop() {
		Entry()
	}
}

func BenchmarkCurrent(b *testing.B) {
	for b.Loop() {
		Current()
	}
}

package buffer

import (
	"slices"
	"strings"
	"testing"
)

// A release function that panics is the program's mistake. It must not become
// the loss of what the others release.
func TestEveryReleaseFunctionRunsWhenSomePanic(t *testing.T) {
	for _, test := range []struct {
		name string
		drop func(b *Buffer)
		left int
	}{
		{"Reset", func(b *Buffer) { b.Reset() }, 0},
		{"Drain", func(b *Buffer) { b.Drain(16) }, 4},
		{"DrainQuiet", func(b *Buffer) { b.DrainQuiet(16) }, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b Buffer
			var ran []int
			for i := range 5 {
				b.AppendOwned([]byte("four"), func() {
					ran = append(ran, i)
					if i == 0 || i == 2 {
						panic(i)
					}
				})
			}
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic went nowhere")
					}
				}()
				test.drop(&b)
			}()
			if want := []int{0, 1, 2, 3, 4}[:5-test.left/4]; !slices.Equal(ran, want) {
				t.Errorf("the release functions of %v ran, want %v", ran, want)
			}
			if b.Len() != test.left {
				t.Errorf("%d bytes are left, want %d", b.Len(), test.left)
			}
			b.check()
		})
	}
}

func TestEveryCleanupOfAFileRunsInOrder(t *testing.T) {
	f, err := NewFile(strings.NewReader("text"), 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	var ran []int
	for i := range 4 {
		f.AddCleanup(func() {
			ran = append(ran, i)
			if i == 1 {
				panic(i)
			}
		})
	}
	func() {
		defer func() { recover() }()
		f.Release()
	}()
	if !slices.Equal(ran, []int{0, 1, 2, 3}) {
		t.Errorf("clean-up functions %v ran, want all in order", ran)
	}
}

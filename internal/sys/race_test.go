//go:build race && linux

package sys

import (
	"syscall"
	"testing"
)

// With -race, a byte sent must count as an event before the same byte
// received, whichever of this package's calls and package syscall's the two
// sides use. If it did not, the detector would fail this test.
func TestRaceEdges(t *testing.T) {
	one := []byte{'x'}
	writes := map[string]func(fd int) (int, error){
		"Write":          func(fd int) (int, error) { return Direct.Write(fd, one) },
		"Writev":         func(fd int) (int, error) { return Polite.Writev(fd, [][]byte{one}) },
		"syscall's":      func(fd int) (int, error) { return syscall.Write(fd, one) },
		"Write, Polite":  func(fd int) (int, error) { return Polite.Write(fd, one) },
		"Writev, Direct": func(fd int) (int, error) { return Direct.Writev(fd, [][]byte{one, nil}) },
	}
	reads := map[string]func(fd int, p []byte) (int, error){
		"Read":      func(fd int, p []byte) (int, error) { return Direct.Read(fd, p) },
		"Readv":     func(fd int, p []byte) (int, error) { return Polite.Readv(fd, [][]byte{p}) },
		"syscall's": syscall.Read,
	}
	for wname, write := range writes {
		for rname, read := range reads {
			t.Run(wname+" to "+rname, func(t *testing.T) {
				a, b := pair(t)
				told := 0
				go func() {
					told = 42
					if n, err := write(a); n != 1 || err != nil {
						t.Error(n, err)
					}
				}()
				buf := make([]byte, 1)
				for {
					n, err := read(b, buf)
					if n == 1 {
						break
					}
					if err != ErrAgain && err != syscall.EAGAIN {
						t.Fatal(n, err)
					}
				}
				if told != 42 {
					t.Error("the byte came before what it tells of")
				}
			})
		}
	}
}

//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"syscall"
	"testing"
)

var modes = []Mode{Polite, Direct}

// pair makes two connected sockets that are closed at the end of the test.
func pair(t testing.TB) (a, b int) {
	t.Helper()
	a, b, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = Close(a) // some tests have closed theirs
		_ = Close(b)
	})
	return a, b
}

// eachMode runs f once for every Mode.
func eachMode(t *testing.T, f func(t *testing.T, m Mode)) {
	for _, m := range modes {
		t.Run(m.String(), func(t *testing.T) { f(t, m) })
	}
}

func TestReadWrite(t *testing.T) {
	eachMode(t, func(t *testing.T, m Mode) {
		a, b := pair(t)
		buf := make([]byte, 16)
		if n, err := m.Read(a, buf); n != 0 || err != ErrAgain {
			t.Errorf("nothing was sent: %d, %v, want ErrAgain", n, err)
		}
		if n, err := m.Write(b, []byte("hello")); n != 5 || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
		if n, err := m.Read(a, buf[:2]); n != 2 || err != nil || string(buf[:2]) != "he" {
			t.Errorf("read: %d, %v, %q", n, err, buf[:n])
		}
		if n, err := m.Read(a, buf); n != 3 || err != nil || string(buf[:3]) != "llo" {
			t.Errorf("read: %d, %v, %q", n, err, buf[:n])
		}
		if err := Shutdown(b, ShutWrite); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if n, err := m.Read(a, buf); n != 0 || err != io.EOF {
				t.Errorf("the end: %d, %v, want io.EOF", n, err)
			}
		}
	})
}

// Recv and Send are Read and Write for sockets, and say the same.
func TestRecvSend(t *testing.T) {
	eachMode(t, func(t *testing.T, m Mode) {
		a, b := pair(t)
		buf := make([]byte, 16)
		if n, err := m.Recv(a, buf); n != 0 || err != ErrAgain {
			t.Errorf("nothing was sent: %d, %v, want ErrAgain", n, err)
		}
		if n, err := m.Send(b, []byte("hello")); n != 5 || err != nil {
			t.Fatalf("send: %d, %v", n, err)
		}
		if n, err := m.Recv(a, buf[:2]); n != 2 || err != nil || string(buf[:2]) != "he" {
			t.Errorf("recv: %d, %v, %q", n, err, buf[:n])
		}
		if n, err := m.Recv(a, buf); n != 3 || err != nil || string(buf[:3]) != "llo" {
			t.Errorf("recv: %d, %v, %q", n, err, buf[:n])
		}
		if err := Close(b); err != nil {
			t.Fatal(err)
		}
		if n, err := m.Recv(a, buf); n != 0 || err != io.EOF {
			t.Errorf("the end: %d, %v, want io.EOF", n, err)
		}
		if n, err := m.Send(a, []byte("x")); n != 0 || !errors.Is(err, syscall.EPIPE) {
			t.Errorf("nobody to send to: %d, %v, want EPIPE", n, err)
		}
		if n, err := m.Recv(a, nil); n != 0 || err != nil {
			t.Errorf("nothing to receive into: %d, %v", n, err)
		}
		if n, err := m.Send(a, nil); n != 0 || err != nil {
			t.Errorf("nothing to send: %d, %v", n, err)
		}
	})
}

func TestNothingToMove(t *testing.T) {
	eachMode(t, func(t *testing.T, m Mode) {
		// No call is made: the descriptor does not even exist.
		for name, f := range map[string]func() (int, error){
			"Read":            func() (int, error) { return m.Read(-1, nil) },
			"Write":           func() (int, error) { return m.Write(-1, []byte{}) },
			"Readv":           func() (int, error) { return m.Readv(-1, nil) },
			"Readv of empty":  func() (int, error) { return m.Readv(-1, [][]byte{nil, {}}) },
			"Writev":          func() (int, error) { return m.Writev(-1, nil) },
			"Writev of empty": func() (int, error) { return m.Writev(-1, [][]byte{nil, {}}) },
		} {
			if n, err := f(); n != 0 || err != nil {
				t.Errorf("%s: %d, %v, want 0, nil", name, n, err)
			}
		}
	})
}

func TestErrorsAreNamed(t *testing.T) {
	eachMode(t, func(t *testing.T, m Mode) {
		p := []byte("x")
		v := [][]byte{p, p}
		for name, f := range map[string]func() (int, error){
			"read":   func() (int, error) { return m.Read(-1, p) },
			"write":  func() (int, error) { return m.Write(-1, p) },
			"readv":  func() (int, error) { return m.Readv(-1, v) },
			"writev": func() (int, error) { return m.Writev(-1, v) },
		} {
			n, err := f()
			var se *os.SyscallError
			if n != 0 || !errors.As(err, &se) || se.Syscall != name || se.Err != syscall.EBADF {
				t.Errorf("%s of no descriptor: %d, %v", name, n, err)
			}
		}
	})
}

func TestPeerGone(t *testing.T) {
	eachMode(t, func(t *testing.T, m Mode) {
		a, b := pair(t)
		if err := Close(b); err != nil {
			t.Fatal(err)
		}
		if n, err := m.Write(a, []byte("x")); n != 0 || !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write: %d, %v, want EPIPE", n, err)
		}
		if n, err := m.Writev(a, [][]byte{{'x'}, {'y'}}); n != 0 || !errors.Is(err, syscall.EPIPE) {
			t.Errorf("writev: %d, %v, want EPIPE", n, err)
		}
		c, d := tcpPair(t)
		if err := SetLinger(d, 0); err != nil {
			t.Fatal(err)
		}
		if err := Close(d); err != nil {
			t.Fatal(err)
		}
		var n int
		err := ErrAgain
		for err == ErrAgain { // until the reset has come through
			n, err = m.Read(c, make([]byte, 1))
		}
		if n != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read after a reset: %d, %v", n, err)
		}
	})
}

func TestFullSocket(t *testing.T) {
	eachMode(t, func(t *testing.T, m Mode) {
		a, b := pair(t)
		chunk := make([]byte, 10_000)
		sent := 0
		var err error
		for {
			var n int
			if n, err = m.Write(a, chunk); err != nil {
				break
			}
			sent += n
		}
		if err != ErrAgain || sent == 0 {
			t.Fatalf("after %d bytes: %v, want ErrAgain", sent, err)
		}
		if n, err := m.Writev(a, [][]byte{chunk, chunk}); n != 0 || err != ErrAgain {
			t.Errorf("writev: %d, %v, want ErrAgain", n, err)
		}
		got := 0
		for got < sent {
			n, err := m.Read(b, chunk)
			if err != nil {
				t.Fatalf("after %d of %d bytes: %v", got, sent, err)
			}
			got += n
		}
	})
}

// TestVectors moves bytes in every shape of slices through readv and writev.
func TestVectors(t *testing.T) {
	eachMode(t, func(t *testing.T, m Mode) {
		for _, shape := range [][]int{
			{1}, {5, 3}, {0, 4, 0, 0, 2, 0}, {1, 1, 1, 1, 1, 1, 1, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9},
			repeat(3, MaxExtents), repeat(1, MaxExtents+1), append(repeat(0, 200), 7),
			append(repeat(2, MaxExtents-1), 0, 0, 5, 0, 9),
		} {
			t.Run(fmt.Sprint(len(shape)), func(t *testing.T) {
				a, b := pair(t)
				out, want := vector(shape)
				want = want[:total(out)]
				n, err := m.Writev(a, out)
				if n != len(want) || err != nil {
					t.Fatalf("writev of %v: %d, %v, want %d", shape, n, err, len(want))
				}
				in, _ := vector(shape)
				for _, p := range in {
					clear(p)
				}
				n, err = m.Readv(b, in)
				got := bytes.Join(in, nil)
				if n != len(want) || err != nil || !bytes.Equal(got[:n], want) {
					t.Errorf("readv of %v: %d, %v, %q, want %q", shape, n, err, got, want)
				}
				if n, err := m.Readv(b, in); n != 0 || err != ErrAgain {
					t.Errorf("readv again: %d, %v, want ErrAgain", n, err)
				}
				if err := Shutdown(a, ShutWrite); err != nil {
					t.Fatal(err)
				}
				if n, err := m.Readv(b, in); n != 0 || err != io.EOF {
					t.Errorf("readv at the end: %d, %v, want io.EOF", n, err)
				}
			})
		}
	})
}

func repeat(size, n int) []int {
	shape := make([]int, n)
	for i := range shape {
		shape[i] = size
	}
	return shape
}

// vector makes slices of these sizes, with bytes that are all different.
func vector(shape []int) (v [][]byte, flat []byte) {
	next := byte(1)
	for _, size := range shape {
		p := make([]byte, size)
		for i := range p {
			p[i] = next
			next++
		}
		v = append(v, p)
		flat = append(flat, p...)
	}
	return v, flat
}

func TestVectorSizes(t *testing.T) {
	v, _ := vector([]int{2, 0, 3})
	if n := total(v); n != 5 {
		t.Errorf("total is %d, want 5", n)
	}
	for n, want := range []string{"[[] [] []]", "[[1] [] []]", "[[1 2] [] []]", "[[1 2] [] [3]]"} {
		if got := fmt.Sprint(clip(v, n)); got != want {
			t.Errorf("the first %d bytes are %s, want %s", n, got, want)
		}
	}
	if len(v[0]) != 2 || len(v[2]) != 3 {
		t.Error("clip changed what it was given")
	}
}

func TestFaults(t *testing.T) {
	eachMode(t, func(t *testing.T, m Mode) {
		a, b := pair(t)
		var fault func(op Op, size int) (int, error)
		var asked []string
		defer SetHook(func(op Op, fd, size int) (int, error) {
			asked = append(asked, fmt.Sprint(op, fd == a || fd == b, size))
			return fault(op, size)
		})()
		buf := make([]byte, 8)
		v := [][]byte{buf[:3], nil, buf[3:]}
		calls := []struct {
			name string
			op   Op
			f    func() (int, error)
		}{
			{"write", OpWrite, func() (int, error) { return m.Write(a, []byte("12345678")) }},
			{"read", OpRead, func() (int, error) { return m.Read(b, buf) }},
			{"writev", OpWritev, func() (int, error) { return m.Writev(a, [][]byte{[]byte("123"), nil, []byte("45678")}) }},
			{"readv", OpReadv, func() (int, error) { return m.Readv(b, v) }},
		}
		for _, tc := range calls {
			fault = func(Op, int) (int, error) { return 4, nil }
			clear(buf)
			asked = nil
			if n, err := tc.f(); n != 4 || err != nil {
				t.Errorf("%s, cut to 4: %d, %v", tc.name, n, err)
			}
			if want := fmt.Sprint(tc.op, true, 8); len(asked) != 1 || asked[0] != want {
				t.Errorf("%s: the hook was asked %q, want %q", tc.name, asked, want)
			}
			if reads := tc.op == OpRead || tc.op == OpReadv; reads && string(buf) != "1234\x00\x00\x00\x00" {
				t.Errorf("%s, cut to 4: got %q", tc.name, buf)
			}
			for _, errno := range []syscall.Errno{syscall.ECONNRESET, syscall.EPIPE, syscall.ENOBUFS} {
				fault = func(Op, int) (int, error) { return 0, errno }
				if n, err := tc.f(); n != 0 || !errors.Is(err, errno) || err.Error() != tc.name+": "+errno.Error() {
					t.Errorf("%s with %v: %d, %v", tc.name, errno, n, err)
				}
			}
			fault = func(Op, int) (int, error) { return 0, syscall.EAGAIN }
			if n, err := tc.f(); n != 0 || err != ErrAgain {
				t.Errorf("%s with EAGAIN: %d, %v", tc.name, n, err)
			}
			fault = func(Op, int) (int, error) { return 0, nil }
			want := error(nil)
			if tc.op == OpRead || tc.op == OpReadv {
				want = io.EOF
			}
			if n, err := tc.f(); n != 0 || err != want {
				t.Errorf("%s cut to nothing: %d, %v, want %v", tc.name, n, err, want)
			}
		}
	})
}

func TestTransfersAllocateNothing(t *testing.T) {
	eachMode(t, func(t *testing.T, m Mode) {
		a, b := pair(t)
		buf := make([]byte, 2*MaxExtents)
		var few, many [][]byte
		for i := range MaxExtents {
			many = append(many, buf[2*i:2*i+2])
		}
		few = many[:2]
		n := testing.AllocsPerRun(100, func() {
			for _, v := range [][][]byte{few, many} {
				if n, err := m.Writev(a, v); n != 2*len(v) || err != nil {
					t.Error(n, err)
				}
				if n, err := m.Readv(b, v); n != 2*len(v) || err != nil {
					t.Error(n, err)
				}
			}
			if n, err := m.Write(a, buf); n != len(buf) || err != nil {
				t.Error(n, err)
			}
			if n, err := m.Read(b, buf); n != len(buf) || err != nil {
				t.Error(n, err)
			}
			if _, err := m.Read(b, buf); err != ErrAgain {
				t.Error(err)
			}
		})
		if n != 0 && vectorsOnStack {
			t.Errorf("%v allocations, want 0", n)
		}
	})
}

// A buffer on the stack has to survive a call whose frames grow the stack.
func TestBufferOnStack(t *testing.T) {
	eachMode(t, func(t *testing.T, m Mode) {
		a, b := pair(t)
		done := make(chan error, 1)
		go func() { done <- deep(m, a, b, 200) }()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func deep(m Mode, a, b, depth int) error {
	var out, in [64]byte
	out[depth%64] = byte(depth)
	if _, err := m.Writev(a, [][]byte{out[:10], out[10:]}); err != nil {
		return err
	}
	if depth > 0 {
		if err := deep(m, a, b, depth-1); err != nil {
			return err
		}
	}
	// The deepest wrote last, and reads first: order does not matter, since
	// every message is marked in a place of its own.
	n, err := m.Readv(b, [][]byte{in[:33], in[33:]})
	if err != nil {
		return err
	}
	marked := 0
	for i, c := range in[:n] {
		if c != 0 {
			marked++
			if int(c)%64 != i {
				return fmt.Errorf("%d at %d", c, i)
			}
		}
	}
	if n != 64 || marked > 1 {
		return fmt.Errorf("%d bytes, %d of them marked", n, marked)
	}
	return nil
}

func TestModeString(t *testing.T) {
	if Polite.String() != "polite" || Direct.String() != "direct" {
		t.Errorf("%v, %v", Polite, Direct)
	}
}

// tcpPair makes two connected TCP sockets on the loopback.
func tcpPair(t testing.TB) (a, b int) {
	t.Helper()
	l, addr := listener(t, TCPAddr(netip.MustParseAddrPort("127.0.0.1:0")))
	return connected(t, l, addr)
}

func benchmarkMove(b *testing.B, f func(m Mode, w, r int, p []byte) error) {
	for _, m := range modes {
		b.Run(m.String(), func(b *testing.B) {
			w, r := pair(b)
			p := make([]byte, 64)
			for b.Loop() {
				if err := f(m, w, r, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWriteRead(b *testing.B) {
	benchmarkMove(b, func(m Mode, w, r int, p []byte) error {
		if _, err := m.Write(w, p); err != nil {
			return err
		}
		_, err := m.Read(r, p)
		return err
	})
}

func BenchmarkWritevReadv(b *testing.B) {
	v := [][]byte{make([]byte, 32), make([]byte, 32)}
	benchmarkMove(b, func(m Mode, w, r int, p []byte) error {
		if _, err := m.Writev(w, v); err != nil {
			return err
		}
		_, err := m.Readv(r, v)
		return err
	})
}

func BenchmarkReadAgain(b *testing.B) {
	benchmarkMove(b, func(m Mode, w, r int, p []byte) error {
		if _, err := m.Read(r, p); err != ErrAgain {
			return err
		}
		return nil
	})
}

// BenchmarkSyscallPackage is what package syscall takes for the same.
func BenchmarkSyscallPackage(b *testing.B) {
	w, r := pair(b)
	p := make([]byte, 64)
	for b.Loop() {
		if _, err := syscall.Write(w, p); err != nil {
			b.Fatal(err)
		}
		if _, err := syscall.Read(r, p); err != nil {
			b.Fatal(err)
		}
	}
}

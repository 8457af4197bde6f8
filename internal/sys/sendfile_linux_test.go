package sys

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// file makes a file with the numbers 0 to n-1 as bytes.
func file(t *testing.T, n int) (*os.File, []byte) {
	t.Helper()
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i)
	}
	name := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(name, data, 0o600))
	f, err := os.Open(name)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f, data
}

func TestSendfile(t *testing.T) {
	a, b := pair(t)
	f, data := file(t, 200)
	fd := int(f.Fd())
	n, handled, err := Sendfile(a, fd, 50, 100)
	if n != 100 || !handled || err != nil {
		t.Fatalf("got %d, %v, %v", n, handled, err)
	}
	buf := make([]byte, 300)
	if n, err := Polite.Read(b, buf); err != nil || string(buf[:n]) != string(data[50:150]) {
		t.Errorf("%d bytes arrived, %v", n, err)
	}
	if pos, err := f.Seek(0, io.SeekCurrent); pos != 0 || err != nil {
		t.Errorf("the file's position is %d, %v, want 0", pos, err)
	}
	if n, handled, err := Sendfile(a, fd, 150, 100); n != 50 || !handled || err != nil {
		t.Errorf("up to the end: %d, %v, %v", n, handled, err)
	}
	for _, off := range []int64{200, 1000} {
		if n, handled, err := Sendfile(a, fd, off, 100); n != 0 || !handled || err != io.EOF {
			t.Errorf("from %d: %d, %v, %v, want io.EOF", off, n, handled, err)
		}
	}
	for _, size := range []int{0, -1} {
		if n, handled, err := Sendfile(a, -1, 0, size); n != 0 || !handled || err != nil {
			t.Errorf("%d bytes: %d, %v, %v", size, n, handled, err)
		}
	}
	if n, handled, err := Sendfile(a, b, 0, 10); n != 0 || handled || err != nil {
		t.Errorf("from a socket: %d, %v, %v, want not handled", n, handled, err)
	}
	if n, handled, err := Sendfile(-1, fd, 0, 10); n != 0 || !handled || !errors.Is(err, syscall.EBADF) {
		t.Errorf("to nothing: %d, %v, %v", n, handled, err)
	}
}

func TestSendfileToFullSocket(t *testing.T) {
	a, b := pair(t)
	f, _ := file(t, 4<<20)
	sent := 0
	for {
		n, handled, err := Sendfile(a, int(f.Fd()), int64(sent), 4<<20-sent)
		if !handled {
			t.Fatal("not handled")
		}
		if err == ErrAgain {
			break
		}
		must(t, err)
		sent += n
	}
	if sent == 0 || sent == 4<<20 {
		t.Fatalf("%d bytes before the socket was full", sent)
	}
	buf := make([]byte, 1<<20)
	for got := 0; got < sent; {
		n, err := Polite.Read(b, buf)
		must(t, err)
		for i, c := range buf[:n] {
			if c != byte(got+i) {
				t.Fatalf("byte %d is %d", got+i, c)
			}
		}
		got += n
	}
}

func TestSplice(t *testing.T) {
	in, feed := pair(t)
	out, sink := pair(t)
	r, w, err := Pipe()
	must(t, err)
	own(t, r)
	own(t, w)
	if _, handled, err := Polite.Splice(w, in, 100); !handled || err != ErrAgain {
		t.Errorf("nothing to move: %v, %v, want ErrAgain", handled, err)
	}
	if _, err := Polite.Write(feed, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if n, handled, err := Polite.Splice(w, in, 100); n != 5 || !handled || err != nil {
		t.Fatalf("into the pipe: %d, %v, %v", n, handled, err)
	}
	if n, handled, err := Polite.Splice(out, r, 3); n != 3 || !handled || err != nil {
		t.Fatalf("out of the pipe: %d, %v, %v", n, handled, err)
	}
	if n, handled, err := Polite.Splice(out, r, 100); n != 2 || !handled || err != nil {
		t.Fatalf("the rest: %d, %v, %v", n, handled, err)
	}
	buf := make([]byte, 10)
	if n, err := Polite.Read(sink, buf); string(buf[:n]) != "hello" || err != nil {
		t.Errorf("arrived: %q, %v", buf[:n], err)
	}
	must(t, Close(feed))
	if n, handled, err := Polite.Splice(w, in, 100); n != 0 || !handled || err != io.EOF {
		t.Errorf("at the end: %d, %v, %v, want io.EOF", n, handled, err)
	}
	if n, handled, err := Polite.Splice(out, in, 100); n != 0 || handled || err != nil {
		t.Errorf("without a pipe: %d, %v, %v, want not handled", n, handled, err)
	}
	if n, handled, err := Polite.Splice(out, in, 0); n != 0 || !handled || err != nil {
		t.Errorf("nothing asked for: %d, %v, %v", n, handled, err)
	}
}

func TestBulkFaults(t *testing.T) {
	a, b := pair(t)
	f, _ := file(t, 100)
	fd := int(f.Fd())
	limit, fault := -1, error(nil)
	turns := 0
	defer SetHook(func(op Op, at, size int) (int, error) {
		if op == OpSendfile && at == a {
			turns++
			return limit, fault
		}
		return -1, nil
	})()
	limit = 7
	if n, handled, err := Sendfile(a, fd, 0, 100); n != 7 || !handled || err != nil {
		t.Errorf("cut to 7: %d, %v, %v", n, handled, err)
	}
	limit = 0
	if n, handled, err := Sendfile(a, fd, 0, 100); n != 0 || !handled || err != io.EOF {
		t.Errorf("cut to nothing: %d, %v, %v", n, handled, err)
	}
	fault = syscall.EPIPE
	if n, handled, err := Sendfile(a, fd, 0, 100); n != 0 || !handled || !errors.Is(err, syscall.EPIPE) || turns != 3 {
		t.Errorf("EPIPE: %d, %v, %v after %d turns", n, handled, err, turns)
	}
	if n, err := Polite.Read(b, make([]byte, 100)); n != 7 || err != nil {
		t.Errorf("%d bytes arrived, %v, want 7", n, err)
	}
}

func TestSetPipeSize(t *testing.T) {
	r, w, err := Pipe()
	must(t, err)
	own(t, r)
	own(t, w)
	if n, err := SetPipeSize(w, 100_000); n < 100_000 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := SetPipeSize(-1, 4096); !errors.Is(err, syscall.EBADF) {
		t.Errorf("got %v", err)
	}
}

package sys

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestOpString(t *testing.T) {
	seen := make(map[string]Op)
	for op := Op(1); op < opCount; op++ {
		name := op.String()
		if strings.HasPrefix(name, "Op(") {
			t.Errorf("op %d has no name", op)
		}
		// On kqueue systems kevent is both.
		if old, ok := seen[name]; ok && !(old == OpEpollCtl && op == OpEpollWait) {
			t.Errorf("ops %d and %d are both %q", old, op, name)
		}
		seen[name] = op
	}
	for _, op := range []Op{0, opCount, 255} {
		if !strings.HasPrefix(op.String(), "Op(") {
			t.Errorf("%d is %q", uint8(op), op)
		}
	}
}

func TestSentinels(t *testing.T) {
	for _, tc := range []struct {
		err   error
		errno syscall.Errno
	}{{ErrAgain, syscall.EAGAIN}, {ErrInProgress, syscall.EINPROGRESS}} {
		if !errors.Is(tc.err, tc.errno) {
			t.Errorf("%v is not %v", tc.err, tc.errno)
		}
		if errors.Is(tc.err, syscall.ECONNRESET) || errors.Is(tc.err, io.EOF) || os.IsTimeout(tc.err) ||
			errors.Is(tc.err, os.ErrDeadlineExceeded) {
			t.Errorf("%v is something else too", tc.err)
		}
		if failed(OpRead, tc.errno) != tc.err || failure(OpRead, tc.errno) != tc.err {
			t.Errorf("%v does not become the sentinel", tc.errno)
		}
	}
	if ErrAgain == ErrInProgress || ErrAgain.Error() == ErrInProgress.Error() {
		t.Error("the sentinels are the same")
	}
	if failed(OpRead, 0) != nil || failure(OpRead, nil) != nil {
		t.Error("no error became one")
	}
	if n := testing.AllocsPerRun(100, func() { _ = failed(OpRead, syscall.EAGAIN) }); n != 0 {
		t.Errorf("%v allocations to say would-block, want 0", n)
	}
	own := errors.New("own")
	if err := failure(OpRead, own); !errors.Is(err, own) || err.Error() != "read: own" {
		t.Errorf("got %v", err)
	}
	if err := unsupported(OpSetsockopt); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "setsockopt") {
		t.Errorf("got %v", err)
	}
}

func TestSetHookNests(t *testing.T) {
	if hooked() {
		t.Fatal("a hook is set at the start")
	}
	var calls []string
	named := func(name string) Hook {
		return func(Op, int, int) (int, error) {
			calls = append(calls, name)
			return -1, nil
		}
	}
	outer := SetHook(named("outer"))
	inner := SetHook(named("inner"))
	_, _ = ask(OpRead, 3, 10)
	inner()
	_, _ = ask(OpRead, 3, 10)
	none := SetHook(nil)
	if size, err := ask(OpRead, 3, 10); size != 10 || err != nil || hooked() {
		t.Errorf("without a hook: %d, %v", size, err)
	}
	none()
	outer()
	if hooked() {
		t.Error("a hook is left at the end")
	}
	if got := strings.Join(calls, " "); got != "inner outer" {
		t.Errorf("calls %q", got)
	}
}

func TestAsk(t *testing.T) {
	own := errors.New("own")
	for _, tc := range []struct {
		name  string
		limit int
		err   error
		size  int
		want  error
	}{
		{"cut", 4, nil, 4, nil},
		{"cut to nothing", 0, nil, 0, nil},
		{"left alone", -1, nil, 10, nil},
		{"too much", 11, nil, 10, nil},
		{"would block", 4, syscall.EAGAIN, 0, ErrAgain},
		{"own error", 4, own, 0, own},
		{"end", 4, io.EOF, 0, io.EOF},
	} {
		restore := SetHook(func(op Op, fd, size int) (int, error) {
			if op != OpRead || fd != 3 || size != 10 {
				t.Errorf("asked about %v on %d of %d", op, fd, size)
			}
			return tc.limit, tc.err
		})
		size, err := ask(OpRead, 3, 10)
		restore()
		if size != tc.size || err != tc.want {
			t.Errorf("%s: %d, %v, want %d, %v", tc.name, size, err, tc.size, tc.want)
		}
	}
	turns := 0
	defer SetHook(func(Op, int, int) (int, error) {
		if turns++; turns < 5 {
			return 0, syscall.EINTR
		}
		return 0, syscall.ECONNRESET
	})()
	_, err := ask(OpWritev, 3, 10)
	if turns != 5 || !errors.Is(err, syscall.ECONNRESET) || err.Error() != "writev: connection reset by peer" {
		t.Errorf("after %d turns: %v", turns, err)
	}
}

func TestRetry(t *testing.T) {
	turns := 0
	err := retry(OpBind, 3, func() error {
		if turns++; turns < 3 {
			return syscall.EINTR
		}
		return syscall.EADDRINUSE
	})
	var se *os.SyscallError
	if turns != 3 || !errors.As(err, &se) || se.Syscall != "bind" || se.Err != syscall.EADDRINUSE {
		t.Errorf("after %d turns: %v", turns, err)
	}
	if n := testing.AllocsPerRun(100, func() {
		x := 0
		_ = retry(OpBind, 3, func() error { x++; return nil })
	}); n != 0 {
		t.Errorf("%v allocations for a call that succeeds, want 0", n)
	}
}

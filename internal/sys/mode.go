package sys

import "io"

// A Mode says how read, write and their vectored forms enter the kernel.
// Nothing else depends on it, and nothing but the method call, in the file
// beside this one (mode_raw.go), looks at it.
//
// [Polite] calls by syscall.Syscall: the Go scheduler is told before and
// after. It can take the P away at once when the garbage collector wants to
// stop the world or another goroutine has waited too long. The price is about
// 40 ns a call, and a sysmon thread that stays awake because it sees
// goroutines in calls.
//
// [Direct] calls by syscall.RawSyscall: the scheduler does not know. For a
// non-blocking socket, which always returns at once, that saves 15 to 20 % of
// the CPU that an echo costs and brings a Go loop level with one in C. But
// the collector has to wait until the call has returned and the goroutine
// passes a function's prologue: in a program that collects much, its pauses
// grow from 8–20 µs to 50–115 µs (median), and every goroutine of the program
// feels them. So Direct is for a process that is there to serve its loops,
// and Polite for a loop within a program that does other things.
//
// Only for non-blocking descriptors: a Direct call that blocks stops every
// garbage collection, and so in the end the program.
//
// The zero Mode is Polite. On darwin and openbsd the two are the same: these
// systems let a program in through their libc only (mode_libc.go).
type Mode uint8

const (
	Polite Mode = iota
	Direct
)

// String is "polite" or "direct".
func (m Mode) String() string {
	if m == Direct {
		return "direct"
	}
	return "polite"
}

// MaxExtents is how many slices Readv and Writev pass to the kernel at most
// in one call; what is behind them is left for the next call. Empty slices do
// not count.
const MaxExtents = 64

// Read reads up to len(p) bytes into p. It returns io.EOF at the end of the
// stream and ErrAgain when there is nothing yet. An empty p reads nothing and
// returns 0, nil without a call. Source: read(2).
func (m Mode) Read(fd int, p []byte) (int, error) { return m.readAs(false, fd, p) }

// Recv is Read for a socket: the kernel has a shorter way to it than through
// the file that it also is, and an echo costs 4 % less. Any other descriptor
// fails with ENOTSOCK. Source: recv(2).
func (m Mode) Recv(fd int, p []byte) (int, error) { return m.readAs(true, fd, p) }

func (m Mode) readAs(socket bool, fd int, p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	if hooked() {
		limit, err := ask(OpRead, fd, len(p))
		if err != nil {
			return 0, err
		}
		if limit == 0 {
			return 0, io.EOF
		}
		p = p[:limit]
	}
	if socket {
		n, err = m.recv(fd, p)
	} else {
		n, err = m.read(fd, p)
	}
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

// Write writes bytes from the front of p and returns how many the kernel
// took, which may be fewer than len(p). It returns ErrAgain when there is no
// room for one. Writing to a stream that the peer has closed gives EPIPE, and
// no signal reaches the program. Source: write(2).
func (m Mode) Write(fd int, p []byte) (int, error) { return m.writeAs(false, fd, p) }

// Send is Write for a socket, as [Mode.Recv] is Read. Source: send(2).
func (m Mode) Send(fd int, p []byte) (int, error) { return m.writeAs(true, fd, p) }

func (m Mode) writeAs(socket bool, fd int, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if hooked() {
		limit, err := ask(OpWrite, fd, len(p))
		if err != nil || limit == 0 {
			return 0, err
		}
		p = p[:limit]
	}
	if socket {
		return m.send(fd, p)
	}
	return m.write(fd, p)
}

// Readv is Read into several slices, the first of them first. v is not
// modified. Source: readv(2).
func (m Mode) Readv(fd int, v [][]byte) (int, error) {
	size := total(v)
	if size == 0 {
		return 0, nil
	}
	if hooked() {
		limit, err := ask(OpReadv, fd, size)
		if err != nil {
			return 0, err
		}
		if limit == 0 {
			return 0, io.EOF
		}
		v = clip(v, limit)
	}
	n, err := m.readv(fd, v)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

// Writev is Write from several slices, the first of them first. v is not
// modified. Source: writev(2).
func (m Mode) Writev(fd int, v [][]byte) (int, error) {
	size := total(v)
	if size == 0 {
		return 0, nil
	}
	if hooked() {
		limit, err := ask(OpWritev, fd, size)
		if err != nil || limit == 0 {
			return 0, err
		}
		v = clip(v, limit)
	}
	return m.writev(fd, v)
}

// total is the number of bytes that one call can move: those in the first
// MaxExtents slices that hold any.
func total(v [][]byte) int {
	n, extents := 0, 0
	for _, p := range v {
		if len(p) == 0 {
			continue
		}
		if extents++; extents > MaxExtents {
			break
		}
		n += len(p)
	}
	return n
}

// clip is the first n bytes of v. It copies the slice headers, which only
// tests pay for.
func clip(v [][]byte, n int) [][]byte {
	var out [][]byte
	for _, p := range v {
		p = p[:min(len(p), n)]
		n -= len(p)
		out = append(out, p)
	}
	return out
}

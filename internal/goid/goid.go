// Package goid tells goroutines apart, for assertions.
//
// Go offers no identity of a goroutine on purpose: code should not depend on
// which one it runs on. The one thing bev needs it for is to tell a caller
// that a method marked "Loop only." was used off the loop, and to let a call
// that waits for the loop notice that it is on the loop already.
package goid

import (
	"runtime"
	"sync"
)

// stackPrefix is room for "goroutine 18446744073709551615 [".
const stackPrefix = 64

// buffers are needed because the array handed to runtime.Stack escapes to the
// heap; taken from a pool, it is no allocation for each call.
var buffers = sync.Pool{New: func() any { return new([stackPrefix]byte) }}

// Current is the number of the calling goroutine, as stack traces print it:
// never 0, and never used again in the life of the process. It costs about
// 2 µs, so it is not for hot paths. Safe from any goroutine.
//
// It reads the first line of the goroutine's own stack trace, the one place
// where the number is documented (package runtime/debug), so a new Go version
// cannot silently give wrong numbers, as reading the runtime's own structures
// would.
func Current() uint64 {
	b := buffers.Get().(*[stackPrefix]byte)
	n := runtime.Stack(b[:], false)
	id := parse(b[:n])
	buffers.Put(b)
	return id
}

// parse takes the number out of "goroutine 123 [running]:…".
func parse(trace []byte) uint64 {
	const prefix = "goroutine "
	if len(trace) < len(prefix) || string(trace[:len(prefix)]) != prefix {
		panic("goid: BUG: unexpected form of a stack trace: " + string(trace))
	}
	var id uint64
	for _, c := range trace[len(prefix):] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	if id == 0 {
		panic("goid: BUG: no number in a stack trace: " + string(trace))
	}
	return id
}

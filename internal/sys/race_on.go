//go:build race && (linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package sys

import (
	"runtime"
	"syscall"
	"unsafe"
)

// With -race, what the kernel reads and writes on our behalf has to be told
// to the detector, and a byte sent must count as an event before the same
// byte received, as it does for every descriptor that package os or net
// writes to. Package syscall keeps the variable that stands for "the outside
// world" to itself; the zero-length read and the failing write below are
// there to touch it.

const raceEnabled = true

func raceRead(fd int, p []byte) {
	if len(p) > 0 {
		runtime.RaceWriteRange(unsafe.Pointer(unsafe.SliceData(p)), len(p))
	}
	_, _ = syscall.Read(fd, nil) // acquires, moves nothing
}

func raceReadv(fd int, v [][]byte, n int) {
	for _, p := range v {
		p = p[:min(len(p), n)]
		if n -= len(p); len(p) > 0 {
			runtime.RaceWriteRange(unsafe.Pointer(unsafe.SliceData(p)), len(p))
		}
	}
	_, _ = syscall.Read(fd, nil)
}

func raceWrite(p []byte) {
	if len(p) > 0 {
		runtime.RaceReadRange(unsafe.Pointer(unsafe.SliceData(p)), len(p))
	}
	raceRelease()
}

func raceWritev(v [][]byte) {
	for _, p := range v {
		if len(p) > 0 {
			runtime.RaceReadRange(unsafe.Pointer(unsafe.SliceData(p)), len(p))
		}
	}
	raceRelease()
}

// raceRelease must come before the call: the peer may have the byte before
// the call returns.
func raceRelease() { _, _ = syscall.Write(-1, nil) }

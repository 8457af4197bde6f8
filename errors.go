package bev

import (
	"errors"
	"fmt"
	"net"
)

// Errors that a program may want to tell apart with errors.Is. Everything the
// kernel says arrives as a *net.OpError over a *os.SyscallError, the end of a
// stream as io.EOF, an expired timeout as os.ErrDeadlineExceeded, and anything
// done to a thing that is gone as net.ErrClosed.
var (
	// ErrInputFull comes with EventError|EventReading when the Read callback
	// leaves Input at a limit that nobody chose (see [ConnOptions]). Reading
	// is disabled, Input is kept. Drain it, or set a higher mark, and Enable
	// reading again.
	ErrInputFull = errors.New("bev: input is full: drain it in the Read callback, or set a read high mark of your own (SetWatermark) for back-pressure")

	// ErrOutputFull is returned by a write that would take Output past
	// OutputLimit. Nothing of that write was queued. Slow down, drop the
	// message, or close the peer that does not read.
	ErrOutputFull = errors.New("bev: output is full: the peer does not read as fast as this end writes; wait for the Write callback, or raise ConnOptions.OutputLimit")

	// ErrRunning is returned by a second Run of a Loop that is running.
	ErrRunning = errors.New("bev: loop is already running: a Loop runs on one goroutine at a time")

	// ErrGoexit is what Run returns after a callback ended its goroutine with
	// runtime.Goexit (testing.T.FailNow does). The Loop's connections are
	// closed by then.
	ErrGoexit = errors.New("bev: a callback called runtime.Goexit: return from callbacks instead")
)

// Errors of calls on things that are gone. All are net.ErrClosed to errors.Is.
var (
	errLoopClosed   = closedError("bev: loop is closed")
	errConnClosed   = closedError("bev: connection is closed")
	errWriteShut    = closedError("bev: nothing can be written after CloseWrite or CloseAfterFlush")
	errWriteEnded   = closedError("bev: the write side has failed, see the error given to the Event callback")
	errCallPanicked = closedError("bev: the function given to Call panicked, and its connection is closed")
	errListener     = closedError("bev: listener is closed")
	errLoopDrains   = closedError("bev: loop is shutting down")
	errGroupClosed  = closedError("bev: rate group is closed")
)

// closedError is a text of ours that is net.ErrClosed to errors.Is.
type closedError string

func (e closedError) Error() string        { return string(e) }
func (e closedError) Is(target error) bool { return target == net.ErrClosed }

// misuse panics with what was done wrong and what to do instead. It is for
// mistakes in the program, never for anything a peer or the kernel does.
func misuse(format string, args ...any) {
	panic(fmt.Sprintf("bev: "+format, args...))
}

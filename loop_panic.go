package bev

import (
	"fmt"
	"runtime/debug"
)

// A PanicError is a panic of a callback. The Event callback of the Conn that
// it happened to gets one with EventError, before the Conn is closed.
type PanicError struct {
	// Value is what was given to panic.
	Value any
	// Stack is where that was, as runtime/debug.Stack formats it.
	Stack []byte
}

// Error is one line, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("bev: a callback panicked: %v", e.Value) }

// Unwrap returns Value if that is an error, so that errors.Is and errors.As
// find it.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// newPanicError is for deferred functions: the stack of the panic is gone when
// they have returned.
func newPanicError(v any) *PanicError { return &PanicError{Value: v, Stack: debug.Stack()} }

// A victim is what has to go when something panics in it.
type victim interface {
	panicked(p *PanicError)
}

// afterPanic closes what panicked and tells whoever wants to know. It is called
// deferred, so nothing in it may panic.
func (l *Loop) afterPanic(v any) {
	p := newPanicError(v)
	l.stats.Panics++
	l.depth = 0
	c, inner := l.culprit(), l.inner
	l.current, l.inner = nil, nil
	if c != nil {
		l.guard(func() { c.panicked(p) })
	}
	if inner != nil && inner != c {
		l.guard(func() { inner.panicked(p) })
	}
	l.reportPanic(p)
}

// culprit is what the panic is charged to: the owner of the callback that
// runs, or else the owner of the work, because a function that the user left in
// a buffer may panic wherever bytes are dropped. (No timer drops any.)
func (l *Loop) culprit() victim {
	if l.current != nil {
		return l.current
	}
	var owner any
	switch s := &l.step; s.phase {
	case phaseEvents:
		owner, _ = l.sources.Lookup(s.events[s.next-1].Token)
	case phaseAgain:
		owner = l.work.again.running()
	case phasePosted:
		owner = l.posted.running()
	case phaseDeferred:
		owner = l.work.deferred.running()
	case phaseFlush:
		owner = l.work.dirty.running()
	case phaseClass:
		owner = l.runningOwner()
	}
	c, _ := owner.(victim)
	return c
}

// guard runs f, which may call functions of the user at a time when what we
// are doing must be completed. A panic ends f, is reported, and goes no
// further.
func (l *Loop) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			l.stats.Panics++
			l.reportPanic(newPanicError(v))
		}
	}()
	f()
}

// reportPanic tells OnPanic, or the log; and the log where OnPanic panics.
func (l *Loop) reportPanic(p *PanicError) {
	defer func() { _ = recover() }() // the log's own handler: nobody is left to be told
	if l.opts.OnPanic != nil {
		again := l.callOnPanic(p)
		if again == nil {
			return
		}
		l.logPanic("bev: OnPanic panicked", again)
	}
	l.logPanic("bev: a callback panicked", p)
}

func (l *Loop) callOnPanic(p *PanicError) (again *PanicError) {
	defer func() {
		if v := recover(); v != nil {
			again = newPanicError(v)
		}
	}()
	l.opts.OnPanic(p.Value, p.Stack)
	return nil
}

func (l *Loop) logPanic(what string, p *PanicError) {
	l.logger().Error(what, "panic", p.Value, "stack", string(p.Stack))
}

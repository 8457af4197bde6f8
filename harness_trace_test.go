//go:build unix

package bev_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// A trace records what callbacks said, in order, a line for each call:
//
//	read 10                     the Read callback, with 10 bytes in Input
//	write                       the Write callback
//	event reading|eof           the Event callback
//	event reading|error: reset  with the error in a word
type trace struct {
	t    *testing.T
	r    *rig
	mu   sync.Mutex
	all  []string
	seen int           // lines that want has asked for
	grew chan struct{} // closed when a line is added
	data []byte        // what Read callbacks drained
}

func (r *rig) trace() *trace {
	return &trace{t: r.t, r: r, grew: make(chan struct{})}
}

func (tr *trace) add(format string, args ...any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.all = append(tr.all, fmt.Sprintf(format, args...))
	close(tr.grew)
	tr.grew = make(chan struct{})
}

// everything is how many bytes a Read callback drains that drains all.
const everything = -1

// callbacks record each call. The Read callback drains that many bytes.
func (tr *trace) callbacks(drain int) bev.Callbacks {
	return bev.Callbacks{
		Read: func(c *bev.Conn) {
			tr.add("read %d", c.Input().Len())
			tr.take(c, drain)
		},
		Write: func(*bev.Conn) { tr.add("write") },
		Event: tr.event,
	}
}

func (tr *trace) event(_ *bev.Conn, what bev.Event, err error) {
	if why := word(err); why != "" {
		tr.add("event %v: %s", what, why)
		return
	}
	tr.add("event %v", what)
}

// take drains n bytes of Input and keeps them as data.
func (tr *trace) take(c *bev.Conn, n int) {
	if n == everything {
		n = c.Input().Len()
	}
	b := make([]byte, min(n, c.Input().Len()))
	c.Input().CopyOut(b, 0)
	c.Input().Drain(len(b))
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.data = append(tr.data, b...)
}

// word is an error in a word, "" for none, io.EOF and an expired timeout,
// which the event bits say already. Several are put together with "+".
func word(err error) string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var words []string
		for _, e := range joined.Unwrap() {
			if w := word(e); w != "" {
				words = append(words, w)
			}
		}
		return strings.Join(words, "+")
	}
	for _, w := range []struct {
		is   error
		word string
	}{
		{io.EOF, ""}, {os.ErrDeadlineExceeded, ""},
		{syscall.ECONNRESET, "reset"}, {syscall.EPIPE, "broken pipe"}, {syscall.ECONNREFUSED, "refused"},
		{syscall.ENOBUFS, "no buffers"}, {syscall.EMFILE, "no descriptors"}, {syscall.EIO, "I/O error"},
		{context.Canceled, "canceled"}, {context.DeadlineExceeded, "deadline"}, {bev.ErrInputFull, "input full"},
	} {
		if errors.Is(err, w.is) {
			return w.word
		}
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// next waits for a line that was not asked for yet.
func (tr *trace) next() (string, bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		tr.mu.Lock()
		if tr.seen < len(tr.all) {
			tr.seen++
			line := tr.all[tr.seen-1]
			tr.mu.Unlock()
			return line, true
		}
		grew := tr.grew
		tr.mu.Unlock()
		select {
		case <-grew:
		case <-timer.C:
			return "", false
		}
	}
}

// want waits for these lines, in this order and with none between.
func (tr *trace) want(lines ...string) {
	tr.t.Helper()
	for _, want := range lines {
		got, ok := tr.next()
		if !ok {
			tr.t.Fatalf("waited %v for %q; so far: %q", patience, want, tr.lines())
		}
		if got != want {
			tr.t.Fatalf("got %q, want %q; so far: %q", got, want, tr.lines())
		}
	}
}

// wantNothing brings the loop to rest and says that no other line has come.
func (tr *trace) wantNothing(why string) {
	tr.t.Helper()
	tr.r.settle()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if rest := tr.all[tr.seen:]; len(rest) > 0 {
		tr.t.Fatalf("%s, but callbacks said %q; all: %q", why, rest, tr.all)
	}
}

// until waits for line and returns the lines before it.
func (tr *trace) until(line string) (before []string) {
	tr.t.Helper()
	for {
		got, ok := tr.next()
		if !ok {
			tr.t.Fatalf("waited %v for %q; so far: %q", patience, line, tr.lines())
		}
		if got == line {
			return before
		}
		before = append(before, got)
	}
}

func (tr *trace) lines() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.all)
}

// wantData says what Read callbacks have drained so far.
func (tr *trace) wantData(want string) {
	tr.t.Helper()
	tr.r.settle()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if string(tr.data) != want {
		tr.t.Fatalf("the callbacks read %d bytes, %.100q, want %d, %.100q", len(tr.data), tr.data, len(want), want)
	}
}

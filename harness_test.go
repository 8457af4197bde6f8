//go:build unix

package bev_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/leak"
)

// The tests of this package run real loops on real sockets. They never wait
// for time to pass: they wait for the thing itself, on a channel or in a
// callback, and what must not happen is shown by round trips through the loop
// after which nothing is left that could make it happen (see settle).
//
// The tools, file by file: this one has the loop of a test (rig);
// harness_peer_test.go the other ends of its connections (peer) and the ways
// to get a Conn; harness_trace_test.go the recorder of callbacks (trace);
// harness_fault_test.go what goes wrong on demand (faults).

// patience bounds every single wait. Only a failure spends it.
const patience = 30 * time.Second

// A rig is a Loop on a goroutine of its own, for the length of a test.
type rig struct {
	t      *testing.T
	l      *bev.Loop
	log    *logBook
	result chan error // what Run returned

	mu     sync.Mutex
	panics []string // of callbacks, not asked for yet by wantPanic
}

// run makes a Loop and runs it. At the end of the test the loop is stopped,
// and Run's result, panics of callbacks that nobody expected, and leaks of
// goroutines and descriptors are checked.
func run(t *testing.T, o *bev.LoopOptions) *rig {
	t.Helper()
	r := newRig(t, o)
	r.start(context.Background())
	r.on(func() {}) // it runs
	t.Cleanup(func() {
		t.Helper()
		r.l.Stop()
		if err := r.wait(); err != nil {
			t.Errorf("Run returned %v after Stop", err)
		}
	})
	return r
}

// newRig makes a Loop that does not run yet. The test has to end a Run that
// it starts; the Loop itself is closed at the end of the test.
func newRig(t *testing.T, o *bev.LoopOptions) *rig {
	t.Helper()
	checkLeaks(t)
	r := &rig{t: t, log: new(logBook), result: make(chan error, 1)}
	var z bev.LoopOptions
	if o != nil {
		z = *o
	}
	if z.Logger == nil {
		z.Logger = r.log.logger()
		if z.OnPanic == nil {
			z.OnPanic = r.panicked
		}
	}
	l, err := bev.NewLoop(&z)
	if err != nil {
		t.Fatalf("NewLoop: %v", err)
	}
	r.l = l
	t.Cleanup(func() {
		t.Helper()
		if err := l.Close(); err != nil {
			t.Errorf("Loop.Close: %v", err)
		}
		for _, p := range r.panics {
			t.Errorf("a callback panicked: %s", p)
		}
	})
	return r
}

// checkLeaks is leak.Check once for each test: with several loops in a test,
// those that end later would be leaks to the one that ends first.
func checkLeaks(t *testing.T) {
	t.Helper()
	if _, checked := leakChecked.LoadOrStore(t, true); !checked {
		leak.Check(t)
		t.Cleanup(func() { leakChecked.Delete(t) })
	}
}

var leakChecked sync.Map // *testing.T to true

func (r *rig) panicked(v any, stack []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.panics = append(r.panics, fmt.Sprintf("%v\n%s", v, stack))
}

// wantPanic says that one callback has panicked, with this in its text.
func (r *rig) wantPanic(text string) {
	r.t.Helper()
	r.settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.panics, func(p string) bool { return strings.Contains(p, text) })
	if i < 0 {
		r.t.Fatalf("no callback has panicked with %q, only %q", text, r.panics)
	}
	r.panics = slices.Delete(r.panics, i, i+1)
}

// start runs the Loop; wait returns what Run returned.
func (r *rig) start(ctx context.Context) {
	go func() { r.result <- r.l.Run(ctx) }()
}

func (r *rig) wait() error {
	r.t.Helper()
	return await(r.t, r.result, "Run to return")
}

// await takes one value from ch.
func await[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-ch:
		return v
	case <-timer.C:
		buf := make([]byte, 1<<20)
		t.Fatalf("waited %v for %s; the goroutines:\n%s", patience, what, buf[:runtime.Stack(buf, true)])
		panic("not reached")
	}
}

// eventually waits until ok. It is for what tells nobody when it happens; the
// wait is a yield, so it takes as long as it takes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// on runs f on the loop and waits for it. f must not end the test (FailNow
// would be a Goexit on the loop): it uses Errorf, or get.
func (r *rig) on(f func()) {
	r.t.Helper()
	done := make(chan bool, 1)
	err := r.l.Post(func() {
		returned := false
		defer func() { done <- returned }()
		f()
		returned = true
	})
	if err != nil {
		r.t.Fatalf("Post: %v", err)
	}
	if !await(r.t, done, "a posted call") {
		r.t.Fatalf("the function for the loop did not return: %q", r.panics)
	}
}

// hold keeps the loop busy until release, so that what comes meanwhile comes
// together, in one tick.
func (r *rig) hold() (release func()) {
	r.t.Helper()
	held, free := make(chan struct{}, 1), make(chan struct{})
	if err := r.l.Post(func() { held <- struct{}{}; <-free }); err != nil {
		r.t.Fatalf("Post: %v", err)
	}
	await(r.t, held, "the loop to be held")
	once := sync.OnceFunc(func() { close(free) })
	r.t.Cleanup(once) // a test that fails in between must not leave it held
	return once
}

// get is on for a function with a result.
func get[T any](r *rig, f func() T) (v T) {
	r.t.Helper()
	r.on(func() { v = f() })
	return v
}

// settle returns when the loop has nothing left to do: no work queued, and
// nothing new from the kernel. A posted call runs after the kernel was asked
// and what it said was dispatched, so each round trip takes in all that was
// ready before it; when one brings nothing and leaves nothing, all is said.
func (r *rig) settle() bev.LoopStats {
	r.t.Helper()
	type state struct {
		events, read, written uint64
		panics                uint64
	}
	var last *state
	for end := time.Now().Add(patience); ; {
		var s bev.LoopStats
		var pending bool
		r.on(func() { s, pending = r.l.Stats(), r.l.Pending() })
		now := &state{s.Events, s.BytesRead, s.BytesWritten, s.Panics}
		if !pending && last != nil && *now == *last {
			return s
		}
		last = now
		if time.Now().After(end) {
			r.t.Fatalf("the loop has not come to rest in %v: %+v, queued work: %v", patience, s, pending)
		}
	}
}

// wantIdle fails the test unless the loop comes to rest and then stays asleep
// while everybody else has time to run. The two posted calls that look at the
// counter take one tick each, and one more where a wake-up arrives late. What is
// still on its way through the kernel may wake it for a while, on a busy machine
// above all: a loop that spins does so for ever.
func (r *rig) wantIdle(why string) {
	r.t.Helper()
	var ticks uint64
	for range 50 {
		before := r.settle().Ticks
		for range 3000 {
			runtime.Gosched()
		}
		after := get(r, func() uint64 { return r.l.Stats().Ticks })
		if ticks = after - before; ticks <= 3 {
			return
		}
	}
	r.t.Fatalf("%s, but the loop made %d ticks while it had nothing to do", why, ticks)
}

// wantSuspended says for which reasons a direction of c stands still.
func (r *rig) wantSuspended(c *bev.Conn, dir bev.Dir, want bev.Reason, why string) {
	r.t.Helper()
	r.settle()
	if s := get(r, func() bev.Reason { return c.Suspended(dir) }); s != want {
		r.t.Fatalf("%s: %v is suspended for %q, want %q", why, dir, s, want)
	}
}

// wantInput says how many bytes wait in Input once the loop is at rest.
func (r *rig) wantInput(c *bev.Conn, n int, why string) {
	r.t.Helper()
	r.settle()
	if in := get(r, func() int { return c.Input().Len() }); in != n {
		r.t.Fatalf("%s: Input holds %d bytes, want %d", why, in, n)
	}
}

// wantOutput says how many bytes wait in Output once the loop is at rest.
func (r *rig) wantOutput(c *bev.Conn, n int, why string) {
	r.t.Helper()
	r.settle()
	if out := get(r, func() int { return c.Output().Len() }); out != n {
		r.t.Fatalf("%s: Output holds %d bytes, want %d", why, out, n)
	}
}

// wantClosed waits until c is closed.
func (r *rig) wantClosed(c *bev.Conn, why string) {
	r.t.Helper()
	r.until(func() bool { return c.Closed() }, why+": the Conn to be closed")
}

// wantOpen says that c is not closed once the loop is at rest.
func (r *rig) wantOpen(c *bev.Conn, why string) {
	r.t.Helper()
	r.settle()
	if get(r, c.Closed) {
		r.t.Fatalf("%s: the Conn is closed", why)
	}
}

// until waits until ok, which runs on the loop.
func (r *rig) until(ok func() bool, what string) {
	r.t.Helper()
	eventually(r.t, what, func() bool { return get(r, ok) })
}

// write has c write s, and fails the test on an error.
func (r *rig) write(c *bev.Conn, s string) {
	r.t.Helper()
	r.on(func() {
		if _, err := c.WriteString(s); err != nil {
			r.t.Errorf("WriteString: %v", err)
		}
	})
}

// logBook keeps what a Loop logs.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// lines are those that contain text.
func (b *logBook) lines(text string) (found []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.buf.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// eachWait runs f for each way that a loop can wait and call the kernel.
func eachWait(t *testing.T, f func(t *testing.T, o *bev.LoopOptions)) {
	for _, o := range []struct {
		name string
		opts bev.LoopOptions
	}{
		{"default", bev.LoopOptions{}},
		{"blocking wait", bev.LoopOptions{BlockingWait: true}},
		{"own core", bev.LoopOptions{OwnCore: true}},
		{"priorities", bev.LoopOptions{Priorities: 3}},
	} {
		t.Run(o.name, func(t *testing.T) { f(t, &o.opts) })
	}
}

// Package leak fails a test binary that leaves goroutines or descriptors
// behind.
//
// A package that starts goroutines or opens descriptors calls it once:
//
//	func TestMain(m *testing.M) { leak.Main(m) }
//
// A single test that wants to know at which step something was left calls
// [Check] at its start. Both wait until things have settled, within a bound:
// a goroutine that is on its way out is not a leak, one that stays is.
//
// Nothing here runs the garbage collector. A descriptor that only a cleanup of
// the collector would have closed is a leak, and must show as one.
package leak

import (
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"testing"
	"time"
)

// settleMax bounds the wait for stragglers. It is spent in full only when
// something has leaked, so it can be generous to a busy machine.
const settleMax = 10 * time.Second

// Runner is the one method of [testing.M] that [Main] needs; the tests of this
// package put a leaking suite in its place.
type Runner interface {
	Run() int
}

// Main runs the tests of m and ends the process with their exit code, or with
// 1 when they passed and left something behind; what was left goes to standard
// error, goroutines with their stacks, descriptors with what they refer to.
//
// When a test failed, leaks are not looked for: a test that gave up half way
// leaves things lying about, and that noise would hide the failure.
func Main(m Runner) {
	os.Exit(run(m, settleMax, os.Stderr))
}

// run is [Main] without the exit.
func run(m Runner, limit time.Duration, out io.Writer) int {
	start := take()
	code := m.Run()
	if code != 0 {
		return code
	}
	if left := start.settle(limit); left != "" {
		fmt.Fprintf(out, "leak: the tests passed and left this behind:\n%s", left)
		return 1
	}
	return 0
}

// Check fails t when, at the end of the test and of the cleanups registered
// after this call, goroutines or descriptors exist that did not at the call.
//
// It sees the whole process, so it is of no use in a test that runs in
// parallel with others.
func Check(t testing.TB) {
	t.Helper()
	check(t, settleMax)
}

func check(t testing.TB, limit time.Duration) {
	t.Helper()
	start := take()
	t.Cleanup(func() {
		t.Helper()
		// The noise of a failed test would hide its failure, as in run.
		if t.Failed() {
			return
		}
		if left := start.settle(limit); left != "" {
			t.Errorf("leak: this test left behind:\n%s", left)
		}
	})
}

// snapshot is what existed at one moment.
type snapshot struct {
	goroutines map[string]string // id to stack
	fds        map[int]string    // descriptor to what it refers to; nil where that cannot be told
}

// take records what exists now. It makes the runtime open its own poller
// first, once per process, lest that count as the tests' leak.
func take() snapshot {
	openRuntimePoller()
	return snapshot{goroutines: goroutines(), fds: Descriptors()}
}

// settle waits until nothing exists that s does not hold, at most for limit,
// and returns a report of what is left, empty when nothing is.
func (s snapshot) settle(limit time.Duration) string {
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		left := s.since()
		if left == "" || time.Now().After(deadline) {
			return left
		}
		time.Sleep(pause)
	}
}

// since reports what exists now and not in s.
func (s snapshot) since() string {
	var left []string
	for id, stack := range goroutines() {
		if _, ok := s.goroutines[id]; !ok {
			left = append(left, stack)
		}
	}
	for fd, target := range Descriptors() {
		// A number that was open before and now refers to something else was
		// closed and reused: the new one is the leak.
		if old, ok := s.fds[fd]; !ok || old != target {
			left = append(left, fmt.Sprintf("descriptor %d: %s", fd, target))
		}
	}
	if len(left) == 0 {
		return ""
	}
	sort.Strings(left)
	return strings.Join(left, "\n\n") + "\n"
}

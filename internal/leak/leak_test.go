package leak

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

// suite stands in for a test binary's tests.
type suite func() int

func (s suite) Run() int { return s() }

// lingerer starts a goroutine that stays until stop is called; stop returns
// when it is gone. The goroutine is inside linger when lingerer returns, so
// that a report of it has a name to look for.
func lingerer() (stop func()) {
	started, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		linger(started, release)
	}()
	<-started
	return func() {
		close(release)
		<-done
	}
}

func linger(started chan<- struct{}, release <-chan struct{}) {
	close(started)
	<-release
}

func TestRunReportsGoroutine(t *testing.T) {
	var stop func()
	var out strings.Builder
	code := run(suite(func() int {
		stop = lingerer()
		return 0
	}), 0, &out)
	stop()
	if code != 1 || !strings.Contains(out.String(), "leak.linger(") {
		t.Errorf("a goroutine was left: exit code %d, want 1 and its stack, got:\n%s", code, out.String())
	}
}

func TestRunReportsDescriptor(t *testing.T) {
	var left *os.File
	var out strings.Builder
	code := run(suite(func() int {
		left = create(t, "left")
		return 0
	}), 0, &out)
	left.Close()
	if Descriptors() == nil {
		t.Skip("this system does not list descriptors")
	}
	if code != 1 || !strings.Contains(out.String(), "descriptor ") {
		t.Errorf("a descriptor was left: exit code %d, want 1 and its number, got:\n%s", code, out.String())
	}
	if runtime.GOOS == "linux" && !strings.Contains(out.String(), left.Name()) {
		t.Errorf("the report does not name %s:\n%s", left.Name(), out.String())
	}
}

func TestRunSeesReusedNumber(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what a descriptor refers to")
	}
	before := create(t, "before")
	var after *os.File
	var out strings.Builder
	code := run(suite(func() int {
		fd := before.Fd()
		before.Close()
		after = create(t, "after") // the lowest free number: the one just closed
		if after.Fd() != fd {
			t.Fatalf("descriptor %d was not reused, got %d", fd, after.Fd())
		}
		return 0
	}), 0, &out)
	after.Close()
	if code != 1 || !strings.Contains(out.String(), after.Name()) {
		t.Errorf("exit code %d, want 1 and %s, got:\n%s", code, after.Name(), out.String())
	}
}

func TestRunWaitsForStragglers(t *testing.T) {
	var out strings.Builder
	code := run(suite(func() int {
		go func() {
			// Still alive when Run returns, gone soon after without any help.
			for range 1000 {
				runtime.Gosched()
			}
		}()
		return 0
	}), settleMax, &out)
	if code != 0 || out.Len() != 0 {
		t.Errorf("exit code %d, want 0 and no report, got:\n%s", code, out.String())
	}
}

func TestRunKeepsFailure(t *testing.T) {
	var stop func()
	var out strings.Builder
	code := run(suite(func() int {
		stop = lingerer()
		return 3
	}), 0, &out)
	stop()
	if code != 3 || out.Len() != 0 {
		t.Errorf("exit code %d, want the suite's 3 and no report, got:\n%s", code, out.String())
	}
}

// recorder is a testing.TB that keeps what a check would have failed with.
type recorder struct {
	testing.TB
	cleanup func()
	failed  bool
	errors  []string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Failed() bool              { return r.failed }
func (r *recorder) Cleanup(f func())          { r.cleanup = f }
func (r *recorder) Errorf(_ string, a ...any) { r.errors = append(r.errors, a[0].(string)) }

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name         string
		leak, failed bool
		want         int
	}{
		{name: "leak", leak: true, want: 1},
		{name: "clean"},
		{name: "leak of a failed test", leak: true, failed: true},
	} {
		r := &recorder{TB: t}
		check(r, 0)
		stop := func() {}
		if tc.leak {
			stop = lingerer()
		}
		r.failed = tc.failed
		r.cleanup()
		stop()
		if len(r.errors) != tc.want {
			t.Errorf("%s: %d errors, want %d: %q", tc.name, len(r.errors), tc.want, r.errors)
		}
	}
}

// Check itself, on the test that runs: the goroutine ends before the test
// does, so it must not be told.
func TestCheckPasses(t *testing.T) {
	Check(t)
	done := make(chan struct{})
	go close(done)
	<-done
	create(t, "closed").Close()
}

func TestSettleIsBounded(t *testing.T) {
	s := take()
	stop := lingerer()
	if left := s.settle(time.Millisecond); !strings.Contains(left, "leak.linger(") {
		t.Errorf("settle gave up without naming what is left: %q", left)
	}
	stop()
	if left := s.settle(settleMax); left != "" {
		t.Errorf("after release: %s", left)
	}
}

func TestKeeper(t *testing.T) {
	stack := "goroutine 7 [syscall]:\nos/signal.signal_recv()\n\truntime/sigqueue.go:152\nos/signal.loop()\n"
	if !keeper(stack) {
		t.Error("the goroutine of os/signal stays for ever and must not count")
	}
	if keeper("goroutine 8 [select]:\nmine.loop()\n\tmine/os/signal.loop(.go:1\n") {
		t.Error("a stack that merely mentions a keeper was let off")
	}
	if got := id(stack); got != "7" {
		t.Errorf("id = %q, want 7", got)
	}
}

// create makes a file in the test's folder.
func create(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

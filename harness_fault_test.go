//go:build unix

package bev_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/bevgo/bev/internal/sys"
)

// faults stand between bev and the kernel: calls fail or move fewer bytes on
// demand, and all are counted. Peers are not bev and never notice.
//
// A fault that was asked for and never struck fails the test: it would show
// nothing.
type faults struct {
	t     *testing.T
	mu    sync.Mutex
	rules []*fault
	calls map[sys.Op]int
}

// anyFD stands for whatever descriptor a call is for.
const anyFD = -100

// A fault strikes calls of one kind.
type fault struct {
	op    sys.Op
	fd    int
	skip  int // calls to let through first
	times int // how often it strikes, negative: always
	limit int // bytes that the call may move, negative: all
	err   error
	hits  int
}

// inject puts faults in place for the rest of the test.
func inject(t *testing.T) *faults {
	t.Helper()
	f := &faults{t: t, calls: make(map[sys.Op]int)}
	restore := sys.SetHook(f.hook)
	t.Cleanup(func() {
		t.Helper()
		restore()
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, x := range f.rules {
			if x.hits == 0 && !t.Failed() {
				t.Errorf("the fault %v never struck", x)
			}
		}
	})
	return f
}

func (x *fault) String() string {
	return fmt.Sprintf("%v of descriptor %d: limit %d, error %v", x.op, x.fd, x.limit, x.err)
}

func (f *faults) hook(op sys.Op, fd, size int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	for _, x := range f.rules {
		if x.op != op || x.fd != anyFD && x.fd != fd || x.times == 0 {
			continue
		}
		if x.skip > 0 {
			x.skip--
			continue
		}
		if x.times > 0 {
			x.times--
		}
		x.hits++
		return x.limit, x.err
	}
	return -1, nil
}

// fail has the next call of op on fd fail.
func (f *faults) fail(op sys.Op, fd int, err error) *fault { return f.failTimes(1, op, fd, err) }

// failTimes has the next calls of op on fd fail, negative: all of them.
func (f *faults) failTimes(times int, op sys.Op, fd int, err error) *fault {
	return f.add(&fault{op: op, fd: fd, times: times, limit: -1, err: err})
}

// limit has every call of op on fd move at most n bytes.
func (f *faults) limit(op sys.Op, fd, n int) *fault {
	return f.add(&fault{op: op, fd: fd, times: -1, limit: n})
}

func (f *faults) add(x *fault) *fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, x)
	return x
}

// lift ends a fault.
func (f *faults) lift(x *fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x.times = 0
}

// struck is how often a fault has struck.
func (f *faults) struck(x *fault) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return x.hits
}

// count returns how many calls of ops there were since the last reset.
func (f *faults) count(ops ...sys.Op) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, op := range ops {
		n += f.calls[op]
	}
	return n
}

func (f *faults) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.calls)
}

// total is how many calls of any kind there were since the last reset.
func (f *faults) total() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, calls := range f.calls {
		n += calls
	}
	return n
}

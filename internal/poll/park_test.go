//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package poll

import (
	"testing"
	"time"
)

// restless is a backend whose waits end early, as signals make them.
type restless struct {
	early int // waits that still end for no reason
	turns int
	asked []time.Duration
}

func (r *restless) collect() (int, error) { return 0, nil }
func (r *restless) release() error        { return nil }

func (r *restless) block(d time.Duration) (int, error) {
	r.turns++
	r.asked = append(r.asked, d)
	if r.early--; r.early >= 0 {
		return 0, nil
	}
	return 1, nil
}

func TestBlockWaitAbsorbsInterruptions(t *testing.T) {
	r := &restless{early: 3}
	w := &blockWait{c: r}
	if n, err := w.wait(time.Time{}); n != 1 || err != nil || r.turns != 4 {
		t.Errorf("got %d, %v after %d turns, want an event after 4", n, err, r.turns)
	}
	if r.asked[0] != -1 || r.asked[3] != -1 {
		t.Errorf("without a deadline, asked for %v", r.asked)
	}
	*r = restless{early: 1 << 30}
	deadline := time.Now().Add(2 * time.Millisecond)
	if n, err := w.wait(deadline); n != 0 || err != nil || time.Now().Before(deadline) {
		t.Errorf("got %d, %v %v before the deadline", n, err, time.Until(deadline))
	}
	for i, d := range r.asked {
		if d < 0 || i > 0 && d > r.asked[i-1] {
			t.Fatalf("turn %d asked for %v after %v", i, d, r.asked[max(i-1, 0)])
		}
	}
	*r = restless{early: 1}
	if n, err := w.wait(time.Now().Add(-time.Second)); n != 0 || err != nil || r.turns != 1 || r.asked[0] != 0 {
		t.Errorf("a deadline that has passed: %d, %v, asked for %v", n, err, r.asked)
	}
}

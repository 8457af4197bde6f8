package seed

import (
	"fmt"
	"strings"
	"testing"
)

// recorder is a testing.TB that keeps what a test would have logged.
type recorder struct {
	testing.TB
	cleanup func()
	failed  bool
	log     string
}

func (r *recorder) Helper()                 {}
func (r *recorder) Name() string            { return "TestIt" }
func (r *recorder) Failed() bool            { return r.failed }
func (r *recorder) Cleanup(f func())        { r.cleanup = f }
func (r *recorder) Logf(f string, a ...any) { r.log += fmt.Sprintf(f, a...) }
func (r *recorder) Fatal(a ...any)          { r.failed = true; panic(fmt.Sprint(a...)) }

// run is a test that draws one number.
func (r *recorder) run() (n uint64) {
	defer func() {
		if p := recover(); p != nil {
			r.log = p.(string)
		}
	}()
	n = New(r).Uint64()
	r.cleanup()
	return n
}

func TestSameSeedSameNumbers(t *testing.T) {
	// twice draws with the same setting in two tests.
	twice := func(value string) (first, second uint64) {
		t.Setenv(variable, value)
		return (&recorder{}).run(), (&recorder{}).run()
	}
	def, def2 := twice("")
	one, _ := twice("1")
	seven, seven2 := twice("7")
	if def != def2 || def != one || seven != seven2 {
		t.Error("the same seed gave different numbers")
	}
	if one == seven {
		t.Error("different seeds gave the same number")
	}
	if a, b := twice("random"); a == b {
		t.Error("two random seeds gave the same number")
	}
}

func TestFailureTellsSeed(t *testing.T) {
	t.Setenv(variable, "7")
	r := &recorder{failed: true}
	r.run()
	if want := "seed 7; again with BEV_SEED=7 go test -run '^TestIt$'"; !strings.HasSuffix(r.log, want) {
		t.Errorf("log = %q, want it to end in %q", r.log, want)
	}
	r = &recorder{}
	if r.run(); r.log != "" {
		t.Errorf("a test that passed logged %q", r.log)
	}
}

func TestBadSeed(t *testing.T) {
	t.Setenv(variable, "-1")
	r := &recorder{}
	if r.run(); !r.failed || !strings.Contains(r.log, `BEV_SEED="-1"`) {
		t.Errorf("failed = %v, said %q; want a failure that shows the value", r.failed, r.log)
	}
}

// Package seed gives tests their random numbers, so that every failure found
// by chance can be had again:
//
//	r := seed.New(t)
//
// A plain run always draws the same numbers. BEV_SEED=random draws new ones on
// each run, BEV_SEED=7 those of seed 7. A test that fails says which seed it
// had and how to run it again.
package seed

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// variable is the environment variable that chooses the seed.
const variable = "BEV_SEED"

// New returns a source of random numbers for t, and has t log the seed if it
// fails. Each call starts the same sequence anew, so that two tests do not
// depend on which of them ran first.
//
// It fails t at once when BEV_SEED is set to something that is no seed.
func New(t testing.TB) *rand.Rand {
	t.Helper()
	n, err := choose(os.Getenv(variable))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("random numbers: seed %d; again with %s=%d go test -run '^%s$'", n, variable, n, t.Name())
		}
	})
	return rand.New(rand.NewPCG(n, 0))
}

// choose returns the seed that the variable's value asks for.
func choose(value string) (uint64, error) {
	switch value {
	case "":
		return 1, nil
	case "random":
		return rand.Uint64(), nil
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s=%q: want a number, or the word random", variable, value)
	}
	return n, nil
}

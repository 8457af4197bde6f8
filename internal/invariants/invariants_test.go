package invariants_test

import (
	"runtime/debug"
	"strings"
	"testing"

	"github.com/bevgo/bev/internal/invariants"
)

// TestEnabled compares the constant with what the binary says of its build.
func TestEnabled(t *testing.T) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		t.Skip("this binary does not say how it was built")
	}
	want := false
	for _, s := range info.Settings {
		switch s.Key {
		case "-race":
			want = want || s.Value == "true"
		case "-tags":
			for tag := range strings.SplitSeq(s.Value, ",") {
				want = want || tag == "invariants"
			}
		}
	}
	if invariants.Enabled != want {
		t.Errorf("Enabled is %v in a build with %v", invariants.Enabled, info.Settings)
	}
}

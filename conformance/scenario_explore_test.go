//go:build interop

package conformance

import (
	"os"
	"testing"
	"testing/synctest"
)

func compileScenarios(t *testing.T) string {
	return compile(t, "bufferevent", "bufferevent.c", "callbacks.c", "filters.c", "clock.c", "lines.c")
}

func TestInteropScenarioExplore(t *testing.T) {
	bin := compileScenarios(t)
	text, _ := os.ReadFile(os.Getenv("SCENARIO"))
	s := parseScenario(string(text))
	theirs, err := start(t, bin).run(s.script())
	if err != nil {
		t.Fatal(err)
	}
	for _, inside := range []bool{false, true} {
		var ours []string
		synctest.Test(t, func(t *testing.T) {
			ours, err = runScenario(s, inside)
		})
		if err != nil {
			t.Error(err)
		}
		for i, step := range s.steps {
			if i < len(ours) && theirs[i] == ours[i] {
				t.Logf("%d %v\n     %s", i, step, ours[i])
			} else if i < len(ours) {
				t.Logf("%d %v\n C   %s\n Go  %s", i, step, theirs[i], ours[i])
			}
		}
	}
}

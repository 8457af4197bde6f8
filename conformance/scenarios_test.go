//go:build interop

package conformance

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bevgo/bev/internal/seed"
)

func compileScenarios(t *testing.T) string {
	t.Helper()
	return compile(t, "bufferevent", "bufferevent.c", "callbacks.c", "filters.c", "clock.c", "lines.c")
}

// judge runs a scenario on both sides. The error is for one that does not run.
func judge(t *testing.T, p *program, s scenario, inside bool) (v verdict, err error) {
	t.Helper()
	theirs, err := p.run(s.script())
	if err != nil {
		return v, err
	}
	var ours []string
	synctest.Test(t, func(*testing.T) {
		ours, err = runScenario(s, inside)
	})
	if err != nil {
		return v, fmt.Errorf("bev: %w", err)
	}
	if len(theirs) != len(s.steps) || len(ours) != len(s.steps) {
		return v, fmt.Errorf("%d steps gave %d results in libevent and %d in bev", len(s.steps), len(theirs), len(ours))
	}
	return compareScenario(s, theirs, ours), nil
}

// eachWay runs f twice: with the commands of steps given while the loop does
// not run, and on the loop, as from a callback.
func eachWay(t *testing.T, f func(t *testing.T, inside bool)) {
	t.Run("outside", func(t *testing.T) { f(t, false) })
	t.Run("inside", func(t *testing.T) { f(t, true) })
}

// TestInteropScenarios compares the scenarios in testdata/scenarios, whose
// first lines say what each is about. One may need differences of the table
// only if it announces them.
func TestInteropScenarios(t *testing.T) {
	p := start(t, compileScenarios(t))
	paths, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, path := range paths {
		s := readScenario(t, path)
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			eachWay(t, func(t *testing.T, inside bool) {
				v, err := judge(t, p, s, inside)
				if err != nil {
					t.Fatal(err)
				}
				if v.failed() {
					t.Fatal(v.show(s))
				}
				checkMet(t, s, v)
			})
		})
	}
	t.Logf("%d scenarios", len(paths))
}

// checkMet holds the differences that a scenario has met against those that it
// announces. Those without a rule are met by steps with two expectations.
func checkMet(t *testing.T, s scenario, v verdict) {
	t.Helper()
	for _, n := range v.met {
		if !slices.Contains(s.differences, n) {
			t.Errorf("difference %d was met and is not announced: add it to a line %q, if it is meant", n, "# differences: …")
		}
	}
	for _, n := range s.differences {
		hasRule := slices.ContainsFunc(scenarioRules, func(r scenarioRule) bool { return r.number == n })
		if !slices.ContainsFunc(Differences, func(d Difference) bool { return d.Number == n }) {
			t.Errorf("there is no difference %d in the table", n)
		}
		if v.expected == 0 && !(hasRule && slices.Contains(v.met, n)) {
			t.Errorf("difference %d is announced and was not met", n)
		}
	}
	if len(s.differences) == 0 && v.expected > 0 {
		t.Error("the sides are expected to differ, and no difference of the table is announced")
	}
}

// TestInteropDifferences asks for a scenario of its own for each difference
// that this suite can show, named after its number and announcing it.
func TestInteropDifferences(t *testing.T) {
	for i, d := range Differences {
		if d.Number != i+1 {
			t.Errorf("the table's row %d has number %d", i+1, d.Number)
		}
		paths, _ := filepath.Glob(fmt.Sprintf("testdata/scenarios/difference_%02d_*.txt", d.Number))
		if d.Elsewhere != "" {
			if len(paths) > 0 {
				t.Errorf("difference %d is shown elsewhere, and here too: %s", d.Number, paths)
			}
			continue
		}
		if len(paths) == 0 {
			t.Errorf("difference %d (%s) has no scenario difference_%02d_….txt", d.Number, d.Bev, d.Number)
		}
		for _, path := range paths {
			if s := readScenario(t, path); !slices.Contains(s.differences, d.Number) {
				t.Errorf("%s does not announce difference %d", path, d.Number)
			}
		}
	}
}

// drawnScenarios is how many are drawn for each of two seeds.
const drawnScenarios = 5000

// TestInteropScenariosRandom compares random scenarios.
func TestInteropScenariosRandom(t *testing.T) {
	binary := compileScenarios(t)
	t.Run("fixed", func(t *testing.T) { randomScenarios(t, binary) })
	t.Run("fresh", func(t *testing.T) {
		freshSeed(t)
		randomScenarios(t, binary)
	})
}

func randomScenarios(t *testing.T, binary string) {
	r := seed.New(t)
	p := start(t, binary)
	met, steps := make(map[int]int), 0
	for i := range drawnScenarios {
		s := drawScenario(r)
		inside := i%2 == 1
		v, err := judge(t, p, s, inside)
		if err != nil {
			t.Fatalf("%v in\n\n%s", err, strings.Join(s.lines(), "\n"))
		}
		if v.failed() {
			showSmallest(t, binary, s, inside, v)
		}
		for _, n := range v.met {
			met[n]++
		}
		steps += len(s.steps)
	}
	t.Logf("%d scenarios with %d steps; differences of the table met: %v", drawnScenarios, steps, met)
}

// showSmallest cuts a scenario that failed down to what matters.
func showSmallest(t *testing.T, binary string, s scenario, inside bool, v verdict) {
	t.Helper()
	s.steps = s.steps[:v.at+1]
	lines := shrink(s.lines(), func(lines []string) bool {
		s := parseScenario(strings.Join(lines, "\n"))
		if s.check() != nil {
			return false
		}
		p := start(t, binary) // what is cut may end it
		defer p.stop()
		v, err := judge(t, p, s, inside)
		return err == nil && v.failed()
	})
	small := parseScenario(strings.Join(lines, "\n"))
	if w, err := judge(t, start(t, binary), small, inside); err == nil && w.failed() {
		s, v = small, w
	}
	t.Fatalf("bev and libevent differ (inside the loop: %v); save this as testdata/scenarios/<name>.txt:\n\n%s\n\n%s",
		inside, strings.Join(s.lines(), "\n"), v.show(s))
}

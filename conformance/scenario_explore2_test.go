//go:build interop

package conformance

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
)

func TestInteropScenarioRandomExplore(t *testing.T) {
	bin := compileScenarios(t)
	p := start(t, bin)
	n, _ := strconv.Atoi(os.Getenv("SEED"))
	count, _ := strconv.Atoi(os.Getenv("COUNT"))
	max, _ := strconv.Atoi(os.Getenv("MAX"))
	r := rand.New(rand.NewPCG(uint64(n), 2))
	fails := 0
	judge := func(s scenario, inside bool) (int, string, string, string, error) {
		theirs, err := p.run(s.script())
		if err != nil {
			return 0, "", "", "", err
		}
		var ours []string
		synctest.Test(t, func(t *testing.T) {
			ours, err = runScenario(s, inside)
		})
		if err != nil {
			return len(ours), "error", err.Error(), "", nil
		}
		v := compareScenario(s, theirs, ours)
		if v.at >= 0 {
			what := "callbacks"
			if !slices.Equal(parseMoment(v.theirs).states, parseMoment(v.ours).states) {
				what = "states"
			}
			return v.at, what, v.theirs, v.ours, nil
		}
		return 0, "", "", "", nil
	}
	for i := range count {
		s := drawScenario(r)
		inside := i%2 == 1
		at, m, _, _, err := judge(s, inside)
		if err != nil {
			t.Fatal(err)
		}
		if m == "" {
			continue
		}
		fails++
		if fails > max {
			continue
		}
		// shrink
		s.steps = s.steps[:at+1]
		var lines []string
		for _, l := range strings.Split(strings.TrimSpace(s.String()), "\n") {
			lines = append(lines, l)
		}
		lines = shrink(lines, func(lines []string) bool {
			s := parseScenario(strings.Join(lines, "\n"))
			for _, step := range s.steps {
				for _, c := range step {
					_ = c
				}
			}
			made := map[string]bool{}
			for _, step := range s.steps {
				for _, c := range step {
					w := strings.Fields(c)
					switch w[0] {
					case "socket":
						made[w[1]] = true
					case "pair", "linked":
						made[w[1]], made[w[2]] = true, true
					case "filter":
						if !made[w[2]] {
							return false
						}
						made[w[1]] = true
					case "advance":
					case "event":
						if w[2] == "0" {
							return false
						}
					case "when":
						if !made[w[2]] {
							return false
						}
					default:
						if !made[w[1]] {
							return false
						}
					}
				}
			}
			_, m2, _, _, err := judge(s, inside)
			return err == nil && m2 == m
		})
		s = parseScenario(strings.Join(lines, "\n"))
		at, m, c, g, err := judge(s, inside)
		t.Logf("inside=%v\n%s\n  %s at %d\n  C  %s\n  Go %s\n", inside, s, m, at+1, c, g)
	}
	t.Logf("%d of %d", fails, count)
}

//go:build interop

package conformance

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// A scenario is a list of steps, each a list of commands. Both sides do the
// commands of a step and run the loop until nothing happens any more; then
// they are compared.
type scenario struct {
	steps [][]string

	// Said by the file, in lines "# lengths" and "# differences: 1, 9".
	lengths     bool // compare what the buffers hold at each callback
	differences []string
}

// parseScenario reads a scenario. A line is a step, its commands are separated
// by semicolons. "on a read: drain a 5, enable a w" stands for a command
// "on a read …" for each of those after the colon.
func parseScenario(text string) (s scenario) {
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			comment = strings.TrimSpace(comment)
			s.lengths = s.lengths || comment == "lengths"
			if list, ok := strings.CutPrefix(comment, "differences:"); ok {
				for _, d := range strings.Split(list, ",") {
					s.differences = append(s.differences, strings.TrimSpace(d))
				}
			}
			continue
		}
		if line == "" {
			continue
		}
		var step []string
		for _, command := range strings.Split(line, ";") {
			step = append(step, expandCommand(strings.TrimSpace(command))...)
		}
		s.steps = append(s.steps, step)
	}
	return s
}

func expandCommand(command string) (list []string) {
	head, rest, ok := strings.Cut(command, ":")
	if !ok || !strings.HasPrefix(command, "on ") {
		return []string{command}
	}
	for _, c := range strings.Split(rest, ",") {
		list = append(list, head+" "+strings.TrimSpace(c))
	}
	return list
}

// String writes the scenario down for parseScenario.
func (s scenario) String() string {
	var b strings.Builder
	if s.lengths {
		b.WriteString("# lengths\n")
	}
	if len(s.differences) > 0 {
		fmt.Fprintf(&b, "# differences: %s\n", strings.Join(s.differences, ", "))
	}
	for _, step := range s.steps {
		line := slices.Clone(step)
		for i, c := range line {
			if words := strings.SplitN(c, " ", 4); words[0] == "on" {
				line[i] = strings.Join(words[:3], " ") + ": " + words[3]
			}
		}
		b.WriteString(strings.Join(line, "; "))
		b.WriteByte('\n')
	}
	return b.String()
}

// alone are commands that run the loop themselves, and so are a step of their
// own.
var alone = []string{"await", "advance"}

func (s scenario) check() error {
	for i, step := range s.steps {
		for _, c := range step {
			op, _, _ := strings.Cut(c, " ")
			if slices.Contains(alone, op) && len(step) > 1 {
				return fmt.Errorf("step %d: %s runs the loop and must stand alone", i+1, op)
			}
		}
	}
	return nil
}

func readScenario(t *testing.T, path string) scenario {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := parseScenario(string(text))
	if err := s.check(); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return s
}

// script is the scenario as the C program reads it.
func (s scenario) script() []string {
	script := []string{"new"}
	for _, step := range s.steps {
		script = append(script, step...)
		script = append(script, "step")
	}
	return script
}

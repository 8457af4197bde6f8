//go:build interop

package conformance

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A scenario is a list of steps, each a list of commands. Both sides do the
// commands of a step and run the loop until nothing happens any more; then
// they are compared.
type scenario struct {
	steps [][]string

	// Said by the file, in lines "# lengths", "# order", "# rough",
	// "# differences: 1, 9".
	lengths     bool // compare what the buffers hold at each callback
	order       bool // compare the order of callbacks of different objects, too
	rough       bool // how much goes into a full socket, the kernel decides
	differences []int

	// What each side is to show after a step, by its index, in lines
	// "libevent: …" and "bev: …" below it. Such a step is not compared.
	theirs, ours map[int]string
}

// parseScenario reads a scenario. A line is a step, its commands are separated
// by semicolons; "repeat 3: " before them makes three equal steps. "on a read: drain a 5, enable a w" stands for a command
// "on a read …" for each of those after the colon.
func parseScenario(text string) (s scenario) {
	s.theirs, s.ours = make(map[int]string), make(map[int]string)
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, ":")
		rest = strings.TrimSpace(rest)
		switch word {
		case "":
		case "# lengths":
			s.lengths = true
		case "# order":
			s.order = true
		case "# rough":
			s.rough = true
		case "# differences":
			for _, d := range strings.Split(rest, ",") {
				n, _ := strconv.Atoi(strings.TrimSpace(d)) // 0 is no difference, which a test notices
				s.differences = append(s.differences, n)
			}
		case "libevent":
			s.theirs[len(s.steps)-1] = rest
		case "bev":
			s.ours[len(s.steps)-1] = rest
		default:
			if line[0] != '#' {
				s.addSteps(line)
			}
		}
	}
	return s
}

// addSteps adds what a line says.
func (s *scenario) addSteps(line string) {
	times := 1
	if rest, ok := strings.CutPrefix(line, "repeat "); ok {
		n, commands, _ := strings.Cut(rest, ":")
		times, _ = strconv.Atoi(n) // 0 makes no step, and then what follows fails
		line = strings.TrimSpace(commands)
	}
	var step []string
	for _, command := range strings.Split(line, ";") {
		step = append(step, expandCommand(strings.TrimSpace(command))...)
	}
	s.steps = append(s.steps, slices.Repeat([][]string{step}, times)...)
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

// lines writes the steps down for parseScenario.
func (s scenario) lines() (lines []string) {
	for _, step := range s.steps {
		line := slices.Clone(step)
		for i, c := range line {
			if words := strings.SplitN(c, " ", 4); words[0] == "on" {
				line[i] = strings.Join(words[:3], " ") + ": " + words[3]
			}
		}
		lines = append(lines, strings.Join(line, "; "))
	}
	return lines
}

// isAwait and isAdvance find the commands that run the loop: those stand at the
// end of a step, and these alone.
func isAwait(c string) bool   { return strings.HasPrefix(c, "await ") || strings.HasPrefix(c, "gulp ") }
func isAdvance(c string) bool { return strings.HasPrefix(c, "advance ") }

// check finds commands that cannot be done: shrinking leaves such behind.
func (s scenario) check() error {
	made := make(map[string]bool)
	for i, step := range s.steps {
		for k, c := range step {
			w := strings.Fields(c)
			if isAdvance(c) && len(step) > 1 || !isAwait(c) && k > 0 && isAwait(step[k-1]) {
				return fmt.Errorf("step %d: await runs the loop and stands at the end of a step; advance does and stands alone", i+1)
			}
			for _, object := range objectsOf(w, made) {
				if !made[object] {
					return fmt.Errorf("step %d: %q: there is no %s", i+1, c, object)
				}
			}
		}
	}
	return nil
}

// objectsOf gives the names of the objects that a command needs, and notes
// those that it makes.
func objectsOf(w []string, made map[string]bool) (needs []string) {
	switch w[0] {
	case "when":
		return objectsOf(w[3:], made)
	case "await", "gulp", "advance", "nofiles", "files":
	case "socket", "tcp", "nofd":
		made[w[1]] = true
	case "pair", "linked":
		made[w[1]], made[w[2]] = true, true
	case "listen":
		made[w[1]] = true
		for i := 1; i < 10; i++ {
			made[fmt.Sprintf("%s%d", w[1], i)] = true // those that it accepts
		}
	case "filter":
		made[w[1]] = true
		return w[2:3]
	case "call":
		made[w[1]] = true
		return w[2:3]
	case "dial":
		made[w[1]] = true
	default:
		if len(w) > 1 {
			return w[1:2]
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

// priorities is how many the loop is to have: 2 where a command sets one.
// Connections are born with the less urgent, and so are the calls by which a
// step waits for the end of what it causes.
func (s scenario) priorities() int {
	for _, step := range s.steps {
		for _, c := range step {
			if strings.HasPrefix(c, "priority ") {
				return 2
			}
		}
	}
	return 1
}

// script is the scenario as the C program reads it.
func (s scenario) script() []string {
	script := []string{fmt.Sprintf("new %d", s.priorities())}
	for _, step := range s.steps {
		script = append(script, step...)
		script = append(script, "step")
	}
	return script
}

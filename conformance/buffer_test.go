//go:build interop

package conformance

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bevgo/bev/internal/seed"
)

// bufferPrograms run scripts on libevent's evbuffers.
type bufferPrograms struct {
	binary string
	file   string // what file ranges are taken from
}

func compileBuffers(t *testing.T) bufferPrograms {
	t.Helper()
	p := bufferPrograms{compile(t, "evbuffer", "evbuffer.c", "lines.c"), filepath.Join(t.TempDir(), "file")}
	if err := os.WriteFile(p.file, pattern(fileSize, 2), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// judge runs one script on both sides and returns where they differ, nil
// nowhere. used counts the differences of the table that were met. What does
// not run at all is an error.
func (b bufferPrograms) judge(t testing.TB, script []string, used map[string]int) (m *mismatch, err error) {
	script = slices.Concat([]string{"new"}, script, []string{"new"})
	p := start(t, b.binary, b.file, "text")
	defer p.stop()
	theirs, err := p.run(script)
	if err != nil {
		return nil, err
	}
	c := &comparison{side: newBufferSide(b.file, false, true), used: used}
	defer c.side.renew() // closes files
	return c.compare(script, theirs), nil
}

// explainFailure cuts a sequence that failed down to what matters.
func (b bufferPrograms) explainFailure(t *testing.T, sequence []string, first *mismatch) {
	t.Helper()
	op, _, _ := strings.Cut(first.line, " ")
	small := shrink(sequence, func(script []string) bool {
		m, err := b.judge(t, script, map[string]int{})
		return err == nil && m != nil && strings.HasPrefix(m.line, op)
	})
	m, err := b.judge(t, small, map[string]int{})
	if err != nil || m == nil {
		small, m = sequence, first // it fails only behind other sequences
	}
	t.Fatalf("bev and libevent differ; save this as testdata/buffer/<name>.txt:\n\n%s\n\n%v", strings.Join(small, "\n"), m)
}

const (
	// Drawn in a run for each of two seeds: the fixed one and a fresh one.
	drawnOperations = 1 << 20
	// Long enough for all kinds of segments to come together, short enough
	// to be cut down in a few seconds.
	sequenceLength = 400
	// How many sequences one side does while the other does the next.
	batchSequences = 32
)

// TestInteropBufferRandom compares random sequences of operations.
func TestInteropBufferRandom(t *testing.T) {
	b := compileBuffers(t)
	t.Run("fixed", func(t *testing.T) { b.random(t) })
	t.Run("fresh", func(t *testing.T) {
		freshSeed(t)
		b.random(t)
	})
}

// freshSeed makes seed.New draw new numbers, unless somebody asked for certain
// ones.
func freshSeed(t *testing.T) {
	if os.Getenv("BEV_SEED") == "" {
		t.Setenv("BEV_SEED", "random")
	}
}

// bufferBatch is some sequences, and what libevent made of them.
type bufferBatch struct {
	sequences [][]string
	theirs    []string // of all, one after the other
	err       error
}

func (b bufferPrograms) random(t *testing.T) {
	r := seed.New(t)
	p := start(t, b.binary, b.file)
	batches := make(chan bufferBatch, 1)
	stop := make(chan struct{})
	defer func() {
		close(stop)
		for range batches { // until the other side has noticed
		}
	}()
	go func() {
		defer close(batches)
		for range drawnOperations/(sequenceLength*batchSequences) + 1 {
			select {
			case batches <- drawBatch(r, p):
			case <-stop:
				return
			}
		}
	}()
	used := make(map[string]int)
	operations, sequences := 0, 0
	for batch := range batches {
		if batch.err != nil {
			t.Fatal(batch.err)
		}
		theirs := batch.theirs
		for _, s := range batch.sequences {
			// With a Pool, as in a Conn, and without, in turn.
			c := &comparison{side: newBufferSide(b.file, sequences%2 == 1, false), used: used}
			if m := c.compare(s, theirs[:len(s)]); m != nil {
				c.side.renew()
				b.explainFailure(t, s[1:len(s)-1], m)
			}
			theirs = theirs[len(s):]
			operations += len(s)
			sequences++
		}
	}
	t.Logf("%d operations in %d sequences; differences of the table met: %v", operations, sequences, used)
}

func drawBatch(r *rand.Rand, p *program) (b bufferBatch) {
	var all []string
	for range batchSequences {
		s := slices.Concat([]string{"new"}, drawSequence(r, sequenceLength), []string{"new"})
		b.sequences = append(b.sequences, s)
		all = append(all, s...)
	}
	b.theirs, b.err = p.run(all)
	return b
}

// readScript reads the lines of a script that do something.
func readScript(t *testing.T, path string) (script []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line != "" && line[0] != '#' {
			script = append(script, line)
		}
	}
	return script
}

// TestInteropBufferScripts compares the scripts in testdata/buffer: those of
// libevent's own tests, by their names, and what random sequences have found.
// A script may use a difference of the table only if its name says so.
func TestInteropBufferScripts(t *testing.T) {
	b := compileBuffers(t)
	paths, err := filepath.Glob("testdata/buffer/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		t.Run(name, func(t *testing.T) {
			used := make(map[string]int)
			m, err := b.judge(t, readScript(t, path), used)
			if err != nil {
				t.Fatal(err)
			}
			if m != nil {
				t.Fatal(m)
			}
			checkUsed(t, path, used)
		})
	}
	t.Logf("%d scripts", len(paths))
}

// checkUsed holds the differences that a script has met against those that it
// announces, in a line "# differences: frozen, order".
func checkUsed(t *testing.T, path string, used map[string]int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var announced []string
	if _, rest, ok := strings.Cut(string(text), "# differences: "); ok {
		list, _, _ := strings.Cut(rest, "\n")
		announced = strings.Split(list, ", ")
	}
	for name := range used {
		if !slices.Contains(announced, name) {
			t.Errorf("difference %q was met and is not announced: add it to a line %q, if it is meant", name, "# differences: …")
		}
	}
	for _, name := range announced {
		if used[name] == 0 {
			t.Errorf("difference %q is announced and was not met", name)
		}
	}
}

// TestInteropBufferDifferences asks for a script for each difference, so that
// the table says what is.
func TestInteropBufferDifferences(t *testing.T) {
	for _, d := range BufferDifferences {
		path := fmt.Sprintf("testdata/buffer/difference_%s.txt", strings.ReplaceAll(d.Name, " ", "_"))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%s: no script shows it: %v", d.Name, err)
		} else if !strings.Contains(string(text), "# differences: ") || !strings.Contains(string(text), d.Name) {
			t.Errorf("%s does not announce %q", path, d.Name)
		}
	}
	for _, rule := range bufferRules {
		if !slices.ContainsFunc(BufferDifferences, func(d BufferDifference) bool { return d.Name == rule.name }) {
			t.Errorf("rule %q is not in the table BufferDifferences", rule.name)
		}
	}
}

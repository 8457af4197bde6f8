package lint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// rule is one thing that holds for the whole repository.
type rule struct {
	name  string // also the name of its sample, testdata/<name>.txt
	check func(*tree) []finding
}

// rules are checked in this order. What each asks for, and why, stands on its
// function.
var rules = []rule{
	// deps_test.go: who may import what
	{"arrows", checkArrows},
	{"outside", checkOutside},
	{"kernel", checkKernel},
	{"unsafe", checkUnsafe},
	{"modgraph", checkModuleGraph},
	{"workspace", checkWorkspace},

	// shape_test.go: files, functions, names
	{"buildtags", checkBuildTags},
	{"loopconn", checkLoopConn},
	{"size", checkSize},
	{"names", checkNames},

	// godoc_test.go: what doc comments say
	{"docs", checkDocs},
	{"phrases", checkPhrases},
	{"prefix", checkPrefix},

	// libevent_test.go, ported_test.go, differences_test.go, getters_test.go: what
	// libevent has, and where it is here
	{"libevent", checkLibevent},
	{"ported", checkPorted},
	{"getters", checkGetters},
	{"regress", checkRegress},

	// tests_test.go: what tests may do
	{"clock", checkClock},
	{"ports", checkPorts},
	{"interop", checkInterop},
	{"leaks", checkLeaks},

	// text_test.go, pages_test.go, mentions_test.go, flags_test.go: pages, and words
	{"words", checkWords},
	{"readme", checkReadme},
	{"links", checkLinks},
	{"targets", checkTargets},
	{"tests", checkTests},
	{"paths", checkPaths},
	{"mentions", checkMentions},
	{"map", checkMap},
	{"flags", checkFlags},
}

// repository loads the repository that this package is part of.
func repository(t *testing.T) *tree {
	t.Helper()
	r, err := load(os.DirFS(filepath.Join("..", "..")))
	if err != nil {
		t.Fatalf("the repository cannot be read: %v", err)
	}
	if r.file("go.mod") == nil || r.file("internal/lint/lint_test.go") == nil {
		t.Fatal("two folders up from here is not the repository's root: mend the path in repository")
	}
	return r
}

// TestRepository checks every rule on the repository.
func TestRepository(t *testing.T) {
	r := repository(t)
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			found := rule.check(r)
			sortFindings(found)
			for _, f := range found {
				t.Error(f)
			}
		})
	}
}

// TestSamples checks every rule on its sample: it must say what the sample's
// last section, "want", lists, and nothing else. Each line there is the start
// of a finding.
func TestSamples(t *testing.T) {
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			sample, want := readSample(t, rule.name)
			if len(want) == 0 {
				t.Fatal("the sample expects nothing, so it cannot show that the rule works")
			}
			found := rule.check(sample)
			sortFindings(found)
			for i := range max(len(found), len(want)) {
				switch {
				case i >= len(want):
					t.Errorf("too much: %s", found[i])
				case i >= len(found):
					t.Errorf("not found: %s", want[i])
				case !strings.HasPrefix(found[i].String(), want[i]):
					t.Errorf("finding %d:\n got %s\nwant %s…", i, found[i], want[i])
				}
			}
		})
	}
}

// TestEverySampleHasItsRule finds samples that nothing reads.
func TestEverySampleHasItsRule(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(rules) {
		t.Errorf("testdata holds %d samples for %d rules", len(files), len(rules))
	}
}

// TestTables finds rows that excuse what no longer exists. An exception that is
// not needed is an invitation.
func TestTables(t *testing.T) {
	r := repository(t)
	for name, table := range map[string]map[string]string{
		"kernelFiles": kernelFiles, "taggedFiles": taggedFiles, "loopMayNameConn": loopMayNameConn,
		"clockPlaces": clockPlaces, "causes": causes, "outside": outside,
	} {
		for place := range table {
			file, function, _ := strings.Cut(place, " ")
			f := r.file(file)
			if !r.paths[file] || function != "" && !strings.Contains(f.text, " "+function+"(") {
				t.Errorf("%s: there is no %s any more: take the row out", name, place)
			}
		}
	}
}

// TestForeignPathsAreNamed finds rows that no page needs any more.
func TestForeignPathsAreNamed(t *testing.T) {
	r := repository(t)
	for name := range foreignPaths {
		named := false
		for _, f := range r.files {
			named = named || filepath.Ext(f.path) == ".md" && strings.Contains(f.text, name)
		}
		if !named {
			t.Errorf("foreignPaths: no page names %s any more: take the row out", name)
		}
	}
}

// readSample reads testdata/<name>.txt: some lines of comment, then sections
// that each begin with a line "-- path --". The last is "-- want --".
func readSample(t *testing.T, name string) (sample *tree, want []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	fsys := make(fstest.MapFS)
	section := ""
	for line := range strings.Lines(string(data)) {
		if s, ok := strings.CutPrefix(line, "-- "); ok {
			section = strings.TrimSuffix(strings.TrimSpace(s), " --")
			fsys[section] = &fstest.MapFile{}
			continue
		}
		if section != "" {
			fsys[section].Data = append(fsys[section].Data, line...)
		}
	}
	if fsys["want"] == nil {
		t.Fatal(`the sample has no section "want"`)
	}
	for line := range strings.Lines(string(fsys["want"].Data)) {
		if line = strings.TrimSpace(line); line != "" {
			want = append(want, line)
		}
	}
	delete(fsys, "want")
	sample, err = load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return sample, want
}

// A file that does not parse must not pass for a file without findings.
func TestLoadRefusesBrokenGo(t *testing.T) {
	if _, err := load(fstest.MapFS{"a.go": {Data: []byte("package\n")}}); err == nil {
		t.Error("load accepted a file that does not parse")
	}
}

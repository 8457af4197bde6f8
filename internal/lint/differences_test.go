package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// The differences from libevent stand in tables of the conformance module,
// which cannot be imported from here; they are read as text.
const (
	differencesFile       = "conformance/differences.go"
	bufferDifferencesFile = "conformance/buffer_differences.go"
	unlikeEvbuffer        = "buffer/unlike_test.go"
)

// row is an element of a table of structs: its fields that hold strings,
// numbers (as text) and lists of strings.
type tableRow struct {
	pos    token.Pos
	fields map[string]string
	lists  map[string][]string
}

// table returns the rows of a variable of f that is a list of structs, written
// with the names of the fields.
func (f *file) table(variable string) (rows []tableRow) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || spec.Names[0].Name != variable {
			return true
		}
		list, ok := spec.Values[0].(*ast.CompositeLit)
		if !ok {
			return false
		}
		for _, e := range list.Elts {
			if lit, ok := e.(*ast.CompositeLit); ok {
				rows = append(rows, readRow(lit))
			}
		}
		return false
	})
	return rows
}

func readRow(lit *ast.CompositeLit) tableRow {
	r := tableRow{lit.Pos(), make(map[string]string), make(map[string][]string)}
	for _, e := range lit.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		name := kv.Key.(*ast.Ident).Name
		if list, ok := kv.Value.(*ast.CompositeLit); ok {
			for _, v := range list.Elts {
				r.lists[name] = append(r.lists[name], literal(v))
			}
			continue
		}
		r.fields[name] = literal(kv.Value)
	}
	return r
}

// literal is the value of a string or number in the source.
func literal(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	if s, err := strconv.Unquote(lit.Value); err == nil {
		return s
	}
	return lit.Value
}

// differences is the list of what connections do other than libevent's, each
// with the tests that hold bev to it and the scenario that shows both.
func differences(t *tree) (string, []finding) {
	var out strings.Builder
	var found []finding
	f := t.file(differencesFile)
	out.WriteString("\n")
	for _, r := range f.table("Differences") {
		n, _ := strconv.Atoi(r.fields["Number"]) // what is no number matches no scenario
		shown := t.tests(f, r, &found)
		scenarios := t.matching(fmt.Sprintf("conformance/testdata/scenarios/difference_%02d_*.txt", n))
		if elsewhere := r.fields["Elsewhere"]; elsewhere != "" {
			shown = append(shown, elsewhere)
		} else if len(scenarios) == 0 {
			found = append(found, t.at(f, r.pos, "difference %d has no scenario difference_%02d_….txt", n, n))
		}
		shown = append(shown, scenarios...)
		out.WriteString(wrap(fmt.Sprintf("%d. **%s.** libevent: %s. bev: %s. *Shown by %s.*", n,
			r.fields["Title"], r.fields["Libevent"], r.fields["Bev"], strings.Join(shown, ", "))))
	}
	return out.String() + "\n", found
}

// bufferDifferences is the same for buffers, whose tests are the parts of one.
func bufferDifferences(t *tree) (string, []finding) {
	var out strings.Builder
	var found []finding
	f, tests := t.file(bufferDifferencesFile), t.file(unlikeEvbuffer)
	out.WriteString("\n")
	for _, r := range f.table("BufferDifferences") {
		name := r.fields["Name"]
		if tests == nil || !strings.Contains(tests.text, strconv.Quote(name)+":") {
			found = append(found, t.at(f, r.pos, "%s has no test %q", unlikeEvbuffer, name))
		}
		scripts := t.matching("conformance/testdata/buffer/difference_" + strings.ReplaceAll(name, " ", "_") + ".txt")
		if len(scripts) == 0 {
			found = append(found, t.at(f, r.pos, "difference %q has no script", name))
		}
		out.WriteString(wrap(fmt.Sprintf("- **%s.** evbuffer: %s. Buffer: %s. Why: %s. *Shown by %s.*", name,
			r.fields["Libevent"], r.fields["Bev"], r.fields["Reason"], strings.Join(scripts, ", "))))
	}
	return out.String() + "\n", found
}

// wrap breaks an item of a list into lines of at most 80 bytes.
func wrap(item string) string {
	mark, rest, _ := strings.Cut(item, " ")
	indent := strings.Repeat(" ", len(mark)+1)
	line, out := mark, ""
	for _, word := range strings.Fields(rest) {
		if len(line)+1+len(word) > 80 {
			out += line + "\n"
			line = indent + word
			continue
		}
		line += " " + word
	}
	return out + line + "\n"
}

// tests returns the tests that a row names, for a page, and finds those that
// do not exist. A row has to name one, or to say where else it is shown.
func (t *tree) tests(f *file, r tableRow, found *[]finding) (names []string) {
	for _, name := range r.lists["Tests"] {
		if !t.hasTest(name) {
			*found = append(*found, t.at(f, r.pos, "there is no test %s", name))
		}
		names = append(names, "`"+name+"`")
	}
	if len(names) == 0 && r.fields["Elsewhere"] == "" {
		*found = append(*found, t.at(f, r.pos, "this difference names no test of bev's own: add one to Tests"))
	}
	return names
}

// hasTest reports whether the repository has a test function of that name.
func (t *tree) hasTest(name string) bool {
	for _, f := range t.goFiles() {
		if f.test() && strings.Contains(f.text, "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}

// matching returns the files that match a pattern, by their base names without
// the ending, for a page.
func (t *tree) matching(pattern string) (names []string) {
	for p := range t.paths {
		if ok, _ := path.Match(pattern, p); ok { // the patterns are ours
			names = append(names, "`"+strings.TrimSuffix(path.Base(p), ".txt")+"`")
		}
	}
	sort.Strings(names)
	return names
}

// regressFile is a table of libevent's own test cases.
const regressFile = "conformance/regress.go"

// checkRegress asks of each of them for what shows the same of bev, and that
// what a row names is there.
func checkRegress(t *tree) []finding {
	f := t.file(regressFile)
	if f == nil {
		return nil
	}
	var found []finding
	for _, r := range f.table("RegressCases") {
		name := r.fields["Name"]
		for _, s := range r.lists["Scenarios"] {
			if !t.paths["conformance/testdata/scenarios/"+s+".txt"] {
				found = append(found, t.at(f, r.pos, "%s: there is no scenario %s", name, s))
			}
		}
		for _, test := range r.lists["Tests"] {
			if !t.hasTest(test) {
				found = append(found, t.at(f, r.pos, "%s: there is no test %s", name, test))
			}
		}
		if len(r.lists["Scenarios"])+len(r.lists["Tests"]) == 0 && r.fields["Elsewhere"] == "" {
			found = append(found, t.at(f, r.pos, "%s: nothing shows it: name a scenario or a test, or say why there is none", name))
		}
	}
	return found
}

// TestRegressCases pins their number: 38 of bufferevents and 10 of listeners.
func TestRegressCases(t *testing.T) {
	names := make(map[string]bool)
	for _, r := range repository(t).file(regressFile).table("RegressCases") {
		names[r.fields["Name"]] = true
	}
	if len(names) != 48 {
		t.Errorf("%s has %d cases, want 48", regressFile, len(names))
	}
}

func TestDifferences(t *testing.T) {
	sample, _ := readSample(t, "libevent")
	got, _ := differences(sample)
	want := strings.Join([]string{
		"",
		"1. **Spin.** libevent: it spins. bev: it does not. *Shown by `TestSpin`,",
		"   `TestGone`, `difference_01_spin`.*",
		"2. **Untested.** libevent: yes. bev: no. *Shown by .*",
		"3. **Elsewhere.** libevent: yes. bev: no. *Shown by another suite.*",
		"", "",
	}, "\n")
	if got != want {
		t.Errorf("the list is\n%s\nwant\n%s", got, want)
	}
}

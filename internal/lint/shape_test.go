package lint

import (
	"go/ast"
	"go/build/constraint"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// taggedFiles are the files of public packages that may depend on a build tag
// or a system, with the reason. There are none: what differs between systems
// lies under internal/, so that the path of a byte reads the same everywhere.
var taggedFiles = map[string]string{}

// systems are the words at the end of a file's name that make the go command
// build it on some systems only, as far as this project meets them.
var systems = strings.Fields(`
	aix android darwin dragonfly freebsd illumos ios js linux netbsd openbsd plan9 solaris wasip1 windows unix
	386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm`)

// checkBuildTags finds build tags, written out or in a file's name, in public
// packages.
func checkBuildTags(t *tree) []finding {
	var found []finding
	for _, f := range t.goFiles(public...) {
		if f.test() || taggedFiles[f.path] != "" {
			continue
		}
		for _, group := range f.ast.Comments {
			for _, c := range group.List {
				if c.Pos() < f.ast.Package && constraint.IsGoBuild(c.Text) {
					found = append(found, t.at(f, c.Pos(), "no build tags here: put what differs between systems or modes under internal/"))
				}
			}
		}
		words := strings.Split(strings.TrimSuffix(f.base(), ".go"), "_")
		if last := words[len(words)-1]; len(words) > 1 && oneOf(last, systems) {
			found = append(found, t.at(f, f.ast.Package, "the name ends in _%s, which is a build tag: put what differs between systems under internal/", last))
		}
	}
	return found
}

// loopMayNameConn are the loop*.go files that may name Conn, with the reason.
var loopMayNameConn = map[string]string{}

// checkLoopConn keeps the loop ignorant of connections: it serves watches,
// timers and posted calls, and what it does for connections it does through
// those. That seam is in one package only to keep it out of the public API.
func checkLoopConn(t *tree) []finding {
	var found []finding
	for _, f := range t.goFiles(".") {
		if f.test() || !strings.HasPrefix(f.path, "loop") || loopMayNameConn[f.path] != "" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Conn" {
				return false // net.Conn, syscall.Conn: somebody else's
			}
			if id, ok := n.(*ast.Ident); ok && id.Name == "Conn" {
				found = append(found, t.at(f, id.Pos(), "loop files must not name Conn: give the loop a small interface or a function to call"))
			}
			return true
		})
	}
	return found
}

// Limits in lines. They are where a file or a function stops being read in one
// go; most should stay far below. Test functions hold tables, which are read
// row by row.
const (
	fileLines     = 600
	funcLines     = 80
	testFuncLines = 120
	funcLinesAim  = 50 // for 95 of 100 functions; reported, not enforced
)

// checkSize finds what is too long to be read in one go.
func checkSize(t *tree) []finding {
	var found []finding
	for _, f := range t.goFiles() {
		if n := strings.Count(f.text, "\n"); n > fileLines {
			found = append(found, t.at(f, f.ast.Package, "%d lines, at most %d: cut the file where its subject changes", n, fileLines))
		}
		limit := funcLines
		if f.forTests() {
			limit = testFuncLines
		}
		t.funcs(f, func(d *ast.FuncDecl, lines int) {
			if lines > limit {
				found = append(found, t.at(f, d.Pos(), "%s has %d lines, at most %d: give its steps names of their own", d.Name.Name, lines, limit))
			}
		})
	}
	return found
}

// funcs calls visit for each function of f with its length in lines.
func (t *tree) funcs(f *file, visit func(d *ast.FuncDecl, lines int)) {
	for _, decl := range f.ast.Decls {
		if d, ok := decl.(*ast.FuncDecl); ok {
			visit(d, t.line(d.End())-t.line(d.Pos())+1)
		}
	}
}

// badNames are file and package names that say nothing about what is inside.
var badNames = []string{"util", "utils", "common", "helper", "helpers", "misc"}

// receiverMax is the length of a receiver's name: l, c, b, p, at most two
// letters where one is taken.
const receiverMax = 2

// checkNames finds names that break the habits of the language or of ours.
func checkNames(t *tree) []finding {
	var found []finding
	receivers := make(map[string]string) // folder and type, to the name used first
	for _, f := range t.goFiles() {
		for _, word := range strings.Split(strings.TrimSuffix(f.base(), ".go"), "_") {
			if oneOf(word, badNames) {
				found = append(found, t.at(f, f.ast.Package, "a file named %q says nothing: name it for what is inside", word))
			}
		}
		if oneOf(f.ast.Name.Name, badNames) {
			found = append(found, t.at(f, f.ast.Package, "a package named %q says nothing: name it for what it does", f.ast.Name.Name))
		}
		t.funcs(f, func(d *ast.FuncDecl, _ int) {
			if rest, ok := strings.CutPrefix(d.Name.Name, "Get"); ok && rest != "" && token.IsExported(rest) {
				found = append(found, t.at(f, d.Name.Pos(), "%s: Go names a getter for what it returns, %s", d.Name.Name, rest))
			}
			found = append(found, t.receiver(f, d, receivers)...)
		})
	}
	return found
}

// receiver checks the receiver's name of one method: short, and the same for
// all methods of a type, so that a method can be moved without a rewrite.
func (t *tree) receiver(f *file, d *ast.FuncDecl, first map[string]string) []finding {
	if d.Recv == nil || len(d.Recv.List[0].Names) == 0 || f.test() {
		return nil
	}
	name := d.Recv.List[0].Names[0].Name
	if name == "_" {
		return nil
	}
	if len(name) > receiverMax {
		return []finding{t.at(f, d.Pos(), "receiver %q: use one or two letters", name)}
	}
	key := f.dir() + " " + receiverType(d)
	if first[key] == "" {
		first[key] = name
	}
	if first[key] != name {
		return []finding{t.at(f, d.Pos(), "receiver %q: other methods of %s use %q", name, receiverType(d), first[key])}
	}
	return nil
}

// receiverType returns the name of a method's type, "" for a function.
func receiverType(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	x := d.Recv.List[0].Type
	for {
		switch e := x.(type) {
		case *ast.StarExpr:
			x = e.X
		case *ast.IndexExpr:
			x = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}

// TestReport logs how long the functions are and how much of the code is
// prose; run it with -v. Nothing fails here but the report itself.
func TestReport(t *testing.T) {
	r := repository(t)
	var lengths []int
	lines, prose := 0, 0
	for _, f := range r.goFiles() {
		if f.forTests() {
			continue
		}
		lines += strings.Count(f.text, "\n")
		for _, c := range f.ast.Comments {
			prose += r.line(c.End()) - r.line(c.Pos()) + 1
		}
		r.funcs(f, func(_ *ast.FuncDecl, n int) { lengths = append(lengths, n) })
	}
	if len(lengths) == 0 {
		t.Skip("no functions yet")
	}
	t.Logf("functions: %d, median %d lines, p95 %d (aim %d), longest %d", len(lengths),
		percentile(lengths, 50), percentile(lengths, 95), funcLinesAim, percentile(lengths, 100))
	t.Logf("code without tests: %d lines, %d%% of them comments (aim 20 to 33)", lines, 100*prose/lines)
}

// percentile returns the value that p of 100 numbers do not pass.
func percentile(numbers []int, p int) int {
	sorted := slices.Sorted(slices.Values(numbers))
	return sorted[(len(sorted)-1)*p/100]
}

func TestPercentile(t *testing.T) {
	numbers := []int{5, 1, 4, 2, 3}
	for p, want := range map[int]int{0: 1, 50: 3, 100: 5} {
		if got := percentile(numbers, p); got != want {
			t.Errorf("percentile %d = %d, want %d", p, got, want)
		}
	}
}

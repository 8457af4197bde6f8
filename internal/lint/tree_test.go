package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"
)

// module is the path that the root package is imported by.
const module = "github.com/bevgo/bev"

// public are the folders whose packages users import. The root is ".".
var public = []string{".", "buffer", "bevtls", "bevtest", "bevfilter"}

// tree is a repository, or the sample of one, as text.
type tree struct {
	fset  *token.FileSet
	files []*file         // what the rules read, by path
	paths map[string]bool // everything that exists, folders too
}

// file is one text file of a tree.
type file struct {
	path string // from the repository's root, with slashes
	text string
	ast  *ast.File // nil unless the file is Go
}

// finding is one place where a rule is broken, and what to do about it.
type finding struct {
	path string
	line int
	text string
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %s", f.path, f.line, f.text) }

// load reads a tree. A Go file that does not parse is an error: no rule could
// be checked on it.
func load(fsys fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet(), paths: make(map[string]bool)}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && skipped(p) {
			return fs.SkipDir
		}
		t.paths[p] = true
		if d.IsDir() || !readable(p) {
			return nil
		}
		data, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		return t.add(p, string(data))
	})
	return t, err
}

func (t *tree) add(p, text string) error {
	f := &file{path: p, text: text}
	if path.Ext(p) == ".go" {
		var err error
		f.ast, err = parser.ParseFile(t.fset, p, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
	}
	t.files = append(t.files, f)
	return nil
}

// skipped folders are not part of the project's text: what git keeps for
// itself, and the samples of this package, which break every rule.
func skipped(dir string) bool {
	return dir == ".git" || dir == "internal/lint/testdata"
}

// readable reports whether the rules read the file: by its name, so that a
// binary that somebody built here is left alone.
func readable(p string) bool {
	switch path.Ext(p) {
	case ".go", ".md", ".mod", ".sum", ".work", ".txt", ".sh", ".c", ".h", ".yml", ".yaml", ".toml":
		return true
	}
	switch path.Base(p) {
	case "Makefile", "LICENSE", ".gitignore", ".gitattributes":
		return true
	}
	return p == ".ci/run"
}

// goFiles returns the Go files of the folders, all of them when none is named.
func (t *tree) goFiles(dirs ...string) []*file {
	var found []*file
	for _, f := range t.files {
		if f.ast != nil && (len(dirs) == 0 || oneOf(f.dir(), dirs)) {
			found = append(found, f)
		}
	}
	return found
}

// file returns the file of that path, or nil.
func (t *tree) file(p string) *file {
	for _, f := range t.files {
		if f.path == p {
			return f
		}
	}
	return nil
}

func (t *tree) line(p token.Pos) int { return t.fset.Position(p).Line }

// at makes a finding in f at a position.
func (t *tree) at(f *file, p token.Pos, format string, a ...any) finding {
	return finding{f.path, t.line(p), fmt.Sprintf(format, a...)}
}

func (f *file) dir() string  { return path.Dir(f.path) }
func (f *file) base() string { return path.Base(f.path) }
func (f *file) test() bool   { return strings.HasSuffix(f.path, "_test.go") }

// suites are packages that are made of tests although their files are not
// named so: others run them.
var suites = []string{"internal/poll/polltest"}

// forTests reports whether the file is part of a test, or of a suite.
func (f *file) forTests() bool { return f.test() || oneOf(f.dir(), suites) }

// imports calls visit for each import of f with its path.
func (f *file) imports(visit func(spec *ast.ImportSpec, path string)) {
	for _, spec := range f.ast.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			visit(spec, p)
		}
	}
}

// packageName returns the name by which f calls the imported package, "" when
// it does not import it.
func (f *file) packageName(importPath string) string {
	name := ""
	f.imports(func(spec *ast.ImportSpec, p string) {
		if p != importPath {
			return
		}
		name = path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
	})
	return name
}

// uses calls visit for each use of a member of the imported package, as in
// time.Now, called or not.
func (f *file) uses(importPath string, visit func(sel *ast.SelectorExpr)) {
	name := f.packageName(importPath)
	if name == "" {
		return
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == name {
			visit(sel)
		}
		return true
	})
}

// within reports whether dir is the folder root or lies under it.
func within(dir, root string) bool {
	return dir == root || strings.HasPrefix(dir, root+"/")
}

func oneOf(s string, list []string) bool {
	for _, x := range list {
		if s == x {
			return true
		}
	}
	return false
}

// sortFindings puts findings in the order of files and lines.
func sortFindings(list []finding) {
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.path != b.path {
			return a.path < b.path
		}
		if a.line != b.line {
			return a.line < b.line
		}
		return a.text < b.text
	})
}

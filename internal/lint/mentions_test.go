package lint

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"strings"
)

// foreignPaths look like paths of ours, in pages, and are not.
var foreignPaths = map[string]string{
	"bufferevent.h":            "a header of libevent's",
	"buffer.h":                 "a header of libevent's",
	"listener.h":               "a header of libevent's",
	"event.h":                  "a header of libevent's",
	"watch.h":                  "a header of libevent's",
	"le-proxy.c":               "a sample of libevent's",
	"internal/runtime/syscall": "a package of Go's",
	"cmd/bev/vX.Y.Z":           "a tag",
	"bevfilter/vX.Y.Z":         "a tag",
}

var (
	// pathWord is what a path is made of; it is one if there is a slash in it,
	// or if it ends as files of ours do.
	pathWord = regexp.MustCompile(`^[\w*.-]+(?:/[\w*.-]+)*/?$`)
	fileName = regexp.MustCompile(`(?:[\w*.-]+/)*[\w*-][\w*.-]*\.(?:go|md|sh|txt|c|h|s|csv|svg|mod|work)\b`)
	address  = regexp.MustCompile(`\bhttps?://\S+`)
	// elsewhere are import paths, and other names that begin with a host.
	elsewhere = regexp.MustCompile(`^\w[\w-]*\.[\w.-]*/`)
)

func looksLikePath(s string) bool {
	return pathWord.MatchString(s) && !elsewhere.MatchString(s) && (strings.Contains(s, "/") || fileName.FindString(s) == s)
}

// checkPaths asks of each file and folder that a page names that it exists: in
// code spans and commands, whatever looks like a path; in prose and diagrams,
// what ends as files of ours do. A path counts from the root, from the page, or
// from where the command runs; a bare name may lie in any folder, and a star
// stands for anything.
func checkPaths(t *tree) []finding {
	var found []finding
	for _, f := range t.files {
		if path.Ext(f.path) != ".md" {
			continue
		}
		made := products(f)
		look := func(line int, name, dir string) {
			if made[path.Clean(name)] || foreignPaths[name] != "" || t.finds(f, name, dir) {
				return
			}
			found = append(found, finding{f.path, line, fmt.Sprintf("there is no %s: mend the path, or add it to foreignPaths (internal/lint/mentions_test.go) with what it is", name)})
		}
		for _, line := range markdown(f.text) {
			if line.fence != "" && line.fence != "text" {
				continue
			}
			prose := mdLink.ReplaceAllString(line.text, "]") // checkLinks follows those
			for _, span := range codeSpan.FindAllStringSubmatch(prose, -1) {
				if looksLikePath(span[1]) {
					look(line.number, span[1], ".")
				}
			}
			prose = address.ReplaceAllString(codeSpan.ReplaceAllString(prose, ""), "")
			for _, name := range fileName.FindAllString(prose, -1) {
				look(line.number, name, ".")
			}
		}
		for _, c := range commands(f) {
			for _, w := range c.words {
				if looksLikePath(w) && (!c.span || len(c.words) > 1) {
					look(c.line, w, c.dir)
				}
			}
		}
	}
	return found
}

// products are the files that a page's commands make, by the name after -o.
func products(f *file) map[string]bool {
	made := make(map[string]bool)
	for _, c := range commands(f) {
		for i, w := range c.words {
			if w == "-o" && i+1 < len(c.words) {
				made[path.Clean(c.words[i+1])] = true
			}
		}
	}
	return made
}

// finds reports whether there is what a page calls by that name.
func (t *tree) finds(page *file, name, dir string) bool {
	name = strings.TrimSuffix(strings.TrimSuffix(name, "/"), "/...")
	for _, from := range []string{".", dir, page.dir()} {
		full := path.Join(from, name)
		if t.paths[full] {
			return true
		}
		for p := range t.paths {
			if ok, _ := path.Match(full, p); ok {
				return true
			}
		}
	}
	for p := range t.paths {
		switch {
		case strings.HasPrefix(name, "testdata/"): // of any package
			if strings.HasSuffix(p, "/"+name) {
				return true
			}
		case strings.HasPrefix(name, "_"): // the end of a name
			if strings.HasSuffix(p, name) {
				return true
			}
		case !strings.Contains(name, "/"):
			if ok, _ := path.Match(name, path.Base(p)); ok {
				return true
			}
		}
	}
	return false
}

// mapPage is the page whose every word of code is one of the source's.
const mapPage = "docs/ARCHITECTURE.md"

// checkMap asks of each file of the root that the map has it, by its name or with
// a star.
func checkMap(t *tree) []finding {
	page := t.file(mapPage)
	if page == nil {
		return nil
	}
	names := fileName.FindAllString(page.text, -1)
	var found []finding
	for _, f := range t.goFiles(".") {
		known := f.test()
		for _, name := range names {
			ok, _ := path.Match(name, f.path)
			known = known || ok
		}
		if !known {
			found = append(found, t.at(f, f.ast.Package, "%s does not say what is in %s: add it to the table", mapPage, f.path))
		}
	}
	return found
}

// habitPages speak of names in general, "SetMark", and not of those that there
// are.
var habitPages = []string{"docs/STYLE.md"}

// goName is a name of Go's in a code span: of a package or not, of a member or
// not, called or not. What has underscores is C's or a test's, and with a number
// in parentheses it is a page of the manual.
var goName = regexp.MustCompile(`^(?:([a-z][a-zA-Z0-9]*)\.)?([A-Za-z][a-zA-Z0-9]*)(?:\.([A-Za-z][a-zA-Z0-9]*))?(?:\([^()0-9]*\))?$`)

// checkMentions asks of the names of Go that pages have in code spans that the
// source declares them: types, functions and values beginning with a capital,
// members ("Conn.Close", "ListenOptions.Pick"), and on the map of the source the
// others, too.
func checkMentions(t *tree) []finding {
	d := t.declarations()
	var found []finding
	for _, f := range t.files {
		if path.Ext(f.path) != ".md" || oneOf(f.path, habitPages) {
			continue
		}
		for _, line := range markdown(f.text) {
			if line.fence != "" {
				continue
			}
			for _, span := range codeSpan.FindAllStringSubmatch(line.text, -1) {
				if looksLikePath(span[1]) || t.paths[span[1]] || testFunc.MatchString(span[1]) {
					continue // of the other rules
				}
				if m := goName.FindStringSubmatch(span[1]); m != nil && !d.knows(m[1], m[2], m[3], f.path == mapPage) {
					found = append(found, finding{f.path, line.number, fmt.Sprintf("the source declares no %s: mend the name", span[1])})
				}
			}
		}
	}
	return found
}

// declared holds the names of a tree's source, without its tests.
type declared struct {
	packages map[string]bool
	names    map[string]bool // of packages, types, functions, values, methods and fields alone
	members  map[string]bool // "Type.member"
	types    map[string]bool
	words    map[string]bool // the Makefile's variables
}

func (t *tree) declarations() *declared {
	d := &declared{make(map[string]bool), make(map[string]bool), make(map[string]bool), make(map[string]bool), make(map[string]bool)}
	if makefile := t.file("Makefile"); makefile != nil {
		for line := range strings.Lines(makefile.text) {
			if m := makeVariable.FindStringSubmatch(line); m != nil {
				d.words[m[1]] = true
			}
		}
	}
	for _, f := range t.goFiles() {
		if f.test() && !within(f.dir(), "internal/lint") { // which is all tests
			continue
		}
		d.packages[f.ast.Name.Name] = true
		for _, decl := range f.ast.Decls {
			d.add(decl)
		}
	}
	return d
}

func (d *declared) add(decl ast.Decl) {
	switch x := decl.(type) {
	case *ast.FuncDecl:
		d.names[x.Name.Name] = true
		if x.Recv != nil {
			d.members[receiverType(x)+"."+x.Name.Name] = true
		}
	case *ast.GenDecl:
		for _, spec := range x.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				for _, id := range s.Names {
					d.names[id.Name] = true
				}
			case *ast.TypeSpec:
				d.names[s.Name.Name], d.types[s.Name.Name] = true, true
				d.addMembers(s)
			}
		}
	}
}

func (d *declared) addMembers(s *ast.TypeSpec) {
	var fields *ast.FieldList
	switch x := s.Type.(type) {
	case *ast.StructType:
		fields = x.Fields
	case *ast.InterfaceType:
		fields = x.Methods
	default:
		return
	}
	for _, field := range fields.List {
		for _, id := range field.Names {
			d.names[id.Name], d.members[s.Name.Name+"."+id.Name] = true, true
		}
	}
}

// knows reports whether a name of a page is declared, or not ours to declare:
// "pkg.Name.member", of which pkg and member may be missing, and pkg may be a
// type. all asks for names without a capital, too.
func (d *declared) knows(pkg, name, member string, all bool) bool {
	switch {
	case pkg != "" && d.types[pkg]: // the type of a package's own
		return member == "" && d.members[pkg+"."+name]
	case pkg != "" && !d.packages[pkg]:
		return true // of another module, or not Go
	case member != "":
		return d.members[name+"."+member]
	case pkg != "":
		return d.names[name]
	case strings.ToUpper(name) == name: // the Makefile's
		return d.words[name] || d.names[name] || d.packages[name]
	case all || strings.ToUpper(name[:1]) == name[:1]:
		return d.names[name] || d.packages[name]
	}
	return true
}

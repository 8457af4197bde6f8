package lint

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"strconv"
	"strings"
	"unicode"
)

// symbol is an exported name of a public package, or a field or method of one.
type symbol struct {
	file *file
	pos  token.Pos
	name string // as in "Conn.Write"
	doc  string // without comment marks
	kind symbolKind
}

type symbolKind int

const (
	plain  symbolKind = iota // a function or method, a type alone
	member                   // a value, a field, a method of an interface
)

// symbols returns the exported names of f that documentation shows, in order.
func (t *tree) symbols(f *file) []symbol {
	var list []symbol
	add := func(kind symbolKind, pos token.Pos, name string, docs ...*ast.CommentGroup) {
		list = append(list, symbol{f, pos, name, docText(docs...), kind})
	}
	for _, decl := range f.ast.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if r := receiverType(d); d.Recv != nil {
				if !token.IsExported(r) {
					continue
				}
				name = r + "." + name
			}
			if d.Name.IsExported() {
				add(plain, d.Name.Pos(), name, d.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() {
						add(plain, s.Name.Pos(), s.Name.Name, s.Doc, d.Doc)
						members(s, cmp.Or(s.Doc, d.Doc), add)
					}
				case *ast.ValueSpec:
					for _, id := range s.Names {
						if id.IsExported() {
							add(member, id.Pos(), id.Name, s.Doc, s.Comment, mentioning(id.Name, d.Doc, !d.Lparen.IsValid()))
						}
					}
				}
			}
		}
	}
	return list
}

// mentioning returns the doc of a group for one of its names. It counts when
// the group is that one name alone, or when the doc speaks of it.
func mentioning(name string, group *ast.CommentGroup, alone bool) *ast.CommentGroup {
	if alone || oneOf(name, strings.FieldsFunc(group.Text(), notLetter)) {
		return group
	}
	return nil
}

func notLetter(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// members adds the exported fields of a struct and methods of an interface.
func members(s *ast.TypeSpec, doc *ast.CommentGroup, add func(symbolKind, token.Pos, string, ...*ast.CommentGroup)) {
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
			if id.IsExported() {
				add(member, id.Pos(), s.Name.Name+"."+id.Name, field.Doc, field.Comment, mentioning(id.Name, doc, false))
			}
		}
	}
}

// docText returns the text of the first comment that there is.
func docText(docs ...*ast.CommentGroup) string {
	for _, d := range docs {
		if text := d.Text(); text != "" {
			return text
		}
	}
	return ""
}

// publicSymbols returns the symbols of all public packages.
func (t *tree) publicSymbols() []symbol {
	var list []symbol
	for _, f := range t.goFiles(public...) {
		if !f.test() {
			list = append(list, t.symbols(f)...)
		}
	}
	return list
}

// checkDocs asks for a comment on every name that users see; for a value of a
// group or a field, a word about it in the comment above will do. That of a
// function or type begins with its name, as the documentation tools expect; a
// package says what it is for in one of its files.
func checkDocs(t *tree) []finding {
	var found []finding
	for _, s := range t.publicSymbols() {
		last := s.name[strings.LastIndexByte(s.name, '.')+1:]
		switch {
		case s.doc == "":
			found = append(found, t.at(s.file, s.pos, "%s has no doc comment: say what it does for the caller", s.name))
		case s.kind == plain && !begins(s.doc, last):
			found = append(found, t.at(s.file, s.pos, "the doc comment of %s must begin with %q", s.name, last))
		}
	}
	return append(found, checkPackageDocs(t)...)
}

// begins reports whether a doc comment begins with a name, an article before
// it allowed.
func begins(doc, name string) bool {
	words := strings.Fields(doc)
	for _, article := range []string{"A", "An", "The", "Deprecated:"} {
		if words[0] == article && len(words) > 1 {
			words = words[1:]
			break
		}
	}
	return strings.TrimSuffix(strings.TrimRight(words[0], ".,:;"), "'s") == name
}

// checkPackageDocs asks every package, public or not, for a package comment.
func checkPackageDocs(t *tree) []finding {
	documented := make(map[string]bool)
	var first []*file
	for _, f := range t.goFiles() {
		if f.test() {
			continue
		}
		if n := len(first); n == 0 || first[n-1].dir() != f.dir() {
			first = append(first, f)
		}
		if f.ast.Doc.Text() != "" {
			documented[f.dir()] = true
		}
	}
	var found []finding
	reported := make(map[string]bool)
	for _, f := range first {
		if !documented[f.dir()] && !reported[f.dir()] {
			reported[f.dir()] = true
			found = append(found, t.at(f, f.ast.Package, "package %s in %s has no package comment in any file", f.ast.Name.Name, f.dir()))
		}
	}
	return found
}

// phrases say from where a method may be called. Every exported method of the
// types in phrased has exactly one of them, word for word, so that a reader
// can search for it and need not guess what a paraphrase means.
var (
	phrases = []string{"Loop only.", "Safe from any goroutine."}
	phrased = []string{"Loop", "Conn", "Listener", "Timer", "Watch", "Signal", "Handle"}
)

// checkPhrases counts the phrases in the docs of those methods.
func checkPhrases(t *tree) []finding {
	var found []finding
	for _, s := range t.publicSymbols() {
		typ, _, method := strings.Cut(s.name, ".")
		if !method || s.kind != plain || s.file.dir() != "." || !oneOf(typ, phrased) {
			continue
		}
		n, doc := 0, strings.Join(strings.Fields(s.doc), " ")
		for _, p := range phrases {
			n += strings.Count(doc, p)
		}
		if n != 1 {
			found = append(found, t.at(s.file, s.pos, "the doc comment of %s holds %d of the phrases %q, want exactly one", s.name, n, phrases))
		}
	}
	return found
}

// prefixes begin the texts of errors and panics of these folders, so that a
// log line says where it comes from.
var prefixes = map[string]string{".": "bev: ", "buffer": "buffer: ", "bevtls": "bevtls: ", "bevtest": "bevtest: ", "bevfilter": "bevfilter: "}

// causes are functions whose errors become the cause within a *net.OpError,
// which says "listen tcp 192.0.2.1:80: " before it; by file and name, with the
// error's way.
var causes = map[string]string{
	"listener_open.go bind":      "Listen wraps it",
	"listener_open.go configure": "open returns it to Listen",
	"socket.go takeDescriptor":   "NewConn wraps it",
	"socket.go prepare":          "NewConn wraps it",
}

// checkPrefix looks at the texts that errors.New, fmt.Errorf and panic are
// given. A text that begins with %w gets its prefix from what it wraps; one
// that is not written out cannot be judged here.
func checkPrefix(t *tree) []finding {
	var found []finding
	for _, f := range t.goFiles(public...) {
		if f.test() {
			continue
		}
		want := prefixes[f.dir()]
		for _, decl := range f.ast.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && causes[f.path+" "+d.Name.Name] != "" {
				continue
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) == 0 || !makesText(call.Fun) {
					return true
				}
				text, ok := leading(call.Args[0])
				if ok && !strings.HasPrefix(text, want) && !strings.HasPrefix(text, "%w") {
					found = append(found, t.at(f, call.Args[0].Pos(), "the text %s must begin with %q and say what to do, or its function stand in causes (internal/lint/godoc_test.go)", short(text), want))
				}
				return true
			})
		}
	}
	return found
}

// makesText reports whether a function's first argument is the text of an
// error or a panic.
func makesText(fun ast.Expr) bool {
	switch fun := fun.(type) {
	case *ast.Ident:
		return fun.Name == "panic"
	case *ast.SelectorExpr:
		x, ok := fun.X.(*ast.Ident)
		return ok && (x.Name == "errors" && fun.Sel.Name == "New" || x.Name == "fmt" && fun.Sel.Name == "Errorf")
	}
	return false
}

// leading returns the text that an expression begins with, through fmt.Sprintf
// and +, and false when that is not a literal.
func leading(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		return leading(e.X)
	case *ast.CallExpr:
		if sel, ok := e.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(sel.Sel.Name, "Sprint") && len(e.Args) > 0 {
			return leading(e.Args[0])
		}
	}
	return "", false
}

// short quotes the beginning of a text.
func short(text string) string {
	if r := []rune(text); len(r) > 30 {
		return fmt.Sprintf("%q…", string(r[:30]))
	}
	return strconv.Quote(text)
}

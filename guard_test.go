//go:build unix

package bev_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/invariants"
)

// A method that is marked "Loop only." panics on another goroutine, in builds
// that check invariants. Which methods those are is read off the documentation
// and each is called, with zero values, so that none can be forgotten.

// loopThings are values of the types that have such methods, by name. All
// belong to a Loop that runs on another goroutine.
func loopThings(r *rig) map[string]any {
	c, _ := r.adopt(nil, nil)
	in, _ := blockingPipe(r.t)
	things := map[string]any{
		"Loop":     r.l,
		"Conn":     c,
		"Watch":    r.watch(in, bev.Reading, func(*bev.Watch, bev.Dir) {}),
		"Listener": r.listen("tcp", "127.0.0.1:0", func(*bev.Conn) {}, nil),
	}
	r.on(func() {
		things["Timer"] = r.l.AfterFunc(time.Hour, func() {})
		things["Hook"] = r.l.Check(func() {})
		things["Signal"] = r.l.Notify(func(os.Signal) {}, os.Interrupt)
	})
	return things
}

// callZero calls a method with zero values and returns what it panicked with.
func callZero(thing any, method string) (v any) {
	m := reflect.ValueOf(thing).MethodByName(method)
	var args []reflect.Value
	for i := range m.Type().NumIn() {
		if !m.Type().IsVariadic() || i+1 < m.Type().NumIn() {
			args = append(args, reflect.Zero(m.Type().In(i)))
		}
	}
	defer func() { v = recover() }()
	m.Call(args)
	return nil
}

func TestLoopOnlyMethodsPanicOnAnotherGoroutine(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("this build does not check: use -race or -tags invariants")
	}
	r := run(t, nil)
	things := loopThings(r)
	called := 0
	for _, name := range documentedAs(t, "Loop only.") {
		typ, method, _ := strings.Cut(name, ".")
		thing, ok := things[typ]
		if !ok {
			continue // of a kind that other tests make, or a function
		}
		called++
		text := fmt.Sprint(callZero(thing, method))
		if !strings.HasPrefix(text, "bev: "+name+" is Loop only") || !strings.Contains(text, "Loop.Post") {
			t.Errorf("%s on another goroutine: panic(%q), want a text that names it and the remedy", name, text)
		}
	}
	if called < 50 {
		t.Errorf("%d methods are marked Loop only, there were 50: has the phrase changed?", called)
	}
	func() {
		defer func() {
			if text := fmt.Sprint(recover()); !strings.HasPrefix(text, "bev: NewConn is Loop only") {
				t.Errorf("NewConn on another goroutine: panic(%q)", text)
			}
		}()
		bev.NewConn(r.l, -1, nil)
	}()
}

func TestLoopOnlyMethodsAreFineOnTheLoopAndBeforeRun(t *testing.T) {
	r := run(t, nil)
	things := loopThings(r)
	still := newRig(t, nil)
	names := documentedAs(t, "Loop only.")
	ends := map[string]bool{"Loop.Break": true, "Loop.StopAfter": true} // the Run that we are in
	check := func(things map[string]any) {
		for _, name := range names {
			if ends[name] && things["Loop"] == r.l {
				continue
			}
			typ, method, _ := strings.Cut(name, ".")
			if thing, ok := things[typ]; ok {
				if text := fmt.Sprint(callZero(thing, method)); strings.Contains(text, "Loop only") {
					t.Errorf("%s: panic(%q)", name, text)
				}
			}
		}
	}
	r.on(func() { check(things) })
	check(map[string]any{"Loop": still.l})
}

// documentedAs returns the functions and methods of the package whose doc
// comment ends with the phrase, or has it before the line about libevent.
func documentedAs(t *testing.T, phrase string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if !ok || !d.Name.IsExported() || d.Doc == nil {
				continue
			}
			text, _, _ := strings.Cut(strings.ReplaceAll(d.Doc.Text(), "\n", " "), "Libevent:")
			if strings.HasSuffix(strings.TrimSpace(text), phrase) {
				names = append(names, receiver(d)+d.Name.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// receiver is "Conn." for a method of *Conn, "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	return typ.(*ast.Ident).Name + "."
}

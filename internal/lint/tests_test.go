package lint

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"regexp"
	"strings"
)

// clockUses are the functions of package time that read or wait on the real
// clock. Code that calls them cannot be tested on a virtual one, and costs a
// system call where the loop has the time at hand.
var clockUses = strings.Fields("Now Since Until Sleep After AfterFunc NewTimer NewTicker Tick")

// clockPlaces are the files and folders that may use the real clock, with the
// reason.
var clockPlaces = map[string]string{
	"loop.go":             "reads the clock once per tick for all that the loop holds",
	"loop_timer.go":       "the time for a timer that is set while no tick runs",
	"netconn_deadline.go": "net.Conn's deadlines are times of day, and expire for goroutines that are not the loop's",
	"internal/poll":       "Go's poller takes its deadlines as times of day",
	"internal/leak":       "waits, in a bounded way, for goroutines that tell nobody when they end",
}

// checkClock keeps the real clock out of the root module's code, and sleeping
// out of every test: a sleep is either too short on a busy machine or too long
// on all others. A test waits for the event itself, with a limit that only a
// failure reaches.
func checkClock(t *tree) []finding {
	var found []finding
	for _, f := range t.goFiles() {
		code := !f.forTests() && !inOtherModule(f.dir()) && !within(f.dir(), "examples")
		if clockPlaces[f.path] != "" || !f.forTests() && clockPlaces[f.dir()] != "" {
			continue
		}
		f.uses("time", func(sel *ast.SelectorExpr) {
			name := sel.Sel.Name
			switch {
			case f.forTests() && name == "Sleep":
				found = append(found, t.at(f, sel.Pos(), "no time.Sleep in tests: wait for the event itself, on a channel or in a callback"))
			case code && oneOf(name, clockUses):
				found = append(found, t.at(f, sel.Pos(), "time.%s uses the real clock: take the tick's time as an argument, or a timer of the loop, or add the place to clockPlaces (internal/lint/tests_test.go) with the reason", name))
			}
		})
	}
	return found
}

// fixedPort is an address that another program may be using.
var fixedPort = regexp.MustCompile(`^"(127\.\d+\.\d+\.\d+|0\.0\.0\.0|localhost|\[::1?\])?:[1-9]\d*"$`)

// checkPorts finds fixed ports in tests: two runs at once would collide.
// Examples have them, because they are read and not run. An address that is
// only parsed or printed belongs to the blocks that are kept for
// documentation, 192.0.2.0/24 and 2001:db8::/32.
func checkPorts(t *tree) []finding {
	var found []finding
	for _, f := range t.goFiles() {
		if !f.forTests() || strings.HasPrefix(f.base(), "example") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && fixedPort.MatchString(lit.Value) {
				found = append(found, t.at(f, lit.Pos(), "%s is a fixed port: listen on port 0 and ask for the address, or use 192.0.2.1 where nothing is opened", lit.Value))
			}
			return true
		})
	}
	return found
}

// checkInterop holds the tests that need other programs to their bargain: they
// are behind a tag, so that the plain tests need nothing but Go; with the tag
// they never skip, so that a run without the programs fails; and they have a
// name by which "make interop" picks them.
func checkInterop(t *tree) []finding {
	var found []finding
	for _, f := range t.goFiles() {
		if !hasTag(f, "interop") {
			continue
		}
		if !f.test() {
			found = append(found, t.at(f, f.ast.Package, "the interop tag is for tests: name the file _test.go"))
			continue
		}
		t.funcs(f, func(d *ast.FuncDecl, _ int) {
			name := d.Name.Name
			if d.Recv == nil && strings.HasPrefix(name, "Test") && name != "TestMain" && !strings.HasPrefix(name, "TestInterop") {
				found = append(found, t.at(f, d.Name.Pos(), "%s: tests behind the interop tag are named TestInterop…, or make interop would not run them", name))
			}
		})
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && oneOf(sel.Sel.Name, []string{"Skip", "Skipf", "SkipNow"}) {
				found = append(found, t.at(f, sel.Pos(), "interop tests do not skip: fail, and say which Debian package is missing"))
			}
			return true
		})
	}
	return found
}

// hasTag reports whether the file's build constraint names the tag.
func hasTag(f *file, tag string) bool {
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			if c.Pos() > f.ast.Package || !constraint.IsGoBuild(c.Text) {
				continue
			}
			expr, err := constraint.Parse(c.Text)
			if err != nil {
				continue
			}
			named := false
			expr.Eval(func(name string) bool {
				named = named || name == tag
				return false
			})
			return named
		}
	}
	return false
}

// leaky are the folders whose packages start goroutines or open descriptors.
var leaky = []string{".", "internal/poll", "internal/sys", "bevtls", "bevtest", "cmd/bev"}

// checkLeaks asks for the leak check in the tests of those packages.
func checkLeaks(t *tree) []finding {
	var found []finding
	for _, dir := range leaky {
		var first *file
		checked := false
		for _, f := range t.goFiles(dir) {
			if !f.test() {
				continue
			}
			if first == nil {
				first = f
			}
			f.uses(module+"/internal/leak", func(sel *ast.SelectorExpr) {
				checked = checked || sel.Sel.Name == "Main"
			})
		}
		if first != nil && !checked {
			found = append(found, finding{first.path, 1, fmt.Sprintf("the tests in %s do not look for leaks: add func TestMain(m *testing.M) { leak.Main(m) }", dir)})
		}
	}
	return found
}

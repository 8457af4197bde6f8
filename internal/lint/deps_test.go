package lint

import (
	"fmt"
	"go/ast"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// arrow says what the packages of a folder may import from this repository.
type arrow struct {
	from string   // a folder, and all under it unless they have a row of their own
	to   []string // folders, exactly
}

// arrows is the shape of the project: they point down only, so that a part can
// be read knowing only what lies under it. The rim (bevtls, cmd, examples)
// uses what every user has, and so proves that it is enough.
var arrows = []arrow{
	{"cmd", []string{".", "buffer", "bevtls", "bevtest"}},
	{"examples", []string{".", "buffer", "bevtls"}},
	{"interop", nil}, // runs programs
	{"conformance", []string{".", "buffer", "bevtls", "bevtest"}},
	{"bench", []string{".", "buffer", "bevtls"}},
	{"bevtls", []string{".", "buffer"}},
	{"bevfilter", []string{".", "buffer"}},
	// bevtest puts a simulated network in the place of the kernel, and so has
	// to know the contract that the kernel's backends fulfil.
	{"bevtest", []string{".", "buffer", "internal/poll", "internal/sys", "internal/timer"}},
	{".", []string{"buffer", "internal/poll", "internal/timer", "internal/sys", "internal/goid", "internal/invariants"}},
	// buffer never sees a descriptor.
	{"buffer", []string{"internal/scan", "internal/invariants"}},
	{"internal/poll/polltest", []string{"internal/poll", "internal/sys"}},
	{"internal/poll", []string{"internal/sys", "internal/invariants"}},
	{"internal/sys", []string{"internal/invariants"}},
	{"internal/timer", []string{"internal/invariants"}},
	{"internal/goid", nil},
	{"internal/scan", nil},
	{"internal/invariants", nil},
	{"internal/leak", nil},
	{"internal/seed", nil},
	{"internal/lint", nil},
	{"tools", nil},
}

// testArrows is what the tests of any package may import besides: helpers that
// are imported by tests alone.
var testArrows = []string{"internal/leak", "internal/seed", "internal/poll/polltest", "internal/invariants", "bevtest"}

// arrowOf returns the row for a folder: the one with the longest match.
func arrowOf(dir string) *arrow {
	var best *arrow
	for i, a := range arrows {
		matches := a.from == dir || a.from != "." && within(dir, a.from)
		if matches && (best == nil || len(a.from) > len(best.from)) {
			best = &arrows[i]
		}
	}
	return best
}

// checkArrows holds imports within the repository to the table above.
func checkArrows(t *tree) []finding {
	var found []finding
	for _, f := range t.goFiles() {
		row := arrowOf(f.dir())
		if row == nil {
			found = append(found, t.at(f, f.ast.Package, "the package in %s has no row in arrows (internal/lint/deps_test.go): add one that says what it may import", f.dir()))
			continue
		}
		f.imports(func(spec *ast.ImportSpec, p string) {
			to, ours := folder(p)
			if !ours || to == f.dir() || oneOf(to, row.to) || f.forTests() && oneOf(to, testArrows) {
				return
			}
			found = append(found, t.at(f, spec.Pos(), "%s must not import %s: arrows point down only, see arrows (internal/lint/deps_test.go)", f.dir(), to))
		})
	}
	return found
}

// folder returns the folder of a package of this repository.
func folder(importPath string) (dir string, ours bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// outside is what packages of the root module may import from elsewhere than
// the standard library.
var outside = map[string]string{
	"internal/sys":  "golang.org/x/sys/",
	"internal/poll": "golang.org/x/sys/",
	"internal/scan": "golang.org/x/sys/cpu",
}

// otherModules have a go.mod of their own, and choose for themselves.
var otherModules = []string{"cmd", "bench", "bevfilter", "conformance", "tools"}

// checkOutside keeps users' dependency trees as small as we promise: the
// standard library, and golang.org/x/sys where the kernel is called.
func checkOutside(t *tree) []finding {
	var found []finding
	for _, f := range t.goFiles() {
		if inOtherModule(f.dir()) {
			continue
		}
		f.imports(func(spec *ast.ImportSpec, p string) {
			first, _, _ := strings.Cut(p, "/")
			_, ours := folder(p)
			allowed := outside[f.dir()]
			if ours || !strings.Contains(first, ".") || allowed != "" && strings.HasPrefix(p, allowed) {
				return
			}
			found = append(found, t.at(f, spec.Pos(), "%s must not import %s: the root module uses the standard library, and golang.org/x/sys in internal/sys and internal/poll (its cpu in internal/scan); a test that needs more goes to conformance", f.dir(), p))
		})
	}
	return found
}

func inOtherModule(dir string) bool {
	for _, m := range otherModules {
		if within(dir, m) {
			return true
		}
	}
	return false
}

// kernelFiles are the files of the root that may name the kernel, with the
// reason. All others move bytes between buffers and callbacks and hold for
// every flavour of connection.
var kernelFiles = map[string]string{
	"socket.go":             "the flavour over a kernel socket",
	"socket_option.go":      "sets options of a kernel socket",
	"conn_connect.go":       "dials",
	"conn_attempt.go":       "opens a socket and connects it",
	"conn_lookup.go":        "turns addresses into those of the kernel",
	"listener_open.go":      "opens the sockets that listen",
	"listener_spread.go":    "resets a caller whom no loop serves",
	"listener_accept.go":    "accepts sockets, and sorts the errors of accept",
	"listener_exhausted.go": "holds a spare descriptor, and knows the errors of having none",
	"relay_splice.go":       "has the kernel move bytes between two sockets",
	"transport.go":          "gives the answers of non-blocking calls the names that all flavours use",
	"loop.go":               "sets how the loop's system calls are made",
	"options.go":            "hands a descriptor that is not connected yet to the user, as package net does",
	"pair.go":               "answers as a socket would: syscall.EPIPE, syscall.ECONNRESET",
	"filter_conn.go":        "answers as a socket would: syscall.EPIPE",
}

// checkKernel keeps system calls in the files that are about them.
func checkKernel(t *tree) []finding {
	var found []finding
	for _, f := range t.goFiles(".") {
		if f.test() || kernelFiles[f.path] != "" {
			continue
		}
		f.imports(func(spec *ast.ImportSpec, p string) {
			if p == "syscall" || strings.HasPrefix(p, "golang.org/x/sys/") || p == module+"/internal/sys" {
				found = append(found, t.at(f, spec.Pos(), "%s must not import %s: call the kernel from a file listed in kernelFiles (internal/lint/deps_test.go), or add this one with the reason", f.path, p))
			}
		})
	}
	return found
}

// unsafeDirs may import unsafe or use cgo, with the reason.
var unsafeDirs = map[string]string{
	"internal/sys":  "hands memory to the kernel",
	"conformance":   "calls C libevent",
	"bench":         "measures C libevent",
	"bench/servers": "has a bare loop to compare with",
}

// checkUnsafe keeps what the compiler cannot check in one place, where a
// reviewer looks for it. Tests may ask for the size of a type, which harms
// nobody.
func checkUnsafe(t *tree) []finding {
	var found []finding
	for _, f := range t.goFiles() {
		if unsafeDirs[f.dir()] != "" {
			continue
		}
		f.imports(func(spec *ast.ImportSpec, p string) {
			if p == "C" || p == "unsafe" && !(f.test() && onlySizes(f)) {
				found = append(found, t.at(f, spec.Pos(), "%s must not import %q: unsafe code belongs in internal/sys", f.dir(), p))
			}
		})
	}
	return found
}

// onlySizes reports whether a file uses unsafe for sizes and nothing else.
func onlySizes(f *file) bool {
	only := true
	f.uses("unsafe", func(sel *ast.SelectorExpr) {
		only = only && oneOf(sel.Sel.Name, []string{"Sizeof", "Alignof", "Offsetof"})
	})
	return only
}

// required is the whole module graph of a program that imports bev and nothing
// else.
var required = []string{"golang.org/x/sys"}

// checkModuleGraph reads the root's go.mod: what stands there, users download.
func checkModuleGraph(t *tree) []finding {
	var found []finding
	for _, name := range []string{"go.mod", "go.sum"} {
		f := t.file(name)
		if f == nil {
			continue
		}
		for i, line := range strings.Split(f.text, "\n") {
			words := strings.Fields(line)
			if len(words) > 0 && name == "go.mod" {
				words = requirement(words)
			}
			if len(words) > 0 && !oneOf(words[0], required) {
				found = append(found, finding{name, i + 1, fmt.Sprintf("%s must not be here: programs that import bev would carry it; what tests, tools and commands need goes into a go.mod of their own", words[0])})
			}
		}
	}
	return found
}

// requirement returns the words of a go.mod line from the module it brings in,
// none when it brings in nothing.
func requirement(words []string) []string {
	switch words[0] {
	case "module", "go", "toolchain", "godebug", "//", "(", ")":
		return nil
	case "require":
		if words[1] == "(" {
			return nil
		}
		return words[1:]
	}
	return words // inside a block, or a replace, exclude or tool line
}

// checkWorkspace finds modules that go.work leaves out: "go test work", the
// command in the README, would not test them.
func checkWorkspace(t *tree) []finding {
	work := t.file("go.work")
	if work == nil {
		return []finding{{"go.work", 1, "the workspace file is missing: it joins the modules, so that one command tests them all"}}
	}
	var found []finding
	for _, f := range t.files {
		if f.base() != "go.mod" {
			continue
		}
		use := "./" + f.dir()
		if f.dir() == "." {
			use = "."
		}
		if !oneOf(use, strings.Fields(work.text)) {
			found = append(found, finding{f.path, 1, fmt.Sprintf("this module is not in go.work: add %s to its use block", use)})
		}
	}
	return found
}

// rootImports are the packages that the root and what is under it import from
// elsewhere: what a program that imports bev carries for it. A row more is a
// decision, since whatever hangs on the package comes with it.
var rootImports = words(`
	bufio bytes cmp context errors fmt io io/fs iter log/slog math math/bits math/rand/v2 net net/netip os os/signal
	runtime runtime/debug slices strconv strings sync sync/atomic syscall time unsafe
	golang.org/x/sys/cpu golang.org/x/sys/unix`)

// depsOnLinux asks the go command for all that the root imports, directly or
// not. What that is differs a little by system, so the answer is always the one
// for linux/amd64, wherever the test runs.
func depsOnLinux(t *testing.T, flags ...string) string {
	t.Helper()
	cmd := exec.Command("go", append(append([]string{"list", "-deps"}, flags...), module)...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// TestCostOfImportingInPackages holds the root's dependency graph to the table
// above.
func TestCostOfImportingInPackages(t *testing.T) {
	out := depsOnLinux(t, "-f", "{{.ImportPath}} {{join .Imports \" \"}}")
	var got []string
	packages := 0
	for line := range strings.Lines(out) {
		packages++
		imports := strings.Fields(line)
		if _, ours := folder(imports[0]); !ours {
			continue
		}
		for _, p := range imports[1:] {
			if _, ours := folder(p); !ours && !oneOf(p, got) {
				got = append(got, p)
			}
		}
	}
	t.Logf("the root imports %d packages of others, and with all that hang on them %d", len(got), packages)
	for _, p := range got {
		if !oneOf(p, rootImports) {
			t.Errorf("the root imports %s: is it worth what every program that imports bev then carries? If so, add it to rootImports (internal/lint/deps_test.go)", p)
		}
	}
	for _, p := range rootImports {
		if !oneOf(p, got) {
			t.Errorf("the root does not import %s any more: take it out of rootImports (internal/lint/deps_test.go)", p)
		}
	}
}

func words(s string) []string { return strings.Fields(s) }

// heavy are packages of the standard library that the root must not pull into
// every program, with the reason.
var heavy = map[string]string{
	"crypto/tls": "a program without TLS need not carry it; it belongs to bevtls",
	"net/http":   "nothing here speaks HTTP",
	"testing":    "it adds flags to every program",
	"go/parser":  "no code is read at run time",
}

// TestRootStaysLight looks for them among all that the root imports, directly or
// not.
func TestRootStaysLight(t *testing.T) {
	imports := strings.Fields(depsOnLinux(t))
	if !oneOf("errors", imports) {
		t.Fatalf("go list gave no imports of the root: %q", imports)
	}
	for _, text := range tooHeavy(imports) {
		t.Error(text)
	}
}

// tooHeavy picks the heavy ones of a list of imports.
func tooHeavy(imports []string) []string {
	var found []string
	for _, p := range imports {
		if reason := heavy[p]; reason != "" {
			found = append(found, fmt.Sprintf("the root pulls in %s: %s", p, reason))
		}
		first, _, _ := strings.Cut(p, "/")
		vendored := first == "vendor" // the standard library's own copies
		if strings.Contains(first, ".") && !vendored && !strings.HasPrefix(p, module) && !strings.HasPrefix(p, "golang.org/x/sys/") {
			found = append(found, fmt.Sprintf("the root pulls in %s: it may use the standard library and golang.org/x/sys only", p))
		}
	}
	return found
}

func TestTooHeavy(t *testing.T) {
	got := tooHeavy([]string{"net", "vendor/golang.org/x/net/dns/dnsmessage", "golang.org/x/sys/unix", path.Join(module, "buffer"), "crypto/tls", "example.com/a"})
	if len(got) != 2 || !strings.Contains(got[0], "crypto/tls") || !strings.Contains(got[1], "example.com/a") {
		t.Errorf("tooHeavy = %q, want crypto/tls and example.com/a", got)
	}
}

package lint

import (
	"cmp"
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"strings"
	"testing"
)

// command is one command of a page or script, as a shell cuts it.
type command struct {
	line  int
	span  bool     // it stands in a sentence, and may be no command at all
	dir   string   // where it runs: what "cd" before it in its block says, "." otherwise
	words []string // without quotes
}

// commands returns what a file has people or CI run: code in pages, all but
// comments in a script.
func commands(f *file) (list []command) {
	dir := "."
	add := func(line int, span bool, text string) {
		for _, words := range splitShell(text) {
			list = append(list, command{line, span, dir, words})
			if len(words) == 2 && words[0] == "cd" {
				dir = path.Join(dir, words[1])
			}
		}
	}
	switch {
	case path.Ext(f.path) == ".md":
		for _, line := range markdown(f.text) {
			switch {
			case line.opens:
				dir = "."
			case line.fence == "sh":
				add(line.number, false, line.text)
			case line.fence == "":
				for _, span := range codeSpan.FindAllStringSubmatch(line.text, -1) {
					dir = "."
					add(line.number, true, span[1])
				}
			}
		}
	case path.Ext(f.path) == ".sh" || f.path == ".ci/run":
		for i, line := range strings.Split(f.text, "\n") {
			add(i+1, false, line)
		}
	}
	return list
}

// splitShell cuts a line into commands and those into words, as far as the
// lines that people copy from pages need it: quotes, comments, and what stands
// between commands.
func splitShell(text string) (list [][]string) {
	var words []string
	var word strings.Builder
	started, quote := false, rune(0)
	endWord := func() {
		if started {
			words = append(words, word.String())
		}
		word.Reset()
		started = false
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			list = append(list, words)
		}
		words = nil
	}
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, started = r, true
		case r == '#' && !started:
			endCommand()
			return list
		case strings.ContainsRune("&|;()<>", r):
			endCommand()
		case r == ' ' || r == '\t':
			endWord()
		default:
			word.WriteRune(r)
			started = true
		}
	}
	endCommand()
	return list
}

func TestSplitShell(t *testing.T) {
	for text, want := range map[string]string{
		"make vet lint   # both":          "make vet lint",
		"cd x && make y >z":               "cd x + make y + z",
		`go test -run '^A B$' "./c" # d'`: "go test -run ^A B$ ./c",
		"a $(b c) | d":                    "a $ + b c + d",
		"x=a#b; echo ''":                  "x=a#b + echo ",
		"# nothing":                       "",
	} {
		var got []string
		for _, words := range splitShell(text) {
			got = append(got, strings.Join(words, " "))
		}
		if joined := strings.Join(got, " + "); joined != want {
			t.Errorf("splitShell(%q) = %q, want %q", text, joined, want)
		}
	}
}

var (
	makeTarget   = regexp.MustCompile(`^([a-z][a-z-]*):`)
	makeVariable = regexp.MustCompile(`^([A-Z]+) *[?:]?=`)
	targetWord   = regexp.MustCompile(`^[a-z][a-z-]*$`)
)

// checkTargets compares the Makefile with what the pages and the scripts call,
// targets and variables, and asks for the help text that "make help" prints.
func checkTargets(t *tree) []finding {
	makefile := t.file("Makefile")
	if makefile == nil {
		return nil
	}
	var found []finding
	var targets, variables []string
	for i, line := range strings.Split(makefile.text, "\n") {
		if m := makeVariable.FindStringSubmatch(line); m != nil {
			variables = append(variables, m[1])
		}
		if m := makeTarget.FindStringSubmatch(line); m != nil {
			targets = append(targets, m[1])
			if !strings.Contains(line, " ## ") {
				found = append(found, finding{makefile.path, i + 1, fmt.Sprintf("target %s has no help: add \"## what it does\" to the line", m[1])})
			}
		}
	}
	for _, f := range t.files {
		for _, c := range commands(f) {
			for _, word := range afterMake(c.words) {
				name, _, set := strings.Cut(word, "=")
				switch {
				case set && !oneOf(name, variables):
					found = append(found, finding{f.path, c.line, fmt.Sprintf("the Makefile has no variable %s", name)})
				case !set && targetWord.MatchString(name) && !oneOf(name, targets):
					found = append(found, finding{f.path, c.line, fmt.Sprintf("the Makefile has no target %s", name)})
				}
			}
		}
	}
	return found
}

// afterMake returns what a command tells make to do: the words behind it.
func afterMake(words []string) []string {
	for i, w := range words {
		if w == "make" {
			return words[i+1:]
		}
	}
	return nil
}

// testKinds are the beginnings of the names that go test knows.
const testKinds = "Test|Fuzz|Benchmark|Example"

var (
	testFunc = regexp.MustCompile(`^(?:` + testKinds + `)(?:[^a-z]|$)`)
	testName = regexp.MustCompile(`\b(?:` + testKinds + `)[A-Z0-9_]\w*…?`)
)

// patternKinds are the flags of go test that pick functions by a pattern, and
// which they pick from.
var patternKinds = map[string]*regexp.Regexp{
	"-run":   regexp.MustCompile("^(Test|Fuzz|Example)"),
	"-fuzz":  regexp.MustCompile("^Fuzz"),
	"-bench": regexp.MustCompile("^Benchmark"),
}

// checkTests asks of each test, fuzz target, benchmark and example that a page
// names that there is one; "TestInterop…" stands for all that begin so. A
// pattern of a command must pick at least one in the packages that it is for:
// go test itself calls a run of no tests a success.
func checkTests(t *tree) []finding {
	functions := t.testFunctions()
	var found []finding
	for _, f := range t.files {
		if path.Ext(f.path) != ".md" {
			continue
		}
		for _, line := range markdown(f.text) {
			if line.fence != "" && line.fence != "text" {
				continue
			}
			for _, name := range testName.FindAllString(withoutCommands(line.text), -1) {
				start, begins := strings.CutSuffix(name, "…")
				if !exists(functions, func(fn string) bool { return fn == start || begins && strings.HasPrefix(fn, start) }) {
					found = append(found, finding{f.path, line.number, fmt.Sprintf("there is no %s: name one that there is", name)})
				}
			}
		}
		for _, c := range commands(f) {
			for _, problem := range t.patterns(c, functions) {
				found = append(found, finding{f.path, c.line, problem})
			}
		}
	}
	return found
}

// withoutCommands takes the spans out of a line that are calls of go test,
// whose patterns are another matter.
func withoutCommands(text string) string {
	return codeSpan.ReplaceAllStringFunc(text, func(span string) string {
		if strings.HasPrefix(span, "`go test ") {
			return ""
		}
		return span
	})
}

// testFunctions returns what go test may run, by folder.
func (t *tree) testFunctions() map[string][]string {
	found := make(map[string][]string)
	for _, f := range t.goFiles() {
		if !f.test() {
			continue
		}
		t.funcs(f, func(d *ast.FuncDecl, _ int) {
			if d.Recv == nil && testFunc.MatchString(d.Name.Name) {
				found[f.dir()] = append(found[f.dir()], d.Name.Name)
			}
		})
	}
	return found
}

func exists(functions map[string][]string, is func(string) bool) bool {
	for _, list := range functions {
		for _, name := range list {
			if is(name) {
				return true
			}
		}
	}
	return false
}

// patterns says which patterns of a go test command, or of make's BENCH, pick
// nothing.
func (t *tree) patterns(c command, functions map[string][]string) (problems []string) {
	isTest := len(c.words) > 2 && c.words[0] == "go" && c.words[1] == "test" ||
		len(c.words) > 3 && strings.HasPrefix(c.words[0], "BEV_") && c.words[2] == "test"
	for i, w := range c.words {
		flag, pattern, set := strings.Cut(w, "=")
		in := functions
		switch {
		case set && flag == "BENCH" && oneOf("make", c.words):
			flag = "-bench"
		case isTest && patternKinds[flag] != nil:
			if !set && i+1 < len(c.words) {
				pattern = c.words[i+1]
			}
			in = chosen(c, functions)
		default:
			continue
		}
		pattern, _, _ = strings.Cut(pattern, "/") // the rest picks among subtests
		re, err := regexp.Compile(pattern)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s %s: %v", flag, pattern, err))
			continue
		}
		kind := patternKinds[flag]
		if pattern != "^$" && !exists(in, func(fn string) bool { return kind.MatchString(fn) && re.MatchString(fn) }) {
			problems = append(problems, fmt.Sprintf("%s %s picks nothing in the packages that the command is for", flag, pattern))
		}
	}
	return problems
}

// chosen cuts the functions down to the packages that a go test command is for:
// those that it names, or that of the folder it runs in.
func chosen(c command, functions map[string][]string) map[string][]string {
	in := make(map[string][]string)
	named := false
	for _, w := range c.words {
		if w == "work" {
			return functions
		}
		if w != "." && !strings.HasPrefix(w, "./") {
			continue
		}
		named = true
		root, all := strings.CutSuffix(w, "/...")
		root = path.Join(c.dir, root)
		for dir, list := range functions {
			if dir == root || all && (root == "." || within(dir, root)) {
				in[dir] = list
			}
		}
	}
	if !named {
		in[cmp.Or(c.dir, ".")] = functions[c.dir]
	}
	return in
}

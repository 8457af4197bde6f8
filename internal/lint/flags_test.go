package lint

import (
	"fmt"
	"go/ast"
	"path"
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// commandDir is the command whose flags the pages speak of, and rootCommand the
// struct that it begins with.
const (
	commandDir  = "cmd/bev"
	rootCommand = "cli"
)

// subcommand is what a struct of commandDir says to the parser of the command
// line: the commands under it, by their types, and its flags.
type subcommand struct {
	under map[string]string
	flags map[string]bool
}

// checkFlags asks of each call of bev in pages and scripts that it has such a
// command, and the command such flags.
func checkFlags(t *tree) []finding {
	types := make(map[string]*ast.StructType)
	for _, f := range t.goFiles(commandDir) {
		for _, decl := range f.ast.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok || f.test() {
				continue
			}
			for _, spec := range d.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok {
					if x, ok := s.Type.(*ast.StructType); ok {
						types[s.Name.Name] = x
					}
				}
			}
		}
	}
	if types[rootCommand] == nil {
		return nil
	}
	var found []finding
	for _, f := range t.files {
		for _, c := range commands(f) {
			if problem := callProblem(types, c.words); problem != "" {
				found = append(found, finding{f.path, c.line, problem})
			}
		}
	}
	return found
}

// callProblem says what is wrong with a command if it is a call of bev.
func callProblem(types map[string]*ast.StructType, words []string) string {
	for i := range words {
		if words[i] == "bev" && i == 0 || words[i] == "./bev" || words[i] == "./"+commandDir {
			return callOf(types, words[i:])
		}
	}
	return ""
}

func callOf(types map[string]*ast.StructType, words []string) string {
	name := path.Base(words[0])
	at := readCommand(types, rootCommand)
	for _, w := range words[1:] {
		flag, isFlag := strings.CutPrefix(w, "--")
		flag, _, _ = strings.Cut(flag, "=")
		switch {
		case isFlag && flag != "help" && flag != "version" && !at.flags[flag]:
			return fmt.Sprintf("%s has no flag --%s", name, flag)
		case isFlag || len(at.under) == 0:
		case at.under[w] == "":
			return fmt.Sprintf("%s has no command %s", name, w)
		default:
			name += " " + w
			at = readCommand(types, at.under[w])
		}
	}
	return ""
}

// readCommand reads a struct, and those embedded in it.
func readCommand(types map[string]*ast.StructType, name string) subcommand {
	s := subcommand{make(map[string]string), make(map[string]bool)}
	if types[name] == nil {
		return s
	}
	for _, field := range types[name].Fields.List {
		kind, _ := field.Type.(*ast.Ident)
		if len(field.Names) == 0 && kind != nil {
			for flag := range readCommand(types, kind.Name).flags {
				s.flags[flag] = true
			}
		}
		var tag reflect.StructTag
		if field.Tag != nil {
			text, _ := strconv.Unquote(field.Tag.Value)
			tag = reflect.StructTag(text)
		}
		_, isCommand := tag.Lookup("cmd")
		_, isArgument := tag.Lookup("arg")
		for _, id := range field.Names {
			word := tag.Get("name")
			if word == "" {
				word = kebab(id.Name)
			}
			switch {
			case isCommand && kind != nil:
				s.under[word] = kind.Name
			case !isArgument:
				s.flags[word] = true
			}
		}
	}
	return s
}

// kebab is a field's name as a flag: HalfOpen is half-open.
func kebab(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

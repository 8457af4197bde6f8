//go:build interop

package conformance

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	cComment  = regexp.MustCompile(`(?s)/\*.*?\*/`)
	cOff      = regexp.MustCompile(`(?s)#if 0\b.*?#endif`)
	cMacro    = regexp.MustCompile(`(?m)^[ \t]*#(?:.*\\\n)*.*$`)
	cFunction = regexp.MustCompile(`\b((?:bufferevent|evbuffer|evconnlistener|ev_token_bucket|evwatch|event|libevent)_\w+)[ \t]*\(`)
)

// declared returns the names of the functions that a header declares.
func declared(text string) map[string]bool {
	text = cMacro.ReplaceAllString(cOff.ReplaceAllString(cComment.ReplaceAllString(text, ""), ""), "")
	names := make(map[string]bool)
	for _, m := range cFunction.FindAllStringSubmatch(text, -1) {
		names[m[1]] = true
	}
	return names
}

// types look like functions where they are used or defined.
var types = map[string]bool{"bufferevent_filter_result": true}

// TestInteropFunctions compares the list of functions that docs/libevent.md has
// to explain with the headers that are installed: nothing may be missing there,
// or be made up here.
func TestInteropFunctions(t *testing.T) {
	list, err := os.ReadFile("libevent/functions.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]map[string]bool) // by header; false: newer than 2.1.12
	var header string
	for line := range strings.Lines(string(list)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case strings.HasSuffix(words[0], ".h"):
			header = words[0]
			listed[header] = make(map[string]bool)
		default:
			listed[header][words[0]] = len(words) == 1
		}
	}
	for header, names := range listed {
		text, err := os.ReadFile(filepath.Join("/usr/include/event2", header))
		if err != nil {
			if header == "watch.h" { // as of 2.2
				continue
			}
			t.Fatalf("%v: install libevent-dev", err)
		}
		installed := declared(string(text))
		for name := range installed {
			if _, ok := names[name]; !ok && !types[name] {
				t.Errorf("%s declares %s, and libevent/functions.txt does not list it", header, name)
			}
		}
		for name, old := range names {
			if old && !installed[name] {
				t.Errorf("%s does not declare %s: mark it new in libevent/functions.txt, or mend its name", header, name)
			}
		}
		t.Logf("%s: %d functions, %d of them installed", header, len(names), len(installed))
	}
}

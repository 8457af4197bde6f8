package lint

import (
	"regexp"
	"strings"
	"testing"
)

// functionsFile lists the functions of libevent's headers: a line with the
// header, then the names.
const functionsFile = "conformance/libevent/functions.txt"

// withoutCounterpart is the heading of the part of the page that says, in a
// table written by hand, which functions Go needs no counterpart of, and why.
const withoutCounterpart = "## Functions that need no counterpart"

// header is a header of libevent's with its functions.
type header struct {
	name      string
	functions []string
}

// headers reads functionsFile.
func headers(text string) (list []header) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case strings.HasSuffix(words[0], ".h"):
			list = append(list, header{name: words[0]})
		case len(list) > 0:
			h := &list[len(list)-1]
			h.functions = append(h.functions, words[0])
		}
	}
	return list
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// explained returns the functions that the page's table says Go needs no
// counterpart of, with the lines of their rows.
func explained(page string) map[string]int {
	names := make(map[string]int)
	inside := false
	for i, line := range strings.Split(page, "\n") {
		if strings.HasPrefix(line, "## ") {
			inside = line == withoutCounterpart
		}
		cells := strings.Split(line, "|")
		if !inside || len(cells) < 4 || strings.TrimSpace(cells[2]) == "" {
			continue
		}
		for _, m := range codeSpan.FindAllStringSubmatch(cells[1], -1) {
			names[m[1]] = i + 1
		}
	}
	return names
}

// checkPorted asks of each function of libevent's that it has a counterpart
// here, which a doc comment names, or a row that says why it needs none; and
// that the names are libevent's.
func checkPorted(t *tree) []finding {
	list, page := t.file(functionsFile), t.file(libeventPage)
	if list == nil || page == nil {
		return nil
	}
	var found []finding
	mapped := make(map[string]string)
	symbols, _ := ancestors(t)
	for _, a := range symbols {
		mapped[a.libevent] = a.ours
	}
	why := explained(page.text)
	known := make(map[string]bool)
	for _, h := range headers(list.text) {
		for _, name := range h.functions {
			known[name] = true
			line, reason := why[name]
			switch {
			case mapped[name] != "" && reason:
				found = append(found, finding{libeventPage, line, name + " has a counterpart by now, " + mapped[name] + ": take it out of this row"})
			case mapped[name] == "" && !reason:
				found = append(found, finding{libeventPage, 1, name + " of " + h.name + " has no counterpart: name it in the doc comment of what stands for it, or add a row under \"" + withoutCounterpart + "\" that says why Go needs none"})
			}
		}
	}
	for name, line := range why {
		if !known[name] {
			found = append(found, finding{libeventPage, line, name + " is no function that " + functionsFile + " knows"})
		}
	}
	for _, a := range symbols {
		if covered(a.libevent) && !known[a.libevent] {
			found = append(found, finding{libeventPage, 1, a.ours + " names " + a.libevent + ", which " + functionsFile + " does not know: mend the name, or write \"struct\" before it"})
		}
	}
	return found
}

// covered reports whether a name looks like a function of the headers whose
// functions are listed. Types of callbacks look like functions.
func covered(name string) bool {
	return hasAnyPrefix(name, []string{"bufferevent_", "evbuffer_", "evconnlistener_", "event_", "evwatch_"}) && !strings.HasSuffix(name, "_cb") || known(name)
}

// known are functions whose names end as those of types do.
func known(name string) bool {
	return oneOf(name, []string{"evbuffer_add_cb", "evbuffer_remove_cb", "evconnlistener_set_cb", "evconnlistener_set_error_cb"})
}

// TestFunctionsOfLibevent pins the numbers: a list that lost a line would ask
// for less.
func TestFunctionsOfLibevent(t *testing.T) {
	want := map[string]int{"bufferevent.h": 64, "buffer.h": 52, "listener.h": 9, "event.h": 70, "watch.h": 5}
	list := repository(t).file(functionsFile)
	if list == nil {
		t.Fatalf("there is no %s", functionsFile)
	}
	seen := make(map[string]bool)
	for _, h := range headers(list.text) {
		if n := want[h.name]; n != len(h.functions) {
			t.Errorf("%s has %d functions in the list, want %d", h.name, len(h.functions), n)
		}
		delete(want, h.name)
		for _, name := range h.functions {
			if seen[name] {
				t.Errorf("%s is listed twice", name)
			}
			seen[name] = true
		}
	}
	for name := range want {
		t.Errorf("the list has no %s", name)
	}
}

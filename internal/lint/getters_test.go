package lint

import (
	"go/token"
	"strings"
)

// checkGetters asks for a getter beside each setter of the public packages:
// SetIdleTimeout has IdleTimeout, as bufferevent.h has a get for nearly every
// set. What was set can then be looked at, and put back.
func checkGetters(t *tree) []finding {
	var found []finding
	symbols := t.publicSymbols()
	exists := make(map[string]bool)
	for _, s := range symbols {
		exists[qualified(s)] = true
	}
	for _, s := range symbols {
		receiver, method, _ := strings.Cut(s.name, ".")
		what, ok := strings.CutPrefix(method, "Set")
		if !ok || s.kind != plain || !token.IsExported(what) {
			continue
		}
		getter := strings.TrimSuffix(qualified(s), s.name) + receiver + "." + what
		if !exists[getter] {
			found = append(found, t.at(s.file, s.pos, "%s has no getter: add %s.%s", s.name, receiver, what))
		}
	}
	return found
}

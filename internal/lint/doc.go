// Package lint holds the repository to its own rules. It has no code but
// tests: each rule of docs/STYLE.md that a program can check is checked here,
// on every run of the tests, so that nobody has to remember it in a review.
//
// A rule is a function from the repository's text to findings, and a row of
// the table in lint_test.go. Each has a sample in testdata under its name, a
// small repository that breaks it and lists what the rule must say; a rule
// that finds nothing in its sample fails. What may differ from a rule stands
// in a table beside it, each row with its reason. To allow something, add a
// row; the reason is what a reviewer reads.
//
// Parts of the page docs/libevent.md are generated: the table of names from the
// "Libevent: name." lines of the doc comments, the lists of differences from the
// tables of package conformance, the two programs from their files:
//
//	go generate ./internal/lint
package lint

//go:generate go test -run=^TestLibeventPage$ -update .

package lint

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

// libeventPage is written by hand but for the parts between marks, which are
// made from what they are about and so cannot fall behind it.
const (
	libeventPage  = "docs/libevent.md"
	generatedFrom = "<!-- generated %s: go generate ./internal/lint -->"
	generatedTo   = "<!-- end of generated part -->"
)

var update = flag.Bool("update", false, "write the generated parts of "+libeventPage)

// ancestor is one name of libevent's and what stands for it here.
type ancestor struct {
	libevent string
	ours     string // as a user writes it, "bev.Conn.Write"
	unlike   string // how the meaning differs, "" when it does not
}

// libeventName is a name of libevent's in the middle of a sentence.
var libeventName = regexp.MustCompile(`\b(?:(?:struct|enum) \w+` +
	`|(?:bufferevent|evbuffer|evconnlistener|ev_token_bucket|event|evtimer|evsignal|evwatch|evutil)_\w+` +
	`|(?:BEV|EV|EVBUFFER|EVLOOP|LEV)_\w+)`)

// ancestors collects the libevent lines of the public packages: the last
// paragraph of a doc comment, "Libevent: " and a sentence that holds the
// names, with more sentences after it if need be. One that names nothing, or
// stands elsewhere, is a finding.
func ancestors(t *tree) (list []ancestor, bad []finding) {
	for _, s := range t.publicSymbols() {
		paragraphs := strings.Split(strings.TrimSpace(s.doc), "\n\n")
		for i, p := range paragraphs {
			p = strings.Join(strings.Fields(p), " ")
			if !strings.Contains(p, "Libevent: ") {
				continue
			}
			if strings.HasPrefix(p, "Libevent: none") {
				continue // it says that there is nothing to name
			}
			sentence, _, _ := strings.Cut(p, ". ")
			names := libeventName.FindAllString(sentence, -1)
			if len(names) == 0 || i != len(paragraphs)-1 || !strings.HasPrefix(p, "Libevent: ") {
				bad = append(bad, t.at(s.file, s.pos, `the doc comment of %s must end with a paragraph "Libevent: bufferevent_write." that names what it comes from`, s.name))
				continue
			}
			for _, name := range names {
				list = append(list, ancestor{name, qualified(s), unlike(s.doc)})
			}
		}
	}
	sort.SliceStable(list, func(i, j int) bool {
		if a, b := bare(list[i].libevent), bare(list[j].libevent); a != b {
			return a < b
		}
		return list[i].ours < list[j].ours
	})
	return list, bad
}

// bare returns a C name without the word that says what kind it is.
func bare(name string) string { return name[strings.LastIndexByte(name, ' ')+1:] }

// qualified returns a symbol's name as it is written outside its package.
func qualified(s symbol) string {
	if s.file.dir() == "." {
		return "bev." + s.name
	}
	return s.file.dir() + "." + s.name
}

// unlike returns the sentence of a doc comment that begins with "Unlike
// libevent", "" when there is none.
func unlike(doc string) string {
	doc = strings.Join(strings.Fields(doc), " ")
	i := strings.Index(doc, "Unlike libevent")
	if i < 0 {
		return ""
	}
	sentence, _, _ := strings.Cut(docLink.ReplaceAllString(doc[i:], "`$1`"), ". ")
	return strings.TrimSuffix(sentence, ".") + "."
}

// docLink is a name in brackets, which only Go's documentation makes a link of.
var docLink = regexp.MustCompile(`\[\*?([A-Za-z][\w.]*)\]`)

// chapters sort libevent's names by what they begin with; the last takes what
// is left.
var chapters = []struct {
	title    string
	prefixes []string
}{
	{"Buffered connections", []string{"bufferevent", "BEV_", "ev_token_bucket"}},
	{"Buffers", []string{"evbuffer", "EVBUFFER_"}},
	{"Listeners", []string{"evconnlistener", "LEV_"}},
	{"Loop, watches, timers, signals", []string{"event", "evtimer", "evsignal", "evwatch", "EV_", "EVLOOP_"}},
	{"Everything else", []string{""}},
}

// generated returns the generated part of the page: a table for each chapter,
// a row for each of libevent's names.
func generated(list []ancestor) string {
	var out strings.Builder
	done := make(map[string]bool)
	for _, c := range chapters {
		title := fmt.Sprintf("\n### %s\n\n| libevent | bev | where the meaning differs |\n|---|---|---|\n", c.title)
		for _, a := range list {
			if done[a.libevent] || !hasAnyPrefix(bare(a.libevent), c.prefixes) {
				continue
			}
			done[a.libevent] = true
			out.WriteString(title + row(a.libevent, list))
			title = ""
		}
	}
	return out.String() + "\n"
}

// row returns the table's row for one of libevent's names, with all that list
// has for it.
func row(libevent string, list []ancestor) string {
	var ours, unlike []string
	for _, a := range list {
		if a.libevent != libevent {
			continue
		}
		ours = append(ours, "`"+a.ours+"`")
		if a.unlike != "" {
			unlike = append(unlike, strings.ReplaceAll(a.unlike, "|", `\|`))
		}
	}
	return fmt.Sprintf("| `%s` | %s | %s |\n", libevent, strings.Join(ours, ", "), strings.Join(unlike, " "))
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// A part of the page that is generated.
type pagePart struct {
	name string                          // in its marks
	from string                          // the file without which there is none, "" if there always is
	make func(*tree) (string, []finding) // the text, and what is wrong with where it comes from
}

// pageParts, in the order in which they are on the page or any other.
var pageParts = []pagePart{
	{"program in C", twinC, func(t *tree) (string, []finding) { return t.codeBlock("c", twinC), nil }},
	{"program in Go", twinGo, func(t *tree) (string, []finding) { return t.codeBlock("go", twinGo), nil }},
	{"differences", differencesFile, differences},
	{"buffer differences", bufferDifferencesFile, bufferDifferences},
	{"names", "", func(t *tree) (string, []finding) {
		list, bad := ancestors(t)
		return generated(list), bad
	}},
}

// twinC and twinGo are one program, on libevent and on bev.
const (
	twinC  = "interop/testdata/twin.c"
	twinGo = "examples/twin/main.go"
)

// codeBlock is a file as a block of a page.
func (t *tree) codeBlock(language, path string) string {
	return "\n```" + language + "\n" + t.file(path).text + "```\n\n"
}

// renew returns the page with all its generated parts made anew.
func (t *tree) renew(page string) (string, []finding) {
	var found []finding
	for _, p := range pageParts {
		if p.from != "" && t.file(p.from) == nil {
			continue
		}
		text, bad := p.make(t)
		found = append(found, bad...)
		from := fmt.Sprintf(generatedFrom, p.name)
		before, rest, ok := strings.Cut(page, from+"\n")
		_, after, ok2 := strings.Cut(rest, generatedTo)
		if !ok || !ok2 {
			found = append(found, finding{libeventPage, 1, fmt.Sprintf("the page must hold the lines %q and %q", from, generatedTo)})
			continue
		}
		page = before + from + "\n" + text + generatedTo + after
	}
	return page, found
}

// checkLibevent compares the page with what it is made from.
func checkLibevent(t *tree) []finding {
	page := t.file(libeventPage)
	if page == nil {
		return []finding{{libeventPage, 1, "the page is missing"}}
	}
	want, found := t.renew(page.text)
	if want != page.text {
		found = append(found, finding{libeventPage, 1, "the page is not what it is made from: run go generate ./internal/lint"})
	}
	return found
}

// TestLibeventPage writes the page when asked to with -update. Whether it is
// current, TestRepository says.
func TestLibeventPage(t *testing.T) {
	r := repository(t)
	text, bad := r.renew(r.file(libeventPage).text)
	for _, f := range bad {
		t.Error(f)
	}
	if !*update || t.Failed() {
		return
	}
	if err := os.WriteFile(filepath.Join("..", "..", libeventPage), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestGenerated(t *testing.T) {
	sample, _ := readSample(t, "libevent")
	list, _ := ancestors(sample)
	want := strings.Join([]string{
		"", "### Buffered connections", "",
		"| libevent | bev | where the meaning differs |", "|---|---|---|",
		"| `BEV_OPT_CLOSE_ON_FREE` | `bev.Options.KeepOpen` |  |",
		"| `struct bufferevent` | `bev.Conn` |  |",
		"| `bufferevent_free` | `bev.Conn.Close`, `bev.Handle.Close` |  |",
		`| ` + "`bufferevent_write` | `bev.Conn.Write`" + ` | Unlike libevent, it fails at a ` + "`Limit`" + ` \| never late. |`,
		"", "### Buffers", "",
		"| libevent | bev | where the meaning differs |", "|---|---|---|",
		"| `evbuffer_add` | `buffer.Buffer.Append` |  |",
		"| `evbuffer_add_printf` | `buffer.Buffer.Append` |  |",
		"", "",
	}, "\n")
	if got := generated(list); got != want {
		t.Errorf("generated part:\n%s\nwant:\n%s", got, want)
	}
}

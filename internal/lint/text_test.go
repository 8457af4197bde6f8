package lint

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
)

// unfinished marks work that somebody meant to come back to. What is not done
// is an issue, where others can find it. (Written in halves, so that this file
// does not hold them itself.)
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`)

// checkWords finds marks of unfinished work in any text.
func checkWords(t *tree) []finding {
	var found []finding
	for _, f := range t.files {
		for i, line := range strings.Split(f.text, "\n") {
			if word := unfinished.FindString(line); word != "" {
				found = append(found, finding{f.path, i + 1, word + ": finish it, or open an issue and name it here"})
			}
		}
	}
	return found
}

// mdLine is a line of a markdown page.
type mdLine struct {
	number int
	text   string
	fence  string // the language of the code block that it is in, "text" when none is said; "" outside
	opens  bool   // it is the line that opens the block
}

// markdown cuts a page into lines. Lines that close a block are left out.
func markdown(text string) []mdLine {
	var lines []mdLine
	fence := ""
	for i, line := range strings.Split(text, "\n") {
		lang, mark := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case mark && fence != "":
			fence = ""
		case mark:
			fence = lang
			if fence == "" {
				fence = "text"
			}
			lines = append(lines, mdLine{i + 1, line, fence, true})
		default:
			lines = append(lines, mdLine{i + 1, line, fence, false})
		}
	}
	return lines
}

// checkReadme compares each Go block of the README with the examples, which
// are compiled: the block must stand in one of them line by line, moved in by
// any number of tabs. So what people copy from the README works.
func checkReadme(t *tree) []finding {
	readme := t.file("README.md")
	if readme == nil {
		return nil
	}
	var found []finding
	var block []string
	start := 0
	flush := func() {
		if start != 0 && !compiled(t, block) {
			found = append(found, finding{readme.path, start, "this Go block stands in no example (example*_test.go in the root, examples/): make the two equal"})
		}
		block, start = nil, 0
	}
	for _, line := range markdown(readme.text) {
		if line.opens || line.fence != "go" {
			flush()
		}
		if line.fence == "go" {
			if line.opens {
				start = line.number
				continue
			}
			block = append(block, line.text)
		}
	}
	flush()
	return found
}

// compiled reports whether the lines stand together in an example.
func compiled(t *tree, block []string) bool {
	want := strings.Join(dedent(block), "\n")
	for _, f := range t.goFiles() {
		example := f.dir() == "." && f.test() && strings.HasPrefix(f.base(), "example") || within(f.dir(), "examples")
		if !example {
			continue
		}
		lines := strings.Split(f.text, "\n")
		for i := 0; i+len(block) <= len(lines); i++ {
			if len(block) > 0 && strings.Join(dedent(lines[i:i+len(block)]), "\n") == want {
				return true
			}
		}
	}
	return false
}

// dedent takes from all lines the tabs that the first begins with.
func dedent(lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	indent := lines[0][:len(lines[0])-len(strings.TrimLeft(lines[0], "\t"))]
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = strings.TrimPrefix(line, indent)
	}
	return out
}

var (
	mdLink  = regexp.MustCompile(`\]\(([^)\s]+)(?:\s+"[^"]*")?\)`)
	mdRef   = regexp.MustCompile(`^\[[^\]]+\]:\s+(\S+)`)
	mdCode  = regexp.MustCompile("`[^`]*`")
	mdTitle = regexp.MustCompile(`^#{1,6} +(.*)`)
)

// checkLinks follows the links between the pages of the repository, to files
// and to headings.
func checkLinks(t *tree) []finding {
	var found []finding
	for _, f := range t.files {
		if path.Ext(f.path) != ".md" {
			continue
		}
		for _, line := range markdown(f.text) {
			if line.fence != "" {
				continue
			}
			text := mdCode.ReplaceAllString(line.text, "")
			for _, m := range append(mdLink.FindAllStringSubmatch(text, -1), mdRef.FindAllStringSubmatch(text, -1)...) {
				if problem := t.follow(f, m[1]); problem != "" {
					found = append(found, finding{f.path, line.number, problem})
				}
			}
		}
	}
	return found
}

// follow says what is wrong with a link, "" when nothing is or when it leads
// out of the repository.
func (t *tree) follow(from *file, link string) string {
	if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
		return ""
	}
	target, anchor, _ := strings.Cut(link, "#")
	to := from.path
	if target != "" {
		to = path.Join(from.dir(), target)
	}
	if !t.paths[to] {
		return fmt.Sprintf("the link to %s leads nowhere: there is no %s", link, to)
	}
	if page := t.file(to); anchor != "" && page != nil && path.Ext(to) == ".md" && !oneOf(anchor, anchors(page.text)) {
		return fmt.Sprintf("the link to %s leads nowhere: %s has no heading #%s", link, to, anchor)
	}
	return ""
}

// anchors returns the names that a page's headings have in links: in lower
// case, spaces as hyphens, without punctuation.
func anchors(text string) []string {
	var list []string
	for _, line := range markdown(text) {
		m := mdTitle.FindStringSubmatch(line.text)
		if m == nil || line.fence != "" {
			continue
		}
		list = append(list, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(m[1])))
	}
	return list
}

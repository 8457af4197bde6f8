//go:build interop

package conformance

import (
	"regexp"
	"slices"
	"strconv"
)

// shrink cuts a list of lines that fails down to one that still does and from
// which nothing can be left out, and then makes its numbers small. fails is
// asked some hundred times.
func shrink(lines []string, fails func([]string) bool) []string {
	lines = slices.Clone(lines)
	for size := len(lines) / 2; size > 0; {
		cut := false
		for at := len(lines) - size; at >= 0; at -= size {
			shorter := slices.Concat(lines[:at], lines[at+size:])
			if fails(shorter) {
				lines, cut = shorter, true
			}
		}
		if !cut || size > 1 {
			size /= 2
		}
	}
	for i := range lines {
		lines = shrinkNumbers(lines, i, fails)
	}
	return lines
}

var number = regexp.MustCompile(`\b[1-9][0-9]*\b`)

// shrinkNumbers makes the numbers of one line as small as it can: 0, or by
// halves, or by ones.
func shrinkNumbers(lines []string, i int, fails func([]string) bool) []string {
	for k := 0; ; k++ {
		at := number.FindAllStringIndex(lines[i], -1)
		if k >= len(at) {
			return lines
		}
		replace := func(n int) bool {
			shorter := slices.Clone(lines)
			shorter[i] = lines[i][:at[k][0]] + strconv.Itoa(n) + lines[i][at[k][1]:]
			if !fails(shorter) {
				return false
			}
			lines = shorter
			return true
		}
		n, err := strconv.Atoi(lines[i][at[k][0]:at[k][1]])
		if err != nil || n == 0 || replace(0) {
			continue
		}
		for step := n / 2; step > 0; {
			if n-step > 0 && replace(n-step) {
				n -= step
				at = number.FindAllStringIndex(lines[i], -1)
			} else {
				step /= 2
			}
		}
	}
}

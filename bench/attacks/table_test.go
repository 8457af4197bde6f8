package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	attacks := []attack{{name: "a", title: "A", args: words("loris --conns=1")}, {name: "b", title: "B", files: 5}}
	table := &table{
		servers: []server{{name: "one"}, {name: "two"}, {name: "three"}},
		attacks: attacks,
		cells: [][]outcome{
			{{Grown: 0.4, CPU: 0.2}, {Grown: -3}},
			{{Grown: 948.5, CPU: 61.3, Newcomer: "refused"}, {gone: true}},
			{{Trouble: "timeout"}, {failed: errors.New("a | b\nc")}},
		},
	}
	var out bytes.Buffer
	table.print(&out)
	for _, want := range []string{
		"| | A | B |\n|---|---:|---:|\n",
		"| one | 0, 0 % | 0, 0 % |\n",
		"| two | 948, 61 %, **then deaf** | **ends** |\n",
		"| three | 0, 0 %, **others starve** | failed: a / b c |\n",
		"- A: `bev flood loris --conns=1`\n", "that may have 5 descriptors",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// What a server is asked for is spelt as bev flood spells it.
func TestEveryAttackIsOneOfFloods(t *testing.T) {
	for _, a := range every {
		if a.title == "" || len(a.args) == 0 || !strings.Contains("unread loris bytes reset vanish connect half-open", a.args[0]) {
			t.Errorf("the attack %q runs bev flood %q", a.name, a.args)
		}
	}
}

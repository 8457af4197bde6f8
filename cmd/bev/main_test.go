package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/bevgo/bev/internal/leak"
)

// beTheProgram in the environment makes the test binary the program itself, so
// that the tests run what go test has built, race detector included.
const beTheProgram = "BEV_TEST_RUNS_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(beTheProgram) != "" {
		main()
	}
	leak.Main(m)
}

// runHere runs the program inside the test. It is for command lines that open
// nothing.
func runHere(args ...string) (status int, out, errs string) {
	var o, e bytes.Buffer
	status = run(args, stdio{nil, &o, &e})
	return status, o.String(), e.String()
}

func TestUsageErrors(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"ecco", `unexpected argument ecco, did you mean "echo"? (see bev --help)`},
		{"--nonsense", `unknown flag --nonsense`},
		{"help ecco", `there is no command "ecco"`},
		{"version now", `unexpected argument now (see bev version --help)`},

		{"echo --listn :0", `unknown flag --listn, did you mean "--listen"? (see bev echo --help)`},
		{"echo :0", `unexpected argument :0`},
		{"echo --listen 5555", `"5555" is not an address: want HOST:PORT`},
		{"echo --listen localhost:", `is not an address`},
		{"echo --listen ::1", `is not an address`},
		{"echo --network udp", `--network must be one of`},
		{"echo --network unix", `--network=unix needs --listen=PATH (see bev echo --help)`},
		{"echo --log xml", `--log must be one of "text","json" but got "xml"`},
		{"echo --read-high many", `--read-high: expected`},
		{"echo --read-high=-1", `a mark cannot be negative`},
		{"echo --read-low=-1", `a mark cannot be negative`},
		{"echo --write-low=-1", `a mark cannot be negative`},
		{"echo --read-low=11 --read-high=10", `--read-low=11 is above --read-high=10`},
		{"echo --read-timeout=soon", `--read-timeout: expected duration`},
		{"echo --read-timeout=-1s", `a time cannot be negative`},
		{"echo --write-timeout=-1s", `a time cannot be negative`},
		{"echo --idle-timeout=-1s", `a time cannot be negative`},
		{"echo --user-timeout=-1s", `a time cannot be negative`},
		{"echo --grace=-1s", `a time cannot be negative`},

		{"client", `expected "<address>" (see bev client --help)`},
		{"client localhost", `"localhost" is not an address: want HOST:PORT`},
		{"client :1 b", `unexpected argument b`},
		{"client --timeout=-1s :1", `--timeout=-1s: a time cannot be negative`},
	} {
		status, out, errs := runHere(strings.Fields(test.args)...)
		if status != statusUsage || out != "" {
			t.Errorf("bev %s: status %d and output %q, want %d and none", test.args, status, out, statusUsage)
		}
		wantLine(t, "bev "+test.args, errs, test.want)
	}
}

// wantLine asks for one line of error that begins with the program's name and
// holds want.
func wantLine(t *testing.T, what, errs, want string) {
	t.Helper()
	if !strings.HasPrefix(errs, "bev: ") || strings.Count(errs, "\n") != 1 || !strings.HasSuffix(errs, "\n") || !strings.Contains(errs, want) {
		t.Errorf("%s: said %q, want one line with %q", what, errs, want)
	}
}

func TestHelp(t *testing.T) {
	for _, test := range []struct {
		args string
		want []string
	}{
		{"--help", []string{"bev <command>", "\n  echo ", "\n  client ", "\n  flood ", "\n  version ", "\n  help "}},
		{"-h", []string{"bev <command>"}},
		{"help", []string{"bev <command>"}},
		{"echo --help", []string{
			"bev echo", "--listen=ADDR", defaultListen, "--network=NAME", "--prefix=TEXT", "--read-low=BYTES", "--read-high=BYTES", "--write-low=BYTES",
			"--output-limit=BYTES", "--read-timeout=TIME", "--write-timeout=TIME", "--idle-timeout=TIME", "--keep-alive=TIME", "--user-timeout=TIME", "--grace=TIME", "--log=FORM", "--quiet",
		}},
		{"client --help", []string{"bev client <address>", "--network=NAME", "--timeout=TIME", "Ctrl-D"}},
		{"flood --help", []string{"flood unread", "flood loris", "flood bytes", "flood reset", "flood vanish", "flood connect", "flood half-open", "--pid", "--remote"}},
		{"flood loris --help", []string{"bev flood loris <addr>", "--conns=N", "--duration=TIME", "--quiet=TIME", "--pid=N", "--remote", "--json"}},
		{"version --help", []string{"bev version"}},
	} {
		status, out, errs := runHere(strings.Fields(test.args)...)
		if status != statusOK || errs != "" {
			t.Errorf("bev %s: status %d and %q, want %d and no error", test.args, status, errs, statusOK)
		}
		for _, want := range test.want {
			if !strings.Contains(out, want) {
				t.Errorf("bev %s: no %q in\n%s", test.args, want, out)
			}
		}
	}
}

func TestHelpCommand(t *testing.T) {
	for _, command := range []string{"echo", "client", "flood", "version", "help"} {
		_, want, _ := runHere(command, "--help")
		status, out, errs := runHere("help", command)
		if status != statusOK || out != want || errs != "" || out == "" {
			t.Errorf("bev help %s: status %d, %q, %q; want what bev %s --help prints:\n%s", command, status, out, errs, command, want)
		}
	}
}

// A newcomer types the name alone and deserves the whole help; a script that
// does so has a bug and deserves a status.
func TestNoCommand(t *testing.T) {
	status, out, errs := runHere()
	if status != statusUsage || out != "" || !strings.Contains(errs, "Commands:") {
		t.Errorf("bev: status %d, output %q and %q; want %d, none, and the help", status, out, errs, statusUsage)
	}
}

func TestVersion(t *testing.T) {
	for _, args := range []string{"version", "--version"} {
		status, out, errs := runHere(args)
		if status != statusOK || errs != "" || !strings.HasPrefix(out, "bev ") || strings.Count(out, "\n") != 1 || !strings.Contains(out, " go1.") {
			t.Errorf("bev %s: status %d, %q, %q; want one line with bev's version and Go's", args, status, out, errs)
		}
	}
}

// Attacks runs every attack of "bev flood" against bev and against the
// libraries that a user would pick instead, each in a process of its own, and
// prints what became of them as a table (Markdown).
//
//	cd bench && go run ./attacks
//	cd bench && go run ./attacks -servers 'bev|gnet' -attacks unread -v
//
// It needs Linux, gcc and libevent-dev, and takes five minutes. Memory and
// descriptors are what they are on any machine; CPU time is the server's own,
// and is looked at while nobody asks for anything: a server that is fit has
// nothing to do then.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "attacks:", err)
		os.Exit(1)
	}
}

func run() error {
	servers := flag.String("servers", "", "only servers whose name matches this regular expression")
	attacks := flag.String("attacks", "", "only attacks whose name matches this regular expression")
	verbose := flag.Bool("v", false, "print all that bev flood says")
	flag.Parse()
	wantServer, err := regexp.Compile(*servers)
	if err != nil {
		return err
	}
	wantAttack, err := regexp.Compile(*attacks)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	bin, err := os.MkdirTemp("", "bev-attacks-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	fmt.Fprintln(os.Stderr, "building the servers and bev flood …")
	if err := build(ctx, bin); err != nil {
		return err
	}
	t := &table{bin: bin, verbose: *verbose}
	for _, s := range all {
		if wantServer.MatchString(s.name) {
			t.servers = append(t.servers, s)
		}
	}
	for _, a := range every {
		if wantAttack.MatchString(a.name) {
			t.attacks = append(t.attacks, a)
		}
	}
	if len(t.servers) == 0 || len(t.attacks) == 0 {
		return fmt.Errorf("no server or no attack has such a name; there are%s", names())
	}
	if err := t.fill(ctx); err != nil {
		return err
	}
	t.print(os.Stdout)
	return nil
}

// names lists what the flags pick from.
func names() (list string) {
	for _, s := range all {
		list += " " + s.name
	}
	list += ", and"
	for _, a := range every {
		list += " " + a.name
	}
	return list
}

// server is one echo server, and how to start it.
type server struct {
	name string
	args []string // the binary, and what comes before the address
	c    bool     // a C program: its address is two words
}

var all = []server{
	{name: "bev", args: []string{"servers", "bev"}},
	{name: "libevent", args: []string{"libevent_echo"}, c: true},
	{name: "gnet", args: []string{"servers", "gnet"}},
	{name: "netpoll", args: []string{"servers", "netpoll"}},
	{name: "nbio", args: []string{"servers", "nbio"}},
	{name: "gaio", args: []string{"servers", "gaio"}},
	{name: "evio", args: []string{"servers", "evio"}},
	{name: "net", args: []string{"servers", "net"}},
}

// attack is one way to do harm.
type attack struct {
	name  string
	title string
	args  []string // of "bev flood"
	files uint64   // descriptors that the server may have, 0: as many as we
}

var every = []attack{
	{name: "unread", title: "never reads", args: words("unread --offer=500000000 --duration=20s")},
	{name: "loris", title: "slow loris", args: words("loris --conns=2000 --duration=3s")},
	{name: "bytes", title: "single bytes", args: words("bytes --conns=50 --duration=3s")},
	{name: "reset", title: "resets", args: words("reset --duration=3s")},
	{name: "vanish", title: "vanish", args: words("vanish --duration=3s")},
	{name: "connect", title: "5000 at once", args: words("connect --conns=5000 --duration=3s")},
	{name: "half-open", title: "half-open", args: words("half-open --conns=1000 --duration=3s")},
	{name: "exhaust", title: "no descriptors", args: words("connect --conns=600 --duration=3s"), files: 256},
}

func words(s string) []string { return strings.Fields(s) }

// build makes all binaries.
func build(ctx context.Context, bin string) error {
	for _, args := range [][]string{
		{"go", "build", "-o", filepath.Join(bin, "servers"), "./servers"},
		{"go", "build", "-o", filepath.Join(bin, "bev"), "github.com/bevgo/bev/cmd/bev"},
		{"gcc", "-O2", "-Wall", "-pthread", "-o", filepath.Join(bin, "libevent_echo"), "c/libevent_echo.c", "-levent", "-levent_pthreads"},
	} {
		out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%v: %w (the C server needs gcc and Debian's libevent-dev; run in the folder bench)\n%s", args, err, out)
		}
	}
	return nil
}

// Bev shows what the library does, on real sockets: an echo server and a
// client, each one file that uses nothing but the public API.
//
//	go run github.com/bevgo/bev/cmd/bev echo
//	go run github.com/bevgo/bev/cmd/bev client localhost:5555
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

func main() {
	os.Exit(run(os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}

// stdio is where a command reads and writes. Results go to out, all that is
// said about them to err, so that one can be piped without the other. The
// input is a file because an event loop needs its descriptor.
type stdio struct {
	in       *os.File
	out, err io.Writer
}

// Exit statuses. A script tells a mistake in its own command line, which will
// not go away, from a port that is taken or a server that is down.
const (
	statusOK     = 0
	statusFailed = 1
	statusUsage  = 2
)

// cli lists the commands. Each has a file of its own; its fields are its
// flags, its method Run does the work.
type cli struct {
	Echo    echoCmd    `cmd:"" help:"Serve: send back whatever is received."`
	Client  clientCmd  `cmd:"" help:"Talk to a server: send what is typed, print what comes back."`
	Proxy   proxyCmd   `cmd:"" help:"Relay: connect each caller to another server."`
	Flood   floodCmd   `cmd:"" help:"Attack a server of yours, and see what becomes of it."`
	Bench   benchCmd   `cmd:"" help:"Measure an echo server, of whatever make."`
	Version versionCmd `cmd:"" help:"Say which version this is."`
	Help    helpCmd    `cmd:"" help:"Explain a command."`

	VersionFlag kong.VersionFlag `name:"version" help:"Say which version this is."`
}

const description = `Echo server, client and proxy on bev, the event loop with buffered connections; ` +
	`and attacks on servers of yours, and measurements. Try "bev echo" in one terminal and "bev client localhost:5555" in another.`

// run is main without the process: it returns the exit status.
func run(args []string, std stdio) int {
	exited := -1 // the status that kong asks for once it has printed help
	parser := kong.Must(&cli{},
		kong.Name("bev"),
		kong.Description(description),
		kong.Vars{"version": version(), "listen": defaultListen},
		kong.Writers(std.out, std.err),
		kong.Exit(func(status int) { exited = status }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.ExplicitGroups(groups),
		kong.Bind(std),
	)
	if len(args) == 0 {
		// Not a line about a missing word, but all that a newcomer may want.
		// It is still an error: a script did not mean this.
		parser.Stdout = std.err
		_, _ = parser.Parse([]string{"--help"})
		return statusUsage
	}
	ctx, err := parser.Parse(args)
	switch {
	case exited >= 0:
		return exited
	case err != nil:
		return usage(std, err)
	}
	err = ctx.Run()
	if err == nil {
		return statusOK
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return usage(std, err)
	}
	// Errors of the library say themselves where they come from.
	fmt.Fprintln(std.err, "bev:", strings.TrimPrefix(err.Error(), "bev: "))
	return statusFailed
}

// usageError is a mistake in the command line that only the command finds.
type usageError struct{ error }

// usage says on one line what is wrong with the command line, and where to
// look it up.
func usage(std stdio, err error) int {
	text, see := err.Error(), "bev --help"
	if p, ok := errors.AsType[*kong.ParseError](err); ok && p.Context.Selected() != nil {
		command := p.Context.Selected().Path()
		text = strings.TrimPrefix(text, command+": ") // kong's, before what Validate says
		see = "bev " + command + " --help"
	}
	fmt.Fprintf(std.err, "bev: %s (see %s)\n", text, see)
	return statusUsage
}

// helpCmd is "bev help", for those who type it before they try --help.
type helpCmd struct {
	Command string `arg:"" optional:"" help:"One of the commands; none lists them all."`
}

func (h *helpCmd) Run(ctx *kong.Context) error {
	args := []string{"--help"}
	for _, command := range ctx.Model.Children {
		if command.Name == h.Command {
			args = []string{h.Command, "--help"}
		}
	}
	if h.Command != "" && len(args) == 1 {
		return usageError{fmt.Errorf("there is no command %q", h.Command)}
	}
	// What follows --help is missing, which is an error that nobody minds.
	_, _ = ctx.Kong.Parse(args)
	return nil
}

// Servers is one echo server in many forms: bev and the libraries that a user
// would pick instead, each as its own README writes it, so that they can be
// measured side by side.
//
//	servers [-loops N] KIND ADDRESS
//
// ADDRESS is host:port, or the path of a unix socket with "unix:" before it.
// The server prints "ready" when it accepts, and runs until it is killed.
package main

import (
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
)

// A server echoes on address (network "tcp" or "unix") with that many loops,
// and calls ready when it accepts. It returns only on failure.
type server func(network, address string, loops int, ready func()) error

var servers = map[string]server{
	"bev":      serveBev,
	"bev-own":  serveBevOwnCore,
	"net":      serveNet,
	"gnet":     serveGnet,
	"netpoll":  serveNetpoll,
	"nbio":     serveNbio,
	"gaio":     serveGaio,
	"evio":     serveEvio,
	"go-epoll": serveEpoll,
}

func main() {
	loops := flag.Int("loops", 1, "loops, or pollers; GOMAXPROCS is for the caller to set")
	flag.Usage = usage
	flag.Parse()
	serve, known := servers[flag.Arg(0)]
	if !known || flag.NArg() != 2 || *loops < 1 {
		usage()
		os.Exit(2)
	}
	network, address := "tcp", flag.Arg(1)
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	err := serve(network, address, *loops, func() { fmt.Println("ready") })
	fmt.Fprintf(os.Stderr, "servers %s: %v\n", flag.Arg(0), err)
	os.Exit(1)
}

func usage() {
	var names []string
	for name := range servers {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Fprintf(os.Stderr, "usage: servers [-loops N] KIND ADDRESS\nkinds: %s\n", strings.Join(names, " "))
}

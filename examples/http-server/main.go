// Http-server serves net/http on bev: the server, the handlers and all that
// they import are what they would be on package net, and one line decides.
//
//	go run ./examples/http-server -listen 127.0.0.1:8080
//	curl http://127.0.0.1:8080/hello
//	curl -T README.md http://127.0.0.1:8080/echo
//	wrk -c 64 http://127.0.0.1:8080/hello
//
// -net serves on package net instead, to compare the two. What bev adds here
// is the Loop beside it: the same goroutine can serve other protocols with
// callbacks, and everything that moves is counted in one place, see /stats.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/bevgo/bev"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:8080", "address to listen on; port 0 picks a free one")
	plain := flag.Bool("net", false, "serve on package net instead of bev")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr, *plain, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends, and writes to out where.
func run(ctx context.Context, addr string, plain bool, out io.Writer) error {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()

	var ln net.Listener
	if plain {
		ln, err = net.Listen("tcp", addr)
	} else {
		ln, err = bev.NetListen(loop, "tcp", addr, nil)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "listening on http://%s\n", ln.Addr())

	srv := &http.Server{Handler: handler(loop), ReadHeaderTimeout: 10 * time.Second}
	ran := make(chan error, 1)
	go func() { ran <- loop.Run(context.Background()) }()
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() { stopped <- shutdown(srv, loop) })
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return errors.Join(<-stopped, ignore(<-ran, net.ErrClosed))
}

// shutdown gives requests that are being served a moment to end, and then what
// was answered a moment to be sent.
func shutdown(srv *http.Server, loop *bev.Loop) error {
	late, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := srv.Shutdown(late)
	return errors.Join(err, srv.Close(), loop.Shutdown(late))
}

func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

// handler is any handler; only /stats knows of the loop.
func handler(loop *bev.Loop) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "Hello, world!\n")
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		// HTTP/1 answers when the request is read, unless it is told otherwise.
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/stats", func(w http.ResponseWriter, r *http.Request) {
		stats := make(chan bev.LoopStats, 1)
		loop.Post(func() { stats <- loop.Stats() })
		select {
		case s := <-stats:
			fmt.Fprintf(w, "%+v\n", s)
		case <-r.Context().Done(): // a loop that is closed has closed the connection
		}
	})
	return mux
}

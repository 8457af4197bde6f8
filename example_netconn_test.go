package bev_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/bevgo/bev"
)

// A connection begins on the loop, and a goroutine goes on with it: here, on
// the client's side, once it is connected.
func ExampleNetConn() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()
	addr := echoListener(loop)
	go loop.Run(context.Background())

	dialled := make(chan net.Conn, 1)
	_, err = bev.Dial(context.Background(), loop, "tcp", addr, bev.Callbacks{
		Event: func(c *bev.Conn, what bev.Event, err error) {
			if what&bev.EventConnected == 0 {
				log.Fatal(err)
			}
			dialled <- bev.NetConn(c)
		},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}

	nc := <-dialled
	defer nc.Close()
	fmt.Fprintln(nc, "hello")
	answer, err := bufio.NewReader(nc).ReadString('\n') // waits for it
	fmt.Printf("%q %v\n", answer, err)
	// Output: "hello\n" <nil>
}

// A server of package net/http, on a Loop.
func ExampleNetListen() {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer loop.Close()
	go loop.Run(context.Background())

	ln, err := bev.NetListen(loop, "tcp", "127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "you asked for %s", r.URL.Path)
	})}
	go srv.Serve(ln)
	defer srv.Close()

	resp, err := http.Get("http://" + ln.Addr().String() + "/tea")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%s, %v\n", body, err)
	http.DefaultClient.CloseIdleConnections()
	// Output: you asked for /tea, <nil>
}

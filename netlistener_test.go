//go:build unix

package bev_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// netBacklog is how many connections NetListen's doc says wait for an Accept.
const netBacklog = 128

func (r *rig) netListen(network, addr string, o *bev.ListenOptions) net.Listener {
	r.t.Helper()
	ln, err := bev.NetListen(r.l, network, addr, o)
	if err != nil {
		r.t.Fatalf("NetListen: %v", err)
	}
	r.t.Cleanup(func() { ln.Close() })
	return ln
}

func mustAccept(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	nc, err := ln.Accept()
	if err != nil {
		t.Fatalf("Accept: %v", err)
	}
	return nc
}

// accepting starts an Accept that has nobody to accept.
func accepting(ln net.Listener) <-chan result {
	return start(func() (int, error) {
		_, err := ln.Accept()
		return 0, err
	})
}

// wantListenError says that err is package net's way of putting want.
func wantListenError(t *testing.T, err error, op string, want error) {
	t.Helper()
	var oe *net.OpError
	if !errors.As(err, &oe) || oe.Op != op || oe.Addr == nil || !errors.Is(err, want) {
		t.Fatalf("error is %T %v, want %s: %v", err, err, op, want)
	}
}

func TestNetListen(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			r := run(t, nil)
			addr := "127.0.0.1:0"
			if network == "unix" {
				addr = filepath.Join(t.TempDir(), "socket")
			}
			ln := r.netListen(network, addr, &bev.ListenOptions{Paused: true}) // which has no meaning
			p := r.call(ln)
			nc := mustAccept(t, ln)
			netWrite(t, nc, "hello")
			p.want("hello")
			if nc.LocalAddr().String() != ln.Addr().String() {
				t.Errorf("LocalAddr is %v, want %v", nc.LocalAddr(), ln.Addr())
			}

			done := accepting(ln)
			r.wantBlocked(done, "nobody calls")
			if err := ln.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			wantListenError(t, await(t, done, "the Accept that Close ends").err, "accept", net.ErrClosed)
			_, err := ln.Accept()
			wantListenError(t, err, "accept", net.ErrClosed)
			wantListenError(t, ln.Close(), "close", net.ErrClosed)
			netWrite(t, nc, "the accepted live on")
			p.want("the accepted live on")
		})
	}
}

func TestNetListenFails(t *testing.T) {
	r := run(t, nil)
	if ln, err := bev.NetListen(r.l, "tcp", "192.0.2.1:0", nil); err == nil || ln != nil {
		t.Errorf("NetListen on another machine's address = %v, %v", ln, err)
	}
	bad := &bev.ListenOptions{Conn: &bev.ConnOptions{ReadWatermark: bev.Watermark{Low: -1}}}
	if ln, err := bev.NetListen(r.l, "tcp", "127.0.0.1:0", bad); err == nil || ln != nil {
		t.Errorf("NetListen with impossible marks = %v, %v", ln, err)
	}
}

func TestNetListenOnAClosedLoop(t *testing.T) {
	r := newRig(t, nil)
	r.l.Close()
	if ln, err := bev.NetListen(r.l, "tcp", "127.0.0.1:0", nil); !errors.Is(err, net.ErrClosed) || ln != nil {
		t.Errorf("NetListen on a closed Loop = %v, %v", ln, err)
	}
}

// When Close returns the address is free.
func TestNetListenAgain(t *testing.T) {
	r := run(t, nil)
	path := filepath.Join(t.TempDir(), "socket")
	for range 50 {
		ln := r.netListen("unix", path, nil)
		p := r.call(ln)
		mustAccept(t, ln).Close()
		p.close()
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Connections that nobody accepts are bounded, and all get their turn.
func TestNetListenQueueIsBounded(t *testing.T) {
	const callers = netBacklog + 100 // the kernel has room for these, see listen(2)
	r := run(t, nil)
	ln := r.netListen("tcp", "127.0.0.1:0", nil)
	for i := range callers {
		r.call(ln).send(string(rune(i)))
	}
	r.settle()
	if n := get(r, func() int { return r.l.Stats().Conns }); n != netBacklog {
		t.Fatalf("%d connections were taken for nobody, want %d", n, netBacklog)
	}
	for i := range callers {
		wantRead(t, mustAccept(t, ln), string(rune(i)))
	}
}

// Close turns away who was not accepted, as the kernel does.
func TestNetListenCloseResetsTheQueue(t *testing.T) {
	r := run(t, nil)
	ln := r.netListen("tcp", "127.0.0.1:0", nil)
	queued := r.call(ln)
	r.until(func() bool { return r.l.Stats().Conns == 1 }, "the caller to be queued")
	ln.Close()
	queued.wantReset("the listener closed")
}

func TestNetListenOnTheLoop(t *testing.T) {
	r := run(t, nil)
	ln := r.netListen("tcp", "127.0.0.1:0", nil)
	r.on(func() {
		if _, err := ln.Accept(); err == nil || errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept on the loop with nobody to accept: %v", err)
		}
	})
	r.call(ln)
	r.until(func() bool { return r.l.Stats().Conns == 1 }, "the caller to be queued")
	r.on(func() {
		if _, err := ln.Accept(); err != nil {
			t.Errorf("Accept on the loop of one who waits: %v", err)
		}
		if err := ln.Close(); err != nil {
			t.Errorf("Close on the loop: %v", err)
		}
	})
}

// The end of the Loop ends Accept, also where the Loop never ran.
func TestNetListenLoopCloses(t *testing.T) {
	for _, running := range []bool{true, false} {
		r := newRig(t, nil)
		if running {
			r.start(context.Background())
		}
		ln, err := bev.NetListen(r.l, "unix", filepath.Join(t.TempDir(), "socket"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if running {
			r.call(ln)
			mustAccept(t, ln)
		}
		done := accepting(ln)
		r.l.Close()
		wantListenError(t, await(t, done, "the Accept that the Loop ends").err, "accept", net.ErrClosed)
		wantListenError(t, ln.Close(), "close", net.ErrClosed)
		if running {
			r.wait()
		}
	}
}

// Close does not wait for a Loop that does not run.
func TestNetListenCloseWithoutRun(t *testing.T) {
	r := newRig(t, nil)
	ln, err := bev.NetListen(r.l, "tcp", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
}

// What retrying does not cure ends Accept, and OnError hears of it.
func TestNetListenAcceptFails(t *testing.T) {
	r := run(t, nil)
	told := make(chan error, 1)
	f := inject(t)
	ln := r.netListen("tcp", "127.0.0.1:0", &bev.ListenOptions{OnError: func(err error) { told <- err }})
	f.fail(sys.OpAccept, anyFD, syscall.EINVAL)
	if nc, err := net.Dial("tcp", ln.Addr().String()); err == nil { // or a reset already
		defer nc.Close()
	}
	_, err := ln.Accept()
	wantListenError(t, err, "accept", syscall.EINVAL)
	if err := await(t, told, "OnError"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("OnError was told %v", err)
	}
}

// net/http and crypto/tls run on it unchanged.
func TestNetListenServesHTTP(t *testing.T) {
	const big = 1 << 20
	answer := part(0, big)
	handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/echo":
			// All of it first: HTTP/1 is not for both at once.
			body, err := io.ReadAll(req.Body)
			if err != nil {
				t.Errorf("the body: %v", err)
			}
			w.Write(body)
		case "/hijack":
			nc, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Errorf("Hijack: %v", err)
				return
			}
			defer nc.Close()
			io.WriteString(nc, "raw")
		default:
			w.Write(answer)
		}
	})
	for _, protocol := range []string{"http", "https", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			r := run(t, nil)
			srv := httptest.NewUnstartedServer(handler)
			srv.Listener.Close()
			srv.Listener = r.netListen("tcp", "127.0.0.1:0", nil)
			switch protocol {
			case "http":
				srv.Start()
			case "https":
				srv.StartTLS()
			default:
				srv.EnableHTTP2 = true
				srv.StartTLS()
			}
			defer srv.Close()
			client := srv.Client()
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for range 5 {
						checkHTTP(t, client, srv.URL, answer)
					}
				})
			}
			wg.Wait()
			if protocol == "http" {
				p := r.call(srv.Listener)
				p.send("GET /hijack HTTP/1.1\r\nHost: example.com\r\n\r\n")
				p.want("raw")
				p.wantEOF("the handler has closed it")
			}
		})
	}
}

// checkHTTP gets body from url, and sends it there and back.
func checkHTTP(t *testing.T, client *http.Client, url string, body []byte) {
	for _, call := range []func() (*http.Response, error){
		func() (*http.Response, error) { return client.Get(url + "/big") },
		func() (*http.Response, error) { return client.Post(url+"/echo", "text/plain", bytes.NewReader(body)) },
	} {
		resp, err := call()
		if err != nil {
			t.Errorf("a request: %v", err)
			return
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s: got %d bytes, %v, want %d", strings.TrimPrefix(resp.Request.URL.Path, "/"), len(got), err, len(body))
		}
	}
}

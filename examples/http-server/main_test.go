//go:build unix

package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/bevgo/bev/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestRun(t *testing.T) {
	for name, plain := range map[string]bool{"bev": false, "net": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			r, w := io.Pipe()
			ended := make(chan error, 1)
			go func() {
				err := run(ctx, "127.0.0.1:0", plain, w)
				w.CloseWithError(err)
				ended <- err
			}()
			line, err := bufio.NewReader(r).ReadString('\n')
			url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
			if !ok {
				t.Fatalf("run said %q, %v", line, err)
			}

			client := &http.Client{Transport: new(http.Transport)}
			long := strings.Repeat("0123456789", 200_000)
			for _, c := range []struct{ method, path, body, want string }{
				{"GET", "/hello", "", "Hello, world!\n"},
				{"PUT", "/echo", long, long},
				{"GET", "/stats", "", "Conns:"},
				{"GET", "/nowhere", "", "not found"},
			} {
				req, err := http.NewRequest(c.method, url+c.path, strings.NewReader(c.body))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || !strings.Contains(string(got), c.want) {
					t.Errorf("%s %s: got %d bytes, %v, want %d", c.method, c.path, len(got), err, len(c.want))
				}
			}
			// Not before: a connection that waits for its next request has to
			// be ended by the server.
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("run: %v", err)
			}
			client.CloseIdleConnections()
		})
	}
	if err := run(context.Background(), "nowhere", false, io.Discard); err == nil {
		t.Error("run listens nowhere")
	}
}

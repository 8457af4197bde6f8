//go:build unix

package bev_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/bevgo/bev"
)

// counted counts what goes over a connection.
type counted struct {
	net.Conn
	read, written atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// TLS over a Conn is limited by what goes over the wire: records and handshake
// count, and not the bytes in them.
func TestRateLimitOfTLSCountsTransportBytes(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	certificates := server.TLS.Certificates
	server.Close()

	r := run(t, nil)
	view, c, p := r.adoptView(nil)
	var g *bev.RateGroup
	r.on(func() {
		var err error
		if g, err = bev.NewRateGroup(r.l, bev.RateLimit{}); err != nil {
			t.Error(err)
			return
		}
		g.Add(c)
	})
	served := start(func() (int, error) {
		s := tls.Server(view, &tls.Config{Certificates: certificates})
		n, err := io.CopyN(s, s, 100_000)
		return int(n), err
	})
	wire := &counted{Conn: p.Conn}
	client := tls.Client(wire, &tls.Config{InsecureSkipVerify: true})
	sent := part(0, 100_000)
	go client.Write(sent)
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("the echo through TLS: %v", err)
	}
	if res := <-served; res.err != nil {
		t.Fatal(res.err)
	}
	var read, written uint64
	r.until(func() bool {
		read, written = g.Totals()
		return read == uint64(wire.written.Load())
	}, "what is on its way to be counted")
	if written != uint64(wire.read.Load()) || read <= 100_000 || written <= 100_000 {
		t.Errorf("the group counts %d and %d, over the wire went %d and %d for 100000 each way", read, written, wire.written.Load(), wire.read.Load())
	}
}

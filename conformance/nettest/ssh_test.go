//go:build unix

package nettest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// TestSSH has an ssh client and server talk over bev at both ends: many
// channels in one connection, each an echo with a half-close.
func TestSSH(t *testing.T) {
	l := runLoop(t)
	ln := listen(t, l, "tcp")
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- serveSSH(ln, signer) }()

	nc, err := dial(l, ln.Addr())
	if err != nil {
		t.Fatal(err)
	}
	conn, chans, reqs, err := ssh.NewClientConn(nc, ln.Addr().String(), &ssh.ClientConfig{
		User:            "bev",
		HostKeyCallback: ssh.FixedHostKey(signer.PublicKey()),
	})
	if err != nil {
		t.Fatalf("the client's handshake: %v", err)
	}
	client := ssh.NewClient(conn, chans, reqs)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { echoSSH(t, client, bytes.Repeat([]byte{byte(i)}, 1<<20)) })
	}
	wg.Wait()
	if err := client.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("the server: %v", err)
	}
}

// echoSSH sends data through a channel and expects it back.
func echoSSH(t *testing.T, client *ssh.Client, data []byte) {
	ch, reqs, err := client.OpenChannel("echo", nil)
	if err != nil {
		t.Errorf("OpenChannel: %v", err)
		return
	}
	go ssh.DiscardRequests(reqs)
	go func() {
		if _, err := ch.Write(data); err != nil {
			t.Errorf("Write: %v", err)
		}
		ch.CloseWrite()
	}()
	if got, err := io.ReadAll(ch); err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes back, %v, want %d", len(got), err, len(data))
	}
	ch.Close()
}

// serveSSH echoes on every channel of one connection.
func serveSSH(ln net.Listener, signer ssh.Signer) error {
	nc, err := ln.Accept()
	if err != nil {
		return err
	}
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(signer)
	conn, chans, reqs, err := ssh.NewServerConn(nc, config)
	if err != nil {
		return err
	}
	go ssh.DiscardRequests(reqs)
	var wg sync.WaitGroup
	for asked := range chans {
		ch, reqs, err := asked.Accept()
		if err != nil {
			return err
		}
		go ssh.DiscardRequests(reqs)
		wg.Go(func() {
			io.Copy(ch, ch)
			ch.Close()
		})
	}
	wg.Wait()
	conn.Close() // the client has ended it
	return nil
}

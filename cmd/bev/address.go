package main

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// addressFlags are the flags that say what an address means.
type addressFlags struct {
	Network string `enum:"tcp,tcp4,tcp6,unix" default:"tcp" placeholder:"NAME" help:"Kind of address: tcp, tcp4, tcp6, or unix, where it is a path (default ${default})."`
}

// check finds addresses that cannot be right whatever the network is like.
func (f addressFlags) check(addr string) error {
	if f.Network == "unix" {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return fmt.Errorf("%q is not an address: want HOST:PORT, as in localhost:5555 or [::1]:5555", addr)
	}
	return nil
}

// resolve returns the numeric address that addr stands for; for a name with
// several, one of those to listen on. Listen takes no names, because a name
// may stand for many addresses and a listener has one.
func (f addressFlags) resolve(ctx context.Context, addr string) (string, error) {
	if f.Network == "unix" {
		return addr, nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	if host == "" { // every address of this machine
		return addr, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, strings.Replace(f.Network, "tcp", "ip", 1), host)
	if err != nil {
		return "", err
	}
	ip := ips[0].Unmap()
	for _, other := range ips {
		if other.Unmap().Is4() { // the one that all machines have, as package net prefers it
			ip = other.Unmap()
			break
		}
	}
	return net.JoinHostPort(ip.String(), port), nil
}

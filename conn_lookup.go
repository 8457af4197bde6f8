package bev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/bevgo/bev/internal/sys"
)

// A Resolver turns a host name into addresses, for [Dial]. *net.Resolver is
// one; a function of your own that looks elsewhere is a few lines.
//
// It is called on a goroutine of its own, with network "ip", "ip4" or "ip6",
// and should return soon after its context ends: the Dial does not wait for it
// then, but the goroutine stays until it returns. The order of the addresses
// is the order in which they are tried, except that the families take turns.
type Resolver interface {
	// LookupNetIP returns the addresses of host, the best one first.
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// parse reads the addresses that Dial was given. What can be known now to be
// wrong is an error of the call.
func (d *dialing) parse() error {
	if err := d.parseLocal(); err != nil {
		return err
	}
	a, err := sys.ParseAddr(d.network, d.address)
	if errors.Is(err, sys.ErrHostName) {
		return d.parseName()
	}
	if err != nil {
		return err
	}
	targets := []sys.Addr{a.Dialable()}
	if d.network == "tcp" && a.IsWildcard() && a.Family() == sys.Inet6 {
		// The host was left out, or is [::]: this machine, by whichever
		// family something listens. Package net tries the first of these.
		v4 := sys.TCPAddr(netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port()))
		targets = []sys.Addr{v4.Dialable(), a.Dialable()}
	}
	d.targets = d.suitable(targets)
	if len(d.targets) == 0 {
		return &net.AddrError{Err: "not of the family of LocalAddr " + d.opts.LocalAddr, Addr: d.address}
	}
	return nil
}

func (d *dialing) parseName() error {
	host, service, err := net.SplitHostPort(d.address)
	if err != nil {
		return err
	}
	port, err := net.LookupPort(d.network, service)
	if err != nil {
		return err
	}
	d.host, d.port = host, uint16(port)
	return nil
}

func (d *dialing) parseLocal() (err error) {
	local := d.opts.LocalAddr
	if local == "" {
		return nil
	}
	d.local, err = sys.ParseAddr(d.network, local)
	if errors.Is(err, sys.ErrHostName) {
		err = &net.AddrError{Err: "LocalAddr is not a numeric address", Addr: local}
	}
	d.anyLocal = local[0] == ':'
	return err
}

// localFor is the address to bind before connecting to to, invalid for none.
func (d *dialing) localFor(to sys.Addr) sys.Addr {
	if !d.anyLocal {
		return d.local
	}
	any := netip.IPv4Unspecified()
	if to.Family() == sys.Inet6 {
		any = netip.IPv6Unspecified()
	}
	return sys.TCPAddr(netip.AddrPortFrom(any, d.local.Port()))
}

// lookup asks the Resolver, on a goroutine that posts the answer.
func (d *dialing) lookup() {
	d.c.noRead |= ReasonLookup
	d.c.noWrite |= ReasonLookup
	ctx, stop := context.WithCancel(d.ctx)
	d.stopLookup = stop
	go d.resolve(ctx)
}

// answer is what a Resolver said, on its way to the loop.
type answer struct {
	d     *dialing
	addrs []netip.Addr
	err   error
}

// resolve runs on the lookup's goroutine. However the Resolver ends, the loop
// hears of it.
func (d *dialing) resolve(ctx context.Context) {
	a := &answer{d: d, err: errors.New("bev: the Resolver called runtime.Goexit")}
	defer func() {
		if v := recover(); v != nil {
			p := newPanicError(v)
			a.err = p
			_ = d.loop.Post(func() {
				d.loop.stats.Panics++
				d.loop.reportPanic(p)
			})
		}
		_ = d.loop.post(a) // a Loop that is closed has closed the Conn
	}()
	var r Resolver = net.DefaultResolver
	if d.opts.Resolver != nil {
		r = d.opts.Resolver
	}
	a.addrs, a.err = r.LookupNetIP(ctx, "ip"+d.network[len("tcp"):], d.host)
}

// run takes the answer, on the loop.
func (a *answer) run() {
	d := a.d
	switch {
	case d.over:
		return
	case d.ctx.Err() != nil:
		d.ctxEnded() // the Resolver may be the first to notice, in its own words
		return
	case a.err != nil:
		d.fail(a.err, 0)
		return
	}
	d.c.noRead &^= ReasonLookup
	d.c.noWrite &^= ReasonLookup
	d.stopLookup()
	d.stopLookup = nil
	found := make([]sys.Addr, 0, len(a.addrs))
	seen := make(map[netip.Addr]bool, len(a.addrs))
	for _, ip := range a.addrs {
		if to := sys.TCPAddr(netip.AddrPortFrom(ip, d.port)); to.IsValid() && !seen[to.AddrPort().Addr()] {
			seen[to.AddrPort().Addr()] = true
			found = append(found, to)
		}
	}
	d.targets = interleave(d.suitable(found))
	if len(d.targets) == 0 {
		d.fail(d.noneSuitable(len(found)), 0)
		return
	}
	d.advance()
}

func (a *answer) drop() {}

// noneSuitable says why a name leads nowhere, although the Resolver is content.
func (d *dialing) noneSuitable(found int) error {
	if found == 0 {
		return &net.DNSError{Err: "no such host", Name: d.host, IsNotFound: true}
	}
	return fmt.Errorf("bev: none of the %d addresses of %q is of the family that network %q and LocalAddr %q ask for", found, d.host, d.network, d.opts.LocalAddr)
}

// suitable leaves out what network or LocalAddr rules out.
func (d *dialing) suitable(addrs []sys.Addr) []sys.Addr {
	var fit []sys.Addr
	for _, a := range addrs {
		switch f := a.Family(); {
		case f == sys.Inet6 && d.network == "tcp4", f == sys.Inet4 && d.network == "tcp6":
		case d.local.IsValid() && !d.anyLocal && f != d.local.Family():
		default:
			fit = append(fit, a)
		}
	}
	return fit
}

// interleave has the families take turns, without changing the order within
// each, so that a family that does not work costs one delay and not one for
// each of its addresses (RFC 8305, section 4, with a First Address Family Count
// of 1). The first address stays the first: the resolver has sorted them by
// RFC 6724, and knows which family works better here.
func interleave(addrs []sys.Addr) []sys.Addr {
	var first, other []sys.Addr
	for _, a := range addrs {
		if a.Family() == addrs[0].Family() {
			first = append(first, a)
		} else {
			other = append(other, a)
		}
	}
	mixed := addrs[:0:0]
	for i := 0; i < max(len(first), len(other)); i++ {
		if i < len(first) {
			mixed = append(mixed, first[i])
		}
		if i < len(other) {
			mixed = append(mixed, other[i])
		}
	}
	return mixed
}

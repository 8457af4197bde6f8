module github.com/bevgo/bev/conformance/nettest

go 1.26.0

require (
	github.com/bevgo/bev v0.0.0
	golang.org/x/crypto v0.58.0
	golang.org/x/net v0.62.0
)

require golang.org/x/sys v0.49.0 // indirect

// Nobody imports this module, so it never needs a release.
replace github.com/bevgo/bev => ../..

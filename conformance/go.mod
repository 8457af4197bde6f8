module github.com/bevgo/bev/conformance

go 1.26.0

require github.com/bevgo/bev v0.0.0

require golang.org/x/sys v0.49.0

// The library that is compared is the one of this checkout.
replace github.com/bevgo/bev => ../

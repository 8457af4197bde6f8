module github.com/bevgo/bev/bevfilter

go 1.26.0

require (
	github.com/bevgo/bev v0.0.0
	github.com/klauspost/compress v1.20.3
)

require golang.org/x/sys v0.49.0 // indirect

// Until the first release is tagged. See docs/HACKING.md, "Cut a release".
replace github.com/bevgo/bev => ../

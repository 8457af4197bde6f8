module github.com/bevgo/bev/cmd/bev

go 1.26.0

require github.com/bevgo/bev v0.0.0

require (
	github.com/alecthomas/kong v1.17.0
	golang.org/x/sys v0.49.0
)

require github.com/HdrHistogram/hdrhistogram-go v1.4.0

require golang.org/x/term v0.47.0

// Until the first release is tagged. See docs/HACKING.md, "Cut a release".
replace github.com/bevgo/bev => ../..

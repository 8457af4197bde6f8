module github.com/bevgo/bev/bevfilter

go 1.26.0

require github.com/bevgo/bev v0.0.0

require github.com/klauspost/compress v1.20.0

// Until the first release is tagged. See docs/HACKING.md, "Cut a release".
replace github.com/bevgo/bev => ../

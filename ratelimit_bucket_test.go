//go:build unix

package bev_test

import (
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/seed"
)

// The arithmetic against arbitrary precision: whatever is credited and taken,
// in whatever steps, the level is what exact rational numbers say.
func TestRateBucketAgainstBigNumbers(t *testing.T) {
	r := seed.New(t)
	pick := func(list ...int64) int64 { return list[r.IntN(len(list))] }
	for range 300 {
		rate := min(pick(1, 3, 999, 1000, 50_000, 1<<31-1, math.MaxInt64), math.MaxInt)
		burst := max(rate/pick(1, 2, 10), 1)
		if r.IntN(3) == 0 {
			burst = 2 * min(rate, math.MaxInt/2)
		}
		b := bev.NewRateBucket(int(rate), int(burst), tick)
		burst = min(burst, math.MaxInt64/4) // nobody can tell more from no bound
		level := new(big.Rat).SetInt64(b.Level())
		if level.Sign() <= 0 {
			t.Fatalf("rate %d: a new bucket holds %v, want something", rate, level)
		}
		if lost := new(big.Rat).Sub(big.NewRat(rate, 20), level); lost.Sign() > 0 && lost.Cmp(big.NewRat(1, 1)) < 0 {
			level.Add(level, lost) // the fraction is kept, too
		}
		for range 200 {
			if r.IntN(2) == 0 {
				d := time.Duration(r.Int64N(pick(1, 1e6, 1e8, 1e9, 1e12, math.MaxInt64)))
				b.Credit(d)
				more := new(big.Rat).SetInt64(int64(d))
				level.Add(level, more.Mul(more, big.NewRat(rate, 1e9)))
			} else {
				n := int(r.Int64N(min(pick(2, 100, 1<<20, 1<<60), math.MaxInt)))
				if r.IntN(4) == 0 {
					n = -n
				}
				b.Take(n)
				level.Sub(level, new(big.Rat).SetInt64(int64(n)))
			}
			if top := new(big.Rat).SetInt64(burst); level.Cmp(top) >= 0 {
				level = top
			}
			if bottom := new(big.Rat).SetInt64(-math.MaxInt64 / 4); level.Cmp(bottom) < 0 {
				level = bottom
			}
			want := new(big.Int).Div(level.Num(), level.Denom()) // towards minus infinity
			if b.Level() != want.Int64() {
				t.Fatalf("rate %d, burst %d: the bucket holds %d, want %v", rate, burst, b.Level(), want)
			}
		}
	}
}

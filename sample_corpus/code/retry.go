// Package retry repeats an operation that may fail for reasons that pass by themselves, such as a
// dropped connection, a server that is restarting, or a lock held by somebody else.
//
// The pause between attempts doubles each time (exponential backoff) up to a limit. The actual
// pause is a random fraction of that (full jitter). Without the randomness, all clients that were
// cut off by the same outage would come back at the same instant and bring the server down again.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"time"
)

// Policy says how often and how patiently to try.
type Policy struct {
	Attempts int           // total number of calls, including the first; at least 1
	Base     time.Duration // upper bound of the first pause
	Max      time.Duration // upper bound of any pause
}

// Default waits for about thirteen seconds altogether, at most, before it gives up.
var Default = Policy{Attempts: 7, Base: 200 * time.Millisecond, Max: 10 * time.Second}

// permanentError marks an error that no amount of waiting will cure.
type permanentError struct{ err error }

func (p *permanentError) Error() string { return p.err.Error() }
func (p *permanentError) Unwrap() error { return p.err }

// Permanent wraps an error so that Do returns it at once and does not try again. Use it for a wrong
// password, a malformed request, or a missing file.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// ceiling returns the upper bound of the pause that follows the given attempt, counted from zero.
// It stops doubling at the maximum, and therefore cannot overflow.
func (p Policy) ceiling(attempt int) time.Duration {
	d := p.Base
	for i := 0; i < attempt && d < p.Max; i++ {
		d *= 2
	}
	if d > p.Max {
		d = p.Max
	}
	return d
}

// Do calls op until it succeeds, fails permanently, runs out of attempts, or the context ends.
// The operation must be idempotent: a call that seems to have failed may in fact have got through.
func Do(ctx context.Context, p Policy, op func(context.Context) error) error {
	if p.Attempts < 1 {
		return errors.New("retry: policy must allow at least one attempt")
	}
	var last error
	for attempt := 0; attempt < p.Attempts; attempt++ {
		last = op(ctx)
		if last == nil {
			return nil
		}
		var permanent *permanentError
		if errors.As(last, &permanent) {
			return permanent.err
		}
		if attempt == p.Attempts-1 {
			break
		}
		pause := time.Duration(rand.Int63n(int64(p.ceiling(attempt)) + 1))
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(ctx.Err(), last)
		case <-timer.C:
		}
	}
	return fmt.Errorf("retry: gave up after %d attempts: %w", p.Attempts, last)
}

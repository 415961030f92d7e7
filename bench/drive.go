package bench

import "context"

// drive runs rounds until done, or until nothing has moved for cfg.Drain, and
// reports which. It is for the scenarios that have steps, not a duration: what
// moves sets r.progress.
func (r *run) drive(ctx context.Context, phase string, done func() bool) (bool, error) {
	r.phase = stepping
	r.now = r.clock()
	r.progress = r.now
	ready := r.ready
	for r.err == nil && !done() {
		if r.now-r.progress >= int64(r.cfg.Drain) {
			return false, r.err
		}
		r.tick(ctx, phase)
		r.publishEager()
		r.flush()
		if r.err != nil {
			break
		}
		if err := r.poll.wait(r.patience(), ready); err != nil {
			return false, err
		}
		r.now = r.clock()
	}
	return r.err == nil, r.err
}

// settle lets the broker come to rest for cfg.WarmUp, so that its memory is
// read when it has done what it acknowledged.
func (r *run) settle(ctx context.Context) error {
	end := r.clock() + int64(r.cfg.WarmUp)
	_, err := r.drive(ctx, "settling", func() bool {
		r.progress = r.now
		return r.now >= end
	})
	return err
}

// begins and ends enclose the step that the result's rates are of.
func (r *run) begins() {
	r.atBegin = r.mark()
	r.began = r.atBegin.at
	r.series.begin(r, 0)
}

func (r *run) over() {
	r.fault(r.series.end(r))
	r.atEnd = r.mark()
	r.ended = r.atEnd.at
}

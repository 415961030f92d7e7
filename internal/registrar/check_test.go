package registrar

import (
	"fmt"
	"slices"
)

// check walks the whole core and names the invariant that does not hold.
func (c *Core) check(now int64) string {
	for n, a := range c.asker.asks {
		if a.deadline > now+AnswerMax.Milliseconds() || c.asker.calls[a.call] != n {
			return fmt.Sprintf("(1) ask %d has deadline %d at %d", n, a.deadline, now)
		}
	}
	for k, s := range c.leader.seats {
		if s.job == nil && len(s.line) > 0 {
			return fmt.Sprintf("(2) %d wait for %s, and nothing is under way", len(s.line), k.ID)
		}
		if s.job != nil && c.leader.jobs[s.job.number] != s.job {
			return fmt.Sprintf("(2) the job of %s is not under way", k.ID)
		}
	}
	for n, j := range c.leader.jobs {
		if slices.ContainsFunc(j.waiting, func(w waited) bool { return !c.view.has(w.node) }) {
			return fmt.Sprintf("(3) job %d waits for who is not in the view", n)
		}
	}
	for k, h := range c.holder.mine {
		closing := false
		for _, r := range c.holder.releases {
			closing = closing || r.client == k
		}
		if f := c.holder.fences[k]; compare(h.epoch, f.epoch) < 0 && !closing {
			return fmt.Sprintf("(4) %s is here under %v and was given away at %v", k.ID, h.epoch, f.epoch)
		}
	}
	return ""
}

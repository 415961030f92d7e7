package queue

// SetMoving says whether a part of this queue may still come from another node
// (R20, R22). While it is on, older generations come out of Next as far as they
// are known to be complete, and nothing of the newest.
func (q *Queue) SetMoving(on bool) {}

// Imported takes in what Store.Import stored of a batch, which may be nothing.
func (q *Queue) Imported(b *Batch, stored []Record) {}

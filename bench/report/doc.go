// Package report draws results: tables for a terminal, and one HTML page that
// needs nothing beside itself.
//
// Purpose: to show what package bench measured and package compare compared.
// State owned: none. Concurrency: functions of their arguments.
// Guarantees: (1) the page has no script and refers to nothing outside, so that
// it opens offline and can be kept; (2) the same input gives the same bytes; (3)
// whatever stands in a result is escaped.
// Failure: the error of the writer.
package report

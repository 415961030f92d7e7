// Package metadata is the replicated store of sessions, subscriptions, retained
// messages and settings.
package metadata

// Package auth answers who may connect and what they may publish and
// subscribe, from a password file and an ACL file in VerneMQ's grammar.
package auth

//go:build !linux

package node

// machineMemory is not known here; a gibibyte is a careful guess.
func machineMemory() int64 { return 1 << 30 }

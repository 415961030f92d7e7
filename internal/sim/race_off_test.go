//go:build !race

package sim

const doseDivisor = 1

package option

// Reference returns docs/reference/options.md.
func Reference() []byte { return nil }

// Example returns the example configuration, deploy/tombolo.conf.
func Example() []byte { return nil }

package conn

const relayRole = "TOMBOLO_CONN_TEST_RELAY"

func relayMain(string) {}

package conn

import "syscall"

// Keep-alive of idle connections: a dead peer is noticed after about 2.5 minutes
// even if it has asked for no MQTT keep alive.
const (
	keepAliveIdleSeconds     = 75
	keepAliveIntervalSeconds = 25
	keepAliveCount           = 3
)

// controlListen sets on the listening socket what accepted ones inherit, which
// saves five system calls or more for each of them.
func (c *Config) controlListen(network, _ string, rc syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var err error
	controlErr := rc.Control(func(fd uintptr) {
		for _, o := range [...][3]int{
			{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, keepAliveIdleSeconds},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, keepAliveIntervalSeconds},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveCount},
			{syscall.SOL_SOCKET, syscall.SO_SNDBUF, c.SendBuffer},
			{syscall.SOL_SOCKET, syscall.SO_RCVBUF, c.ReceiveBuffer},
		} {
			if o[2] == 0 {
				continue // the kernel's
			}
			if e := syscall.SetsockoptInt(int(fd), o[0], o[1], o[2]); e != nil && err == nil {
				err = e
			}
		}
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}

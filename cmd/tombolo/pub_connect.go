package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tombolo/internal/client"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/topic"
)

// connectFlags are the flags that pub and sub share: where to connect and as
// whom. Owned by one command.
type connectFlags struct {
	tool       string // "pub" or "sub"
	host       string
	port       uint16
	url        string
	urlTopic   string // from the path of the URL
	id         string
	username   string
	password   string
	version    string
	keepAlive  uint16
	keep       bool
	clean      bool
	expiry     string
	will       willFlags
	properties []string
	timeout    seconds
	caFile     string
	certFile   string
	keyFile    string
	tls        bool
	insecure   bool
	ws         bool
	wsPath     string
	debug      bool
}

// willFlags describe the will message. Owned by one command.
type willFlags struct {
	topic, payload string
	qos            uint8
	retain         bool
	delay          seconds
}

func (f *connectFlags) bind(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.Bool("help", false, "show this help (-h is the host, as in mosquitto)")
	fl.StringVarP(&f.host, "host", "h", "127.0.0.1", "broker to connect to")
	fl.Uint16VarP(&f.port, "port", "p", 0, "port (default 1883; 8883 with TLS, 8083 with --ws, 8084 with both)")
	fl.StringVarP(&f.url, "url", "L", "", "broker as mqtt(s)|ws(s)://[user[:password]@]host[:port][/topic]")
	fl.StringVarP(&f.id, "id", "i", "", "client id (default: one made up)")
	fl.StringVarP(&f.username, "username", "u", "", "user name")
	fl.StringVarP(&f.password, "pw", "P", "", "password")
	fl.StringVarP(&f.version, "protocol-version", "V", "mqttv5", "mqttv31, mqttv311 or mqttv5; also 31, 311, 5")
	fl.Uint16VarP(&f.keepAlive, "keepalive", "k", 60, "seconds of silence after which the connection counts as lost")
	fl.BoolVarP(&f.keep, "disable-clean-session", "c", false, "keep the session on the broker; needs -i")
	fl.BoolVar(&f.clean, "clean", true, "start with an empty session; --clean=false is -c")
	fl.StringVar(&f.expiry, "session-expiry", "", "how long the broker keeps the session: 90s, 1h, never (MQTT 5)")
	fl.StringArrayVarP(&f.properties, "property", "D", nil,
		"MQTT 5 property NAME=VALUE, repeatable; connect.NAME=VALUE and will.NAME=VALUE for those")
	fl.StringVar(&f.will.topic, "will-topic", "", "topic of the will, sent by the broker if we vanish")
	fl.StringVar(&f.will.payload, "will-payload", "", "payload of the will")
	fl.Uint8Var(&f.will.qos, "will-qos", 0, "QoS of the will")
	fl.BoolVar(&f.will.retain, "will-retain", false, "retain the will")
	fl.Var(&f.will.delay, "will-delay", "seconds that the broker waits before it sends the will (MQTT 5)")
	fl.StringVar(&f.caFile, "cafile", "", "certificate authority of the broker (PEM); switches TLS on")
	fl.BoolVar(&f.tls, "tls", false, "TLS with the authorities of this system")
	fl.StringVar(&f.certFile, "cert", "", "own certificate (PEM); switches TLS on")
	fl.StringVar(&f.keyFile, "key", "", "key of the own certificate (PEM)")
	fl.BoolVar(&f.insecure, "insecure", false, "TLS without checking the broker's certificate: for tests only")
	fl.BoolVar(&f.ws, "ws", false, "MQTT over WebSocket")
	fl.StringVar(&f.wsPath, "ws-path", "/mqtt", "path of the WebSocket")
	f.timeout = seconds(10 * time.Second)
	fl.Var(&f.timeout, "connect-timeout", "seconds to wait for the connection")
	fl.BoolVarP(&f.debug, "debug", "d", false, "say on standard error what happens")
}

// seconds is a flag value written as seconds, as mosquitto has them, or as a Go
// duration: 1.5, 90s, 2m.
type seconds time.Duration

var errSeconds = errors.New("give seconds such as 1.5, or a duration such as 500ms")

// Set implements pflag.Value.
func (s *seconds) Set(text string) error {
	if n, err := strconv.ParseFloat(text, 64); err == nil && n >= 0 && n < 1e9 {
		*s = seconds(n * float64(time.Second))
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return errSeconds
	}
	*s = seconds(d)
	return nil
}

// String implements pflag.Value.
func (s *seconds) String() string { return time.Duration(*s).String() }

// Type implements pflag.Value.
func (s *seconds) Type() string { return "seconds" }

// config turns the flags into what the client wants. message receives the
// properties without a prefix; at is the packet that holds them.
func (f *connectFlags) config(message *packet.Properties, at packet.Type) (client.Config, error) {
	if err := f.readURL(); err != nil {
		return client.Config{}, err
	}
	version, err := parseVersion(f.version)
	if err != nil {
		return client.Config{}, err
	}
	cfg := client.Config{WebSocket: f.ws, Path: f.wsPath, Timeout: time.Duration(f.timeout)}
	if cfg.TLS, err = f.tlsConfig(); err != nil {
		return client.Config{}, err
	}
	cfg.Address = net.JoinHostPort(f.host, strconv.Itoa(f.portOrDefault(cfg.TLS != nil)))
	c := &cfg.Connect
	c.Version = version
	c.KeepAlive = f.keepAlive
	c.CleanStart = f.clean && !f.keep
	c.HasUsername, c.Username = f.username != "", []byte(f.username)
	c.HasPassword, c.Password = f.password != "", []byte(f.password)
	if err := f.setIdentity(c); err != nil {
		return client.Config{}, err
	}
	if err := f.setWill(c); err != nil {
		return client.Config{}, err
	}
	if err := f.setProperties(c, message, at); err != nil {
		return client.Config{}, err
	}
	return cfg, nil
}

func parseVersion(text string) (packet.Version, error) {
	switch strings.TrimPrefix(strings.ToLower(text), "mqttv") {
	case "31", "3.1":
		return packet.V31, nil
	case "311", "3.1.1":
		return packet.V311, nil
	case "5", "50":
		return packet.V5, nil
	}
	return 0, fmt.Errorf("-V %s is no protocol version; use mqttv31, mqttv311 or mqttv5", text)
}

func (f *connectFlags) readURL() error {
	if f.url == "" {
		return nil
	}
	u, err := url.Parse(f.url)
	if err != nil || u.Hostname() == "" {
		return fmt.Errorf("-L %s is no broker URL; write mqtt://host:1883/topic", f.url)
	}
	switch u.Scheme {
	case "mqtt", "tcp":
	case "mqtts", "ssl", "tls":
		f.tls = true
	case "ws":
		f.ws = true
	case "wss":
		f.ws, f.tls = true, true
	default:
		return fmt.Errorf("-L %s has the scheme %q; use mqtt, mqtts, ws or wss", f.url, u.Scheme)
	}
	f.host = u.Hostname()
	if p, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		f.port = uint16(p)
	}
	if u.User != nil {
		f.username = u.User.Username()
		f.password, _ = u.User.Password()
	}
	if f.ws {
		if u.Path != "" {
			f.wsPath = u.Path
		}
		return nil
	}
	f.urlTopic = strings.TrimPrefix(u.Path, "/")
	return nil
}

func (f *connectFlags) portOrDefault(secure bool) int {
	switch {
	case f.port != 0:
		return int(f.port)
	case f.ws && secure:
		return 8084
	case f.ws:
		return 8083
	case secure:
		return 8883
	}
	return 1883
}

// readAuthorities reads the file of --cafile.
func readAuthorities(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--cafile: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--cafile %s holds no PEM certificate", path)
	}
	return pool, nil
}

func (f *connectFlags) tlsConfig() (*tls.Config, error) {
	if !f.secured() {
		return nil, nil
	}
	cfg := &tls.Config{ServerName: f.host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: f.insecure}
	if f.caFile != "" {
		var err error
		if cfg.RootCAs, err = readAuthorities(f.caFile); err != nil {
			return nil, err
		}
	}
	if (f.certFile == "") != (f.keyFile == "") {
		return nil, errors.New("--cert and --key belong together: give both or none")
	}
	if f.certFile != "" {
		pair, err := tls.LoadX509KeyPair(f.certFile, f.keyFile)
		if err != nil {
			return nil, fmt.Errorf("--cert and --key: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

func (f *connectFlags) setIdentity(c *packet.Connect) error {
	switch {
	case f.id != "":
		c.ClientID = []byte(f.id)
	case !c.CleanStart:
		return errors.New("a session that is kept (-c, --clean=false) needs a client id: add -i")
	default:
		var random [5]byte
		_, _ = rand.Read(random[:]) // never fails
		// MQTT 3.1 allows 23 characters.
		c.ClientID = []byte("tombolo-" + f.tool + "-" + hex.EncodeToString(random[:]))
	}
	for _, s := range []string{f.id, f.username, f.password, f.will.payload} {
		if len(s) > 65_535 {
			return errors.New("client id, user name, password and will payload have at most 65535 bytes")
		}
	}
	if c.HasPassword && !c.HasUsername && c.Version != packet.V5 {
		return errors.New("before MQTT 5 a password (-P) needs a user name (-u)")
	}
	return nil
}

func (f *connectFlags) setWill(c *packet.Connect) error {
	if f.will.topic == "" {
		if f.will != (willFlags{}) {
			return errors.New("the will needs a topic: add --will-topic")
		}
		return nil
	}
	if err := topic.CheckName([]byte(f.will.topic), 0); err != nil {
		return fmt.Errorf("--will-topic %q: %w", f.will.topic, err)
	}
	if f.will.qos > 2 {
		return fmt.Errorf("--will-qos %d: QoS is 0, 1 or 2", f.will.qos)
	}
	c.HasWill = true
	c.Will.QoS, c.Will.Retain = f.will.qos, f.will.retain
	c.Will.Topic, c.Will.Payload = []byte(f.will.topic), []byte(f.will.payload)
	return nil
}

// withClient connects, calls use while the connection runs, and disconnects.
// SIGINT and SIGTERM end ctx.
func (f *connectFlags) withClient(cmd *cobra.Command, cfg client.Config,
	use func(ctx context.Context, c *client.Client) error) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := client.Dial(ctx, cfg)
	if err != nil {
		return f.explain(ctx, err)
	}
	f.say(cmd, "connected to %s as %s (MQTT %s)", cfg.Address, c.ClientID(), c.Version())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.WithoutCancel(ctx)) }()
	err = use(ctx, c)
	c.Disconnect(packet.Success)
	if lost := <-ended; lost != nil {
		return f.explain(ctx, lost)
	}
	return f.explain(ctx, err)
}

func (f *connectFlags) say(cmd *cobra.Command, format string, args ...any) {
	if f.debug {
		fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
	}
}

// secured reports whether the flags ask for TLS.
func (f *connectFlags) secured() bool {
	return f.tls || f.caFile != "" || f.certFile != "" || f.insecure
}

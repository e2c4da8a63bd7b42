package config

import (
	"strings"
	"testing"
)

// TestRestricting: a server that was told to let in only some must not let in all.
func TestRestricting(t *testing.T) {
	for _, line := range []string{
		"sslQuorum=true", "ssl.clientAuth=need", "ssl.clientAuth=NEED", "ssl.quorum.clientAuth=need",
		"sessionRequireClientSASLAuth=true", "zookeeper.sessionRequireClientSASLAuth=true", "quorum.auth.enableSasl=true",
		"quorum.auth.learnerRequireSasl=true", "quorum.auth.serverRequireSasl=TRUE", "admin.forceHttps=true",
		"admin.needClientAuth=true", "sslQuorum=treu",
	} {
		key, _, _ := strings.Cut(strings.TrimPrefix(line, "zookeeper."), "=")
		refused(t, line, write(t, "dataDir=/d\n"+line+"\n"), "zoo.cfg:2: "+key+": ", "does not have yet", "remove it to accept")
	}
	for _, line := range []string{
		"sslQuorum=false", "sslQuorum=", "ssl.clientAuth=none", "ssl.clientAuth=want", "quorum.auth.enableSasl=False",
		"ssl.keyStore.location=/k", "secureClientPort=2281\nclientPort=2181",
	} {
		c, err := Load(write(t, "dataDir=/d\n"+line+"\n"))
		key, _, _ := strings.Cut(line, "=")
		if err != nil || !strings.Contains(strings.Join(c.Warnings, "\n"), key+" has no effect in this version") {
			t.Errorf("%s: %v", line, err)
		}
	}
	t.Setenv("ZKD_SSLQUORUM", "true")
	refused(t, "by a variable", write(t, "dataDir=/d\nsslQuorum=false\n"), "environment variable ZKD_SSLQUORUM: sslQuorum")
}

// TestSecurePortAlone: the default port is not opened where only TLS was to be served.
func TestSecurePortAlone(t *testing.T) {
	refused(t, "alone", write(t, "dataDir=/d\nsecureClientPort=2281\n"), "zoo.cfg:2: secureClientPort", "set clientPort")
	c, err := Load(write(t, "dataDir=/d\nsecureClientPort=2281\nserver.1=zk1:2888:3888;2199\n"))
	if err != nil || c.ClientPort != 2199 {
		t.Errorf("with a port in the list: %v", err)
	}
	text := "dataDir=/d\nmetricsProvider.className=" + prometheusProvider + "\nmetricsProvider.httpsPort=7001\n"
	if c, err = Load(write(t, text)); err != nil || c.MetricsPort != 0 {
		t.Errorf("metrics are served in the clear: %v", err)
	}
	if c, err = Load(write(t, text+"metricsProvider.httpPort=7000\n")); err != nil || c.MetricsPort != 7000 {
		t.Errorf("metrics were asked for: %v", err)
	}
}

func TestProviders(t *testing.T) {
	const java = "org.apache.zookeeper.server.auth."
	for _, line := range []string{"authProvider.digest=" + java + "DigestAuthenticationProvider",
		"authProvider.1=" + java + "IPAuthenticationProvider"} {
		if c, err := Load(write(t, "dataDir=/d\n"+line+"\n")); err != nil || len(c.Warnings) > 0 {
			t.Errorf("%s: %v", line, err)
		}
	}
	for line, scheme := range map[string]string{
		"authProvider.sasl=" + java + "SASLAuthenticationProvider":         "scheme sasl",
		"authProvider.1=" + java + "X509AuthenticationProvider":            "scheme x509",
		"zookeeper.authProvider.7=" + java + "SASLAuthenticationProvider":  "scheme sasl",
		"authProvider.ensemble=" + java + "EnsembleAuthenticationProvider": "scheme ensemble",
	} {
		c, err := Load(write(t, "dataDir=/d\n"+line+"\n"))
		if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], scheme) ||
			!strings.Contains(c.Warnings[0], "zoo.cfg:2: authProvider.") {
			t.Errorf("%s: %v", line, err)
		}
	}
	for _, class := range []string{"com.example.Tokens", "SASLAuthenticationProvider", java + "Other"} {
		refused(t, class, write(t, "dataDir=/d\nauthProvider.5="+class+"\n"), "zoo.cfg:2: authProvider.5: ", class, "remove it")
	}
	t.Setenv("ZKD_AUTHPROVIDER_9", "com.example.Tokens")
	refused(t, "by a variable", write(t, "dataDir=/d\n"), "environment variable ZKD_AUTHPROVIDER_9: authProvider.9")
}

func TestExplainNumbered(t *testing.T) {
	for _, name := range []string{"server.N", "server.3", "authProvider.sasl", "weight.2"} {
		if text, ok := Explain(name); !ok || !strings.Contains(text, "ZKD_") {
			t.Errorf("%s: %v %s", name, ok, text)
		}
	}
	if text, ok := Explain("sslQuorum"); !ok || !strings.Contains(text, "TLS") || !strings.Contains(text, "false") {
		t.Errorf("%v %s", ok, text)
	}
	if text, ok := Explain("server1"); ok || !strings.Contains(text, "server.N") {
		t.Errorf("%v %s", ok, text)
	}
}

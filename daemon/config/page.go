package config

import (
	"fmt"
	"strings"
)

// Page is the manual page zoo.cfg(5), in the language of man.
func Page() string {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, k := range keys {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(k.Name), roff(k.Help))
		value := string(k.Kind)
		if k.Kind == Number {
			value = fmt.Sprintf("%d to %d", k.Min, k.Max)
		}
		fmt.Fprintf(&b, "Value: %s.", roff(value))
		if k.Default != "" {
			fmt.Fprintf(&b, " Default: %s.", roff(k.Default))
		}
		if k.Reload {
			b.WriteString(" Takes effect on a reload.")
		}
		b.WriteString("\n")
	}
	b.WriteString(".SH SETTINGS THAT ARE REFUSED\n" +
		"They keep somebody out by TLS or SASL, which zkd does not have yet:\n" +
		"without them it would let everybody in.\n" +
		"Values that demand nothing are accepted, with a warning.\n")
	for _, g := range guards {
		fmt.Fprintf(&b, ".PP\n%s of %s:\n%s, but for %s.\n", g.lacks, roff(g.whom),
			roff(strings.Join(strings.Fields(g.names), ", ")), strings.ReplaceAll(g.harmless, " ", ", "))
	}
	b.WriteString(".PP\nsecureClientPort without a clientPort: nobody could connect.\n")
	b.WriteString(".SH SETTINGS WITHOUT EFFECT IN THIS VERSION\nThey are accepted, with a warning.\n")
	for _, l := range later {
		fmt.Fprintf(&b, ".PP\n%s\n%s.\n", roff(l.help), roff(strings.Join(strings.Fields(l.names), ", ")))
	}
	b.WriteString(".SH SETTINGS THAT HAVE NOTHING TO SET\nThey are accepted, with a warning that tells why.\n")
	for _, i := range ignored {
		fmt.Fprintf(&b, ".PP\nBecause %s:\n%s.\n", roff(i.reason), roff(strings.Join(strings.Fields(i.names), ", ")))
	}
	return b.String() + pageTail
}

const pageHead = `.\" Generated from the key table in daemon/config; "make docs" renews it.
.TH ZOO.CFG 5 "" "zkd" "File formats"
.SH NAME
zoo.cfg \- settings of zkd
.SH DESCRIPTION
.BR zkd (8)
reads
.I /etc/zkd/zoo.cfg
and after it
.IR /etc/zkd/zoo.cfg.d/*.cfg ,
in the order of their names; what comes later wins. The files have the form and the keys of ZooKeeper's: a key, an
equals sign and a value on a line, comments behind a # at the start of a line. A key may be written with
.I zookeeper.\&
in front. An environment variable overrides the files: ZKD_ and the key in capitals, dots and dashes as underscores,
for example ZKD_TICKTIME, which can be set in
.IR /etc/default/zkd .
.PP
.B "zkd check\-config"
prints every setting in force and the line that it comes from. After
.B "systemctl reload zkd"
the settings that are marked below take effect; those that need a restart are named in the journal.
.SH SERVERS OF AN ENSEMBLE
.TP
.BI server. N = host : quorumPort : electionPort\fR[:\fPobserver\fR]
One line for each server, the same on all of them. Behind a semicolon it may say where clients connect:
.IR "" ; clientPort
or
.IR "" ; clientAddress : clientPort .
A server finds its own number in the file
.I myid
of its
.BR dataDir ;
without any list of servers it runs on its own, and warns if there is such a file.
The addresses of other servers take effect on a reload; other changes of the list need a restart.
.TP
.BI group. N = id : id\fR...\fP
.TQ
.BI weight. N = number
Hierarchical quorums.
.TP
.BI dynamicConfigFile= path
These lines are in a file of their own, as ZooKeeper keeps them after a reconfiguration. The file is read at the
start and on a reload; zkd does not write it, and there is no reconfiguration without a restart. There may be no
such lines in zoo.cfg then. The end of its name, or a line version=, is the version of the list, and a leader
refuses servers with a newer one than its own.
.TP
.BI authProvider. name = class
The classes of ZooKeeper's schemes digest and ip are always there. Those of sasl, x509, ensemble and key are
accepted with a warning: nobody can authenticate with them yet. Others are refused.
.PP
The variables ZKD_SERVER_N, ZKD_GROUP_N and ZKD_WEIGHT_N, with a number for N, go before the lines of the files.
.SH SETTINGS
`

const pageTail = `.SH DIRECTORIES
The unit may write to
.I /var/lib/zkd
only. A
.B dataDir
or
.B dataLogDir
elsewhere, on a disk of its own, is given to it in a drop-in:
.PP
.nf
# systemctl edit zkd
[Unit]
RequiresMountsFor=/srv/zkd\-log
[Service]
ReadWritePaths=/srv/zkd\-log

# install \-d \-o zkd \-g zkd \-m 750 /srv/zkd\-log
.fi
.SH FILES
.I /etc/zkd/zoo.cfg
.br
.I /etc/zkd/zoo.cfg.d/*.cfg
.br
.I /etc/default/zkd
.SH EXAMPLE
.nf
tickTime=2000
initLimit=10
syncLimit=5
dataDir=/var/lib/zkd
clientPort=2181
server.1=zk1:2888:3888
server.2=zk2:2888:3888
server.3=zk3:2888:3888
.fi
.SH SEE ALSO
.BR zkd (8),
.BR zkctl (1)
`

// roff escapes a text for a manual page.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

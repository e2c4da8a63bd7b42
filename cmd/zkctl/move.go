package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon/config"
	"github.com/zkd-project/zkd/daemon/migrate"
	"github.com/zkd-project/zkd/daemon/owner"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

const defaultConfig = "/etc/zkd/zoo.cfg"

// offline are the commands that work on the files of servers that are stopped.
func (g *globals) offline() []*cobra.Command {
	return []*cobra.Command{g.importCommand(), g.exportCommand(), g.logCommand(), g.snapshotCommand()}
}

// quietLog is a log for the store: what goes wrong is told by errors.
func quietLog() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// moving are the options of import and export. TTL znodes are kept whether or not the
// configuration allows to make new ones.
func moving(cmd *cobra.Command) migrate.Options {
	return migrate.Options{
		Tree:     tree.Options{ExtendedTypes: true},
		Progress: func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), text) },
	}
}

func (g *globals) importCommand() *cobra.Command {
	var from migrate.Dirs
	var file string
	var alone, force, running bool
	cmd := &cobra.Command{
		Use: "import", Args: cobra.NoArgs,
		Short: "Take over the data directory of a server of Apache's that is stopped",
		Long: "import reads the newest snapshot that is whole and the logs behind it, as Apache's server does\n" +
			"at its start, and writes them to the dataDir and dataLogDir of the configuration, where there\n" +
			"must be no data of zkd's yet: znodes with all of their Stat, sessions, zxid, epochs and myid. It\n" +
			"compares the tree with the digests that Apache's server wrote, and reads again what it has\n" +
			"written; no server starts on half of it. What it reads stays as it is. Both servers must be\n" +
			"stopped.",
		Example: "  zkctl import --from /var/lib/zookeeper -c /etc/zkd/zoo.cfg",
	}
	f := cmd.Flags()
	f.StringVar(&from.Data, "from", "", "the dataDir of Apache's server")
	f.StringVar(&from.Log, "log-from", "", "its dataLogDir, if it has one")
	f.StringVarP(&file, "config", "c", defaultConfig, "zkd's configuration")
	f.BoolVar(&alone, "snapshot-only", false, "there are no logs; take the snapshot alone")
	f.BoolVar(&running, "running", false, "go on where Apache's server seems to run; what it still writes is left out")
	f.BoolVar(&force, "force", false, "go on where txns are missing or the digest is not right")
	cobra.CheckErr(cmd.MarkFlagRequired("from"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := config.StorageOf(file)
		if err != nil {
			return err
		}
		o := moving(cmd)
		o.NoLog, o.Force, o.Running = alone, force, running
		report, err := importInto(s, from, o, file)
		if err != nil {
			return err
		}
		how := fmt.Sprintf("from %s and %d txns behind it; %d digests of Apache's agree",
			report.Snapshot, report.Txns, report.Compared)
		return g.tell(cmd, report, "imported into "+s.DataDir, how)
	}
	return cmd
}

func importInto(s config.Storage, from migrate.Dirs, o migrate.Options, file string) (*migrate.Report, error) {
	own := owner.Of("zkd", s.DataDir, s.DataLogDir)
	to := migrate.Dirs{Data: s.DataDir}
	id, hasID, err := from.ServerID()
	if err != nil {
		return nil, err
	}
	old, hadID, err := to.ServerID()
	if err != nil {
		return nil, err
	}
	if hasID && hadID && id != old {
		return nil, fmt.Errorf("%s is the directory of server %d, and this one is %d", from.Data, id, old)
	}
	report, err := migrate.Import(from, store.Options{ImageDir: s.DataDir, LogDir: s.DataLogDir, Log: quietLog()}, o,
		func(r *migrate.Report) error {
			if r.TTL && !s.ExtendedTypes {
				return fmt.Errorf("there are TTL znodes, which would be taken for ephemerals: "+
					"set extendedTypesEnabled=true in %s", file)
			}
			return nil
		})
	if err == nil && hasID && !hadID {
		err = place(filepath.Join(s.DataDir, zkfile.ServerID), fmt.Sprintf("%d\n", id))
	}
	return report, errors.Join(err, own.Give())
}

func (g *globals) exportCommand() *cobra.Command {
	var to migrate.Target
	var file, how string
	cmd := &cobra.Command{
		Use: "export", Args: cobra.NoArgs, Short: "Write a stopped server's data as files of Apache's",
		Long: "export writes the data of the configuration's dataDir and dataLogDir as a server of Apache's has\n" +
			"them: version-2 with a snapshot, a log of what may not be committed yet, and the epochs; and\n" +
			"myid. All releases from 3.5 on can read it. zkd's data stay as they are. The server must be\n" +
			"stopped.",
		Example: "  zkctl export --to /var/lib/zookeeper -c /etc/zkd/zoo.cfg",
	}
	f := cmd.Flags()
	f.StringVar(&to.Data, "to", "", "the dataDir of Apache's server")
	f.StringVar(&to.Log, "log-to", "", "its dataLogDir, if it has one")
	f.StringVarP(&file, "config", "c", defaultConfig, "zkd's configuration")
	f.StringVar(&how, "compress", "", "gz or snappy, which releases from 3.6 on can read")
	cobra.CheckErr(cmd.MarkFlagRequired("to"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		s, err := config.StorageOf(file)
		if err != nil {
			return err
		}
		if to.How, err = zkfile.ParseCompression(how); err != nil {
			return err
		}
		if to.ServerID, to.WithID, err = (migrate.Dirs{Data: s.DataDir}).ServerID(); err != nil {
			return err
		}
		dirs := []string{to.Data}
		if to.Log != "" {
			dirs = append(dirs, to.Log)
		}
		own := owner.Of("zookeeper", dirs...)
		for _, dir := range dirs {
			if err := os.MkdirAll(dir, 0o750); err != nil {
				return err
			}
		}
		from := store.Options{ImageDir: s.DataDir, LogDir: s.DataLogDir, Log: quietLog()}
		report, err := migrate.Export(from, to, moving(cmd))
		if err := errors.Join(err, own.Give()); err != nil {
			return err
		}
		how := fmt.Sprintf("in %s and a log of %d txns", report.Snapshot, report.Txns)
		return g.tell(cmd, report, "exported to "+to.Data, how)
	}
	return cmd
}

// tell prints what was moved.
func (g *globals) tell(cmd *cobra.Command, r *migrate.Report, done, how string) error {
	if g.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(cmd.ErrOrStderr(), "note:", n)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %d znodes, %d sessions, zxid %v, epoch %d, digest %#x\n%s\n",
		done, r.Znodes, r.Sessions, r.Zxid, r.Current, r.Digest, how)
	return nil
}

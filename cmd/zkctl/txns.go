package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon/migrate"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

// logView is how a log is looked at.
type logView struct {
	p       txnPrinter
	verify  bool
	fixed   *zkfile.LogWriter // of --recover
	out     io.Writer
	notes   io.Writer
	damaged int
}

func (g *globals) logCommand() *cobra.Command {
	v := new(logView)
	var mend bool
	cmd := &cobra.Command{
		Use: "log FILE|DIRECTORY", Args: cobra.ExactArgs(1),
		Short: "Print the transactions of a log of Apache's or zkd's",
		Long: "log prints one line for each transaction of a log file of Apache's, of all log files in a\n" +
			"directory, or of zkd's log in a dataLogDir whose server is stopped. Where a record is broken it\n" +
			"says so and goes on with the next whole one; it fails if there was one. What was being written\n" +
			"when the server ended is no failure.",
		Example: "  zkctl log /var/lib/zookeeper/version-2/log.1\n  zkctl log --verify /var/lib/zookeeper\n" +
			"  zkctl log -d /var/lib/zkd",
	}
	f := cmd.Flags()
	f.BoolVarP(&v.p.data, "data", "d", false, "print the data, too")
	f.BoolVar(&v.verify, "verify", false, "print a line for each file instead")
	f.BoolVar(&mend, "recover", false,
		"write what is whole of Apache's file to FILE.fixed, and records of which only the checksum is wrong")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		out := bufio.NewWriter(cmd.OutOrStdout())
		v.out, v.notes, v.p.out, v.p.json = out, cmd.ErrOrStderr(), out, g.json
		if mend {
			err = v.recover(args[0])
		} else {
			err = v.show(args[0])
		}
		if err = errors.Join(err, out.Flush()); err == nil && v.damaged > 0 && !mend {
			err = fmt.Errorf("%d places are damaged; 'zkctl log --recover FILE' keeps what is whole", v.damaged)
		}
		return err
	}
	return cmd
}

// show prints a file, or all files of a directory.
func (v *logView) show(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return v.file(path)
	}
	_, logs, err := migrate.Dirs{Data: path}.Files()
	if err != nil {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(path, "log-*"))
	if err != nil {
		return err
	}
	if len(segments) > 0 {
		return v.own(path)
	}
	if len(logs) == 0 {
		return fmt.Errorf("%s holds no log, neither of Apache's nor of zkd's", path)
	}
	for _, log := range logs {
		if err := v.file(log); err != nil {
			return err
		}
	}
	return nil
}

// tally is what --verify tells of a log.
type tally struct {
	txns        int
	first, last proto.Zxid
	order       string // what is wrong with it
}

func (t *tally) add(z proto.Zxid) {
	switch {
	case t.txns == 0:
		t.first = z
	case t.order != "":
	case z <= t.last:
		t.order = fmt.Sprintf("; %v comes after %v", z, t.last)
	case z != t.last+1 && z.Epoch() == t.last.Epoch():
		t.order = fmt.Sprintf("; txns between %v and %v are missing", t.last, z)
	}
	t.last = z
	t.txns++
}

func (t *tally) print(out io.Writer, name, end string) {
	span := ""
	if t.txns > 0 {
		span = fmt.Sprintf(", %v to %v", t.first, t.last)
	}
	fmt.Fprintf(out, "%s: %d txns%s%s%s\n", name, t.txns, span, t.order, end)
}

// take deals with a txn.
func (v *logView) take(t *tally, b []byte) error {
	var txn proto.Txn
	if err := txn.Decode(b); err != nil {
		return err
	}
	t.add(txn.Zxid)
	if v.fixed != nil {
		return v.fixed.Append(b)
	}
	if v.verify {
		return nil
	}
	return v.p.print(&txn)
}

// file looks at a log file of Apache's.
func (v *logView) file(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	l, err := zkfile.NewLogReader(in, st.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var t tally
	end := ""
	for {
		at := l.Offset()
		b, err := l.Next()
		if err == nil {
			err = v.take(&t, b)
			if err != nil {
				err = fmt.Errorf("%s: the record at byte %d: %w", path, at, err)
			}
		}
		var bad *zkfile.BadRecord
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF):
			if v.verify {
				t.print(v.out, path, end)
			}
			return nil
		case !errors.As(err, &bad):
			return err
		}
		note, goOn := v.broken(&t, bad)
		end += "; " + note
		if !v.verify {
			fmt.Fprintf(v.notes, "%s: %s\n", path, note)
		}
		if goOn == 0 {
			goOn = st.Size()
		}
		l.Resume(goOn)
	}
}

// broken says what is wrong, and where to go on; 0 is the end.
func (v *logView) broken(t *tally, bad *zkfile.BadRecord) (note string, next int64) {
	if bad.Torn() {
		return fmt.Sprintf("the last record, at byte %d, was not finished (%s)", bad.Offset, bad.Reason), 0
	}
	var txn proto.Txn
	if bad.Txn != nil && txn.Decode(bad.Txn) == nil {
		v.damaged++
		note = fmt.Sprintf("the record at byte %d, txn %v, has a wrong checksum", bad.Offset, txn.Zxid)
		if v.fixed != nil && v.fixed.Append(bad.Txn) == nil {
			t.add(txn.Zxid)
			note += "; it was kept as it is: " + v.p.line(&txn)
		}
		return note, bad.Next
	}
	v.damaged++
	return fmt.Sprintf("damaged at byte %d (%s), whole again from byte %d on",
		bad.Offset, bad.Reason, bad.Next), bad.Next
}

// own looks at zkd's log.
func (v *logView) own(dir string) error {
	var t tally
	err := store.EachLogged(store.Options{LogDir: dir, Log: quietLog()}, func(_ proto.Zxid, b []byte) error {
		return v.take(&t, b)
	})
	if err == nil && v.verify {
		t.print(v.out, dir, "")
	}
	return err
}

// recover writes what is good of a file beside it.
func (v *logView) recover(path string) (err error) {
	to := path + ".fixed"
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	if v.fixed, err = zkfile.NewLogWriter(w); err == nil {
		err = v.file(path)
	}
	if err = errors.Join(err, w.Flush(), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	fmt.Fprintf(v.out, "%s written; %d places were damaged. Look at it, and put it in the place of %s\n",
		to, v.damaged, path)
	return nil
}

package daemon

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/sirupsen/logrus"
)

// NewLogger makes the process's logger: to the journal with fields where systemd reads
// the output, else as text or JSON to the standard error output.
func NewLogger(level, format string) (*logrus.Logger, error) {
	log := logrus.New()
	l, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log level %q: give one of trace, debug, info, warn, error", level)
	}
	log.SetLevel(l)
	switch format {
	case "json":
		log.SetFormatter(&logrus.JSONFormatter{})
	case "text":
		log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, TimestampFormat: "2006-01-02T15:04:05.000Z07:00"})
	case "auto":
		log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, TimestampFormat: "2006-01-02T15:04:05.000Z07:00"})
		if ok, err := journal.StderrIsJournalStream(); err == nil && ok && journal.Enabled() {
			log.SetOutput(io.Discard)
			log.AddHook(journalHook{})
		}
	default:
		return nil, fmt.Errorf("log format %q: give auto, text or json", format)
	}
	return log, nil
}

// journalHook sends entries to the systemd journal.
type journalHook struct{}

// Levels implements logrus.Hook.
func (journalHook) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (journalHook) Fire(e *logrus.Entry) error {
	vars := make(map[string]string, len(e.Data)+1)
	text := e.Message
	for _, k := range slices.Sorted(maps.Keys(e.Data)) {
		value := fmt.Sprint(e.Data[k])
		vars["ZKD_"+journalField(k)] = value
		if k != "event" {
			text += " " + k + "=" + value
		} else if id := messages[value]; id != "" {
			vars["MESSAGE_ID"] = id
		}
	}
	if err := journal.Send(text, priority(e.Level), vars); err != nil {
		fmt.Fprintln(os.Stderr, text)
	}
	return nil
}

func journalField(k string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, k)
}

func priority(l logrus.Level) journal.Priority {
	switch l {
	case logrus.PanicLevel, logrus.FatalLevel:
		return journal.PriCrit
	case logrus.ErrorLevel:
		return journal.PriErr
	case logrus.WarnLevel:
		return journal.PriWarning
	case logrus.InfoLevel:
		return journal.PriInfo
	}
	return journal.PriDebug
}

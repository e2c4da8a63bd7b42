package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/viper"

	"github.com/zkd-project/zkd/daemon/ensemble"
)

// ErrConfig says that the configuration is wrong; its text tells what and where.
var ErrConfig = errors.New("configuration")

// Table is every setting that is known, by name.
func Table() []Key {
	all := slices.Clone(keys)
	for _, l := range later {
		for _, name := range strings.Fields(l.names) {
			all = append(all, Key{Name: name, Kind: Text, Class: Later, Help: l.help})
		}
	}
	for _, i := range ignored {
		for _, name := range strings.Fields(i.names) {
			all = append(all, Key{Name: name, Kind: Text, Class: Ignored, Reason: i.reason,
				Help: "Accepted, and without effect: " + i.reason + "."})
		}
	}
	return all
}

// dynamic matches the keys with a number in them.
var dynamic = regexp.MustCompile(`^(server|group|weight)\.-?\d+$|^version$|^authProvider\.`)

// EnvName is the environment variable that sets a key.
func EnvName(key string) string {
	return "ZKD_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// loader gathers what the files say.
type loader struct {
	v        *viper.Viper
	known    map[string]*Key   // by every spelling
	source   map[string]string // by name
	warnings []string
	members  []ensemble.Setting
}

// Load reads a file, its drop-ins and the environment.
func Load(file string) (*Config, error) {
	l := newLoader()
	files, err := sources(file)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := l.read(f); err != nil {
			return nil, err
		}
	}
	c := &Config{File: file}
	if err := l.fill(c); err != nil {
		return nil, err
	}
	return c, c.check(l)
}

// DataDir is the data directory that a configuration names, whether or not the rest of it
// would do.
func DataDir(file string) (string, error) {
	s, err := StorageOf(file)
	return s.DataDir, err
}

// Storage is what a configuration says of the data.
type Storage struct {
	DataDir       string
	DataLogDir    string // DataDir if it is not set
	ExtendedTypes bool
}

// StorageOf reads what a configuration says of the data, whether or not the rest of it would do.
func StorageOf(file string) (s Storage, err error) {
	l := newLoader()
	files, err := sources(file)
	if err != nil {
		return s, err
	}
	for _, f := range files {
		if err := l.read(f); err != nil {
			return s, err
		}
	}
	s = Storage{DataDir: l.v.GetString("dataDir"), DataLogDir: l.v.GetString("dataLogDir")}
	if k := l.known["extendedTypesEnabled"]; l.v.IsSet(k.Name) {
		if err := k.parse(l.v.GetString(k.Name), &s.ExtendedTypes); err != nil {
			return s, fmt.Errorf("%w: %s: %s: %w", ErrConfig, file, k.Name, err)
		}
	}
	if s.DataDir == "" {
		return s, fmt.Errorf("%w: %s: dataDir is not set", ErrConfig, file)
	}
	if s.DataLogDir == "" {
		s.DataLogDir = s.DataDir
	}
	return s, nil
}

func newLoader() *loader {
	l := &loader{
		v:     viper.NewWithOptions(viper.KeyDelimiter("::")), // names have dots in them
		known: make(map[string]*Key), source: make(map[string]string),
	}
	table := Table()
	for i := range table {
		k := &table[i]
		_ = l.v.BindEnv(k.Name, EnvName(k.Name)) // fails only without a name
		for _, name := range append([]string{k.Name}, k.Aliases...) {
			l.known[name] = k
			l.known["zookeeper."+name] = k
		}
	}
	return l
}

// sources are the file and its drop-ins, in the order in which they are read.
func sources(file string) ([]string, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; give the file with -c FILE", ErrConfig, err)
	}
	if st.IsDir() {
		return nil, fmt.Errorf("%w: %s is a directory; give a file", ErrConfig, file)
	}
	more, err := filepath.Glob(filepath.Join(file+".d", "*.cfg"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return append([]string{file}, more...), nil
}

// read takes in one file.
func (l *loader) read(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	entries, err := parseProperties(file, text)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	seen := make(map[string]int)
	values := make(map[string]any)
	for _, e := range entries {
		k := l.known[e.key]
		if k == nil {
			l.stranger(e)
			continue
		}
		if at := seen[k.Name]; at > 0 {
			l.warn("%s:%d: %s is set again and replaces line %d", e.file, e.line, e.key, at)
		}
		seen[k.Name] = e.line
		values[k.Name] = e.value
		l.source[k.Name] = fmt.Sprintf("%s:%d", e.file, e.line)
	}
	return l.v.MergeConfigMap(values)
}

func (l *loader) warn(format string, args ...any) {
	l.warnings = append(l.warnings, fmt.Sprintf(format, args...))
}

// stranger deals with a key that has no row.
func (l *loader) stranger(e entry) {
	if dynamic.MatchString(e.key) {
		if ensemble.Concerns(e.key) {
			l.members = append(l.members, ensemble.Setting{Key: e.key, Value: e.value})
			l.source[e.key] = fmt.Sprintf("%s:%d", e.file, e.line)
		}
		return
	}
	near := l.nearest(e.key)
	if near == "" {
		l.warn("%s:%d: %s is not a setting that zkd knows; it has no effect", e.file, e.line, e.key)
		return
	}
	l.warn("%s:%d: %s is not a setting that zkd knows and has no effect; did you mean %s?", e.file, e.line, e.key, near)
}

// fill turns texts into values.
func (l *loader) fill(c *Config) error {
	var errs []error
	for _, k := range Table() {
		source, value := l.source[k.Name], k.Default
		if _, ok := os.LookupEnv(EnvName(k.Name)); ok {
			source = "environment variable " + EnvName(k.Name)
		}
		set := source != ""
		if set {
			value = l.v.GetString(k.Name)
		}
		if !set {
			source = "default"
		}
		if set && k.Class == Ignored {
			l.warn("%s: %s has no effect in zkd: %s", source, k.Name, k.Reason)
		}
		if set && k.Class == Later {
			l.warn("%s: %s has no effect in this version", source, k.Name)
		}
		if set || k.Class == Effective {
			c.Settings = append(c.Settings, Setting{k.Name, value, source, k.Class})
		}
		if k.field == nil {
			continue
		}
		value, err := credential(value)
		if err == nil {
			err = k.parse(value, k.field(c))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: %s: %s: %w", ErrConfig, source, k.Name, err))
		}
	}
	c.Warnings = l.warnings
	return errors.Join(errs...)
}

// parse reads a value into its field.
func (k *Key) parse(value string, field any) error {
	switch f := field.(type) {
	case *string:
		*f = value
	case *[]string:
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*f = append(*f, part)
			}
		}
	case *bool:
		switch strings.ToLower(value) {
		case "true", "yes", "on", "1":
			*f = true
		case "false", "no", "off", "0":
			*f = false
		default:
			return fmt.Errorf("%q is neither true nor false", value)
		}
	case *int:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", value)
		}
		if n < k.Min || n > k.Max {
			return fmt.Errorf("%d is out of range: give a number from %d to %d", n, k.Min, k.Max)
		}
		*f = int(n)
	}
	return nil
}

// check looks at settings that depend on each other.
func (c *Config) check(l *loader) error {
	wrong := func(key, format string, args ...any) error {
		source := l.source[key]
		if source == "" {
			source = c.File
		}
		return fmt.Errorf("%w: %s: %s: %s", ErrConfig, source, key, fmt.Sprintf(format, args...))
	}
	if c.MinSessionTimeout == -1 {
		c.MinSessionTimeout = 2 * c.TickTime
	}
	if c.MaxSessionTimeout == -1 {
		c.MaxSessionTimeout = 20 * c.TickTime
	}
	if c.DataLogDir == "" {
		c.DataLogDir = c.DataDir
	}
	switch {
	case c.DataDir == "":
		return wrong("dataDir", "is not set; name the directory that holds the data, for example dataDir=/var/lib/zkd")
	case c.MinSessionTimeout > c.MaxSessionTimeout:
		return wrong("minSessionTimeout", "%d is above maxSessionTimeout, which is %d",
			c.MinSessionTimeout, c.MaxSessionTimeout)
	case !slices.Contains([]string{"trace", "debug", "info", "warn", "error"}, c.LogLevel):
		return wrong("logLevel", "%q is none of trace, debug, info, warn and error", c.LogLevel)
	case c.EnforceAuth && len(c.AuthSchemes) == 0:
		return wrong("enforce.auth.schemes", "must be set where enforce.auth.enabled is true, for example to digest")
	}
	if err := c.join(l); err != nil {
		return err
	}
	if !strings.HasPrefix(c.AdminPath, "/") || strings.ContainsAny(c.AdminPath, "{} ?#") {
		return wrong("admin.commandURL", "%q is not a path, such as /commands", c.AdminPath)
	}
	c.places(l)
	if !c.ForceSync {
		c.Warnings = append(c.Warnings,
			"forceSync=no: writes are acknowledged before they are on the disk, and can be lost")
	}
	if c.SkipACL {
		c.Warnings = append(c.Warnings, "skipACL=yes: no ACL is checked")
	}
	return nil
}

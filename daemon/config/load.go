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
	for i := range guards {
		g := &guards[i]
		for _, name := range strings.Fields(g.names) {
			all = append(all, Key{Name: name, Kind: Text, Class: Restricting, Help: g.help(), guard: g})
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

// variables are the environment variables that set a key, the one that counts first.
func variables(key string) []string { return []string{EnvName(key), EnvName("zookeeper." + key)} }

// loader gathers what the files say.
type loader struct {
	file      string   // the first one
	files     []string // all, in the order in which they are read
	v         *viper.Viper
	known     map[string]*Key   // by every spelling
	source    map[string]string // by name
	warnings  []string
	members   []ensemble.Setting
	version   int64           // of the list of servers
	providers []Setting       // the lines authProvider.NAME
	unread    []error         // secrets that cannot be read here
	errs      []error         // what is wrong
	bad       map[string]bool // settings whose values are wrong; they have their defaults meanwhile
	unlisted  bool            // the list of servers cannot be read
}

// Load reads a file, its drop-ins and the environment. A configuration that is wrong gives an
// error of type *Wrong.
func Load(file string) (*Config, error) {
	return load(file, func(_ *Config, l *loader) { l.errs = append(l.errs, l.unread...) })
}

// LoadBeside is Load for commands beside the service: secrets that only the service can read are
// left out, and named.
func LoadBeside(file string) (*Config, error) {
	return load(file, func(c *Config, l *loader) {
		for _, u := range l.unread {
			c.Unread = append(c.Unread, u.Error())
		}
	})
}

// load reads everything, and has secrets deal with those that cannot be read.
func load(file string, secrets func(*Config, *loader)) (*Config, error) {
	l := newLoader(file)
	if err := l.gather(); err != nil {
		return nil, err
	}
	l.readDynamic()
	l.environment()
	c := &Config{File: file}
	l.fill(c)
	c.check(l)
	secrets(c, l)
	if err := l.verdict(c.Warnings); err != nil {
		return nil, err
	}
	return c, nil
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
	Listed        bool // there is a list of servers, right or wrong
}

// StorageOf reads what a configuration says of the data, whether or not the rest of it would do.
func StorageOf(file string) (s Storage, err error) {
	l := newLoader(file)
	if err := errors.Join(l.gather(), errors.Join(l.errs...)); err != nil {
		return s, err
	}
	l.environment()
	s = Storage{DataDir: l.v.GetString("dataDir"), DataLogDir: l.v.GetString("dataLogDir")}
	s.Listed = len(l.members) > 0 || l.v.GetString("dynamicConfigFile") != ""
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

func newLoader(file string) *loader {
	l := &loader{
		file:  file,
		v:     viper.NewWithOptions(viper.KeyDelimiter("::")), // names have dots in them
		known: make(map[string]*Key), source: make(map[string]string), bad: make(map[string]bool),
	}
	table := Table()
	for i := range table {
		k := &table[i]
		_ = l.v.BindEnv(append([]string{k.Name}, variables(k.Name)...)...) // fails only without a name
		for _, name := range append([]string{k.Name}, k.Aliases...) {
			l.known[name] = k
			l.known["zookeeper."+name] = k
		}
	}
	return l
}

// gather reads the file and its drop-ins. Its error is that one of them cannot be read.
func (l *loader) gather() (err error) {
	if l.files, err = sources(l.file); err != nil {
		return err
	}
	for _, f := range l.files {
		if err := l.read(f); err != nil {
			return err
		}
	}
	return nil
}

// sources are the file and its drop-ins, in the order in which they are read.
func sources(file string) ([]string, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, unreadable(file, err)
	}
	if st.IsDir() {
		return nil, fmt.Errorf("%w: %s is a directory; give a file", ErrConfig, file)
	}
	all := []string{file}
	entries, err := os.ReadDir(file + ".d") // in the order of the names
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, unreadable(file+".d", err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".cfg" {
			all = append(all, filepath.Join(file+".d", e.Name()))
		}
	}
	return all, nil
}

// read takes in one file.
func (l *loader) read(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return unreadable(file, err)
	}
	entries, errs := parseProperties(file, text)
	for _, err := range errs {
		l.fail(fmt.Errorf("%w: %w", ErrConfig, err))
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
	key := strings.TrimPrefix(e.key, "zookeeper.")
	kind, _, _ := strings.Cut(key, ".")
	switch {
	case key == "version":
		l.setVersion(e)
	case dynamic.MatchString(key) && ensemble.Concerns(key):
		l.member(entry{key, e.value, e.file, e.line})
	case dynamic.MatchString(key):
		l.providers = append(l.providers, Setting{key, e.value, fmt.Sprintf("%s:%d", e.file, e.line), Later})
	case key == "":
		l.warn("%s:%d: a value without the name of a setting has no effect", e.file, e.line)
	case key != kind && (kind == "server" || kind == "group" || kind == "weight"):
		l.warn("%s:%d: %s has no effect: what follows %s. has to be a number; did you mean %s.1 or such?",
			e.file, e.line, e.key, kind, kind)
	default:
		near := meant(l.nearest(e.key))
		if e.value == "" {
			near = ", and it has no value" + near
		}
		l.warn("%s:%d: %s is not a setting that zkd knows; it has no effect%s", e.file, e.line, e.key, near)
	}
}

// value is the text that a setting has, and where from; both are empty if it is not set.
func (l *loader) value(name string) (value, source string) {
	source = l.source[name]
	for _, env := range variables(name) {
		if os.Getenv(env) != "" {
			source = fromEnv(env)
			break
		}
	}
	if source == "" {
		return "", ""
	}
	return l.v.GetString(name), source
}

// fill turns texts into values. A wrong one is told of, and its setting keeps its default.
func (l *loader) fill(c *Config) {
	for _, k := range Table() {
		value, source := l.value(k.Name)
		set := source != ""
		if set {
			l.source[k.Name] = source
			l.judge(&k, value, source)
		} else {
			value, source = k.Default, "default"
		}
		if set || k.Class == Effective {
			c.Settings = append(c.Settings, Setting{k.Name, value, source, k.Class})
		}
		if k.field == nil {
			continue
		}
		secret, err := credential(value)
		if errors.Is(err, ErrCredential) {
			l.unread = append(l.unread, fmt.Errorf("%w: %s: %s: %w", ErrConfig, source, k.Name, err))
			secret, err = k.Default, nil
		}
		if err == nil {
			err = k.parse(secret, k.field(c))
		}
		if err != nil {
			l.bad[k.Name] = true
			l.wrong(source, k.Name, "%w", err)
			_ = k.parse(k.Default, k.field(c)) // defaults are right
		}
	}
	for _, m := range l.members {
		c.Settings = append(c.Settings, Setting{m.Key, m.Value, l.source[m.Key], Effective})
	}
	for _, p := range l.providers {
		c.Settings = append(c.Settings, p)
		l.fail(l.provider(p))
	}
	c.Warnings = l.warnings
}

// judge says what a setting that is set does not do here, or why that will not do.
func (l *loader) judge(k *Key, value, source string) {
	switch k.Class {
	case Ignored:
		l.warn("%s: %s has no effect in zkd: %s", source, k.Name, k.Reason)
	case Restricting:
		if err := k.guard.check(value); err != nil {
			l.wrong(source, k.Name, "%w", err)
			return
		}
		fallthrough
	case Later:
		if k.Name != secureClientPort {
			l.warn("%s: %s has no effect in this version", source, k.Name)
		}
	}
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
			return fmt.Errorf("%q is not a whole number%s", value, k.example(value))
		}
		if n < k.Min || n > k.Max {
			return fmt.Errorf("%d is out of range: give a number from %d to %d", n, k.Min, k.Max)
		}
		*f = int(n)
	}
	return nil
}

package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
)

// A server of an ensemble whose store is damaged may begin anew with an empty one, as
// others have what it had. It must not forget that it has forgotten: a file says so until
// everything is there again.
const (
	healName    = "HEALING"  // in ImageDir
	asidePrefix = "damaged-" // in front of the names of what was moved aside
)

// What the file begins with.
var (
	markMoving  = []byte("moving\n")  // some of the damaged store may not be aside yet
	markHealing = []byte("healing\n") // all of it is
)

// Quarantine has the next Open move a damaged store aside and begin with an empty one that
// is Healing. What was moved aside before is deleted; a store that was Healing already is
// deleted itself.
func Quarantine(o Options, why error) (err error) {
	o.setDefaults()
	s := &Store{opt: o, fs: o.FS, log: o.Log}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.lockDirs(); err != nil {
		return err
	}
	mark, err := s.healMark()
	switch {
	case err != nil:
		return err
	case bytes.HasPrefix(mark, markMoving):
		return nil
	case mark != nil:
		return s.discard()
	}
	for _, dir := range s.dirs() {
		if err := s.removeAside(dir); err != nil {
			return err
		}
	}
	return s.mark(markMoving, []byte(why.Error()+"\n"))
}

// removeAside deletes what was moved aside before.
func (s *Store) removeAside(dir string) error {
	names, err := s.fs.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, asidePrefix) {
			if err := s.fs.RemoveAll(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return s.fs.SyncDir(dir)
}

// Aside are patterns of the names under which a damaged store is kept.
func (o *Options) Aside() (patterns []string) {
	for _, dir := range slices.Compact([]string{o.ImageDir, o.LogDir}) {
		patterns = append(patterns, filepath.Join(dir, asidePrefix+"*"))
	}
	return patterns
}

// Healing says whether the store began with nothing in place of a damaged one, and Healed
// was not called yet.
func (s *Store) Healing() bool { return s.healing }

// Healed notes that the store has everything again that the damaged one had. It must not
// run at the same time as Append.
func (s *Store) Healed() error {
	if !s.healing {
		return nil
	}
	if err := s.fs.Remove(filepath.Join(s.opt.ImageDir, healName)); err != nil {
		return s.failed(err)
	}
	if err := s.fs.SyncDir(s.opt.ImageDir); err != nil {
		return s.failed(err)
	}
	s.healing = false
	return nil
}

func (s *Store) dirs() []string { return slices.Compact([]string{s.opt.ImageDir, s.opt.LogDir}) }

// IsHealing says whether directories hold a store that is Healing, or will be at the next
// Open.
func IsHealing(o Options) (bool, error) {
	o.setDefaults()
	mark, err := (&Store{opt: o, fs: o.FS}).healMark()
	return mark != nil, err
}

// healMark reads the mark, nil if there is none.
func (s *Store) healMark() ([]byte, error) {
	b, err := readFile(s.fs, filepath.Join(s.opt.ImageDir, healName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil && b == nil {
		b = []byte{}
	}
	return b, err
}

func (s *Store) mark(state, why []byte) error {
	return writeFile(s.fs, filepath.Join(s.opt.ImageDir, healName), append(bytes.Clone(state), why...))
}

// takeMark finds out whether the store is Healing, after it has moved aside what is to be.
func (s *Store) takeMark() error {
	mark, err := s.healMark()
	if err != nil {
		return err
	}
	s.healing = mark != nil
	why, moving := bytes.CutPrefix(mark, markMoving)
	if !moving {
		return nil
	}
	for _, name := range []string{"image", "image-new"} { // first: without it a log counts for nothing
		if err := s.setAside(s.opt.ImageDir, name); err != nil {
			return err
		}
	}
	seqs, err := s.segments()
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		if err := s.setAside(s.opt.LogDir, segmentName(seq)); err != nil {
			return err
		}
	}
	return s.mark(markHealing, why)
}

// setAside renames what is damaged.
func (s *Store) setAside(dir, name string) error {
	names, err := s.fs.List(dir)
	if err != nil {
		return err
	}
	aside := asidePrefix + name
	for i := 2; slices.Contains(names, aside); i++ { // of a damage before
		aside = fmt.Sprintf("%s%s.%d", asidePrefix, name, i)
	}
	from, to := filepath.Join(dir, name), filepath.Join(dir, aside)
	err = s.fs.Rename(from, to)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.fs.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("move %s aside: %w", from, err)
	}
	s.log.WithFields(logrus.Fields{"event": "damage", "from": from, "to": to}).
		Warn("A damaged part of the data was moved aside")
	return nil
}

// discard deletes image and log.
func (s *Store) discard() error {
	for _, dir := range []string{s.imageDir(), s.newImageDir()} {
		if err := s.fs.RemoveAll(dir); err != nil {
			return err
		}
	}
	seqs, err := s.segments()
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		if err := s.deleteSegment(filepath.Join(s.opt.LogDir, segmentName(seq))); err != nil {
			return err
		}
	}
	return s.fs.SyncDir(s.opt.ImageDir)
}

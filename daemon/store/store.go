package store

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/meter"
	"github.com/zkd-project/zkd/daemon/proto"
)

// Options say where the store is and how much of the log it keeps.
type Options struct {
	ImageDir string // the tree's image
	LogDir   string // the txn log
	FS       FS     // nil is OS
	Log      logrus.FieldLogger

	SegmentBytes int64 // of log in a segment, default 16 MiB
	KeepBytes    int64 // of log kept behind the image, for learners, default 64 MiB
	HoldBytes    int64 // of log kept besides for who reads a snapshot of the image, default 1 GiB
	NoReserve    bool  // do not extend files ahead
	NoSync       bool  // forceSync=no: acknowledge before the disk does

	SlowSync time.Duration // a sync that takes longer is logged, default 1 s

	// AcceptLoss opens a damaged log as far as it is whole and moves the rest aside.
	AcceptLoss bool
	// ReadOnly opens what is there to be read, and changes nothing but LOCK.
	ReadOnly bool
}

func (o *Options) setDefaults() {
	if o.FS == nil {
		o.FS = OS{}
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 16 << 20
	}
	if o.HoldBytes == 0 {
		o.HoldBytes = 1 << 30
	}
	if o.KeepBytes == 0 {
		o.KeepBytes = 64 << 20
	}
	if o.SlowSync == 0 {
		o.SlowSync = time.Second
	}
}

// reserve is by how many bytes the journal of a segment is extended ahead. One that is made for
// a group longer than a segment gets room for all of it: where there is none, nothing of it is written.
func (o *Options) reserve(room int64) int64 {
	switch {
	case o.NoReserve:
		return 0
	case room > o.SegmentBytes:
		return room + room/blockSize*chunkHeader + 2*blockSize
	}
	return min(4<<20, o.SegmentBytes)
}

// formatVersion is the version of the layout of both databases.
const formatVersion = 1

// maxGroup is the size from which a batch is split into groups, and keepGroup that up to which
// the memory of one is kept for the next.
const (
	maxGroup  = 1 << 20
	keepGroup = 4 << 20
)

// Store is an open store. Append and WriteImage may run at the same time, each of them
// called by one goroutine at a time.
type Store struct {
	opt   Options
	fs    FS
	log   logrus.FieldLogger
	locks []io.Closer
	fail  sticky
	stamp [16]byte

	image *image
	old   []oldSegment // closed, oldest first
	read  []*segment   // open for recovery, oldest first
	cur   *segment     // takes new groups; nil after it failed for want of space
	end   link         // of the newest durable group
	buf   []byte
	next  *preparation
	seq   uint64 // of the newest segment made
	hard  HardState
	stale []string // segments of which nothing counts any more

	healing bool // see heal.go

	pace   pace       // of the image's files
	learn  sync.Mutex // held while segments are read that were passed over at the start
	mu     sync.Mutex // guards what follows, and old
	newest *segment   // cur, for those who read the log meanwhile
	status Status
	meters Meters
	held   map[*Snapshot]proto.Zxid // what the log is kept for, beyond which it may be wanted
}

// oldSegment is a segment that is only read.
type oldSegment struct {
	seq   uint64
	dir   string
	bytes int64
	last  proto.Zxid // not below its newest txn; 0 if it has none
	limit proto.Zxid // what is above does not count
	asRead
}

// asRead says how far an old segment was read since the start.
type asRead int

const (
	readWhole  asRead = iota
	notRead           // whether it cuts off what older ones end in is not known
	unreadable        // it cannot be read, nor be missed: older ones are of no use
)

// Status is what the store tells of itself.
type Status struct {
	LastLogged  proto.Zxid
	ImageZxid   proto.Zxid
	LogBytes    int64 // appended to the segments that are kept
	Syncs       int64
	LastSync    time.Duration
	MaxSync     time.Duration
	SlowSyncs   int64
	SyncStarted time.Time // of the Append that is under way, else zero
	NoSpace     bool      // the last Append found the disk full
	Images      int64     // deltas written
	LastImage   time.Duration
	ImageAt     time.Time // of the last delta
}

// Meters are the distributions that a store keeps, in microseconds, since it was opened.
type Meters struct {
	Sync  meter.Dist // of Appends
	Image meter.Dist // of deltas
}

// Meters copies the distributions.
func (s *Store) Meters() Meters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meters
}

// Open locks the directories, checks what is in them, and gets ready to append.
// Replay and LoadImage tell what was found. With ErrNoSpace it may be called again.
func Open(o Options) (*Store, error) {
	o.setDefaults()
	s := &Store{opt: o, fs: o.FS, log: o.Log}
	err := s.open()
	if noSpace(err) && !errors.Is(err, ErrDoubtful) {
		err = errors.Join(ErrNoSpace, err)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open() error {
	if s.opt.ReadOnly {
		return s.openToRead()
	}
	if err := s.lockDirs(); err != nil {
		return err
	}
	if err := s.refuseHalf(); err != nil {
		return err
	}
	if err := s.takeMark(); err != nil {
		return err
	}
	return s.openToWrite()
}

// openToWrite opens image and log, or makes them.
func (s *Store) openToWrite() error {
	if err := s.deleteGone(); err != nil {
		return err
	}
	if err := s.finishInstall(); err != nil {
		return err
	}
	if err := s.openImage(); err != nil {
		return err
	}
	if err := s.openLog(); err != nil {
		return err
	}
	cur, err := s.createSegment(s.seq+1, s.hard, &s.end.zxid, 0)
	if err != nil {
		return err
	}
	s.seq++
	s.setCurrent(cur)
	if err := s.sweepLog(); err != nil {
		return err
	}
	s.status.LastLogged, s.status.ImageZxid = s.end.zxid, s.image.zxid
	return nil
}

// lockDirs makes the directories and locks them.
func (s *Store) lockDirs() error {
	for _, dir := range s.dirs() {
		if err := s.makeDir(dir); err != nil {
			return err
		}
		l, err := s.fs.Lock(filepath.Join(dir, "LOCK"))
		if err != nil {
			return err
		}
		s.locks = append(s.locks, l)
	}
	return nil
}

// makeDir makes a directory and those above it, durably.
func (s *Store) makeDir(dir string) error {
	var parents []string
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := s.fs.List(at); !errors.Is(err, os.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
		parents = append(parents, filepath.Dir(at))
	}
	if err := s.fs.MkdirAll(dir); err != nil {
		return err
	}
	for _, parent := range slices.Backward(parents) {
		if err := s.fs.SyncDir(parent); err != nil {
			return err
		}
	}
	return nil
}

// newStamp marks what belongs together.
func (s *Store) newStamp() error {
	_, err := rand.Read(s.stamp[:])
	return err
}

// format is the record that says what a database is.
func (s *Store) format() []byte {
	return append(binary.BigEndian.AppendUint32([]byte("zkd1"), formatVersion), s.stamp[:]...)
}

// checkFormat judges a database's format record.
func (s *Store) checkFormat(dir string, b []byte) error {
	switch {
	case len(b) != 24 || !bytes.Equal(b[:4], []byte("zkd1")):
		return fmt.Errorf("%w: %s has no format record", ErrForeign, dir)
	case binary.BigEndian.Uint32(b[4:]) > formatVersion:
		return fmt.Errorf("%w: %s has format %d and this version reads up to %d; install a newer zkd",
			ErrForeign, dir, binary.BigEndian.Uint32(b[4:]), formatVersion)
	case !bytes.Equal(b[8:], s.stamp[:]):
		return fmt.Errorf("%w: %s belongs to another image than %s; dataDir and dataLogDir do not fit together",
			ErrForeign, dir, s.opt.ImageDir)
	}
	return nil
}

// LastLogged is the zxid of the newest txn in the log.
func (s *Store) LastLogged() proto.Zxid { return s.end.zxid }

// ImageZxid is the zxid of the state that the image holds.
func (s *Store) ImageZxid() proto.Zxid {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status.ImageZxid
}

// Status describes the store.
func (s *Store) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	for _, o := range s.old {
		st.LogBytes += o.bytes
	}
	return st
}

// Usage is the size of the image's and the log's directory in bytes.
func (s *Store) Usage() (image, log int64) {
	log = 0
	names, err := s.fs.List(s.opt.LogDir)
	if err != nil {
		return diskUsage(s.fs, s.imageDir()), 0
	}
	for _, name := range names {
		if _, ok := parseSegment(name); ok {
			log += diskUsage(s.fs, filepath.Join(s.opt.LogDir, name))
		}
	}
	return diskUsage(s.fs, s.imageDir()), log
}

// Close closes the databases and gives the directories free.
func (s *Store) Close() error {
	if s.next != nil {
		s.next.discard(s)
	}
	for _, seg := range s.read {
		seg.close(s.log)
	}
	if s.cur != nil {
		s.cur.close(s.log)
	}
	if s.image != nil {
		s.image.close(s.log)
	}
	var err error
	for _, l := range s.locks {
		err = errors.Join(err, l.Close())
	}
	s.locks = nil
	return err
}

package proto_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPackets reads and writes packets recorded between Apache servers.
func TestPackets(t *testing.T) {
	for _, c := range []struct {
		typ  proto.PacketType
		zxid proto.Zxid
		hex  string
	}{
		{proto.PacketFollowerInfo, 0, "0000000b 0000000000000000 00000014 0000000000000001 00010000 0000000000000000 ffffffff"},
		{proto.PacketLeaderInfo, 1 << 32, "00000011 0000000100000000 00000004 00010000 ffffffff"},
		{proto.PacketAckEpoch, 1<<32 | 5, "00000012 0000000100000005 00000004 00000001 ffffffff"},
		{proto.PacketDiff, 1<<32 | 0x12, "0000000d 0000000100000012 ffffffff ffffffff"},
		{proto.PacketTrunc, 1<<32 | 4, "0000000e 0000000100000004 ffffffff ffffffff"},
		{proto.PacketUpToDate, -1, "0000000c ffffffffffffffff ffffffff ffffffff"},
		{proto.PacketPing, 1<<32 | 13, "00000005 000000010000000d 0000000c 01000012dd830000 00002710 ffffffff"},
		{proto.PacketRequest, -1, "00000001 ffffffffffffffff 00000010 01000012dd830001 00000005 fffffff5" +
			"00000001 00000002 6970 00000009 3132372e302e302e31"},
		{proto.PacketRevalidate, -1, "00000006 ffffffffffffffff 00000009 01000012dd830000 01 ffffffff"},
	} {
		b := unhex(t, c.hex)
		var p proto.Packet
		n, err := p.Decode(append(b, 1, 2, 3), 1<<20)
		if err != nil || n != len(b) || p.Type != c.typ || p.Zxid != c.zxid {
			t.Errorf("%v: read %v %v, %d of %d bytes: %v", c.typ, p.Type, p.Zxid, n, len(b), err)
		}
		if got := p.Append(nil); !bytes.Equal(got, b) {
			t.Errorf("%v: wrote %x, want %x", c.typ, got, b)
		}
		for cut := range b {
			if _, err := p.Decode(b[:cut], 1<<20); !errors.Is(err, proto.ErrShort) {
				t.Fatalf("%v cut to %d bytes: %v", c.typ, cut, err)
			}
		}
	}
}

func TestPacketRefused(t *testing.T) {
	for name, s := range map[string]string{
		"type":   "00000014 0000000000000000 ffffffff ffffffff",
		"long":   "00000002 0000000000000000 00000100 ffffffff",
		"length": "00000002 0000000000000000 fffffffe ffffffff",
		"ids":    "00000001 0000000000000000 ffffffff 7fffffff",
		"ids and data": "00000001 0000000000000000 00000040" + strings.Repeat("11", 0x40) +
			"00000002 00000040" + strings.Repeat("22", 0x40) + "00000040" + strings.Repeat("33", 0x40) + "00000040",
		"scheme": "00000001 0000000000000000 ffffffff 00000001 7fffffff",
	} {
		var p proto.Packet
		if _, err := p.Decode(unhex(t, s), 0xff); err == nil || errors.Is(err, proto.ErrShort) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLearnerInfo(t *testing.T) {
	want := proto.LearnerInfo{ID: 4, Version: proto.LearnerVersion, ConfigVersion: 1 << 32}
	var got proto.LearnerInfo
	if err := got.Decode(want.Append(nil)); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	if err := got.Decode(want.Append(nil)[:12]); err != nil || got.ID != 4 || got.ConfigVersion != 0 {
		t.Errorf("short: %v, %v", got, err)
	}
	if got.Decode([]byte("garbage")) == nil {
		t.Error("garbage is taken")
	}
}

func TestNotification(t *testing.T) {
	config := "server.1=127.0.0.1:22021:22041:participant\nversion=0"
	n := proto.Notification{State: proto.Following, Config: []byte(config),
		Vote: proto.Vote{Leader: 3, Zxid: 1<<32 | 5, ElectionEpoch: 2, PeerEpoch: 2}}
	b := n.Append(nil)
	var got proto.Notification
	if err := got.Decode(b); err != nil || got.Vote != n.Vote || got.State != n.State || string(got.Config) != config {
		t.Errorf("got %+v, %v", got, err)
	}
	old := proto.Notification{Vote: proto.Vote{Zxid: 7<<32 | 1}}
	if err := got.Decode(old.Append(nil)[:28]); err != nil || got.Vote.PeerEpoch != 7 || !got.Old {
		t.Errorf("28 bytes: %+v, %v", got, err)
	}
	if err := got.Decode(old.Append(nil)[:40]); err != nil || got.Vote.PeerEpoch != 0 || !got.Old {
		t.Errorf("40 bytes: %+v, %v", got, err)
	}
	for _, bad := range [][]byte{b[:27], b[:len(b)-1], append([]byte{0, 0, 0, 9}, b[4:]...)} {
		if got.Decode(bad) == nil {
			t.Errorf("%x is taken", bad)
		}
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(unhex(f, "00000001 ffffffffffffffff 00000010 01000012dd830001 00000005 fffffff5"+
		"00000001 00000002 6970 00000009 3132372e302e302e31"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p proto.Packet
		n, err := p.Decode(b, 1<<20)
		if err != nil {
			return
		}
		if got := p.Append(nil); !bytes.Equal(got, b[:n]) && p.Auth != nil && len(p.Auth) > 4 {
			var again proto.Packet
			if _, err := again.Decode(got, 1<<20); err != nil {
				t.Fatal(err)
			}
		}
		if ids, err := proto.DecodeIDs(p.Auth); err == nil {
			_ = proto.AppendIDs(nil, ids)
		}
	})
}

func FuzzNotification(f *testing.F) {
	n := proto.Notification{Config: []byte("version=0")}
	f.Add(n.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var n, again proto.Notification
		if n.Decode(b) != nil {
			return
		}
		if err := again.Decode(n.Append(nil)); err != nil || again.Vote != n.Vote {
			t.Fatalf("%+v became %+v: %v", n, again, err)
		}
	})
}

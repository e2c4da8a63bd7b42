package proto

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/jute"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.ReplaceAll(text, " ", ""), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors were taken from Apache's servers.
func TestPasswords(t *testing.T) {
	for id, want := range map[SessionID]string{
		1: "054cc74a37327db215e702e20c73f005", 0x0100000000000000: "f22acd4a97e69d6d20a49bb638eadb38",
		-0x1edcba9876ffff9: "7b4617ad8723a1ced025a383431530a7", 0x0100002923e90000: "3d75564686eaf566e30af2d63fddbc73",
		0x0200002924070000: "ab233a785c03066501e264f305698f11",
	} {
		if p := id.Password(); hex.EncodeToString(p[:]) != want {
			t.Errorf("the password of %v is %x and not %s", id, p, want)
		}
	}
}

func TestConnectResponse(t *testing.T) {
	want := unhex(t, "00000000 00002710 0100001486300000 00000010 226a84c207eea8e9d06e3c6b2857ac11 00")
	r := ConnectResponse{Timeout: 10000, Session: 0x0100001486300000, HasReadOnly: true}
	r.Password = r.Session.Password()
	if got := r.Append(nil); !bytes.Equal(got, want) {
		t.Errorf("%x", got)
	}
	r.HasReadOnly = false
	if got := r.Append(nil); !bytes.Equal(got, want[:36]) {
		t.Errorf("for an old client: %x", got)
	}
}

func TestOut(t *testing.T) {
	var o Out
	o.Reply(XidPing, 0x14, ErrOK)
	o.Event(0xd3, EventNodeCreated, []byte("/w/k"))
	o.Begin()
	o.Header(1, 2, ErrOK)
	o.Immutable(make([]byte, refMin))
	o.Cut()
	o.Begin()
	o.Header(7, 8, ErrOK)
	big := bytes.Repeat([]byte{9}, refMin)
	o.Immutable(big)
	o.B = append(o.B, 1)
	o.End()
	want := unhex(t, "00000010 fffffffe 0000000000000014 00000000"+
		"00000020 ffffffff 00000000000000d3 00000000 00000001 00000003 00000004 2f772f6b"+
		"00002011 00000007 0000000000000008 00000000 01")
	if !bytes.Equal(o.B, want) || len(o.Refs) != 1 || o.Refs[0].At != len(want)-1 || o.Len() != len(want)+refMin {
		t.Errorf("%x %d", o.B, o.Len())
	}
	o.Reset()
	if o.Len() != 0 {
		t.Error("something is left after Reset")
	}
}

// Transactions as Apache 3.8.0 logged them.
var txns = []string{
	"01000012dd830000 00000000 0000000100000001 000001a20305216f fffffff6 00002710 00000002 0000000051c6d660",
	"01000012dd830000 00000001 0000000100000002 000001a203052193 00000001 00000002 2f61 00000005 68656c6c6f 00000001" +
		"0000001f 00000005 776f726c64 00000006 616e796f6e65 00 00000001 00000002 00000001dba9a243",
	"01000012dd830000 00000002 0000000100000003 000001a2030521a5 ffffffff ffffff92",
	"01000012dd830000 00000001 0000000100000004 000001a203052193 fffffff5 00000001 00000004 2f657068 00000002 00000001a51fbefb",
	"01000012dd830000 00000001 0000000100000005 000001a203052193 0000000e 00000003" +
		"00000005 0000000f 00000002 2f61 00000001 32 00000002 0000000d 0000000a 00000002 2f61 00000003" +
		"00000002 00000007 00000003 2f6d31 00000002 000000028569bf02",
}

func TestTxns(t *testing.T) {
	var txn Txn
	for _, text := range txns {
		want := unhex(t, text)
		if err := txn.Decode(want); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := txn.Append(nil)
		if !bytes.Equal(got, want) {
			t.Errorf("%x\nis written as\n%x", want, got)
		}
		if n := txnLen(&txn); n != len(got) {
			t.Errorf("%x has %d bytes, and is said to have %d", got, len(got), n)
		}
	}
	old := unhex(t, "01000012dd830000 00000001 0000000100000004 000001a203052193 fffffff5")
	if err := txn.Decode(old); err != nil || len(txn.Paths) != 0 {
		t.Errorf("a closeSession of 3.5: %v", err)
	}
}

// txnLen is the length that a transaction is said to have.
func txnLen(txn *Txn) int {
	n := TxnHeaderLen + txn.RecordLen()
	if txn.HasDigest {
		n += DigestLen
	}
	return n
}

func TestNullsAndLengths(t *testing.T) {
	create := jute.AppendString(nil, "/a")
	for name, body := range map[string][]byte{
		"null path":    jute.AppendBuffer(nil, nil),
		"long path":    jute.AppendInt(nil, 1<<30),
		"negative":     jute.AppendInt(nil, -7),
		"many ACLs":    jute.AppendInt(jute.AppendBuffer(create, nil), 1<<30),
		"no flags":     AppendACLs(jute.AppendBuffer(create, nil), OpenACLUnsafe),
		"nothing more": create,
	} {
		r := Request{Op: OpCreate}
		if err := r.DecodeBody(body); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	r := Request{Op: OpSetData}
	body := jute.AppendInt(jute.AppendBuffer(jute.AppendString(nil, "/a"), []byte{}), 3)
	if err := r.DecodeBody(body); err != nil || r.Data == nil || len(r.Data) != 0 {
		t.Errorf("empty data are %v, %v", r.Data, err)
	}
	body = jute.AppendInt(jute.AppendBuffer(jute.AppendString(nil, "/a"), nil), 3)
	if err := r.DecodeBody(body); err != nil || r.Data != nil {
		t.Errorf("null data are %v, %v", r.Data, err)
	}
}

func FuzzRequest(f *testing.F) {
	for op := Op(-11); op < 110; op++ {
		f.Add(append(jute.AppendInt(jute.AppendInt(nil, 1), int32(op)), "\x00\x00\x00\x02/a\x00\x00\x00\x01"...))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		var r, sub Request
		body, err := r.DecodeHeader(frame)
		if err != nil || r.DecodeBody(body) != nil {
			return
		}
		switch r.Op {
		case OpMulti, OpMultiRead:
			for it := r.MultiIter(); ; {
				if more, err := it.Next(&sub); err != nil || !more {
					return
				}
			}
		case OpSetWatches, OpSetWatches2:
			lists := r.WatchLists()
			for range r.NumLists() {
				if err := lists.Next(func([]byte) {}); err != nil {
					t.Fatalf("lists that were read do not read again: %v", err)
				}
			}
		}
		d := jute.NewDecoder(r.ACL)
		DecodeACLs(&d)
	})
}

func FuzzTxn(f *testing.F) {
	for _, text := range txns {
		f.Add(unhex(f, text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var one, two Txn
		if one.Decode(b) != nil {
			return
		}
		again := one.Append(nil)
		if n := txnLen(&one); n != len(again) {
			t.Fatalf("%x has %d bytes, and is said to have %d", again, len(again), n)
		}
		if err := two.Decode(again); err != nil {
			t.Fatalf("%x was read but %x is not: %v", b, again, err)
		}
		if !bytes.Equal(two.Append(nil), again) {
			t.Fatalf("%x changes when it is written twice", b)
		}
	})
}

func FuzzConnect(f *testing.F) {
	f.Add((&ConnectRequest{Timeout: 5, Session: 7, Password: make([]byte, 16), HasReadOnly: true}).Append(nil))
	f.Fuzz(func(_ *testing.T, b []byte) {
		var req ConnectRequest
		var res ConnectResponse
		_, _ = req.Decode(b), res.Decode(b)
	})
}

func TestDecodingTakesNoMemory(t *testing.T) {
	frame := jute.AppendInt(jute.AppendInt(nil, 1), int32(OpSetData))
	frame = jute.AppendInt(jute.AppendBuffer(jute.AppendString(frame, "/a"), make([]byte, 100)), -1)
	var r Request
	if n := testing.AllocsPerRun(100, func() {
		body, _ := r.DecodeHeader(frame)
		_ = r.DecodeBody(body)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWantsEphemeral(t *testing.T) {
	create := func(op Op, flags int32) []byte {
		b := jute.AppendString(jute.AppendString(nil, "/a"), "x")
		b = jute.AppendInt(AppendACLs(b, OpenACLUnsafe), flags)
		if op == OpCreateTTL {
			b = jute.AppendLong(b, 1)
		}
		return b
	}
	head := func(op Op, done bool) []byte {
		return jute.AppendInt(jute.AppendBool(jute.AppendInt(nil, int32(op)), done), -1)
	}
	multi := func(ops ...[]byte) []byte { return append(slices.Concat(ops...), head(OpError, true)...) }
	sub := func(op Op, flags int32) []byte { return append(head(op, false), create(op, flags)...) }
	for _, c := range []struct {
		op   Op
		body []byte
		want bool
	}{
		{OpCreate, create(OpCreate, FlagEphemeral), true}, {OpCreate2, create(OpCreate2, FlagEphemeralSequential), true},
		{OpCreate, create(OpCreate, FlagSequential), false}, {OpCreateContainer, create(OpCreateContainer, FlagEphemeral), false},
		{OpCreateTTL, create(OpCreateTTL, FlagEphemeral), false}, {OpSync, jute.AppendString(nil, "/"), false},
		{OpMulti, multi(sub(OpCreate, 0), sub(OpCreate2, FlagEphemeral), sub(OpCreate, 0)), true},
		{OpMulti, multi(sub(OpCreateTTL, FlagEphemeral)), true}, {OpMulti, multi(sub(OpCreateTTL, FlagTTL)), false},
		{OpMulti, multi(sub(OpCreate, 0)), false}, {OpMulti, multi(), false},
		{OpMulti, append(sub(OpCreate, FlagEphemeral), 0, 0), false}, // cannot be read
	} {
		r := Request{Op: c.op}
		if err := r.DecodeBody(c.body); err != nil {
			t.Fatal(err)
		}
		if got := r.WantsEphemeral(); got != c.want {
			t.Errorf("%v %x: %v", c.op, c.body, got)
		}
	}
}

package proto

import "testing"

// TestDigestBehindCloseSession: the record of a closeSession is written even if it lists
// nothing, or servers would take the digest behind it for a list.
func TestDigestBehindCloseSession(t *testing.T) {
	txn := Txn{TxnHeader: TxnHeader{Session: 7, Zxid: 9, Type: OpCloseSession}, HasDigest: true, Digest: 0x123456789}
	b := txn.Append(nil)
	if want := TxnHeaderLen + 4 + 12; len(b) != want {
		t.Errorf("%d bytes, want %d", len(b), want)
	}
	var got Txn
	if err := got.Decode(b); err != nil || !got.HasDigest || got.Digest != txn.Digest || len(got.Paths) != 0 {
		t.Errorf("%v, %+v", err, got)
	}
}

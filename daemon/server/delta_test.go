package server

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
)

// TestDelta sends records through a delta into an image and reads them back.
func TestDelta(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(store.Options{ImageDir: dir, LogDir: dir, Log: quietLog()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	want := map[string]string{"kept": "as it was"}
	write := func(d *delta) {
		t.Helper()
		batch := st.NewImageBatch()
		fill(batch, d.take())
		if err := st.WriteImage(batch, proto.Zxid(0)); err != nil {
			t.Fatal(err)
		}
	}
	var d delta
	d.Put([]byte("kept"), []byte("as it was"))
	d.Put([]byte("gone"), []byte("soon"))
	write(&d)
	d.Delete([]byte("gone"))
	for i := range 2000 {
		key, value := fmt.Sprintf("k%d", i), bytes.Repeat([]byte{byte(i)}, i*i%3000)
		d.Put([]byte(key), value)
		want[key] = string(value)
	}
	big := bytes.Repeat([]byte("b"), 3*deltaBlock)
	d.Put([]byte("big"), big)
	d.Put([]byte("empty"), nil)
	want["big"], want["empty"] = string(big), ""
	write(&d)
	got := map[string]string{}
	err = st.LoadImage(1, func(key, value []byte) error {
		got[string(key)] = string(value)
		return nil
	})
	if err != nil || len(got) != len(want) {
		t.Fatalf("got %d records and %v, want %d", len(got), err, len(want))
	}
	for k, v := range want {
		if got[k] != v {
			t.Fatalf("record %q has %d bytes, want %d", k, len(got[k]), len(v))
		}
	}
}

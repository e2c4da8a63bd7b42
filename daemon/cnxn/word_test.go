package cnxn

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

func TestFourLetterWords(t *testing.T) {
	e := newEcho()
	big := bytes.Repeat([]byte("line\n"), 100_000)
	e.onWord = func(word string, arg []byte) ([]byte, bool) {
		switch word {
		case "ruok":
			return []byte("imok"), true
		case "dump":
			return big, true
		case "none":
			return nil, true
		case "stmk":
			return fmt.Appendf(nil, "%x", arg), true
		}
		return nil, false
	}
	p := serve(t, Options{}, e)
	for _, tt := range []struct {
		name, send string
		want       string
		halfClose  bool
	}{
		{"plain", "ruok", "imok", false},
		{"with a line end behind it", "ruok\r\n", "imok", false},
		{"half-closed", "ruok", "imok", true},
		{"long answer, half-closed", "dump", string(big), true},
		{"with much behind it", "dump" + string(make([]byte, 200_000)), string(big), false},
		{"empty answer", "none", "", false},
		{"argument", "stmk\x00\x00\x00\x00\x00\x00\x01\x32", "0000000000000132", false},
		{"unknown", "nope", "", false},
		{"telnet", "\xff\xf4\xff\xfd\x06", "", false},
	} {
		c := dial(t, p)
		send(t, c, []byte(tt.send))
		if tt.halfClose {
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		got, err := io.ReadAll(c)
		if string(got) != tt.want || (err != nil && tt.want != "") {
			t.Errorf("%s: got %d bytes and %v, want %d bytes", tt.name, len(got), err, len(tt.want))
		}
	}
	if st := p.Stats(); st.Words != 7 || st.BadFrames != 2 {
		t.Errorf("counted %+v", st)
	}
}

func TestWordInPieces(t *testing.T) {
	e := newEcho()
	e.onWord = func(word string, arg []byte) ([]byte, bool) { return append([]byte(word), arg...), true }
	b := newBench(t, DefaultMaxFrame)
	b.p.ports.handler = e
	for _, s := range []string{"s", "tm", "k1234", "567"} {
		b.write(t, []byte(s))
		if b.c.discard {
			t.Fatal("answered before all of it was there")
		}
	}
	b.write(t, []byte("8"))
	if !b.c.discard {
		t.Fatal("not taken for a word")
	}
	b.p.ports.running.Wait()
	if b.c.state != stateLinger || b.p.ports.Stats().Words != 1 {
		t.Errorf("state %d after the answer", b.c.state)
	}
}

func TestWordOnlyAtTheBeginning(t *testing.T) {
	e := newEcho()
	e.onWord = func(string, []byte) ([]byte, bool) { return []byte("imok"), true }
	p := serve(t, Options{}, e)
	c := dial(t, p)
	send(t, c, frameOf([]byte("x")))
	receive(t, c)
	send(t, c, []byte("ruok"))
	wantEnd(t, c)
	e.until(t, "the connection was closed", func() bool { return e.closed == 1 })
}

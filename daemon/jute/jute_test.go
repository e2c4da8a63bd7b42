package jute

import (
	"bytes"
	"errors"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	b := AppendInt(nil, -5)
	b = AppendLong(b, 1<<40)
	b = AppendBool(AppendBool(b, true), false)
	b = AppendBuffer(AppendBuffer(AppendString(b, "text"), nil), []byte{})
	d := NewDecoder(b)
	if d.Int() != -5 || d.Long() != 1<<40 || !d.Bool() || d.Bool() || string(d.Buffer()) != "text" {
		t.Error("values changed")
	}
	if null := d.Buffer(); null != nil {
		t.Error("null is not nil")
	}
	if empty := d.Buffer(); empty == nil || len(empty) != 0 {
		t.Error("empty is not empty")
	}
	if d.Err() != nil || len(d.Rest()) != 0 {
		t.Error(d.Err())
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		read func(*Decoder)
		want error
	}{
		{[]byte{0, 0, 0}, func(d *Decoder) { d.Int() }, ErrShort},
		{AppendInt(nil, 9), func(d *Decoder) { d.Buffer() }, ErrLength},
		{AppendInt(nil, -2), func(d *Decoder) { d.Buffer() }, ErrLength},
		{AppendInt(nil, 1<<30), func(d *Decoder) { d.Count(1) }, ErrLength},
	} {
		d := NewDecoder(c.b)
		c.read(&d)
		if !errors.Is(d.Err(), c.want) {
			t.Errorf("%x: %v", c.b, d.Err())
		}
		if d.Long() != 0 || d.Buffer() != nil {
			t.Error("something is read after an error")
		}
	}
	for n, want := range map[int32]int{-1: -1, -7: 0, 0: 0} {
		d := NewDecoder(AppendInt(nil, n))
		if got := d.Count(4); got != want {
			t.Errorf("a count of %d is %d", n, got)
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		d := NewDecoder(b)
		for d.Err() == nil && len(d.Rest()) > 0 {
			if v := d.Buffer(); v != nil && !bytes.Contains(b, v) {
				t.Fatal("a buffer that is no part of the input")
			}
			d.Count(1)
			d.Byte()
		}
	})
}

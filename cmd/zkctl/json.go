package main

import (
	"unicode/utf8"

	"github.com/zkd-project/zkd/daemon/proto"
)

// statFields are the fields of a Stat that every znode has, in JSON: zxids and owners as they are
// written everywhere, times in UTC.
type statFields struct {
	Czxid    string `json:"czxid"`
	Ctime    string `json:"ctime"`
	Mzxid    string `json:"mzxid"`
	Mtime    string `json:"mtime"`
	Pzxid    string `json:"pzxid"`
	Cversion int32  `json:"cversion"`
	Version  int32  `json:"dataVersion"`
	Aversion int32  `json:"aclVersion"`
	Owner    string `json:"ephemeralOwner"`
	Length   int    `json:"dataLength"`
}

// stat is a Stat in JSON.
type stat struct {
	statFields
	Children int32 `json:"numChildren"`
}

func statOf(s *proto.Stat) stat {
	return stat{statFields{
		s.Czxid.String(), stamp(s.Ctime), s.Mzxid.String(), stamp(s.Mtime), s.Pzxid.String(),
		s.Cversion, s.Version, s.Aversion, s.EphemeralOwner.String(), int(s.DataLength),
	}, s.NumChildren}
}

// content is a znode's data in JSON: text, or what is none in base64, or neither where they are null.
type content struct {
	Data   *string `json:"data,omitempty"`
	Binary []byte  `json:"binary,omitempty"`
}

func contentOf(data []byte) (c content) {
	switch {
	case data == nil:
	case utf8.Valid(data):
		text := string(data)
		c.Data = &text
	default:
		c.Binary = data
	}
	return c
}

// listOf is a list in JSON, also where it has nothing.
func listOf(names []string) []string { return append([]string{}, names...) }

// identity is whom a session is known as, in JSON.
type identity struct {
	Scheme string `json:"scheme"`
	ID     string `json:"id"`
}

func identitiesOf(ids []proto.ID) []identity {
	list := make([]identity, len(ids))
	for i, id := range ids {
		list[i] = identity{id.Scheme, id.ID}
	}
	return list
}

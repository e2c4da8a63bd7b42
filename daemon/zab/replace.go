package zab

import "github.com/zkd-project/zkd/daemon/proto"

// The history of a server on its own may be replaced. It is never that of one member: the others
// would not know.

// Pause has a server on its own serve no more, so that its history can come to rest. It returns false
// where there is none to be replaced.
func (p *Peer) Pause(now proto.Millis) bool {
	if !p.Solo() || !p.serving {
		return false
	}
	p.at(now)
	p.role, p.serving = proto.Looking, false
	return true
}

// Rests says whether all that was proposed is on the disk and has been handed out.
func (p *Peer) Rests() bool { return p.idle() && p.applied == len(p.entries) }

// Replace replaces the history of a paused server that rests by a snapshot at zxid. Once that is on
// the disk the server serves again.
func (p *Peer) Replace(now proto.Millis, zxid proto.Zxid) {
	p.at(now)
	p.replacing = true
	p.onDisk(p.write(Write{Kind: WriteInstall, Zxid: zxid}), func() {
		if p.replacing {
			p.forget(zxid)
			p.serveAlone()
		}
	})
}

// Resume has a paused server go on with the history that it has. A write that Replace has asked for
// must not have taken place, nor take place later.
func (p *Peer) Resume(now proto.Millis) {
	p.at(now)
	if p.Solo() && !p.serving {
		p.serveAlone()
	}
}

func (p *Peer) serveAlone() {
	p.role, p.serving, p.replacing, p.epoch = proto.Leading, true, false, p.last().Epoch64()
}

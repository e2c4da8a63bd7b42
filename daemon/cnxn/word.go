package cnxn

import (
	"github.com/zkd-project/zkd/daemon/proto"
)

const (
	wordLen = 4
	argWord = "stmk" // the only word that carries an argument
	argLen  = 8
)

// word takes a connection whose first four bytes are no length. If they are a word that
// the handler knows, the answer is sent as plain text and the connection closed; a peer
// that has ended its own output gets it as well.
//
// Source: NIOServerCnxn.java, checkFourLetterWord.
func (p *poller) word(c *Conn, b *Buffer) error {
	word := string(b.b[:wordLen])
	rest := b.b[wordLen:]
	var arg []byte
	if word == argWord {
		if len(rest) < argLen {
			c.keep(b)
			return nil
		}
		arg = append(arg, rest[:argLen]...)
	}
	b.recycle()
	c.discard = true
	c.received.Add(1)
	p.ports.running.Go(func() { c.answer(word, arg) })
	return nil
}

// answer sends the answer to a four-letter word.
func (c *Conn) answer(word string, arg []byte) {
	text, known := c.p.ports.handler.FourLetter(c, word, arg)
	if !known {
		c.p.ports.badFrame(c)
		c.Abort()
		c.Flush()
		return
	}
	c.p.ports.stats.words.Add(1)
	c.mu.Lock()
	if len(text) > 0 && c.state == stateOpen {
		c.queued.Add(int64(len(text)))
		c.append(&proto.Out{B: text})
	}
	c.mu.Unlock()
	c.CloseAfterFlush()
	c.Flush()
}

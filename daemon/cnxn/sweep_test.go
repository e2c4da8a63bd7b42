package cnxn

import (
	"testing"
	"time"
)

// TestClosedConnectionsAreForgotten: those that have come and gone do not wait in memory for the end of
// their time, and the others keep their order.
func TestClosedConnectionsAreForgotten(t *testing.T) {
	gone := func(c *Conn) bool { return c.gone.Load() }
	var d deadlines
	var open []*Conn
	start := time.Now()
	for i := range 20_000 {
		c := new(Conn)
		if i%100 == 7 {
			open = append(open, c)
		} else {
			c.gone.Store(true)
		}
		d.push(c, start.Add(time.Duration(i)*time.Millisecond), gone)
		if most := 2*len(open) + deadlinesMin; len(d.list) > most {
			t.Fatalf("%d connections are known, and %d are open", len(d.list), len(open))
		}
	}
	for c := d.pop(start.Add(time.Hour)); c != nil; c = d.pop(start.Add(time.Hour)) {
		if !c.gone.Load() {
			if len(open) == 0 || c != open[0] {
				t.Fatal("a connection is out of order")
			}
			open = open[1:]
		}
	}
	if len(open) > 0 {
		t.Errorf("%d open connections were forgotten", len(open))
	}
}

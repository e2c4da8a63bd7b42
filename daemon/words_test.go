package daemon

import (
	"testing"

	"github.com/zkd-project/zkd/daemon/admin"
	"github.com/zkd-project/zkd/daemon/config"
)

// TestWordsAreKnown: check-config warns of words that are none, and so has to know those there are.
func TestWordsAreKnown(t *testing.T) {
	words := admin.New(nil, nil) // allows none, so that nothing is asked for
	for a := 'a'; a <= 'z'; a++ {
		for b := 'a'; b <= 'z'; b++ {
			for c := 'a'; c <= 'z'; c++ {
				for d := 'a'; d <= 'z'; d++ {
					word := string([]rune{a, b, c, d})
					if word == "srvr" { // is answered always
						continue
					}
					if _, known := words.Answer(word, nil); known != isWord(word) {
						t.Errorf("%s is answered: %v", word, known)
					}
				}
			}
		}
	}
}

func isWord(word string) bool {
	for _, w := range config.Words {
		if w == word {
			return true
		}
	}
	return false
}

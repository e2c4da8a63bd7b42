package daemon

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestEveryMessageIsInTheCatalog(t *testing.T) {
	text, err := os.ReadFile("../packaging/zkd.catalog")
	if err != nil {
		t.Fatal(err)
	}
	explained := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^-- ([0-9a-f]{32})\nSubject: .`).FindAllSubmatch(text, -1) {
		explained[string(m[1])] = true
	}
	for event, id := range messages {
		if !explained[id] {
			t.Errorf("%s, %s, is not in the catalog", event, id)
		}
		delete(explained, id)
	}
	if len(explained) > 0 {
		t.Errorf("in the catalog, and nowhere else: %v", explained)
	}
}

// TestEveryEventIsDocumented: who looks for events finds them all.
func TestEveryEventIsDocumented(t *testing.T) {
	for file, form := range map[string]string{"../docs/OPERATIONS.md": "`%s`", "../packaging/man/zkd.8": "%s"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, list, _ := strings.Cut(strings.ReplaceAll(string(text), `\-`, "-"), "events")
		list, _, _ = strings.Cut(list, "Worth an alarm")
		list, _, _ = strings.Cut(list, ".SH")
		for event := range messages {
			if !regexp.MustCompile(`[ \n]` + fmt.Sprintf(form, event) + `[,.]`).MatchString(list) {
				t.Errorf("%s lacks the event %s", file, event)
			}
		}
	}
}

// TestEveryEventHasAMessage looks for the events that the sources name.
func TestEveryEventHasAMessage(t *testing.T) {
	named := regexp.MustCompile(`"event"(?:: |, |\] = )"([a-z-]+)"`)
	found := 0
	for _, s := range sources(t, false) {
		text, err := os.ReadFile(s.name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllSubmatch(text, -1) {
			found++
			if messages[string(m[1])] == "" {
				t.Errorf("%s: event %s has no message id", s.name, m[1])
			}
		}
	}
	if found < 5 {
		t.Errorf("found only %d events: has their form changed?", found)
	}
}

// Command generate writes the documents that come from the key table.
package main

import (
	"fmt"
	"os"

	"github.com/zkd-project/zkd/daemon/config"
)

func main() {
	for file, text := range map[string]string{
		"docs/CONFIG.md": config.Document(), "packaging/man/zoo.cfg.5": config.Page(),
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "generate:", err)
			os.Exit(1)
		}
	}
}

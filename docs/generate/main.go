// Command generate writes the documents that come from the key table.
package main

import (
	"fmt"
	"os"

	"github.com/zkd-project/zkd/daemon/config"
)

func main() {
	if err := os.WriteFile("docs/CONFIG.md", []byte(config.Document()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

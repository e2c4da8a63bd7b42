//go:build pages

package main

import (
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// The packages are built with a zkctl that can write its manual pages; the one that they
// contain cannot, so that it is not linked with a Markdown renderer.
func init() { extra = append(extra, pagesCommand) }

func pagesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "pages DIRECTORY", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true
			for _, c := range root.Commands() {
				if c.Name() == "completion" { // the packages bring the results
					root.RemoveCommand(c)
				}
			}
			seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
			if err != nil {
				return err
			}
			date := time.Unix(seconds, 0).UTC()
			return doc.GenManTree(root, &doc.GenManHeader{
				Section: "1", Source: "zkd", Manual: "User commands", Date: &date,
			}, args[0])
		},
	}
}

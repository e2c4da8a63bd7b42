package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is a command line that its command cannot take.
func usageError(cmd *cobra.Command, why string) error {
	return fmt.Errorf("%s: %s; usage: %s (%s --help tells more)", cmd.Name(), why, cmd.UseLine(), cmd.CommandPath())
}

// tellUsage has commands tell how they are used when they get too few or too many arguments.
func tellUsage(commands []*cobra.Command) {
	for _, c := range commands {
		if check := c.Args; check != nil {
			c.Args = func(cmd *cobra.Command, args []string) error {
				if check(cmd, args) == nil {
					return nil
				}
				if len(args) == 0 {
					return usageError(cmd, "an argument is missing")
				}
				return usageError(cmd, fmt.Sprintf("it does not take %s", counted(len(args), "argument")))
			}
		}
		tellUsage(c.Commands())
	}
}

// flagError says what a flag wants.
func flagError(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return usageError(cmd, err.Error())
	}
	var wanted string
	f := invalid.GetFlag()
	switch typ := f.Value.Type(); {
	case typ == "duration":
		wanted = "give a time with its unit, for example 10s, 500ms or 2m"
	case typ == "bool":
		wanted = "give true or false, or nothing"
	case strings.HasPrefix(typ, "int"), strings.HasPrefix(typ, "uint"):
		wanted = "give a whole number that is not too large"
	default:
		wanted = err.Error()
	}
	return usageError(cmd, fmt.Sprintf("--%s %q: %s", f.Name, invalid.GetValue(), wanted))
}

// orRoot has a command that works on a path take the root if none is given.
func orRoot(cmd *cobra.Command) *cobra.Command {
	check, run := cmd.Args, cmd.RunE
	cmd.Use = strings.Replace(cmd.Use, "PATH", "[PATH]", 1)
	cmd.Short += "; the root without PATH"
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return check(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			args = []string{"/"}
		}
		return run(cmd, args)
	}
	return cmd
}

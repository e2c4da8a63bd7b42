package daemon

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/zkd-project/zkd/daemon/"

// floors says which of the daemon's packages each one may import. Imports point down.
var floors = map[string]string{
	"jute":      "",
	"ensemble":  "",
	"meter":     "",
	"proto":     "jute",
	"zab":       "ensemble jute proto",
	"tree":      "jute proto",
	"zkfile":    "jute proto",
	"auth":      "proto",
	"store":     "meter proto",
	"transport": "ensemble proto",
	"cnxn":      "proto",
	"replica":   "ensemble jute meter proto tree zab",
	"sim":       "ensemble jute proto replica tree zab",
	"server":    "cnxn ensemble meter proto replica store transport tree zab zkfile",
	"migrate":   "proto server store tree zkfile",
	"admin":     "ensemble meter proto replica tree",
	"config":    "ensemble",
	"client":    "jute proto",
	"owner":     "",
	".":         "admin auth cnxn config ensemble meter migrate proto replica server store transport tree zab",
}

// pure packages decide; they know no clock, no file, no socket and no goroutine.
var pure = []string{"jute", "ensemble", "meter", "proto", "zab", "tree", "replica"}

var impure = []string{
	"os", "net", "time", "sync", "sync/atomic", "context", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand",
	"github.com/sirupsen/logrus",
}

const (
	maxFile = 500
	maxFunc = 70
	maxLine = 120
)

type source struct {
	pkg, name string
	lines     []string
	file      *ast.File
	fset      *token.FileSet
}

func sources(t *testing.T, tests bool) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") != tests {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{filepath.Dir(path), path, strings.Split(string(text), "\n"), file, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFloors(t *testing.T) {
	for _, s := range sources(t, false) {
		allowed, ok := floors[s.pkg]
		if strings.HasPrefix(s.pkg, "interop") {
			continue
		}
		if !ok {
			t.Errorf("%s: package %s has no floor; give it a row in the table", s.name, s.pkg)
			continue
		}
		for _, i := range s.file.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if name, own := strings.CutPrefix(path, module); own && !slices.Contains(strings.Fields(allowed), name) {
				t.Errorf("%s: package %s may not import %s", s.name, s.pkg, name)
			}
			if slices.Contains(pure, s.pkg) && slices.Contains(impure, path) {
				t.Errorf("%s: package %s is pure and may not import %s", s.name, s.pkg, path)
			}
			if strings.Contains(path, "goleveldb") && s.pkg != "store" {
				t.Errorf("%s: only store knows LevelDB", s.name)
			}
		}
	}
}

func TestPurity(t *testing.T) {
	for _, s := range sources(t, false) {
		if !slices.Contains(pure, s.pkg) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n.(type) {
			case *ast.GoStmt, *ast.SelectStmt, *ast.ChanType, *ast.SendStmt:
				t.Errorf("%v: package %s is pure: no goroutines, no channels", s.fset.Position(n.Pos()), s.pkg)
			}
			return true
		})
	}
}

func TestSizes(t *testing.T) {
	documented := make(map[string]bool)
	for _, s := range sources(t, false) {
		documented[s.pkg] = documented[s.pkg] || s.file.Doc != nil
		if len(s.lines) > maxFile {
			t.Errorf("%s has %d lines: two ideas in one file?", s.name, len(s.lines))
		}
		if s.name != filepath.Join("config", "keys.go") {
			for i, line := range s.lines {
				if n := len(strings.ReplaceAll(line, "\t", "    ")); n > maxLine {
					t.Errorf("%s:%d has %d columns", s.name, i+1, n)
				}
			}
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line; n > maxFunc {
				t.Errorf("%s: %s has %d lines", s.name, f.Name.Name, n)
			}
			if f.Name.IsExported() && f.Doc == nil {
				t.Errorf("%s: %s is exported and not documented", s.name, f.Name.Name)
			}
		}
	}
	for _, s := range sources(t, true) {
		if len(s.lines) > maxFile {
			t.Errorf("%s has %d lines: two themes in one file?", s.name, len(s.lines))
		}
	}
	for pkg, ok := range documented {
		if !ok && !strings.HasPrefix(pkg, "interop") {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}

// Command inventory writes what the programs of a package are made of: a machine-readable
// copyright file and an SPDX document. It asks the programs themselves, so that it lists
// what was linked and nothing else.
//
//	inventory VERSION DIRECTORY PROGRAM...
package main

import (
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const home = "https://github.com/zkd-project/zkd"

// module is something that was linked.
type module struct {
	path, version string
	licence       string // SPDX identifier
	text          string // of the licence
	notice        string // that has to be passed on with it
	holders       []string
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: inventory VERSION DIRECTORY PROGRAM...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "inventory:", err)
		os.Exit(1)
	}
}

func run(version, dir string, programs []string) error {
	modules, err := linked(programs)
	if err != nil {
		return err
	}
	for i := range modules {
		if err := modules[i].findLicence(); err != nil {
			return err
		}
	}
	spdx, err := document(version, modules)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "copyright"), []byte(copyright(modules)), 0o644),
		os.WriteFile(filepath.Join(dir, "zkd.spdx.json"), spdx, 0o644),
	)
}

// linked are the modules in the programs, and Go itself.
func linked(programs []string) ([]module, error) {
	seen := make(map[string]module)
	for _, p := range programs {
		info, err := buildinfo.ReadFile(p)
		if err != nil {
			return nil, err
		}
		seen["std"] = module{path: "std", version: strings.TrimPrefix(info.GoVersion, "go")}
		for _, d := range info.Deps {
			seen[d.Path] = module{path: d.Path, version: d.Version}
		}
	}
	var all []module
	for _, m := range seen {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b module) int { return cmp.Compare(a.path, b.path) })
	return all, nil
}

func (m *module) findLicence() error {
	ask := []string{"list", "-m", "-f", "{{.Dir}}", m.path}
	if m.path == "std" {
		ask = []string{"env", "GOROOT"}
	}
	out, err := exec.Command("go", ask...).Output()
	if err != nil {
		return fmt.Errorf("where is the source of %s: %w", m.path, err)
	}
	dir := strings.TrimSpace(string(out))
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "COPYING"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			m.text = string(text)
			break
		}
	}
	if notice, err := os.ReadFile(filepath.Join(dir, "NOTICE")); err == nil {
		m.notice = string(notice)
	}
	if m.licence = identify(m.text); m.licence == "" {
		return fmt.Errorf("%s has a licence that is not known here; look at %s and add it", m.path, dir)
	}
	for line := range strings.Lines(m.text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "Copyright ") && strings.ContainsAny(line, "0123456789") {
			m.holders = append(m.holders, strings.TrimSpace(strings.TrimPrefix(line, "Copyright ")))
		}
	}
	if len(m.holders) == 0 {
		m.holders = []string{"the authors of " + m.path}
	}
	return nil
}

// identify tells a licence by a sentence of its own.
func identify(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	switch {
	case strings.Contains(text, "Apache License Version 2.0"):
		return "Apache-2.0"
	case strings.Contains(text, "Permission is hereby granted, free of charge"):
		if strings.Contains(text, "Apache License, Version 2.0") {
			return "MIT AND Apache-2.0"
		}
		return "MIT"
	case strings.Contains(text, "Redistribution and use in source and binary forms"):
		if strings.Contains(text, "Neither the name") {
			return "BSD-3-Clause"
		}
		return "BSD-2-Clause"
	}
	return ""
}

// copyright is the file that Debian asks for.
func copyright(modules []module) string {
	var b strings.Builder
	b.WriteString("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n" +
		"Upstream-Name: zkd\nSource: " + home + "\n\nFiles: *\nCopyright: 2026 the zkd authors\nLicense: Apache-2.0\n" +
		"Comment: The programs are linked with the modules below, named by their import paths.\n")
	for _, m := range modules {
		fmt.Fprintf(&b, "\nFiles: %s/*\nCopyright: %s\nLicense: %s\n",
			m.path, strings.Join(m.holders, "\n           "), strings.ReplaceAll(m.licence, "AND", "and"))
		if m.licence != "Apache-2.0" { // that one is below, once
			quote(&b, m.text)
		}
		if m.notice != "" {
			b.WriteString("Comment:\n")
			quote(&b, m.notice)
		}
	}
	return b.String() + "\nLicense: Apache-2.0\n" +
		" On Debian systems the full text is in /usr/share/common-licenses/Apache-2.0; elsewhere it is at\n" +
		" https://www.apache.org/licenses/LICENSE-2.0.\n"
}

// quote writes a text as the continuation of a field.
func quote(b *strings.Builder, text string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \t\r\n"); line == "" {
			line = "."
		}
		b.WriteString(" " + line + "\n")
	}
}

type entry map[string]any

// document is the SPDX document, version 2.3.
func document(version string, modules []module) ([]byte, error) {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	packages := []entry{{
		"SPDXID": "SPDXRef-zkd", "name": "zkd", "versionInfo": version, "downloadLocation": home,
		"filesAnalyzed": false, "licenseDeclared": "Apache-2.0", "licenseConcluded": "Apache-2.0",
		"copyrightText": "2026 the zkd authors",
	}}
	relations := []entry{{
		"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-zkd",
	}}
	sum := sha256.New()
	for i, m := range modules {
		id := fmt.Sprintf("SPDXRef-module-%d", i+1)
		fmt.Fprintln(sum, m.path, m.version)
		packages = append(packages, entry{
			"SPDXID": id, "name": m.path, "versionInfo": m.version, "downloadLocation": "NOASSERTION",
			"filesAnalyzed": false, "licenseDeclared": m.licence, "licenseConcluded": m.licence,
			"copyrightText": strings.Join(m.holders, "\n"),
			"externalRefs": []entry{{
				"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
				"referenceLocator": "pkg:golang/" + m.path + "@" + m.version,
			}},
		})
		relations = append(relations, entry{
			"spdxElementId": "SPDXRef-zkd", "relationshipType": "STATIC_LINK", "relatedSpdxElement": id,
		})
	}
	text, err := json.MarshalIndent(entry{
		"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "zkd-" + version,
		"documentNamespace": fmt.Sprintf("%s/spdx/%s-%x", home, version, sum.Sum(nil)[:8]),
		"creationInfo": entry{
			"created":  time.Unix(seconds, 0).UTC().Format(time.RFC3339),
			"creators": []string{"Tool: zkd-inventory"},
		},
		"packages": packages, "relationships": relations,
	}, "", " ")
	return append(text, '\n'), err
}

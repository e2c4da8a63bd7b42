package config

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// entry is one assignment of a properties file.
type entry struct {
	key, value string
	file       string
	line       int
}

// parseProperties reads a Java properties file: "=", ":" or blanks between key and
// value, "#" and "!" for comments, a backslash at the end of a line joins it with the
// next, \uXXXX and the usual escapes. A line that is wrong is left out.
// Source: the documentation of java.util.Properties.
func parseProperties(file string, text []byte) (entries []entry, errs []error) {
	if !utf8.Valid(text) {
		return nil, []error{fmt.Errorf("%s: the file is not UTF-8 text", file)}
	}
	lines := bytes.Split(text, []byte("\n"))
	for i := 0; i < len(lines); i++ {
		first := i + 1
		line := strings.TrimLeft(strings.TrimSuffix(string(lines[i]), "\r"), " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for continues(line) {
			line = line[:len(line)-1]
			if i++; i >= len(lines) {
				break
			}
			line += strings.TrimLeft(strings.TrimSuffix(string(lines[i]), "\r"), " \t\f")
		}
		key, value := cutProperty(line)
		k, err := unescape(key)
		if err == nil {
			value, err = unescape(value)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, first, err))
			continue
		}
		entries = append(entries, entry{k, strings.TrimSpace(value), file, first})
	}
	return entries, errs
}

// continues says whether a line ends in an odd number of backslashes.
func continues(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

// cutProperty splits at the first separator that is not escaped.
func cutProperty(line string) (key, value string) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
			continue
		}
		if strings.IndexByte("=: \t\f", line[i]) >= 0 {
			end = i
			break
		}
	}
	rest := strings.TrimLeft(line[end:], " \t\f")
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], " \t\f")
	}
	return line[:end], rest
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			if len(s) < i+5 {
				return "", fmt.Errorf(`\u needs four hexadecimal digits`)
			}
			r, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			if err != nil {
				return "", fmt.Errorf(`\u%s is no character: four hexadecimal digits are needed`, s[i+1:i+5])
			}
			b.WriteRune(rune(r))
			i += 4
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}

package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Wrong is an error that tells everything that is wrong with a configuration.
type Wrong struct {
	Errors   []error  // in the order of files and lines
	Warnings []string // in the same order
	lines    []string
}

// Error implements error: one error a line.
func (w *Wrong) Error() string { return errors.Join(w.Errors...).Error() }

// Unwrap is for errors.Is.
func (w *Wrong) Unwrap() []error { return w.Errors }

// Report is one line for each error and each warning, in the order of files and lines, and their
// number.
func (w *Wrong) Report() []string {
	return append(slices.Clone(w.lines), count(len(w.Errors), "error")+", "+count(len(w.Warnings), "warning"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// wrong takes in an error about a setting, and where that comes from.
func (l *loader) wrong(source, key, format string, args ...any) {
	if source == "" {
		source = l.file
	}
	l.fail(fmt.Errorf("%w: %s: %s: %w", ErrConfig, source, key, fmt.Errorf(format, args...)))
}

// fail takes in an error.
func (l *loader) fail(err error) {
	if err != nil {
		l.errs = append(l.errs, err)
	}
}

// verdict puts what was found into order, and is nil if nothing is wrong.
func (l *loader) verdict(warnings []string) error {
	slices.SortStableFunc(warnings, l.compare)
	if len(l.errs) == 0 {
		return nil
	}
	w := &Wrong{Errors: l.errs, Warnings: warnings}
	text := func(err error) string { return strings.TrimPrefix(err.Error(), ErrConfig.Error()+": ") }
	slices.SortStableFunc(w.Errors, func(a, b error) int { return l.compare(text(a), text(b)) })
	for _, err := range w.Errors {
		w.lines = append(w.lines, text(err))
	}
	w.lines = append(w.lines, warnings...)
	slices.SortStableFunc(w.lines, l.compare)
	for i, line := range w.lines {
		kind := "error: "
		if slices.Contains(warnings, line) {
			kind = "warning: "
		}
		w.lines[i] = kind + line
	}
	return w
}

// compare orders texts that begin with a file and a line; others come last.
func (l *loader) compare(a, b string) int {
	fileA, lineA := l.position(a)
	fileB, lineB := l.position(b)
	if fileA != fileB {
		return fileA - fileB
	}
	return lineA - lineB
}

func (l *loader) position(text string) (file, line int) {
	for i, name := range l.files {
		if rest, ok := strings.CutPrefix(text, name+":"); ok {
			number, _, _ := strings.Cut(rest, ":")
			line, _ = strconv.Atoi(number) // 0 for the file as a whole
			return i, line
		}
	}
	return len(l.files), 0
}

say "piuparts: nothing is left, nothing is broken"
make_root "$root"
copy=$work/piuparts
rm -rf "$copy"
cp -a "$root" "$copy"
if ! piuparts -d bookworm --no-upgrade-test --warn-on-debsums-errors --skip-logrotatefiles-test -e "$copy" \
  --ignore /.complete --warn-on-leftovers-after-purge "build/zkd_$version-1_amd64.deb" > "$work/piuparts.log" 2>&1; then
  grep -E 'ERROR|FAIL|WARN' "$work/piuparts.log" >&2
  exit 1
fi
grep -E '^[0-9hms. ]*(INFO: PASS|WARN)' "$work/piuparts.log"
rm -rf "$copy"

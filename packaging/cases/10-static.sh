say "what can be seen without installing"
shellcheck -x -e SC1090,SC1091,SC2034 packaging/*.sh packaging/scripts/*
shellcheck -s bash -e SC2148,SC2154,SC2016,SC2034,SC2086,SC2046 packaging/cases/*.sh
lintian --allow-root --fail-on error,warning build/zkd_"$version"-1_*.deb
# rpmlint unpacks what it looks at, and the names in rpms of nfpm begin with a slash: without this
# their files would land in this machine's own directories.
mkdir -p "$work/bin"
printf '#!/bin/sh\nexec /usr/bin/cpio --no-absolute-filenames "$@"\n' > "$work/bin/cpio"
chmod +x "$work/bin/cpio"
PATH=$work/bin:$PATH rpmlint -c packaging/rpmlint.toml build/zkd-"$version"-1.*.rpm 2>/dev/null | tail -n 1
[ ! -e /usr/share/zkd ] || [ -n "$(dpkg-query -W zkd 2>/dev/null)" ] || { echo "rpmlint has spilt files"; exit 1; }

# Every file with its mode, owner, and whether an edited one is kept; the pages of zkctl's commands
# come and go with these.
list_deb() {
  dpkg-deb -c "build/zkd_$version-1_amd64.deb" | awk '{print $1, $2, $6}'
  dpkg-deb -I "build/zkd_$version-1_amd64.deb" conffiles
}
list_rpm() {
  rpm -qp --qf '[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILEFLAGS:fflags} %{FILENAMES}\n]' \
    "build/zkd-$version-1.x86_64.rpm" 2>/dev/null
}
for p in deb rpm; do
  list_$p | grep -v man1/zkctl- | diff -u packaging/contents.$p -
done

# The two services differ in what makes an instance one, and in nothing else.
diff <(sed 's|^Description=.*|Description=ZooKeeper daemon, instance %i|; s|/etc/zkd/zoo.cfg|/etc/zkd/%i.cfg|
  s/^\(State\|Runtime\)Directory=zkd/&-%i/' systemd/zkd.service) systemd/zkd@.service
for unit in zkd zkd@; do
  systemd-analyze security --offline=true --threshold=13 systemd/$unit.service 2>&1 | tail -n 1
done

say "the same bytes from another directory"
rm -rf "$work/again"
mkdir -p "$work/again/build/tools"
cp -r Makefile CHANGELOG.md go.mod go.sum nfpm.yaml cmd daemon docs etc packaging systemd "$work/again/"
cp build/tools/nfpm "$work/again/build/tools/"
epoch=$(git log -1 --format=%ct) built=$(TZ=UTC git log -1 --format=%cd --date=format-local:'%Y-%m-%d %H:%M UTC')
make -s -C "$work/again" deb rpm VERSION="$version" EPOCH="$epoch" BUILT="$built" >/dev/null
for f in build/zkd*.deb build/zkd*.rpm; do cmp "$f" "$work/again/$f"; done
rm -rf "$work/again"

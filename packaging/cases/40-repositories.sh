say "an apt repository with a signature"
repo=$work/repo
rm -rf "$repo" "$work/gnupg"
mkdir -p "$repo/apt" "$repo/dnf"
export GNUPGHOME=$work/gnupg
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --pinentry-mode loopback --passphrase '' --quick-gen-key 'test <test@zkd.invalid>' rsa3072 sign never 2>/dev/null
gpg --batch --armor --export > "$repo/key.asc"
index_apt() {
  (cd "$repo/apt" && dpkg-scanpackages -m . 2>/dev/null > Packages && { printf 'Suite: stable\nSHA256:\n'
    printf ' %s %s Packages\n' "$(sha256sum Packages | cut -d' ' -f1)" "$(stat -c %s Packages)"; } > Release &&
    gpg --batch --yes --clearsign -o InRelease Release)
}
cp "$work/${olddeb#/old/}" "$repo/apt/"
index_apt
up apt --private-network --bind-ro="$repo:/repo"
at apt sh -c 'rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*'
printf 'Types: deb\nURIs: file:/repo/apt\nSuites: ./\nSigned-By: /repo/key.asc\n' | put apt /etc/apt/sources.list.d/zkd.sources
at apt sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq zkd' >/dev/null 2>&1
has apt "Created /a" zkctl create /a data
cp "build/${deb#/pkgs/}" "$repo/apt/"
index_apt
at apt sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get upgrade -y -qq' >/dev/null 2>&1
has apt "$version-1" dpkg-query -W -f '${Version}' zkd
has apt "data" zkctl get /a
lacks apt "as it was in $old" cat /etc/zkd/zoo.cfg # a default that nobody edited follows the package
sed -i s/SHA256/SHA256:/ "$repo/apt/InRelease" # not what was signed
has apt "BADSIG" sh -c 'rm -rf /var/lib/apt/lists/*; apt-get update'
at apt sh -c 'DEBIAN_FRONTEND=noninteractive apt-get purge -y -qq zkd' >/dev/null 2>&1
at apt sh -c '[ ! -e /var/lib/zkd ]' || fail apt "the purge left data"

say "the rpm, and a dnf repository with signatures"
make_root "$rpmroot" rpm,dnf,createrepo-c,gnupg
stand_in=$work/systemd.spec # the root has systemd, but not as an rpm
printf 'Name: systemd\nVersion: 252\nRelease: 1\nSummary: s\nLicense: none\nBuildArch: noarch\nProvides: /bin/sh\n%%description\ns\n%%files\n' > "$stand_in"
rpmbuild --quiet -bb --define "_rpmdir $repo/dnf" --define "_build_name_fmt %%{NAME}.rpm" "$stand_in" 2>/dev/null
sed "s|^rpm:|rpm:\n  signature: {key_file: $work/key.gpg}|" "$work/old.yaml" > "$work/old-signed.yaml"
sed "s|^rpm:|rpm:\n  signature: {key_file: $work/key.gpg}|" nfpm.yaml > "$work/signed.yaml"
gpg --batch --export-secret-keys > "$work/key.gpg"
ARCH=amd64 VERSION=$old build/tools/nfpm package -f "$work/old-signed.yaml" -p rpm -t "$repo/dnf/" >/dev/null
createrepo_c --quiet "$repo/dnf"
ROOT=$rpmroot up rpm --private-network --bind="$repo:/repo"
# Debian's rpm keeps its database in the home directory of root unless told otherwise.
has rpm "error: Failed dependencies" rpm -i $rpm
at rpm rpm -i --nodeps $oldrpm 2>/dev/null
has rpm "zkd:/var/lib/zkd:" sh -c "getent passwd zkd | cut -d: -f1,6,7"
has rpm "root:zkd 640" stat -c "%U:%G %a" /etc/zkd/zoo.cfg
has rpm "inactive" systemctl is-active zkd # installing does not start it
has rpm "this one is 1" zkctl init --id 1 --server 1=a --server 2=b --server 3=c # before the first start
at rpm rm /etc/zkd/zoo.cfg.d/ensemble.cfg /var/lib/zkd/myid
at rpm systemctl enable --now --quiet zkd
has rpm "Created /a" zkctl create /a data
at rpm sh -c 'echo "# edited" >> /etc/zkd/zoo.cfg'
p=$(pid rpm)
at rpm rpm -U --nodeps $rpm 2>/dev/null
other_pid rpm "$p"
has rpm "# edited" cat /etc/zkd/zoo.cfg
has rpm "zoo.cfg.rpmnew" ls /etc/zkd
has rpm "data" zkctl get /a
changed=$(at rpm rpm -V --nodeps zkd | grep -v ' c /etc/zkd/zoo.cfg$' || true)
same rpm "$changed" "" "what rpm -V finds changed"
printf 'dataDir=/var/lib/zkd-1\nclientPort=2101\n' | put rpm /etc/zkd/1.cfg
at rpm systemctl enable --now --quiet zkd@1
at rpm rpm -e --nodeps zkd 2>/dev/null
has rpm "inactive" systemctl is-active zkd
at rpm sh -c '! pgrep -x zkd' || fail rpm "a server still runs after the removal"
same rpm "$(at rpm find /etc/systemd/system -name 'zkd*')" "" "what the removal leaves enabled"
at rpm sh -c 'rm -r /etc/zkd/1.cfg /var/lib/zkd-1'
has rpm "zoo.cfg.rpmsave" ls /etc/zkd
for dir in /usr/share/zkd /usr/share/doc/zkd; do at rpm test ! -e $dir || fail rpm "the removal left $dir"; done
at rpm test -e /var/lib/zkd/myid -o -d /var/lib/zkd
at rpm sh -c 'rm -f /etc/zkd/zoo.cfg.rpm*'
at rpm mkdir -p /etc/yum.repos.d
printf '[zkd]\nname=zkd\nbaseurl=file:///repo/dnf\ngpgcheck=1\ngpgkey=file:///repo/key.asc\n' | put rpm /etc/yum.repos.d/zkd.repo
at rpm dnf -y -q --nogpgcheck install systemd >/dev/null 2>&1
at rpm dnf -y -q install zkd >/dev/null 2>&1
has rpm "$old" rpm -q zkd
at rpm systemctl start zkd
has rpm "data" zkctl get /a # on the data that the first installation left
ARCH=amd64 VERSION=$version build/tools/nfpm package -f "$work/signed.yaml" -p rpm -t "$repo/dnf/" >/dev/null
createrepo_c --quiet "$repo/dnf"
at rpm dnf -y -q --refresh upgrade >/dev/null 2>&1
has rpm "zkd-$version" rpm -q zkd
has rpm "digests signatures OK" rpm -K "/repo/dnf/zkd-$version-1.x86_64.rpm"
has rpm "data" zkctl get /a
at rpm dnf -y -q remove zkd >/dev/null 2>&1
at rpm test -d /var/lib/zkd

say "the rpm, where an image is made"
image "$rpmroot"
cp "build/${rpm#/pkgs/}" "$image/"
wanted=/etc/systemd/system/multi-user.target.wants/zkd.service
in_image sh -c 'mkdir -p /etc/systemd/system-preset && echo enable zkd.service > /etc/systemd/system-preset/10-zkd.preset'
in_image rpm -i --nodeps "/${rpm#/pkgs/}" 2>/dev/null
in_image test -L $wanted || { echo "what the presets of the image say is not done"; exit 1; }
in_image rpm -e --nodeps zkd 2>/dev/null
in_image test ! -L $wanted || { echo "a removal leaves the service enabled"; exit 1; }

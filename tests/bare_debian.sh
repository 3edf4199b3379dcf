#!/usr/bin/env bash
# Make a Debian that has nothing but its base, and type the README's lines for the tests in it, in the background of a
# shell (`.venv/bin/tox &`: SIGINT and SIGQUIT are ignored there).
#
# usage: tests/bare_debian.sh [FOLDER [SUITE]]    (default: a temporary folder, bookworm)
#
# Needs root, 4 GB of disk, and: apt-get install -y debootstrap systemd-container. Takes about half an hour on 2 cores.
# FOLDER/base is made once, and copied for each run. The mirror, and how pip and Maven reach theirs, are those of this
# machine: they are read when this is run. $TYPED_TOX is typed in place of `.venv/bin/tox`, to run less.
# Not part of CI. The exit status is that of the first line that failed, or 0.
set -euo pipefail

main() {
    local checkout folder suite root status=0
    checkout=$(cd "$(dirname "$0")/.." && pwd)
    folder=${1:-$(mktemp -d)}
    suite=${2:-bookworm}
    mkdir -p "$folder"
    root=$folder/system
    # shellcheck disable=SC2064  # its value of now: it is gone when the trap runs
    trap "rm -rf '$root'" EXIT

    test -d "$folder/base" || make_base "$folder/base" "$suite"
    rm -rf "$root"
    cp -a "$folder/base" "$root"
    share_settings "$root"
    # What git knows, as it stands in the working tree.
    mkdir "$root/root/checkout"
    (cd "$checkout" && git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- --file=-) |
        tar --extract --directory="$root/root/checkout" --file=-
    lines "$checkout/README.rst" >"$root/root/lines"
    sed 's/^/typed: /' "$root/root/lines"
    enter "$root" sh -c "$TYPE" || status=$?
    echo "bare Debian ($suite): status $status"
    return "$status"
}

# The last line is typed as a shell's background job; what was installed by then is said for the record.
TYPE='
cd /root/checkout
apt-get update -qq
while read -r line; do
    echo "\$ $line"
    case $line in
    *.venv/bin/tox)
        python3 -c "import ssl, sys; print(sys.version, ssl.OPENSSL_VERSION)"
        sh -c "${TYPED_TOX:-$line} & wait \$!" </dev/null || exit
        ;;
    *) sh -c "$line" </dev/null || exit ;;
    esac
done </root/lines
'

# The lines of the README from apt-get to the tests: each literal block between these two.
lines() {
    awk '/^    apt-get install/ { on = 1 } on && /^    / { print substr($0, 5) } /^    \.venv\/bin\/tox$/ { exit }' "$1"
}

make_base() {
    debootstrap --variant=minbase "$2" "$1.part" "$(mirror)"
    mv "$1.part" "$1"
}

# The first mirror of this machine, in either format of apt's sources.
mirror() {
    {
        cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk '$1 == "URIs:" { print $2 }'
        cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
            awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; break } }'
    } | awk 'NR == 1'
}

# A stranger's machine reaches the registries by itself; this one may have to do it in its own way.
share_settings() {
    local root=$1 file
    for file in /etc/resolv.conf /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
        test -f "$file" && mkdir -p "$root${file%/*}" && cp -L "$file" "$root$file"
    done
    for file in /usr/local/share/ca-certificates /root/.config/pip /etc/apt/apt.conf.d; do
        test -d "$file" && mkdir -p "$root$file" && cp -rLn "$file/." "$root$file/"
    done
    # Debian's own sources; the keys that they name are in the base system, too.
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
        test -s "$file" && cp "$file" "$root$file"
    done
    test -f "$root/etc/apt/sources.list.d/debian.sources" && rm -f "$root/etc/apt/sources.list"
    for file in "${HOME:-/root}/.m2/settings.xml" /etc/maven/settings.xml; do
        test -f "$file" && mkdir -p "$root/root/.m2" && cp "$file" "$root/root/.m2/settings.xml" && break
    done
    return 0
}

enter() {
    local root=$1 name variables=()
    shift
    for name in $(compgen -e); do
        case $name in
        PIP_* | *_proxy | *_PROXY | MAVEN_OPTS | SSL_CERT_FILE | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE | TYPED_TOX | TERM)
            variables+=("--setenv=$name=${!name}")
            ;;
        esac
    done
    SYSTEMD_NSPAWN_TMPFS_TMP=0 systemd-nspawn --quiet --directory="$root" --register=no --keep-unit --console=pipe \
        --setenv=HOME=/root --setenv=DEBIAN_FRONTEND=noninteractive --setenv=REQUIRE_LAB=1 "${variables[@]}" "$@"
}

main "$@"

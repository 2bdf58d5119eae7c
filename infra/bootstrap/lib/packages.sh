# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# shellcheck shell=bash
# Packages of the host: Ubuntu's own, and Docker's from its signed repository at pinned versions. Nothing is upgraded.

# The key that signs Docker's repository for Ubuntu.
DOCKER_KEY=9DC858229FC7DD38854AE2D88D81803C0EBFCD88

apt() { DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" >&2; }

# absent NAME[=VERSION] …: those not installed, one a line. VERSION may end in *.
absent() {
    local each found=$'\n' name
    # shellcheck disable=SC2016  # a format of dpkg's
    found+="$(dpkg-query -W -f '${Package} ${db:Status-Status} ${Version}\n' "${@%%=*}" 2>/dev/null || :)"$'\n'
    for each in "$@"; do
        name="${each%%=*}"
        case "$each" in
            *=*) [[ "$found" == *$'\n'"$name installed "${each#*=}$'\n'* ]] || printf '%s\n' "$each" ;; # unquoted: a pattern
            *) [[ "$found" == *$'\n'"$name installed "* ]] || printf '%s\n' "$each" ;;
        esac
    done
}

# install_packages NAME[=VERSION] …: those that are absent.
install_packages() {
    local missing
    mapfile -t missing < <(absent "$@")
    if ((${#missing[@]} == 0)); then return 0; fi
    retry apt update
    retry apt install -y --no-install-recommends --allow-downgrades "${missing[@]}"
    mapfile -t missing < <(absent "$@")
    ((${#missing[@]} == 0)) || die "not installed after all: ${missing[*]}"
}

step_packages() {
    install_packages "${PACKAGES[@]}"
    aws_cli
    mark packages
}

# The AWS command line at the versions and with the hashes of aws-cli.txt, in a folder that is named by that list: other
# versions stand beside it until they are whole. Nothing that pip was not told the hash of is installed.
aws_cli() {
    local list="$BOOTSTRAP/aws-cli.txt" place link="$ROOT/usr/local/bin/aws"
    place="$ROOT/opt/aws-cli/$(grep -v '^#' "$list" | sha256sum | cut -c 1-12)"
    if [[ "$(readlink "$link")" == "$place/bin/aws" ]]; then return 0; fi
    python3 -m venv --clear "$place"
    retry "$place/bin/pip" --quiet --disable-pip-version-check install --require-hashes --only-binary=:all: --no-deps --requirement "$list" >&2
    mkdir -p "$ROOT/usr/local/bin"
    ln -sfn "$place/bin/aws" "$link"
}

docker_key() {
    local file="$1" found
    retry curl --fail --silent --show-error --location --proto '=https' --max-time 60 --output "$file" https://download.docker.com/linux/ubuntu/gpg
    found="$(gpg --batch --no-default-keyring --homedir "$WORK" --show-keys --with-colons "$file" | awk -F: '$1 == "fpr" { print $10; exit }')"
    [[ "$found" == "$DOCKER_KEY" ]] || die "Docker's repository is signed with a key that is not the expected one (${found:-none})"
}

# The key is fetched only where it is absent: a host that is up needs no network to converge.
docker_repository() {
    local keyring="$ROOT/etc/apt/keyrings/docker.asc" codename
    folder 0755 "$ROOT/etc/apt/keyrings" "$ROOT/etc/apt/sources.list.d" "$ROOT/etc/apt/preferences.d"
    if [[ ! -s "$keyring" ]]; then
        docker_key "$WORK/docker.asc"
        put_file "$WORK/docker.asc" "$keyring" 0644
    fi
    # shellcheck source=/dev/null
    codename="$(source "$ROOT/etc/os-release" && printf '%s' "$VERSION_CODENAME")"
    put_text "$ROOT/etc/apt/sources.list.d/docker.sources" 0644 <<END
Types: deb
URIs: https://download.docker.com/linux/ubuntu
Suites: $codename
Components: stable
Signed-By: /etc/apt/keyrings/docker.asc
END
    docker_pins | put_text "$ROOT/etc/apt/preferences.d/docker" 0644
}

# docker_pins: unattended upgrades may take a newer patch, never another version.
docker_pins() {
    local each
    for each in "${DOCKER_PACKAGES[@]}"; do
        if [[ "$each" == *=* ]]; then printf 'Package: %s\nPin: version %s\nPin-Priority: 1001\n\n' "${each%%=*}" "${each#*=}"; fi
    done
}

step_docker() {
    local configuration
    require_data
    docker_repository
    folder 0755 "$ROOT/etc/docker" "$ROOT/etc/systemd/system" "$ROOT/etc/systemd/system/docker.service.d"
    # Before Docker is installed, because the package starts it.
    put_file "$BOOTSTRAP/daemon.json" "$ROOT/etc/docker/daemon.json" 0644
    printf '[Unit]\nRequiresMountsFor=/data\n' | put_text "$ROOT/etc/systemd/system/docker.service.d/data.conf" 0644
    install_packages "${DOCKER_PACKAGES[@]}"
    # What Docker last started with, noted after that: a run that was killed in between starts it again.
    configuration="$(cat -- "$ROOT/etc/docker/daemon.json" "$ROOT/etc/systemd/system/docker.service.d/data.conf" | sha256sum)"
    if [[ "$configuration" != "$(cat -- "$STATE/docker.configuration" 2>/dev/null || :)" ]]; then
        systemctl daemon-reload
        systemctl restart docker.service
        printf '%s\n' "$configuration" | put_text "$STATE/docker.configuration" 0600
    fi
    systemctl enable --now docker.service
    retry docker info >/dev/null
    mark docker
}

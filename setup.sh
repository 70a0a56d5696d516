#!/usr/bin/env bash
# setup.sh: from a fresh Debian 12 to a running compiler.
#
#   ./setup.sh demo    install what is missing, build, compile the bundled model for this CPU, let it write
#   ./setup.sh test    the same, then run every test; the last line is "N passed, N failed, N skipped"
#
# Packages come from Debian by name, only those that are missing; nothing else is downloaded.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

build_packages=(
    gcc g++ libc6-dev cmake ninja-build
    llvm-22-dev libmlir-22-dev mlir-22-tools liblld-22-dev lld-22 clang-22
    protobuf-c-compiler libprotobuf-c-dev libonnx-dev
    flatbuffers-compiler libflatbuffers-dev
    libcjson-dev libutf8proc-dev zlib1g-dev libzstd-dev libopenblas-pthread-dev
)
test_packages=(
    llvm-22 llvm-22-tools python3 python3-numpy pkgconf make
    qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    gcc-riscv64-linux-gnu libc6-dev-riscv64-cross
    qemu-system-arm qemu-system-misc libglpk-dev
)
model=test/models/docs-4m/optimum-past/model.onnx
results=build/test/results

say() { printf '\n== %s\n' "$*"; }

die() {
    printf 'setup.sh: error: %s\n' "$*" >&2
    exit 1
}

missing_packages() {
    local package
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            echo "$package"
    done
}

install_packages() {
    local missing as_root=()
    command -v apt-get >/dev/null || die "this is not Debian 12; it would install: $*"
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "no sudo here; as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    "${as_root[@]}" apt-get update -q </dev/null
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null ||
        die "apt-get failed; the packages are in bookworm and bookworm-security, section main"
}

build() { # preset folder [targets...]
    say "building $2"
    cmake --preset "$1"
    cmake --build "$2" ${3:+--target "${@:3}"}
}

speak() {
    local words=(-p 'The function returns' -n 60 --temp 0.6 --seed 1)
    say "compiling the bundled model for this CPU" &&
        build/bin/qbc "$model" -quant=i8g32 -o build/docs-4m.qbm &&
        say "qbrun docs-4m.qbm ${words[*]@Q}" &&
        build/bin/qbrun build/docs-4m.qbm "${words[@]}"
}

demo() {
    install_packages "${build_packages[@]}"
    build release build qbc qbc-opt qbrun
    speak
}

# Prints the last line even where there was nothing to count.
report() {
    local status=$?
    [ "$counted" = yes ] || printf '\n0 passed, 1 failed, 0 skipped\n'
    exit $status
}

run_tests() {
    local outcome
    counted=no
    trap report EXIT
    install_packages "${build_packages[@]}" "${test_packages[@]}"
    build release build
    build dev build-dev sanitized_tests
    rm -rf "$results"
    mkdir -p "$results"
    say "tests"
    speak && outcome= || outcome='<failure/>'
    echo "<demo><testcase name='demo'>$outcome</testcase></demo>" >"$results/demo.xml"
    /usr/lib/llvm-22/bin/lit -sv --xunit-xml-output "$results/lit.xml" build/test || true
    run_ctest build release --exclude-regex '^lit$'
    run_ctest build-dev dev --label-regex unit --exclude-regex '^kernel_' # generated code has no sanitizers
    counted=yes
    python3 test/tools/count_tests.py "$results"/{demo,lit,release,dev}.xml
}

run_ctest() { # folder name [selection...]
    ctest --test-dir "$1" --output-on-failure --parallel "$(nproc)" \
        --output-junit "$PWD/$results/$2.xml" "${@:3}" || true
}

case "${1-}" in
demo) demo ;;
test) run_tests ;;
*) die "say './setup.sh demo' or './setup.sh test'" ;;
esac

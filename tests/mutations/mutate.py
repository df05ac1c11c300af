"""Applies deliberate faults one at a time and reports which tests notice: see scripts/mutate."""

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "mutations"
TREE = WORK / "tree"  # a copy of the tracked files, built in its own build/release
BUILD = TREE / "build" / "release"
TIME_LIMIT_S = 120
NOT_BUILT = 99  # exit code of the command that builds and tests
LEAST_CAUGHT = 0.9
KEYS = {"name", "fault", "file", "old", "new", "tests"}


class ListError(Exception):
    """The list of faults, or what it expects of the sources and tests, is wrong."""


@dataclass(frozen=True)
class Mutation:
    name: str
    fault: str  # one line: what is wrong
    file: str  # relative to the root
    old: str  # occurs exactly once in the file
    new: str
    tests: tuple[str, ...]  # "folder" or "folder:gtest filter", in the order in which they run
    place: str  # file of the list, for messages

    def apply(self, text):
        return text.replace(self.old, self.new)


def read_mutation(record, place):
    name = record.get("name", "?")
    if set(record) != KEYS:
        raise ListError(f"{place}: {name}: found keys {sorted(record)}, expected {sorted(KEYS)}")
    for key in KEYS - {"tests"}:
        if not isinstance(record[key], str):
            raise ListError(f"{place}: {name}: {key} is no string")
    if not isinstance(record["tests"], list) or not record["tests"]:
        raise ListError(f"{place}: {name}: tests is no list of one or more folders")
    return Mutation(**{**record, "tests": tuple(record["tests"])}, place=place)


def check_against_sources(mutation):
    """Throws ListError unless the fault still fits the sources; returns the line where it goes."""
    where = f"{mutation.place}: {mutation.name}"
    path = ROOT / mutation.file
    if not path.is_file():
        raise ListError(f"{where}: {mutation.file} does not exist")
    text = path.read_text()
    found = text.count(mutation.old)
    if found != 1:
        raise ListError(f"{where}: its old text occurs {found} times in {mutation.file}, expected once")
    if mutation.apply(text) == text:
        raise ListError(f"{where}: old and new text are the same")
    for test in mutation.tests:
        folder = test.split(":")[0]
        if not list((ROOT / "tests" / folder).glob("*_test.cc")):
            raise ListError(f"{where}: there are no tests in tests/{folder}")
    return text[: text.index(mutation.old)].count("\n") + 1


def read_mutations():
    mutations = []
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        try:
            records = tomllib.loads(path.read_text())
        except tomllib.TOMLDecodeError as error:
            raise ListError(f"{path.name}: {error}") from error
        if set(records) != {"mutation"}:
            raise ListError(f"{path.name}: expected [[mutation]] tables only")
        mutations += [read_mutation(record, path.name) for record in records["mutation"]]
    names = [mutation.name for mutation in mutations]
    for name in names:
        if names.count(name) > 1:
            raise ListError(f"{name} is in the list twice")
    return mutations


def write_if_different(path, data):
    """Unchanged files keep their time, so that a second run builds nothing anew."""
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def copy_sources():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    tracked = {name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()}
    for name in tracked:
        write_if_different(TREE / name, (ROOT / name).read_bytes())
        (TREE / name).chmod((ROOT / name).stat().st_mode)
    for path in [p for p in TREE.rglob("*") if p.is_file()]:
        name = path.relative_to(TREE).as_posix()
        if not name.startswith("build/") and name not in tracked:
            path.unlink()


class Bench:
    """Builds and runs test binaries in the copy."""

    def __init__(self, through):
        self.through = shlex.split(through)
        self.build_log = WORK / "build.txt"
        self.test_log = WORK / "test.txt"

    def shell(self, script):
        command = self.through + ["bash", "-c", script]
        # The same inputs of properties as in ctest.
        return subprocess.run(command, cwd=TREE, env={**os.environ, "RC_PARAMS": "seed=2027"}).returncode

    def build_output(self):
        return self.build_log.read_text(errors="replace")[-4000:]

    def configure(self):
        shared = os.environ.get("TOPLENS_SHARED_DATA", str(ROOT.parent / "shared"))
        command = shlex.join(
            ["cmake", "--preset", "release", "-DTOPLENS_TESTS=ON", f"-DTOPLENS_SHARED_DATA={shared}"]
        )
        if self.shell(f"{command} > {shlex.quote(str(self.build_log))} 2>&1"):
            raise ListError(f"the copy cannot be configured:\n{self.build_output()}")

    @staticmethod
    def command(test):
        folder, _, pattern = test.partition(":")
        binary = BUILD / "tests" / f"toplens_{folder}_test"
        return shlex.join([str(binary)] + ([f"--gtest_filter={pattern}"] if pattern else []))

    def selects_tests(self, test):
        command = f"{self.command(test)} --gtest_list_tests"
        listed = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, check=True)
        return any(line.startswith("  ") for line in listed.stdout.decode().splitlines())

    def first_failure(self, tests):
        """Builds the binaries and runs the tests in order, as one command, until one fails: its name,
        None where all pass. Throws ListError where they do not build."""
        targets = sorted({f"toplens_{test.split(':')[0]}_test" for test in tests})
        build = shlex.join(["cmake", "--build", "--preset", "release", "--target", *targets])
        lines = [f"{build} > {shlex.quote(str(self.build_log))} 2>&1 || exit {NOT_BUILT}"]
        lines.append(f"exec > {shlex.quote(str(self.test_log))} 2>&1; cd {shlex.quote(str(BUILD))}")
        for test in tests:
            lines.append(f"timeout -k 5 {TIME_LIMIT_S} {self.command(test)} --gtest_fail_fast || exit $?")
        code = self.shell("\n".join(lines))
        if code == NOT_BUILT:
            raise ListError(f"does not build:\n{self.build_output()}")
        if code == 0:
            return None
        text = self.test_log.read_text(errors="replace")
        failed = re.search(r"^\[  FAILED  \] ([^\s,]+)", text, re.MULTILINE)
        if failed:
            return failed[1]
        started = re.findall(r"^\[ RUN      \] (\S+)", text, re.MULTILINE)
        how = f"no end within {TIME_LIMIT_S} s" if code in (124, 137) else f"exit code {code}"
        return f"{started[-1] if started else tests[0]} ({how})"


def run_baseline(bench, mutations):
    """The tests as they are: throws ListError where a filter selects none; None, or the one that fails."""
    tests = {}
    for mutation in mutations:
        for test in mutation.tests:
            tests.setdefault(test, mutation)
    failure = bench.first_failure(tests)
    for test, mutation in tests.items():
        if not bench.selects_tests(test):
            raise ListError(f"{mutation.place}: {mutation.name}: {test} selects no test")
    return failure


def try_mutation(bench, mutation):
    """The test that notices, None where none does."""
    path = TREE / mutation.file
    original = path.read_text()
    path.write_text(mutation.apply(original))
    try:
        return bench.first_failure(mutation.tests)
    finally:
        path.write_text(original)


def run(mutations, through):
    begin = time.monotonic()
    copy_sources()
    bench = Bench(through)
    bench.configure()
    failure = run_baseline(bench, mutations)
    if failure:
        print(f"without any fault {failure} fails", file=sys.stderr)
        return 1
    print(f"without a fault all tests pass ({time.monotonic() - begin:.0f} s)", flush=True)
    width = max(len(mutation.name) for mutation in mutations)
    caught, survivors, errors = 0, [], []
    for mutation in mutations:
        start = time.monotonic()
        try:
            failure = try_mutation(bench, mutation)
        except ListError as error:
            errors.append(f"{mutation.place}: {mutation.name} {error}")
            outcome, failure = "ERROR", "does not build"
        else:
            outcome = "caught" if failure else "SURVIVED"
            caught += 1 if failure else 0
            if not failure:
                survivors.append(mutation)
        seconds = time.monotonic() - start
        print(f"{mutation.name:{width}}  {outcome:8}  {seconds:4.0f} s  {failure or '-'}", flush=True)
    tried = len(mutations) - len(errors)
    minutes = (time.monotonic() - begin) / 60
    print(f"\n{caught} of {tried} faults caught, {minutes:.0f} minutes")
    for mutation in survivors:
        print(f"survived: {mutation.name}: {mutation.fault} ({mutation.file})")
    for error in errors:
        print(f"\n{error}", file=sys.stderr)
    if errors:
        return 2
    return 0 if caught >= LEAST_CAUGHT * tried else 1


def main():
    parser = argparse.ArgumentParser(prog="scripts/mutate")
    parser.add_argument("--list", action="store_true", help="show and check the list, run nothing")
    parser.add_argument("--only", action="append", metavar="NAME", help="this fault alone; repeatable")
    parser.add_argument("--through", default="", metavar="COMMAND", help="prefix of builds and tests")
    options = parser.parse_args()
    try:
        mutations = read_mutations()
        lines = {mutation.name: check_against_sources(mutation) for mutation in mutations}
        if options.only:
            for name in options.only:
                if name not in lines:
                    raise ListError(f"--only {name}: no such fault (--list shows all)")
            mutations = [mutation for mutation in mutations if mutation.name in options.only]
        if not options.list:
            WORK.mkdir(parents=True, exist_ok=True)
            return run(mutations, options.through)
        for mutation in mutations:
            print(f"{mutation.name}: {mutation.fault} ({mutation.file}:{lines[mutation.name]})")
        print(f"{len(mutations)} faults, each matches the sources once")
        return 0
    except ListError as error:
        print(f"scripts/mutate: {error}", file=sys.stderr)
        return 2


sys.exit(main())

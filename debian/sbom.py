#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Says what the programs are made of, as SPDX 2.3 in JSON, on stdout.

    debian/sbom.py VERSION "PKG-CONFIG-NAME..." PROGRAM...

Libraries are those that the loader takes here, with what those need in turn, and
what was built with: the packages of the headers and of the compiler. Version and
licence are what dpkg and /usr/share/doc/PACKAGE/copyright say; where there is no
dpkg, or the copyright file is not for machines, it says NOASSERTION. The time is
SOURCE_DATE_EPOCH, if that is set, or now."""

import datetime
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse
import uuid

UNKNOWN = "NOASSERTION"
LICENCES = {  # Debian's short names, in small letters, that are not SPDX's
    "expat": "MIT", "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause",
    "zlib": "Zlib", "lgpl-2+": "LGPL-2.0-or-later", "lgpl-2": "LGPL-2.0-only"}
PLAIN = {"MIT", "Apache-2.0", "ISC", "CC0-1.0"}  # in both with one name


@functools.cache
def output(*command):
    """What a command says, all or in part; nothing when it is not there."""
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, check=False,
                              capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C"}).stdout
    except OSError:
        return ""


# -- licences -----------------------------------------------------------------


def licence(name):
    """SPDX's name of one of Debian's, or None."""
    if name in PLAIN:
        return name
    gnu = re.fullmatch(r"(L?GPL-\d\.\d|GPL-\d|LGPL-3)(\.0)?(\+?)", name)
    if gnu:
        number = gnu[1] if "." in gnu[1] else gnu[1] + ".0"
        return number + ("-or-later" if gnu[3] else "-only")
    return LICENCES.get(name.lower())


def expression(text):
    """The same of several names with "and" and "or"; no other words are known."""
    words = [word.upper() if word in ("and", "or") else licence(word)
             for word in text.split()]
    return " ".join(words) if words and all(words) else UNKNOWN


def declared(package):
    """(licence of the files at large, a comment on all others or None)."""
    path = pathlib.Path("/usr/share/doc", package, "copyright")
    text = path.read_text(errors="replace") if path.exists() else ""
    if not text.startswith("Format:"):
        return UNKNOWN, f"{path} is for people" if text else None
    main = re.search(r"^Files: *\n? *\*(?:\s.*?)?\nLicense: *(\S.*)$", text, re.M | re.S)
    main = main[1].split("\n")[0].strip() if main else ""
    names = {name.strip() for name in re.findall(r"^License: *(\S.*)$", text, re.M)}
    others = ", ".join(sorted(names - {main}))
    return expression(main), (
        f"Debian's name: {main or 'none'}" + (f"; of other files: {others}"
                                              if others else ""))


# -- packages -----------------------------------------------------------------


def identifier(name):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


OWNERS = {}  # of files: names of packages


def spellings(path):
    """A file's names: dpkg may know one that leads through a link."""
    real = os.path.realpath(path)
    return [path, real, real.removeprefix("/usr"), "/usr" + real]


def learn_owners(paths):
    """Asks dpkg for all at once: each question reads all that it knows."""
    names = [name for path in paths for name in spellings(path)]
    for package, path in re.findall(r"^([^\s:,]+)[^\n]*: (/.*)$", output(
            "dpkg-query", "--search", *names), re.M):
        if package != "diversion":
            OWNERS[path] = package


def owner(path):
    """The Debian package that a file is of, or None."""
    return next(filter(None, map(OWNERS.get, spellings(path))), None)


def system():
    try:
        text = pathlib.Path("/etc/os-release").read_text()
    except OSError:
        return "linux"
    return re.search(r"^ID=\"?(\w+)", text, re.M)[1]


def supplier(keeper):
    """SPDX's way to write a maintainer."""
    known = re.fullmatch(r"(.+?) *<(.*)>", keeper)
    return f"Organization: {known[1]} ({known[2]})" if known else UNKNOWN


def described(package):
    """An SPDX package of one of Debian's."""
    version, arch, source, keeper = (output(
        "dpkg-query", "--show", "--showformat",
        "${Version}\t${Architecture}\t${source:Package} ${source:Version}\t"
        "${Maintainer}\n", package).split("\n")[0].split("\t") + [""] * 4)[:4]
    terms, comment = declared(package)
    place = (f"pkg:deb/{system()}/{package}@"
             f"{urllib.parse.quote(version, safe='')}?arch={arch}")
    row = {"name": package, "SPDXID": identifier(f"Package-{package}"),
           "versionInfo": version, "downloadLocation": UNKNOWN,
           "supplier": supplier(keeper), "filesAnalyzed": False, "sourceInfo": f"Debian's source {source}",
           "licenseConcluded": UNKNOWN, "licenseDeclared": terms,
           "copyrightText": UNKNOWN, "externalRefs": [
               {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                "referenceLocator": place}]}
    return row | ({"licenseComments": comment} if comment else {})


def unowned(name):
    """The same of what no package holds."""
    return {"name": name, "SPDXID": identifier(f"Package-{name}"),
            "downloadLocation": UNKNOWN, "filesAnalyzed": False,
            "licenseConcluded": UNKNOWN, "licenseDeclared": UNKNOWN,
            "copyrightText": UNKNOWN}


class Bill:
    """Packages and how they hang together, each said once."""

    def __init__(self):
        self.packages, self.relations = {}, set()

    def add(self, path, name):
        """The SPDXID of what holds a file, which is called `name` if none does."""
        package = owner(path) if path else None
        known = package or name
        if known not in self.packages:
            self.packages[known] = described(package) if package else unowned(name)
        return self.packages[known]["SPDXID"]

    def relate(self, one, how, other):
        if one != other:
            self.relations.add((one, how, other))


# -- what is used ---------------------------------------------------------------


def needed(path):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-d", path))


def loaded(program):
    """{name: path} of what the loader takes for a program."""
    said = output("ldd", program)
    rows = re.findall(r"^\s*(?:(\S+) => )?(/\S+)", said, re.M)
    return {name or os.path.basename(path): path for name, path in rows}


def libraries(bill, program, top):
    """Adds that, below `top`."""
    found = loaded(program)
    seen, waiting = set(), [(top, name) for name in needed(program)]
    while waiting:
        user, name = waiting.pop()
        path = found.get(name)
        package = bill.add(path, name)
        bill.relate(user, "DEPENDS_ON", package)
        if path and path not in seen:
            seen.add(path)
            waiting += [(package, more) for more in needed(path)]


def headers(modules):
    """Their files of pkg-config."""
    folders = {module: output("pkg-config", "--variable=pcfiledir", module).strip()
               for module in modules}
    return [f"{folder}/{module}.pc" for module, folder in folders.items() if folder]


def tools():
    """The compiler and the linker."""
    names = (os.environ.get("CC", "cc").split()[0], "ld")
    return [os.path.realpath(path) for path in map(shutil.which, names) if path]


def program_file(path):
    data = pathlib.Path(path).read_bytes()
    name = os.path.basename(path)
    return {"fileName": f"./{name}", "SPDXID": identifier(f"File-{name}"),
            "fileTypes": ["BINARY"], "licenseConcluded": "MIT",
            "licenseInfoInFiles": [UNKNOWN], "copyrightText": UNKNOWN, "checksums": [
                {"algorithm": word, "checksumValue": hashlib.new(word, data).hexdigest()}
                for word in ("SHA1", "SHA256")]}


def ourselves(version, files):
    sums = sorted(row["checksums"][0]["checksumValue"] for row in files)
    code = hashlib.sha1("".join(sums).encode()).hexdigest()
    return {"name": "spoa-router", "SPDXID": identifier("Package-spoa-router"),
            "versionInfo": version, "downloadLocation": UNKNOWN,
            "filesAnalyzed": True, "licenseInfoFromFiles": [UNKNOWN],
            "packageVerificationCode": {"packageVerificationCodeValue": code},
            "licenseConcluded": "MIT", "licenseDeclared": "MIT",
            "copyrightText": "2026 The spoa-router authors",
            "primaryPackagePurpose": "APPLICATION"}


def document(version, modules, programs):
    files = [program_file(path) for path in programs]
    us = ourselves(version, files)
    top, bill = us["SPDXID"], Bill()
    for row in files:
        bill.relate(top, "CONTAINS", row["SPDXID"])
    learn_owners([*headers(modules), *tools(), *(
        path for program in programs for path in loaded(program).values())])
    for path in programs:
        libraries(bill, path, top)
    for path in headers(modules):
        bill.relate(bill.add(path, os.path.basename(path)), "BUILD_DEPENDENCY_OF", top)
    for path in tools():
        bill.relate(bill.add(path, os.path.basename(path)), "BUILD_TOOL_OF", top)
    when = datetime.datetime.fromtimestamp(
        int(os.environ.get("SOURCE_DATE_EPOCH") or
            datetime.datetime.now().timestamp()), datetime.timezone.utc)
    packages = [us] + [bill.packages[name] for name in sorted(bill.packages)]
    body = {"packages": packages, "files": files, "relationships": [
        {"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}
        for one, how, other in [("SPDXRef-DOCUMENT", "DESCRIBES", top),
                                *sorted(bill.relations)]]}
    mark = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(body) + when.isoformat())
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT", "name": f"spoa-router-{version}",
            "documentNamespace": f"urn:uuid:{mark}", "creationInfo": {
                "created": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "creators": ["Tool: spoa-router-sbom"]}} | body


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    json.dump(document(sys.argv[1], sys.argv[2].split(), sys.argv[3:]), sys.stdout,
              indent=1)
    print()

# SPDX-License-Identifier: MIT
"""Certificates of an authority of the test's own, made by openssl."""

import subprocess


def openssl(*words, **more):
    subprocess.run(["openssl", *map(str, words)], check=True,
                   capture_output=True, **more)


class Authority:
    """Authority(folder): its certificate is at .ca; issue() makes others."""

    def __init__(self, folder, name="authority"):
        self.folder = folder
        self.key, self.ca = folder / f"{name}.key", folder / f"{name}.crt"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-days", 30,
                "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.ca)

    def issue(self, name, *names, days=30):
        """(certificate, key) for these names: "DNS:localhost", say."""
        key, request = (self.folder / f"{name}.{end}" for end in
                        ("key", "csr"))
        made, more = (self.folder / f"{name}.{end}" for end in ("crt", "ext"))
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                f"/CN={name}", "-keyout", key, "-out", request)
        more.write_text(f"subjectAltName={','.join(names)}\n" if names else "")
        # openssl x509 refuses -days of the past; an end of today is over.
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey",
                self.key, "-CAcreateserial", "-days", days, "-extfile", more,
                "-out", made)
        key.chmod(0o644)
        return made, key

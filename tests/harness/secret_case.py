# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of this folder stand on: canaries, addresses that hold them, and the search."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import canary

# With characters that URLs, JSON and configurations write otherwise.
SECRET = "cNry7Qx/Zk3v+W9~pLm2=TfR8sYd5"
# What is no secret, and must be found where the secrets are looked for.
VISIBLE = "visible-client-of-the-test"
NOBODY = "127.0.0.1:1"

DEBUG = f"g.client.id={VISIBLE}&g.debug=all&g.log_level=7"
SASL = "g.security.protocol=SASL_PLAINTEXT&g.sasl.mechanisms"
PLAIN = f"{SASL}=PLAIN"
SCRAM = f"{SASL}=SCRAM-SHA-256"
OAUTH = f"{SASL}=OAUTHBEARER&g.enable.sasl.oauthbearer.unsecure.jwt=true"
# librdkafka quotes the rest of the value from the first word on that it does not know.
OAUTH_WRONG = f"principal=admin token={SECRET}"


class Keys:
    """A client's key: in PEM, encrypted, and in PKCS#12 beside its certificate."""

    def __init__(self, folder):
        self.plain, self.encrypted = folder / "key.pem", folder / "encrypted.pem"
        self.certificate, self.store = folder / "certificate.pem", folder / "store.p12"
        self._openssl("genrsa", "-out", self.plain, "2048")
        encrypted = ("-aes128", "-passout", f"pass:{SECRET}", "-out", self.encrypted)
        self._openssl("rsa", "-in", self.plain, *encrypted)
        certificate = ("-subj", "/CN=test", "-days", "2", "-out", self.certificate)
        self._openssl("req", "-x509", "-key", self.plain, *certificate)
        store = ("-passout", f"pass:{SECRET}", "-out", self.store)
        self._openssl("pkcs12", "-export", "-inkey", self.plain, "-in", self.certificate, *store)
        self.text = self.plain.read_text("ascii")
        # A line of its middle: no message quotes all of a key.
        self.secret = self.text.splitlines()[5]

    @staticmethod
    def _openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


class SecretsMixin:
    """For a TestCase that has self.folder and self.spool."""

    keys = None

    def make_keys(self):
        """Once for all tests."""
        if SecretsMixin.keys is None:
            folder = tempfile.mkdtemp(prefix="keys-")
            unittest.addModuleCleanup(shutil.rmtree, folder)
            SecretsMixin.keys = Keys(Path(folder))
        return SecretsMixin.keys

    @property
    def secrets(self):
        return [SECRET] + ([self.keys.secret] if self.keys else [])

    def assert_kept(self, *texts):
        """No secret is in these texts, nor in any file of the spool."""
        for text in texts:
            self.assertEqual(canary.leaks(text, self.secrets), [], text)
        self.assertEqual(canary.leaks_in(self.spool, self.secrets), [])

    def secret_file(self, text=SECRET):
        path = self.folder / f"secret-{len(list(self.folder.iterdir()))}"
        path.touch(mode=0o600)
        path.write_text(text, encoding="ascii")
        return path

    def ways(self, name, value=SECRET):
        """A secret property, as it is and by a file."""
        return (
            f"g.{name}={value.replace('%', '%25').replace('&', '%26')}",
            f"g.{name}.file={self.secret_file(value)}",
        )

    def groups(self):
        """Properties that librdkafka takes, each of them with a secret."""
        keys = self.make_keys()
        ssl = f"g.security.protocol=SSL&g.ssl.certificate.location={keys.certificate}"
        users = zip(self.ways("sasl.username"), self.ways("sasl.password"))
        found = [f"{how}&{user}&{password}" for user, password in users for how in (PLAIN, SCRAM)]
        found += [f"{ssl}&{each}" for each in self.ways("ssl.key.pem", keys.text)]
        encrypted = f"{ssl}&g.ssl.key.location={keys.encrypted}"
        found += [f"{encrypted}&{each}" for each in self.ways("ssl.key.password")]
        store = f"g.security.protocol=SSL&g.ssl.keystore.location={keys.store}"
        found += [f"{store}&{each}" for each in self.ways("ssl.keystore.password")]
        config = f"principal={SECRET} extension_token={SECRET}"
        found += [f"{OAUTH}&{each}" for each in self.ways("sasl.oauthbearer.config", config)]
        found.append(f"{SASL}=GSSAPI&g.sasl.kerberos.kinit.cmd=false {SECRET}")
        return found

    def failing_groups(self):
        """Properties of which librdkafka says what is wrong when it uses them."""
        keys = self.make_keys()
        ssl = f"g.security.protocol=SSL&g.ssl.certificate.location={keys.certificate}"
        return [
            f"{OAUTH}&g.sasl.oauthbearer.config={OAUTH_WRONG}",
            f"{OAUTH}&g.sasl.oauthbearer.config=principal=admin lifeSeconds={SECRET}",
            f"{OAUTH}&g.sasl.oauthbearer.config={SECRET}",
            f"{ssl}&g.ssl.key.pem={keys.text.replace('BEGIN', 'BEGUN')}",
            f"{ssl}&g.ssl.key.pem={SECRET}",
            f"{ssl}&g.ssl.key.location={keys.encrypted}&g.ssl.key.password={SECRET}wrong",
            f"g.security.protocol=SSL&g.ssl.keystore.location={keys.store}"
            f"&g.ssl.keystore.password={SECRET}wrong",
            f"g.security.protocol=SSL&g.ssl.ca.pem={SECRET}",
        ]


def wrong_addresses():
    """
    Addresses with a secret that are refused. A secret that holds a '&' which is not written %26 can end
    in what looks like a property; then its name is shown: "a&g.b" is not among these.
    """
    password = f"g.sasl.password={SECRET}"
    url = f"g.sasl.oauthbearer.token.endpoint.url=https://me:{SECRET}@h/token"
    properties = [
        f"{password}&g.no.such=1",
        f"{password}&{password}",
        f"{password}&linger.ms=1",
        f"{password}&s.ttl.ms=soon",
        f"{password}%",
        f"g.sasl.password=%zz{SECRET}",
        f"g.sasl.password=a&{SECRET}",
        f"g.sasl.password=a&{SECRET}=1",
        f"g.sasl.password {SECRET}",
        f"g.sasl.password:{SECRET}",
        f"g.sasl.password ={SECRET}",
        f"g.sasl.pasword={SECRET}",
        f"g.SASL.PASSWORD={SECRET}&g.x=1",
        f"sasl.password={SECRET}",
        f"t.sasl.password={SECRET}",
        f"s.sasl.password={SECRET}",
        f"g.sasl.password.file={SECRET}",
        f"g.ssl.key.location.file={SECRET}",
        f"g.ssl_key={SECRET}",
        f'g.sasl.jaas.config=org.Plain required password="{SECRET}";',
        f"g.sasl.oauthbearer.no.such.secret={SECRET}",
        f"{url}&g.no.such=1",
    ]
    return [f"[k1]{NOBODY}/t?{each}" for each in properties] + [
        f"[k1]me:{SECRET}@{NOBODY}/t",
        f"[k1]sasl_plaintext://me:{SECRET}@{NOBODY}/t",
        f"[k1]{NOBODY}/t {password}",
        f"[k1]{NOBODY}/t&{password}",
        f"[k1]{NOBODY}?{password}",
        f"[k1 {NOBODY}/t?{password}",
        f"[k1]{NOBODY},{password}/t",
        f"[k1]{NOBODY}:{SECRET}/t",
    ]

"""The files of `shoal deploy policies`.

```
{out}/
  users.acl          Valkey, Redis: `aclfile {out}/users.acl` in place of `requirepass`; digests only
  s3.json            SeaweedFS: `weed s3 -config`, `weed mini -s3.config`; secret keys in the clear
  iam/{role}.json    AWS: the policy of one role
  env/{role}.env     what the processes of one role are told, the administrator's for `shoal init`
  credentials.json   all passwords and keys: kept for the next time
```
"""

import json
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from console.access.broker_acl import acl_file, user_name
from console.access.credentials import Credentials, RoleCredentials, credentials_of
from console.access.roles import ACCESS
from console.access.s3_policy import identities, policy
from console.stack_folder import write_private
from model_store.process_settings import ProcessSettings
from producer.errors import ConfigurationError

KEPT: Final = "credentials.json"


def write_policies(out: Path, settings: ProcessSettings, *, limit_databases: bool) -> list[Path]:
    """Write all files, readable by their owner only (0600, folders 0700); gives their paths.

    Written again, passwords and keys stay as they are, unless the environment gives others.

    Raises:
        ConfigurationError: a setting or a given secret is wrong, or the folder cannot be written.
    """
    credentials = credentials_of(out / KEPT)
    store, broker = settings.store, settings.broker
    texts = {
        KEPT: credentials.as_text(),
        "users.acl": acl_file(broker, credentials, limit_databases=limit_databases),
        **{f"iam/{role}.json": json.dumps(policy(role, store), indent=1) for role in ACCESS},
        **{f"env/{role}.env": _environment(role, settings, credentials) for role in ("admin", *ACCESS)},
    }
    if store.endpoint is not None:  # AWS makes keys itself
        texts["s3.json"] = json.dumps(identities(store, credentials), indent=1)
    try:
        for folder in (out, out / "iam", out / "env"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in texts.items():
            write_private(out / name, text)
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {error}") from error
    return [out / name for name in sorted(texts)]


def _environment(role: str, settings: ProcessSettings, credentials: Credentials) -> str:
    own: RoleCredentials = getattr(credentials, role)
    broker, store = settings.broker, settings.store
    told = {"SHOAL_BROKER__URL": _with_user(broker.url, role, own)}
    if broker.training_url is not None:
        told["SHOAL_BROKER__TRAINING_URL"] = _with_user(broker.training_url, role, own)
    if store.endpoint is not None:
        told["SHOAL_STORE__ENDPOINT"] = store.endpoint
        told["SHOAL_STORE__ACCESS_KEY"] = own.access_key.get_secret_value()
        told["SHOAL_STORE__SECRET_KEY"] = own.secret_key.get_secret_value()
    told["SHOAL_STORE__BUCKET"] = store.bucket
    told["SHOAL_STORE__UPLOADS_BUCKET"] = store.uploads_bucket
    if store.more_uploads_buckets:
        told["SHOAL_STORE__MORE_UPLOADS_BUCKETS"] = json.dumps(store.more_uploads_buckets)
    return "".join(f"{name}={value}\n" for name, value in told.items())


def _with_user(url: SecretStr, role: str, own: RoleCredentials) -> str:
    parts = urlsplit(url.get_secret_value())
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user_name(role)}:{own.password.get_secret_value()}@{host}"))

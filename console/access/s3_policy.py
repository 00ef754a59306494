"""The roles as S3 policies: for AWS one document each, for SeaweedFS the same ones in its `s3.json`."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, get_args

from console.access.credentials import Credentials, RoleCredentials
from console.access.roles import ACCESS, Access, Area, Role
from model_store.layout import MANIFEST, SCRATCH
from model_store.settings import StoreSettings

READ: Final = ("s3:GetObject", "s3:GetObjectVersion")
WRITE: Final = ("s3:PutObject",)
REMOVE: Final = ("s3:DeleteObject", "s3:DeleteObjectVersion")
ADMIN_ACTIONS: Final = ("Admin", "Read", "Write", "List", "Tagging")


def policy(role: Role, store: StoreSettings) -> dict[str, Any]:
    """Give a role's policy document for the buckets of the settings."""
    return {"Version": "2012-10-17", "Statement": list(_statements(ACCESS[role], store))}


def identities(store: StoreSettings, credentials: Credentials) -> dict[str, Any]:
    """Give SeaweedFS's configuration: an administrator, and an identity with its policy for each role."""
    return {
        "identities": [
            {"name": "shoal-admin", **_keys(credentials.admin), "actions": list(ADMIN_ACTIONS)},
            *(
                {"name": f"shoal-{r}", **_keys(getattr(credentials, r)), "policyNames": [f"shoal-{r}"]}
                for r in ACCESS
            ),
        ],
        "policies": [
            {"name": f"shoal-{role}", "content": json.dumps(policy(role, store))} for role in ACCESS
        ],
    }


def _statements(access: Access, store: StoreSettings) -> Iterator[dict[str, Any]]:
    uploads = tuple(f"{bucket}/*" for bucket in store.allowed_buckets)
    if "list" in access.uploads:
        # of the whole bucket: without it, AWS calls an object that is not there a denied one
        yield _statement("Allow", ("s3:ListBucket",), (store.bucket, *store.allowed_buckets))
    for right, actions in (("read", READ), ("write", WRITE), ("remove", REMOVE)):
        if right in access.uploads:
            yield _statement("Allow", actions, uploads)
    given = ((READ[:1], access.reads), (WRITE, access.writes), (REMOVE[:1], access.removes))
    if "list" in access.uploads:
        yield _statement("Allow", (READ[0], *WRITE, REMOVE[0]), (f"{store.bucket}/{SCRATCH}*",))
    for actions, areas in given:
        if areas:
            yield _statement("Allow", actions, (_resource(store.bucket, area) for area in areas))
    if "models" in access.removes:  # else a published version could be made not to be
        yield _statement("Deny", REMOVE[:1], (f"{store.bucket}/*/models/*/{MANIFEST}",))
    for actions, areas in given[1:]:  # `*` runs over slashes: `*/results/*` is inside `models/x/results/` too
        kept = [area for area in get_args(Area) if area not in areas and "." not in area]
        yield _statement("Deny", actions, (_resource(store.bucket, area) for area in kept))


def _statement(effect: str, actions: Iterable[str], resources: Iterable[str]) -> dict[str, Any]:
    arns = [f"arn:aws:s3:::{resource}" for resource in resources]
    return {"Effect": effect, "Action": list(actions), "Resource": arns}


def _resource(bucket: str, area: Area) -> str:
    return f"{bucket}/*/{area}" if "." in area else f"{bucket}/*/{area}/*"


def _keys(of: RoleCredentials) -> dict[str, Any]:
    access_key, secret_key = of.access_key.get_secret_value(), of.secret_key.get_secret_value()
    return {"credentials": [{"accessKey": access_key, "secretKey": secret_key}]}

import json
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from console.access.policy_files import write_policies
from model_store.process_settings import ProcessSettings
from model_store.settings import StoreSettings
from producer.errors import ConfigurationError
from producer.settings import BrokerSettings

SETTINGS = ProcessSettings(
    broker=BrokerSettings(url=SecretStr("rediss://:old@broker:6380/4")),
    store=StoreSettings(endpoint="https://store:8333", bucket="b-1", uploads_bucket="u-1"),
)


def write(out: Path, settings: ProcessSettings = SETTINGS) -> dict[str, str]:
    files = write_policies(out, settings, limit_databases=True)
    return {str(file.relative_to(out)): file.read_text() for file in files}


def test_every_file_is_its_owners_alone(tmp_path: Path) -> None:
    write(tmp_path / "out")

    for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_written_again_all_stays_as_it_was(tmp_path: Path) -> None:
    assert write(tmp_path) == write(tmp_path)


def test_no_two_roles_and_no_two_folders_share_a_secret(tmp_path: Path) -> None:
    kept = [json.loads(write(tmp_path / name)["credentials.json"]) for name in "ab"]
    secrets = [secret for one in kept for role in one.values() for secret in role.values()]

    assert len(secrets) == 2 * 5 * 3
    assert len(set(secrets)) == len(secrets)


def test_the_environment_gives_one_secret_and_the_rest_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = json.loads(write(tmp_path)["credentials.json"])
    monkeypatch.setenv("DEPLOY_WORKER__PASSWORD", "given-by-the-operator")

    after = write(tmp_path)

    before["worker"]["password"] = "given-by-the-operator"
    assert json.loads(after["credentials.json"]) == before
    assert "shoal-worker:given-by-the-operator@broker:6380/4" in after["env/worker.env"]


@pytest.mark.parametrize("secret", ["short", "sixteen or more but with spaces", "sixteen-and-more-@-sign"])
def test_a_secret_that_fits_no_url_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("DEPLOY_WORKER__PASSWORD", secret)

    with pytest.raises(ConfigurationError, match=r"worker.password: .*URL") as caught:
        write(tmp_path)

    assert secret not in str(caught.value)


def test_a_damaged_file_of_secrets_is_told_and_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text('{"worker": {"password": "half')

    with pytest.raises(ConfigurationError, match=r"credentials\.json") as caught:
        write(tmp_path)

    assert "half" not in str(caught.value)
    assert (tmp_path / "credentials.json").read_text().endswith("half")


def test_a_role_is_told_its_own_user_and_the_same_servers(tmp_path: Path) -> None:
    files = write(tmp_path)
    kept = json.loads(files["credentials.json"])["trainer"]

    lines = files["env/trainer.env"].splitlines()
    assert lines[0] == f"SHOAL_BROKER__URL=rediss://shoal-trainer:{kept['password']}@broker:6380/4"
    assert f"SHOAL_STORE__SECRET_KEY={kept['secret_key']}" in lines
    assert "SHOAL_STORE__UPLOADS_BUCKET=u-1" in lines
    assert "old" not in "".join(files.values())


def test_the_databases_of_the_settings_are_those_of_the_users(tmp_path: Path) -> None:
    lines = {line.split()[1]: line for line in write(tmp_path)["users.acl"].splitlines()}

    assert {word for word in lines["shoal-worker"].split() if word.startswith("db=")} == {"db=4"}
    assert {word for word in lines["shoal-trainer"].split() if word.startswith("db=")} == {"db=4,5"}
    assert {word for word in lines["shoal-console"].split() if word.startswith("db=")} == {"db=4,5"}


def test_for_aws_there_are_policies_and_no_keys(tmp_path: Path) -> None:
    files = write(tmp_path, SETTINGS.model_copy(update={"store": StoreSettings()}))

    assert "s3.json" not in files
    assert "SECRET_KEY" not in files["env/worker.env"]
    assert json.loads(files["iam/worker.json"])["Version"] == "2012-10-17"


def test_the_policies_of_both_stores_are_the_same(tmp_path: Path) -> None:
    files = write(tmp_path)

    for entry in json.loads(files["s3.json"])["policies"]:
        assert json.loads(entry["content"]) == json.loads(
            files[f"iam/{entry['name'].removeprefix('shoal-')}.json"]
        )

"""The container, compose, systemd and Kubernetes files in `ops/`, read as far as that goes without a run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from cli.lazy import LazyCommand
from cli.main import app
from tests.unit.docs.test_citations import ROOT

OPS = ROOT / "ops"
UNITS = sorted((OPS / "systemd").iterdir())


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((OPS / name).read_text(encoding="utf-8")))


def is_command(words: list[str]) -> bool:
    """Whether giftsync has a command of these first words, with these options."""
    found: Any = get_command(app)
    for word in words:
        if word.startswith("-"):
            break
        inner = getattr(found, "commands", {})
        if word not in inner:
            break
        found = inner[word]
        found = found.loaded() if isinstance(found, LazyCommand) else found
    options = {option for each in found.params for option in each.opts}
    return found.name in words and {word for word in words if word.startswith("-")} <= options


def test_given_the_manifests_then_each_says_what_it_is_and_what_it_selects_is_there() -> None:
    found = documents("kubernetes/link.yaml")

    assert [one["kind"] for one in found] == ["StatefulSet", "Service", "PodDisruptionBudget"]
    pod = found[0]["spec"]["template"]
    for one in (found[0]["spec"]["selector"]["matchLabels"], found[1]["spec"]["selector"]):
        assert one.items() <= pod["metadata"]["labels"].items()
    volumes = {one["name"] for one in pod["spec"]["volumes"]}
    volumes |= {one["metadata"]["name"] for one in found[0]["spec"]["volumeClaimTemplates"]}
    for container in pod["spec"]["initContainers"] + pod["spec"]["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    (giftsync,) = pod["spec"]["containers"]
    assert is_command(giftsync["args"])
    ports = {port["name"] for port in giftsync["ports"]}
    assert {port["targetPort"] for port in found[1]["spec"]["ports"]} <= ports
    # Longer than a worker drains.
    assert pod["spec"]["terminationGracePeriodSeconds"] > 30


def test_given_the_manifests_of_a_link_apart_then_each_part_is_its_own_and_fits_together() -> None:
    (found,) = documents("kubernetes/apart.yaml")
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for one in found["items"]:
        by_kind.setdefault(one["kind"], []).append(one)

    pods = {}
    for one in by_kind["StatefulSet"] + by_kind["Deployment"]:
        pod, spec = one["spec"]["template"], one["spec"]["template"]["spec"]
        assert one["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        volumes = {volume["name"] for volume in spec["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
        for container in spec["initContainers"] + spec["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
        (giftsync,) = spec["containers"]
        assert is_command(giftsync["args"])
        secret = next(v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v)
        pods[pod["metadata"]["labels"]["part"]] = (one["spec"]["replicas"], giftsync["args"], secret)
    assert {part: replicas for part, (replicas, _, _) in pods.items()} == {
        "worker": 1,
        "receiver": 2,
        "console": 1,
    }
    assert "--no-console" in pods["worker"][1]
    # What the internet reaches first is not given what opens the sides.
    assert pods["receiver"][2] != pods["worker"][2] == pods["console"][2]
    for service in by_kind["Service"]:
        assert service["spec"]["selector"]["part"] in pods


def test_given_the_compose_file_then_its_parts_fit_together() -> None:
    (found,) = documents("container/compose.yml")

    link = found["services"]["acme"]
    for service in ("acme", "receiver", "console"):
        assert is_command(found["services"][service]["command"])
        assert set(found["services"][service]["depends_on"]) <= set(found["services"])
    ports = [port for one in found["services"].values() for port in one.get("ports", [])]
    assert len(set(ports)) == len(ports) == 2
    secrets = [
        one if isinstance(one, str) else one["source"]
        for s in found["services"].values()
        for one in s["secrets"]
    ]
    assert set(secrets) == set(found["secrets"])
    context = OPS / "container" / link["build"]["context"]
    assert (context / link["build"]["dockerfile"]).is_file()
    uid = re.search(r"--uid (\d+)", (OPS / "container/Containerfile").read_text(encoding="utf-8"))
    assert uid is not None
    assert link["secrets"][0]["uid"] == uid[1]


def test_given_the_containerfile_then_what_it_copies_is_let_through() -> None:
    text = (OPS / "container/Containerfile").read_text(encoding="utf-8")
    through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    wheel = re.search(
        r"\[tool.hatch.build.targets.wheel\]\npackages = \[(.*)\]", (ROOT / "pyproject.toml").read_text()
    )
    assert wheel is not None

    packages = set(re.findall(r'"(\w+)"', wheel[1]))

    assert packages | {"pyproject.toml", "README.md", "LICENSE", "requirements"} == through
    assert "USER giftsync" in text
    # The port that the settings of the other files name.
    assert "EXPOSE 8600" in text
    assert "--require-hashes" in text
    assert (ROOT / "requirements/runtime.txt").is_file()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_given_a_systemd_unit_then_its_commands_are_giftsyncs(unit: Path) -> None:
    commands = re.findall(r"giftsync/\.venv/bin/giftsync ([^\n']+)", unit.read_text(encoding="utf-8"))
    assert commands or unit.suffix == ".timer"
    for command in commands:
        words = [word for word in command.split() if not word.startswith(("links/", '"'))]
        assert is_command(words), words


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_given_a_systemd_unit_then_systemd_understands_all_of_it(unit: Path, tmp_path: Path) -> None:
    for one in UNITS:
        text = one.read_text(encoding="utf-8").replace("/srv/giftsync/.venv/bin/giftsync", "/bin/true")
        (tmp_path / one.name.replace("@", "@acme")).write_text(text, encoding="utf-8")

    answer = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / unit.name.replace("@", "@acme"))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    told = [line for line in answer.stderr.splitlines() if "giftsync" in line]
    assert told == []

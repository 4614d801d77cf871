"""Dependencies point down. An import that points up is a design error, whatever it imports."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "kimi_demo"

# Which layer may import which, itself aside. A layer is a sub-package or a module of the package.
VALUES = {"errors", "options", "audio", "text", "messages", "events", "choices", "tasks"}
VALUES |= {"intents", "transcripts", "subtitles", "conversation", "voice_activity"}
VALUES |= {"encoding", "metrics"}
MAY_IMPORT = {
    **{value: VALUES for value in VALUES},
    "model": VALUES,
    "checkpoint": VALUES | {"model"},
    "wire": VALUES,
    "engine": VALUES | {"model", "checkpoint", "wire"},
    "realtime": VALUES | {"wire"},
    "settings": {"errors", "options"},
    "space": VALUES | {"engine", "settings"},
    "api": VALUES | {"engine", "wire", "realtime"},
    "ui": VALUES | {"engine", "settings"},
    "cli": VALUES | {"api", "engine", "checkpoint", "settings"},
    "cli.talk": VALUES | {"cli", "engine", "api", "realtime", "settings"},
    "cli.bench": VALUES | {"cli", "engine", "checkpoint", "model", "settings", "api"},
    "cli.doctor": VALUES | {"cli", "engine", "checkpoint", "settings"},
    "__main__": {"cli"},
    "app": VALUES | {"engine", "settings", "space", "ui", "api"},
    "__init__": VALUES,
}
# The page and the commands know engines by their interface and what tasks can do without a model;
# who computes is the factory's business. Commands that are packages of their own look inside: they
# measure and examine.
ENGINE_FOR_OTHERS = {"base", "job", "open", "tasks", "scripted"}
# Only these touch the network or serve pages.
FORBIDDEN = {
    "model": {"gradio", "soundfile", "httpx", "requests", "argparse", "torchaudio", "librosa"},
    "engine": {"gradio", "soundfile", "argparse"},
    "wire": {"torch", "transformers", "gradio", "fastapi"},
    "api": {"torch", "transformers", "gradio"},
    "ui": {"torch", "transformers"},
    "cli": {"torch", "transformers", "gradio"},
    **{value: {"torch", "transformers", "gradio"} for value in VALUES},
}


def sources():
    return [ROOT / "app.py", *sorted((ROOT / PACKAGE).rglob("*.py"))]


def layer_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[1:2] == ("cli",) and len(parts) > 3:
        return ".".join(parts[1:3])
    return parts[0] if len(parts) == 1 else parts[1]


def imported_modules(path):
    """Absolute names of all that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def string_literals(path):
    """All texts of a file: a table may name a module that is imported later."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def imported_layers(path):
    for name in imported_modules(path):
        if name.split(".")[0] == PACKAGE:
            yield (*name.split(".")[1:], "")[:2]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    layer = layer_of(path)
    assert layer in MAY_IMPORT, f"{layer} has no place among the layers yet"
    for imported, inner in imported_layers(path):
        assert imported == layer or imported in MAY_IMPORT[layer], f"{layer} imports {imported}"
        if imported == "engine" != layer and inner and not layer.startswith("cli."):
            assert inner in ENGINE_FOR_OTHERS, f"{layer} imports engine.{inner}"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_layers_stay_free_of_foreign_matter(path):
    tops = {name.split(".")[0] for name in imported_modules(path)}
    assert not tops & FORBIDDEN.get(layer_of(path), set())


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_that_is_installed_knows_of_training(path):
    mentioned = {name.split(".")[0] for name in [*imported_modules(path), *string_literals(path)]}
    assert "training" not in mentioned


def test_the_weights_are_data_only_and_travel_with_the_package():
    weights = ROOT / PACKAGE / "weights"
    files = [path for path in weights.rglob("*") if path.is_file()]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (patterns,) = settings["tool"]["setuptools"]["package-data"].values()
    assert {path.suffix for path in files} <= {Path(pattern).suffix for pattern in patterns}
    assert any(path.suffix == ".safetensors" for path in files)


def test_an_upward_arrow_is_seen(tmp_path, monkeypatch):
    upward = tmp_path / PACKAGE / "model" / "wrong.py"
    upward.parent.mkdir(parents=True)
    upward.write_text("def f():\n    from kimi_demo.ui import build_ui\n", encoding="utf-8")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    with pytest.raises(AssertionError, match="model imports ui"):
        test_imports_point_down(upward)


@pytest.mark.parametrize(
    "module",
    ["kimi_demo.ui", "kimi_demo.api", "kimi_demo.engine.remote", "kimi_demo.engine.open"],
)
def test_the_page_does_without_torch(module):
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert run.returncode == 0


def test_every_requirement_is_used():
    imported = {name.split(".")[0] for path in sources() for name in imported_modules(path)}
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = {line.split(">")[0].strip() for line in lines if line and not line.startswith("#")}
    modules = {"pyyaml": "yaml", "Pillow": "PIL", "opencc-py": "opencc"}
    # FastAPI reads uploads with one, uvicorn serves sockets with one, of one only a file is read.
    not_imported_by_name = {"python-multipart", "silero-vad", "websockets"}
    used = {modules.get(name, name.replace("-", "_")) for name in names - not_imported_by_name}
    assert used <= imported

from __future__ import annotations

from tokenward.deploy.sources import needed_modules


def test_follows_imports_inside_functions_and_takes_packages_along():
    found = needed_modules("tokenward.deploy.served.model")
    assert {
        "tokenward",
        "tokenward.deploy",
        "tokenward.deploy.served",
        "tokenward.runtime.engine_onnx",
        "tokenward.kernels.vocabulary",
    } <= set(found)
    assert all(path.suffix == ".py" and path.is_file() for path in found.values())


def test_takes_nothing_that_needs_more_than_numpy_and_tokenizers():
    packages = {name.split(".")[1] for name in needed_modules("tokenward.deploy.served.model") if "." in name}
    assert packages == {
        *("artifact", "card", "checksums", "deploy", "errors", "files", "kernels", "listing", "records"),
        *("relabelling", "runtime", "weight_files"),
    }

from catwise.pipeline import provenance


def test_the_hash_of_the_code_covers_every_package_and_every_stage(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    hashes = [provenance.code()["code_sha256"]]
    for name in ("catwise/errors.py", "catwise/core/losses.py", "stages/train.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1")
        hashes.append(provenance.code()["code_sha256"])
    (tmp_path / "notes.txt").write_text("no code")
    assert len(set(hashes)) == 4
    assert provenance.code()["code_sha256"] == hashes[-1]


def test_without_git_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    about = provenance.code()
    assert (about["commit"], about["clean"]) == (None, None)

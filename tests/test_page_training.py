"""An SAE of one's own, trained from the page, and calibrating one."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import running_shell
from playwright.sync_api import Browser, expect
from test_page import PROMPT, browser, eventually, opened, run  # noqa: F401

TRAINED = 150_000  # ms: PyTorch in a process of its own, and then the training
TEXT = "The capital of France is Paris. In Japan people speak Japanese. 3 + 4 = 7. The dog barks.\n"


@pytest.mark.timeout(400)
def test_an_sae_is_trained_on_a_text_file_and_reads_the_next_run(browser: Browser, tmp_path: Path):  # noqa: F811
    text = tmp_path / "mine.txt"
    text.write_text(TEXT * 1000)
    with running_shell(tmp_path / "home") as shell, opened(browser, shell) as page:
        page.click("#saes")
        page.click("#train-sae")
        dialog = page.locator("#training-dialog")
        expect(page.locator("#train-hook")).to_have_value("blocks.2.hook_resid_post")
        page.click("#train-go")
        expect(dialog.locator("[role='alert']")).to_contain_text("There is no text to train on.")
        for name, value in {"width": 64, "l0": 8, "tokens": 20_000, "name": "mine"}.items():
            page.fill(f"#train-{name}", str(value))
        page.set_input_files("#train-files", text)
        page.click("#train-go")
        expect(page.locator("#train-stop")).to_be_visible()
        page.keyboard.press("Escape")  # it goes on without the dialog
        page.click("#run")
        expect(page.locator("#failure")).to_contain_text("An SAE is being trained.")
        expect(page.locator("#run")).to_be_visible()
        page.click("#saes")
        page.click("#train-sae")
        expect(dialog).to_contain_text("tiny-world/mine is trained", timeout=TRAINED)
        measured = dict(zip(*(dialog.locator(f"dl {part}").all_inner_texts() for part in ("dt", "dd")), strict=True))
        assert set(measured) == {"Unexplained", "L0", "Dead features", "Loss recovered"}
        assert "–" not in measured.values()
        page.click("#train-use")
        assert page.evaluate("() => window.__app.state.saes") == ["tiny-world/mine"]
        run(page, PROMPT, max_tokens=2)
        reading = page.evaluate("() => window.__app.state.session.steps[5].saes")
        assert list(reading) == ["tiny-world/mine"]
        assert all(one["feature"] < 64 for one in reading["tiny-world/mine"]["features"])


def test_what_was_measured_of_an_sae_stands_beside_its_labels(browser: Browser, tmp_path: Path):  # noqa: F811
    text = tmp_path / "texts.txt"
    text.write_text(TEXT * 400)
    with running_shell(tmp_path / "home") as shell, opened(browser, shell) as page:
        page.keyboard.press("k")
        page.click("#calibrating summary")
        part = page.locator("#calibrating")
        expect(part).to_contain_text("Measured elsewhere on 300,080 tokens")
        page.set_input_files("#calibration-files", text)
        eventually(lambda: "Measured here on" in part.inner_text(), 120)
        expect(part).to_contain_text("texts of my own")

# SPDX-License-Identifier: Apache-2.0
"""The HTML report in a real browser: text, search, clicks, widths, and names that try to break out.

Needs Chromium (Debian: chromium-headless-shell, which ./bootstrap test installs); without one it says so and passes.
"""
import html
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import torch

BROWSERS = ["chromium-headless-shell", "chromium", "google-chrome", "chrome"]
PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())
CASES = pathlib.Path(__file__).resolve().parent.parent / "cases"


def browser(*arguments):
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def pollard(*arguments):
    subprocess.run([PROGRAM, *map(str, arguments), "-q"], check=True, stdout=subprocess.DEVNULL, timeout=120)


def act(page, script, width=1280):
    """Runs a script at the end of the page; what it puts into `told` comes back as a dictionary of texts."""
    copy = page.with_suffix(".acted.html")
    teller = f"<script>var told={{}};{script};document.body.setAttribute('data-told',JSON.stringify(told))</script>"
    copy.write_text(page.read_text().replace("</body>", teller + "</body>"))
    dom = browser(f"--window-size={width},900", "--dump-dom", f"file://{copy}")
    told = re.search(r'data-told="([^"]*)"', dom)
    assert told, "the page's script failed"
    return json.loads(html.unescape(told.group(1)))


def picture(page, width):
    out = page.with_suffix(f".{width}.png")
    browser(f"--window-size={width},1400", f"--screenshot={out}", f"file://{page}")
    assert out.stat().st_size > 20_000, f"{out} is nearly empty"


def test_text_search_and_clicks(page):
    told = act(page, """
      told.heads = Array.from(document.querySelectorAll('h2')).map(function (h) { return h.textContent }).join();
      told.verdict = document.getElementById('verification').textContent;
      var find = document.getElementById('find');
      find.value = 'layer_norm'; find.dispatchEvent(new Event('input'));
      told.hits = document.getElementById('net').dataset.hits;
      told.found = document.getElementById('found').textContent;
      document.querySelector('.gc').dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}));
      told.group = document.getElementById('net').dataset.group;
      var own = document.querySelector('.r.g-' + told.group), other = document.querySelector('.r:not(.g-' + told.group + ')');
      told.own = getComputedStyle(own).opacity; told.other = getComputedStyle(other).opacity;
      told.entry = document.getElementById(told.group).open;
      document.getElementById('larger').click(); told.scale = document.getElementById('net').dataset.scale;
      document.getElementById('clear').click(); told.cleared = document.getElementById('net').dataset.group;
    """)
    assert told["heads"] == "Summary,Widths,Groups,Frozen,Curves,Latency,Graph,Run", told
    assert told["verdict"].startswith("Verified."), told
    assert int(told["hits"]) > 2 and told["found"].endswith("matches"), told
    assert told["own"] == "1" and float(told["other"]) < 0.5 and told["entry"] is True, told
    assert float(told["scale"]) == 1.25 and told["cleared"] == "", told


def test_nothing_overflows(page):
    for width in (400, 1280):
        told = act(page, """
          document.querySelectorAll('details').forEach(function (d) { d.open = true });
          told.wide = document.documentElement.scrollWidth; told.room = innerWidth;
        """, width)
        assert told["wide"] <= told["room"] <= width, told
        picture(page, width)


def test_without_a_script(page):
    bare = page.with_suffix(".bare.html")
    bare.write_text(re.sub(r"<script>.*</script>", "", page.read_text(), flags=re.S))
    dom = browser("--dump-dom", f"file://{bare}")
    assert 'id="tools" hidden' in dom and 'href="#G01"' in dom and "<title>" in dom


def test_ten_thousand_ops(folder):
    (folder / "deep.json").write_text(
        '{"vocab_size":420,"n_positions":64,"n_embd":32,"n_layer":420,"n_head":2}')
    page = folder / "deep.html"
    pollard("inspect", "--family", "gpt2", "--spec", folder / "deep.json", "--report", page)
    told = act(page, """
      told.lead = document.querySelector('#graph .lead').textContent; told.rows = document.querySelectorAll('.r').length;
      var find = document.getElementById('find'), from = performance.now();
      find.value = 'transformer.h.399'; find.dispatchEvent(new Event('input'));
      document.querySelector('.gc').dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}));
      document.getElementById('whole').click();
      told.seconds = (performance.now() - from) / 1000; told.hits = document.getElementById('net').dataset.hits;
    """)
    ops = int(re.search(r"(\d+) ops, drawn by module", told["lead"]).group(1))
    print(f"{ops} ops in {told['rows']} rows: search, pick and zoom in {told['seconds']:.2f} s")
    assert ops > 10_000 and told["rows"] < 1300 and told["hits"] == "1" and told["seconds"] < 5, told


def test_hostile_names(folder):
    hostile = "</script><img src=x onerror=document['title']=13>"
    module = torch.nn.Sequential()
    module.add_module(hostile, torch.nn.Linear(4, 8))
    module.add_module("\"'><svg onload=document['title']=17>", torch.nn.Linear(8, 2))
    torch.export.save(torch.export.export(module.eval(), (torch.zeros(1, 4),)), folder / "hostile.pt2")
    page = folder / "hostile.html"
    pollard("prune", folder / "hostile.pt2", folder / "h.pt2", "--ratio", "0.5", "--report", page)
    told = act(page, """
      told.title = document.title; told.images = document.querySelectorAll('img').length;
      told.scripts = document.scripts.length; told.text = document.querySelector('.group .first').textContent;
    """)
    assert told["title"] == "h.pt2 - pollard" and told["images"] == 0 and told["scripts"] == 2, told
    assert told["text"] == hostile + ".weight", told


BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
if BROWSER is None:
    print("no Chromium on this machine (Debian: chromium-headless-shell): the report was not opened in a browser")
    sys.exit(0)
with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    page = folder / "report.html"
    pollard("prune", CASES / "hf_gpt2.pt2", folder / "small.pt2", "--ratio", "0.5", "--report", page)
    test_text_search_and_clicks(page)
    test_nothing_overflows(page)
    test_without_a_script(page)
    test_ten_thousand_ops(folder)
    test_hostile_names(folder)
print("ok")

"""PyTorch, the GPU and its driver, and the device that models will run on."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import ConfigFile
from .check import Check, in_child, pip_install, said_by

PATIENCE = 50  # seconds for importing PyTorch and for one product on each device
NVIDIA_VERSION = Path("/proc/driver/nvidia/version")
CARDS = Path("/sys/class/drm")
MAKERS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}  # by PCI vendor; others do not compute
BUILDS = "https://pytorch.org/get-started/locally/"
MEBIBYTE = 1 << 20

SCRIPT = """
import json, time, warnings
started = time.perf_counter()
import torch

def fault(device):
    try:
        ones = torch.ones(64, 64, device=device)
        product = (ones @ ones).sum().item()
        return "" if product == 64**3 else f"a product came out as {product}"
    except Exception as error:
        return (str(error).strip() or type(error).__name__).splitlines()[0]

seconds = time.perf_counter() - started
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    there = torch.cuda.is_available()
reason = str(said[-1].message) if said else ""
if not there and torch.version.cuda:
    try:
        torch.cuda.init()
    except Exception as error:
        reason = str(error)
gpus = []
for number in range(torch.cuda.device_count() if there else 0):
    about = torch.cuda.get_device_properties(number)
    gpus.append({
        "name": about.name,
        "memory": about.total_memory,
        "capability": f"{about.major}.{about.minor}",
        "fault": fault(f"cuda:{number}"),
    })
mps = torch.backends.mps.is_available()
print(json.dumps({
    "version": torch.__version__,
    "seconds": seconds,
    "threads": torch.get_num_threads(),
    "cuda": torch.version.cuda,
    "rocm": torch.version.hip,
    "driver": torch._C._cuda_getDriverVersion() if there and hasattr(torch._C, "_cuda_getDriverVersion") else 0,
    "cpu_fault": fault("cpu"),
    "gpus": gpus,
    "reason": (reason.splitlines() or [""])[0],
    "mps": mps,
    "mps_fault": fault("mps") if mps else "",
}))
"""


def look(file: ConfigFile) -> list[Check]:
    """The checks of this subject."""
    driver = find_driver()
    torch, said = in_child(SCRIPT, PATIENCE)
    if torch is None:
        return [torch_fails(said), driver.check]
    return [check_torch(torch), driver.check, *check_gpus(torch, driver), check_device(torch, file.config.device)]


# -- PyTorch ------------------------------------------------------------------


def torch_fails(said: str) -> Check:
    """A PyTorch that cannot be imported, or not be told in time."""
    hint = f"{pip_install('--force-reinstall torch')} installs it anew."
    if "No module named 'torch'" in said:
        hint = f"{pip_install('torch')} installs it; so does launch.pyw."
    elif "DLL" in said:
        hint = (
            f"Install Microsoft's Visual C++ Redistributable (https://aka.ms/vs/17/release/vc_redist.x64.exe). {hint}"
        )
    elif "no answer" in said:
        hint = f"The first import after an installation is slow: try again. If that does not help, {hint}"
    return Check("torch", False, f"cannot be imported: {said or 'it said nothing'}", hint)


def check_torch(torch: dict[str, Any]) -> Check:
    """Which PyTorch there is, and that it computes."""
    kind = f"CUDA {torch['cuda']}" if torch["cuda"] else f"ROCm {torch['rocm']}" if torch["rocm"] else ""
    build = f", built for {kind}" if kind else ""
    found = f"{torch['version']}{build}, imported in {torch['seconds']:.1f} s, {torch['threads']} CPU threads"
    if torch["cpu_fault"]:
        hint = f"{pip_install('--force-reinstall torch')} installs it anew."
        return Check("torch", False, f"{found}, but it does not compute: {torch['cpu_fault']}", hint)
    return Check("torch", True, found)


def check_gpus(torch: dict[str, Any], driver: Driver) -> list[Check]:
    """Every GPU that PyTorch sees, and whether it really computes there; without one, why."""
    if torch["gpus"]:
        sees = f"{torch['driver'] // 1000}.{torch['driver'] % 1000 // 10}"
        by = f", driver for CUDA {sees}" if torch["driver"] and torch["cuda"] else ""
        return [check_gpu(gpu, by, bool(torch["rocm"])) for gpu in torch["gpus"]]
    if torch["mps"]:
        fault = torch["mps_fault"]
        hint = 'Update macOS and PyTorch, or set device = "cpu" in config.toml.'
        return [
            Check("GPU", not fault, f"Apple's, by MPS{fault and f', but it does not compute: {fault}'}", fault and hint)
        ]
    if driver.maker == "NVIDIA" and driver.version:
        return [unused_nvidia(torch, driver)]
    if driver.maker == "AMD" and sys.platform.startswith("linux") and not torch["rocm"]:
        hint = f"If PyTorch supports the card, its build for ROCm uses it: {BUILDS}"
        return [Check("GPU", None, "the AMD GPU is not used: this is no build of PyTorch for it", hint)]
    return [Check("GPU", None, "none that PyTorch can use", "None is needed; large models are slow without one.")]


def check_gpu(gpu: dict[str, Any], by: str, rocm: bool) -> Check:
    """Whether a GPU does what PyTorch tells it."""
    capability = "" if rocm else f", compute capability {gpu['capability']}"
    found = f"{gpu['name']}{capability}, {gpu['memory'] / 1e9:,.0f} GB{by}"
    if not gpu["fault"]:
        return Check("GPU", True, f"{found}, computes")
    hint = f'Update its driver, install another build of PyTorch ({BUILDS}), or set device = "cpu" in config.toml.'
    return Check("GPU", False, f"{found}, but it does not compute: {gpu['fault']}", hint)


def unused_nvidia(torch: dict[str, Any], driver: Driver) -> Check:
    """Why an NVIDIA GPU with a driver is of no use to PyTorch."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        hint = "Unset CUDA_VISIBLE_DEVICES."
        return Check("GPU", None, "the NVIDIA GPU is not used: CUDA_VISIBLE_DEVICES hides it", hint)
    index = index_for(driver.version)
    if torch["cuda"]:
        hint = f"Update NVIDIA's driver and restart the computer; or install a build for an older CUDA: {BUILDS}"
        return Check("GPU", None, f"the NVIDIA GPU is not used: {torch['reason'] or 'PyTorch does not see it'}", hint)
    if not index:
        hint = f"Update NVIDIA's driver to 525 or newer, then install a build of PyTorch for CUDA: {BUILDS}"
    else:
        hint = f"{pip_install(f'--force-reinstall torch --index-url {index}')} installs one that uses it."
    return Check("GPU", None, f"the NVIDIA GPU is not used: PyTorch {torch['version']} is built without CUDA", hint)


def index_for(version: str) -> str:
    """Where the build of PyTorch is that an NVIDIA driver can run; empty for a driver that is too old for all."""
    number = int(re.match(r"\d*", version)[0] or 0)  # type: ignore[index]
    build = "cu130" if number >= 580 else "cu126" if number >= 525 else ""
    return build and f"https://download.pytorch.org/whl/{build}"


def check_device(torch: dict[str, Any], wanted: str) -> Check:
    """Where models will run."""
    there = {"cuda": bool(torch["gpus"]), "mps": torch["mps"], "cpu": True}
    if wanted == "auto":
        chosen = next(device for device, is_there in there.items() if is_there)
        return Check("Device", True, f"{chosen} (auto: the first of cuda, mps, cpu that there is)")
    if there[wanted]:
        return Check("Device", True, f"{wanted}, as set")
    hint = 'Set device = "auto" in config.toml.'
    return Check("Device", False, f"{wanted} is set, and PyTorch has no such device here", hint)


# -- the driver ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Driver:
    """A GPU that could compute, and its driver."""

    check: Check
    maker: str = ""  # NVIDIA, AMD, Intel
    version: str = ""  # of NVIDIA's own driver, where that is in use


def find_driver() -> Driver:
    """The GPU that the system knows, whatever PyTorch makes of it."""
    if program := shutil.which("nvidia-smi"):
        works, said = said_by(program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits")
        rows = [[cell.strip() for cell in line.split(",")] for line in said.splitlines()]
        gpus = [row for row in rows if len(row) == 3]
        if works and gpus:
            return nvidia(gpus)
        hint = "Restart the computer. If that does not help, install NVIDIA's driver anew."
        words = (said.splitlines() or ["it says nothing"])[0]
        return Driver(Check("GPU driver", None, f"nvidia-smi fails: {words}", hint), "NVIDIA")
    if sys.platform == "darwin":
        return Driver(Check("GPU driver", True, "macOS's own"))
    if NVIDIA_VERSION.exists():
        found = re.search(r"\d+\.\d+[.\d]*", NVIDIA_VERSION.read_text(errors="replace"))
        version = found[0] if found else ""
        return Driver(Check("GPU driver", True, f"NVIDIA, driver {version or 'unknown'}"), "NVIDIA", version)
    return from_system()


def nvidia(gpus: list[list[str]]) -> Driver:
    """What nvidia-smi lists."""
    names = [
        f"{name} ({float(size) * MEBIBYTE / 1e9:,.0f} GB)" if size.replace(".", "", 1).isdigit() else name
        for name, _, size in gpus
    ]
    version = gpus[0][1]
    return Driver(Check("GPU driver", True, f"NVIDIA {version}: {', '.join(names)}"), "NVIDIA", version)


def from_system() -> Driver:
    """The GPU that Linux lists, with the module that drives it."""
    cards = {}
    for vendor in sorted(CARDS.glob("card*/device/vendor")):
        maker = MAKERS.get(vendor.read_text().strip().lower())
        if maker:
            link = vendor.parent / "driver"
            cards[maker] = link.resolve().name if link.exists() else "no driver"
    for maker in MAKERS.values():
        if maker not in cards:
            continue
        found = f"{maker} ({cards[maker]})"
        if maker == "NVIDIA":
            hint = "PyTorch needs NVIDIA's own driver: https://www.nvidia.com/drivers"
            return Driver(Check("GPU driver", None, f"{found}: not NVIDIA's own driver", hint), maker)
        return Driver(Check("GPU driver", True, found), maker)
    return Driver(Check("GPU driver", None, "no GPU was found", "None is needed: models run on the CPU."))

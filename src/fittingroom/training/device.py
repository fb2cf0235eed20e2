"""Which device, which precision, how many threads; and the allocator set right before the first tensor."""

from __future__ import annotations

import ctypes
import platform

import torch

from fittingroom.spec.errors import FittingroomError


def prepare_process(threads: int) -> None:
    """Set the thread count and keep freed memory in the process. Call it once, before the first big tensor.

    glibc gives big buffers back to the kernel after every step and page-faults them in again, which makes batches of 256
    and more much slower (measured: docs/log.md 2026-11-20).
    """
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True  # the same bytes again, where cuDNN can
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32, in scoring above all
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_top_pad, m_mmap_threshold = -1, -2, -3  # malloc.h
        libc.mallopt(m_mmap_threshold, 1 << 30)
        libc.mallopt(m_trim_threshold, (1 << 31) - 1)
        libc.mallopt(m_top_pad, 64 << 20)


def choose_device(name: str) -> str:
    """`auto`, `cpu`, `cuda` or `mps` as the device to use. Raises `FittingroomError` for one that is not there.

    >>> choose_device("cpu")
    'cpu'
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if there[device])
    if name not in there:
        raise FittingroomError(f'unknown device "{name}"; it is one of: auto, {", ".join(there)}')
    if not there[name]:
        usable = ", ".join(device for device, ok in there.items() if ok)
        raise FittingroomError(f'device "{name}" is not available here; available: {usable}; or use --device auto')
    return name


def choose_precision(name: str, device: str) -> str:
    """`auto` becomes `bf16` where the hardware multiplies it natively, else `fp32`. So a resolved recipe says which.

    >>> choose_precision("fp32", "cpu")
    'fp32'
    """
    if name != "auto":
        return name
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if device == "cpu" and torch.backends.mkldnn.is_available() and _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # private, but the only probe that torch has
    return bool(probe and probe())


def device_name(device: str) -> str:
    """The hardware's own name."""
    return torch.cuda.get_device_name() if device == "cuda" else device

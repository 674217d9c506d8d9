"""GENEActiv `.bin` and Axivity `.cwa` files written from whole numbers, by their published layouts.

For the fuzz and the tests, which need files whose every byte is known. Both begin at 2019-05-21 16:16:43.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_SAMPLES = {0x32: 80, 0x30: 120, 0x62: 40, 0x92: 26}
"""Of a block of a `.cwa`, by its layout: three axes, three packed, six, nine."""


def bin_header(pages: object, subject: str = "0042") -> str:
    """Write the 59 lines before the first page; the device runs at 50 Hz and counts 256 for 1 g."""
    calibration = [f"{axis} {what}" for axis in "xyz" for what in ("gain:25600", "offset:0")]
    lines = [
        *("Device Identity", "Device Unique Serial Code:051386", "Device Type:GENEActiv", "Device Model:1.1"),
        *("Device Firmware Version:Ver4.08a", "Calibration Date:2019-02-04 13:49:24:000", "", "Device Capabilities"),
        *("Accelerometer Range:-8 to 8", "Accelerometer Resolution:0.0039", "Accelerometer Units:g"),
        *("Light Meter Range:0 to 5000", "Light Meter Resolution:5", "Light Meter Units:lux"),
        *("Temperature Sensor Range:0 to 70", "Temperature Sensor Resolution:0.1", "Temperature Sensor Units:deg. C"),
        *("", "Configuration Info", "Measurement Frequency:50 Hz", "Measurement Period:360 Hours"),
        *("Start Time:2019-05-21 16:16:38:500", "Time Zone:GMT -04:00", "", "Trial Info", "Study Centre:"),
        *("Study Code:", "Investigator ID:", "Exercise Type:", "Config Operator ID:", "Config Time:"),
        *("Config Notes:" + "\0" * 100, "Extract Operator ID:", "Extract Time:", "Extract Notes:", ""),
        *("Subject Info", "Device Location Code:wrist", f"Subject Code:{subject}", "Date of Birth:1900-1-1", "Sex:"),
        *("Height:", "Weight:", "Handedness Code:", "Subject Notes:", "", "Calibration Data", *calibration),
        *("Volts:42", "Lux:886", "", "Memory Status", f"Number of Pages:{pages}", ""),
    ]
    assert len(lines) == 59
    return "\n".join(lines) + "\n"


def bin_page(number: int, raw: np.ndarray, sequence: int | None = None, frequency: str = "50.0") -> str:
    """Write 300 samples of (x, y, z) in 1/256 g, `number` pages of 6 s after the first."""
    second = 43 + 6 * number
    time = f"2019-05-21 16:{16 + second // 60}:{second % 60:02d}:000"
    data = "".join("".join(f"{int(v) & 0xFFF:03X}" for v in sample) + "000" for sample in raw)
    assert len(data) == 3600
    sequence = number if sequence is None else sequence
    return (
        f"Recorded Data\nDevice Unique Serial Code:051386\nSequence Number:{sequence}\nPage Time:{time}\nUnassigned:\n"
        f"Temperature:28.2\nBattery voltage:4.1642\nDevice Status:Recording\nMeasurement Frequency:{frequency}\n{data}\n"
    )


def bin_pages(raw: np.ndarray) -> list[str]:
    """Write whole pages of samples, shape (sample, 3)."""
    return [bin_page(i, raw[300 * i : 300 * (i + 1)]) for i in range(len(raw) // 300)]


def cwa_header(config: int = 0) -> bytes:
    """Write the 1,024 bytes before the first block, of a device at 100 Hz."""
    header = bytearray(b"\xff" * 1024)
    header[:4] = b"MD\xfc\x03"
    header[35], header[36] = config, 0x4A
    return bytes(header)


def cwa_block(number: int, samples: np.ndarray, layout: int, scale: int = 0, **fields: Any) -> bytes:
    """Write a block of samples that are packed already, `number` blocks after the first, with its sum."""
    count = _SAMPLES[layout]
    hundredths = number * count
    second = 43 + hundredths // 100
    block = np.zeros(256, "<u2")
    data = block.view(np.uint8)
    time = (19 << 26) | (5 << 22) | (21 << 17) | (16 << 12) | ((16 + second // 60) << 6) | second % 60
    data[:4] = np.frombuffer(b"AX\xfc\x01", np.uint8)
    data[10:14] = np.array([fields.get("sequence", number)], "<u4").view(np.uint8)
    data[14:18] = np.array([fields.get("time", time)], "<u4").view(np.uint8)
    data[18:20] = np.array([scale], "<u2").view(np.uint8)
    data[22], data[24], data[25] = fields.get("events", 0), fields.get("rate", 0x4A), layout
    data[26:28] = np.array([-(hundredths % 100)], "<i2").view(np.uint8)
    data[28:30] = np.array([fields.get("count", count)], "<u2").view(np.uint8)
    packed = np.ascontiguousarray(samples).view(np.uint8).ravel()
    data[30:510] = fields.get("tail", 0)
    data[30 : 30 + len(packed)] = packed
    return cwa_summed(block.tobytes())


def cwa_blocks(raw: np.ndarray) -> list[bytes]:
    """Write whole blocks of samples of three axes, shape (sample, 3), in 1/256 g."""
    return [cwa_block(i, raw[80 * i : 80 * (i + 1)].astype("<i2"), 0x32) for i in range(len(raw) // 80)]


def cwa_summed(content: bytes) -> bytes:
    """Make the 16-bit words of every whole block of 512 bytes sum to 0."""
    whole = len(content) // 512 * 512
    words = np.frombuffer(content[:whole], "<u2").reshape(-1, 256).copy()
    words[:, 255] = -words[:, :255].sum(axis=1, dtype=np.uint16)
    return words.tobytes() + content[whole:]

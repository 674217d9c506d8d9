"""Students on devices: one ONNX file, and what labels recordings and streams with it; nothing but the export needs torch."""
